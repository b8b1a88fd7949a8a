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

/// A page of a list.
pub(super) struct Page {
    pub api: Api,
    pub context: String,
    pub count: Option<usize>,
    pub next: Option<String>,
    pub items: Vec<Bytes>,
    pub shown: Vec<Shown>,
}

impl Page {
    /// The answer that is this page, changed by `effect`.
    pub fn answer(mut self, effect: Option<&Effect>) -> Answer {
        let items = &mut self.items;
        let mut complete = true;
        match effect {
            Some(Effect::BadIncident(bad)) => items.insert(items.len() / 2, bad.clone().into()),
            Some(Effect::PadPage(least)) => {
                if items.is_empty() {
                    items.push(Bytes::new());
                }
                let natural: usize = items.iter().map(Bytes::len).sum();
                let gap = vec![b' '; least.saturating_sub(natural) / items.len() + 1];
                for item in items {
                    *item = [item, &*gap].concat().into();
                }
            }
            Some(Effect::Partial(missing)) => {
                items.truncate(items.len().saturating_sub(*missing));
                self.shown.truncate(items.len());
                complete = false;
            }
            _ => {}
        }
        let mut values = json!({"context": self.context});
        if let Some(count) = self.count {
            values["count"] = json!(count);
        }
        if let Some(next) = self.next {
            let place = match self.api {
                Api::Graph => "first_link",
                Api::Defender => "last_link",
            };
            values[place] = json!(next);
        }
        let body = PAGE.fill(&values, &[("items", self.items)]);
        match complete {
            true => Answer::json(200, body),
            false => Answer::json(206, body).header("warning", WARNING),
        }
        .showing(self.shown)
    }
}
