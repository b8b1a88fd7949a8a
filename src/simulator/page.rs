//! A page's text: the incidents' own bytes in the API's frame, with the faults that change it.

use std::sync::LazyLock;

use bytes::Bytes;
use serde_json::json;

use super::answer::Answer;
use super::faults::{Api, Effect};
use super::journal::Shown;
use super::template::Template;

/// The warning that Graph's documentation has for a page that is not complete (section 3.2).
const WARNING: &str = "199 - \"Microsoft/MicrosoftDefender/504/10000\"";

static PAGE: LazyLock<Template> = LazyLock::new(|| Template::new(include_str!("page.json")));

/// What surrounds the items of a page.
pub(super) struct Frame {
    pub api: Api,
    pub context: String,
    pub count: Option<usize>,
    pub next: Option<String>,
}

/// The answer that holds `items`, of which the client has `shown` then, changed by `effect`.
pub(super) fn answer(
    frame: Frame,
    mut items: Vec<Bytes>,
    mut shown: Vec<Shown>,
    effect: Option<&Effect>,
) -> Answer {
    let mut next = frame.next;
    let mut complete = true;
    match effect {
        Some(Effect::BadIncident(bad)) => items.insert(items.len() / 2, bad.clone().into()),
        Some(Effect::NextLinkTo(url)) => next = Some(url.clone()),
        Some(Effect::PadPage(least)) => {
            let gap = vec![b' '; least / items.len().max(1) + 1];
            let padded = items.iter().map(|item| [item, &*gap].concat().into());
            items = padded.collect();
        }
        Some(Effect::Partial(missing)) => {
            items.truncate(items.len().saturating_sub(*missing));
            shown.truncate(items.len());
            complete = false;
        }
        _ => {}
    }
    let mut values = json!({"context": frame.context});
    if let Some(count) = frame.count {
        values["count"] = json!(count);
    }
    if let Some(next) = next {
        let place = match frame.api {
            Api::Graph => "first_link",
            Api::Defender => "last_link",
        };
        values[place] = json!(next);
    }
    let body = PAGE.fill(&values, &[("items", items)]);
    match complete {
        true => Answer::json(200, body),
        false => Answer::json(206, body).header("warning", WARNING),
    }
    .showing(shown)
}
