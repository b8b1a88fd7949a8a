//! Alerts of an incident on their own pages.

use parking_lot::Mutex;
use std::collections::HashMap;

/// Incidents whose alerts continue elsewhere, and on how many pages.
#[derive(Default)]
pub struct Further(Mutex<HashMap<u64, u32>>);

impl Further {
    pub fn set(&self, id: u64, pages: u32) {
        self.0.lock().insert(id, pages);
    }

    /// The incident's `text`, with a link to its further alerts if there are any.
    pub fn linked(&self, id: u64, mut text: String) -> String {
        if self.pages(id) > 0 {
            text.pop();
            text += &format!(",\"alerts@odata.nextLink\":\"alerts {id} 1\"}}");
        }
        text
    }

    /// The page that such a link leads to. It has one alert.
    pub fn page(&self, link: &str) -> Option<String> {
        let (id, page) = link.strip_prefix("alerts ")?.split_once(' ')?;
        let (id, page): (u64, u32) = (id.parse().ok()?, page.parse().ok()?);
        let next = if page < self.pages(id) {
            format!(",\"@odata.nextLink\":\"alerts {id} {}\"", page + 1)
        } else {
            String::new()
        };
        Some(format!("{{\"value\":[{{\"alert\":{page}}}]{next}}}"))
    }

    fn pages(&self, id: u64) -> u32 {
        let pages = self.0.lock();
        pages.get(&id).copied().unwrap_or_default()
    }
}
