//! A page's text: the incidents' own bytes in the API's frame, and the faults that are done to it.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;

use super::books::Shown;
use super::faults::Effect;
use super::http::Answer;

/// An incident on its way out.
pub(super) struct Exhibit {
    pub text: Bytes,
    pub shown: Shown,
}

/// What stands before the incidents of a page, and where the link to the next one stands.
pub(super) struct Frame<'a> {
    /// Members of the page's object, each ending in a comma.
    pub head: String,
    pub next: Option<&'a str>,
    /// Defender has its link behind the incidents, Graph before.
    pub link_first: bool,
}

/// The answer that holds `exhibits`, spoilt by `touch`.
pub(super) fn answer(
    frame: &Frame<'_>,
    mut exhibits: Vec<Exhibit>,
    touch: Option<&Effect>,
) -> Answer {
    let mut status = 200;
    let mut warning = None;
    if let Some(Effect::Partial {
        missing,
        warning: text,
    }) = touch
    {
        exhibits.truncate(exhibits.len().saturating_sub(*missing));
        status = 206;
        warning = Some(("warning".to_owned(), text.clone()));
    }
    let mut answer = Answer::bytes(status, text(frame, &exhibits, touch));
    answer.headers.extend(warning);
    answer.shown = exhibits.into_iter().map(|exhibit| exhibit.shown).collect();
    answer
}

fn text(frame: &Frame<'_>, exhibits: &[Exhibit], touch: Option<&Effect>) -> Bytes {
    let mut items: Vec<&[u8]> = exhibits.iter().map(|exhibit| &*exhibit.text).collect();
    if let Some(Effect::BadIncident(bad)) = touch {
        items.insert(items.len() / 2, bad);
    }
    let next = match touch {
        Some(Effect::NextLinkTo(url)) => Some(url.as_str()),
        _ => frame.next,
    };
    let link = next.map(|link| format!("\"@odata.nextLink\":{}", json!(link)));
    let (head, tail) = match link {
        Some(link) if frame.link_first => (format!("{{{}{link},", frame.head), "}".to_owned()),
        Some(link) => (format!("{{{}", frame.head), format!(",{link}}}")),
        None => (format!("{{{}", frame.head), "}".to_owned()),
    };
    let natural: usize = items.iter().map(|item| item.len() + 1).sum();
    let gap = match touch {
        Some(Effect::PadPage(least)) => {
            least.saturating_sub(natural + head.len() + tail.len()) / (items.len() + 1) + 1
        }
        _ => 0,
    };
    let length = natural + head.len() + tail.len() + gap * (items.len() + 1) + 16;
    let mut body = BytesMut::with_capacity(length);
    body.put_slice(head.as_bytes());
    body.put_slice(b"\"value\":[");
    body.put_bytes(b' ', gap);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            body.put_u8(b',');
        }
        body.put_slice(item);
        body.put_bytes(b' ', gap);
    }
    body.put_slice(b"]");
    body.put_slice(tail.as_bytes());
    body.freeze()
}
