//! A page's text: the incidents' own bytes in the API's frame, with the faults that change it.

use bytes::Bytes;
use serde_json::json;

use super::answer::Answer;
use super::faults::Effect;
use super::journal::Shown;

/// An incident on its way out.
pub(super) struct PageItem {
    pub text: Bytes,
    pub shown: Shown,
}

/// What surrounds the items of a page.
pub(super) struct Frame<'a> {
    pub context: String,
    pub count: Option<usize>,
    pub next: Option<&'a str>,
    /// Whether the link to the next page is before the items, as at Graph, or behind them.
    pub link_first: bool,
}

/// The answer that holds `page_items`, changed by `effect`.
pub(super) fn answer(
    frame: &Frame<'_>,
    mut page_items: Vec<PageItem>,
    effect: Option<&Effect>,
) -> Answer {
    let mut warning = None;
    if let Some(Effect::Partial {
        missing,
        warning: text,
    }) = effect
    {
        page_items.truncate(page_items.len().saturating_sub(*missing));
        warning = Some(text.as_str());
    }
    let items: Vec<&[u8]> = page_items.iter().map(|item| &*item.text).collect();
    let text = text(frame, items, effect);
    let shown = page_items.into_iter().map(|item| item.shown).collect();
    match warning {
        Some(warning) => Answer::bytes(206, text).header("warning", warning),
        None => Answer::bytes(200, text),
    }
    .showing(shown)
}

pub(super) fn text<'a>(
    frame: &Frame<'_>,
    mut items: Vec<&'a [u8]>,
    effect: Option<&'a Effect>,
) -> Bytes {
    if let Some(Effect::BadIncident(bad)) = effect {
        items.insert(items.len() / 2, bad);
    }
    let next = match effect {
        Some(Effect::NextLinkTo(url)) => Some(url.as_str()),
        _ => frame.next,
    };
    let mut head = format!("{{\"@odata.context\":{},", json!(frame.context));
    let mut tail = "]}".to_owned();
    if let Some(count) = frame.count {
        head.push_str(&format!("\"@odata.count\":{count},"));
    }
    if let Some(next) = next {
        let link = format!("\"@odata.nextLink\":{}", json!(next));
        match frame.link_first {
            true => head.push_str(&format!("{link},")),
            false => tail = format!("],{link}}}"),
        }
    }
    head.push_str("\"value\":[");
    let natural: usize = items.iter().map(|item| item.len() + 1).sum::<usize>() + head.len();
    let gap = match effect {
        Some(Effect::PadPage(least)) => {
            least.saturating_sub(natural + tail.len()) / (items.len() + 1) + 1
        }
        _ => 0,
    };
    let gap = " ".repeat(gap).into_bytes();
    let mut body = Vec::with_capacity(natural + tail.len() + gap.len() * (items.len() + 1));
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(&gap);
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
        body.extend_from_slice(&gap);
    }
    body.extend_from_slice(tail.as_bytes());
    body.into()
}
