//! What is new in a version, as a record says it: extension attributes of CloudEvents, which are headers in each format, and
//! an object beside the incident in a schema of others.
//!
//! A list of alerts has at most [`MOST`] ids and [`MOST_BYTES`]; `+N` at its end stands for N more. In an id, whatever is not a
//! visible ASCII character, and what would be taken for something else (`,` `+` `%` `"` `\\`), is percent-encoded.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::core::incident::changes::Changes;

/// Ids in a list.
const MOST: usize = 100;
/// Bytes of a list.
const MOST_BYTES: usize = 4 << 10;

/// A piece of news by its names.
#[derive(Debug, Clone, Copy)]
struct NewsName {
    /// As an attribute of the event.
    attribute: &'static str,
    header: &'static str,
    /// As a member of an object.
    member: &'static str,
}

const PREVIOUS: NewsName = NewsName {
    attribute: "previousid",
    header: "ce_previousid",
    member: "previous_id",
};
const MEMBERS: NewsName = NewsName {
    attribute: "changedmembers",
    header: "ce_changedmembers",
    member: "members",
};
const ADDED: NewsName = NewsName {
    attribute: "alertsadded",
    header: "ce_alertsadded",
    member: "alerts_added",
};
const REMOVED: NewsName = NewsName {
    attribute: "alertsremoved",
    header: "ce_alertsremoved",
    member: "alerts_removed",
};
const CHANGED: NewsName = NewsName {
    attribute: "alertschanged",
    header: "ce_alertschanged",
    member: "alerts_changed",
};

/// The news of a version as texts that need no escapes in JSON. Empty: it is not known what is new.
#[derive(Debug, Default)]
pub(super) struct VersionNews {
    previous: Option<String>,
    lists: Vec<(NewsName, Vec<String>)>,
}

impl VersionNews {
    /// `key` is that of the record.
    pub(super) fn of(key: &str, changes: Option<&Changes>) -> Self {
        let Some(changes) = changes else {
            return Self::default();
        };
        let members = changes.members.iter().map(|name| (*name).to_owned());
        let mut lists = vec![(MEMBERS, members.collect())];
        if let Some(alerts) = &changes.alerts {
            lists.extend([
                (ADDED, ids(&alerts.added)),
                (REMOVED, ids(&alerts.removed)),
                (CHANGED, ids(&alerts.changed)),
            ]);
        }
        lists.retain(|(_, list)| !list.is_empty());
        let before = changes.before;
        Self {
            previous: Some(format!("{key}/{}/{}", before.updated.0, before.hash)),
            lists,
        }
    }

    fn each(&self) -> impl Iterator<Item = (NewsName, String)> + '_ {
        let previous = self.previous.iter().map(|id| (PREVIOUS, id.clone()));
        let lists = self.lists.iter();
        previous.chain(lists.map(|(name, list)| (*name, list.join(","))))
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.each().map(|(name, text)| (name.header, text))
    }

    /// Members of a structured event, each after a comma.
    pub(super) fn attributes(&self) -> String {
        let texts = self.each();
        let texts = texts.map(|(name, text)| format!(r#","{}":"{text}""#, name.attribute));
        texts.collect()
    }

    /// An object. `None`: it is not known what is new.
    pub(super) fn object(&self) -> Option<Value> {
        let previous = self.previous.clone()?;
        let lists = self.lists.iter();
        let lists = lists.map(|(name, list)| (name.member.to_owned(), list.clone().into()));
        let mut object = Map::from_iter([(PREVIOUS.member.to_owned(), previous.into())]);
        object.extend(lists);
        Some(object.into())
    }

    /// A sentence for people. `None`: it is not known what is new, or only the last update is.
    pub(super) fn summary(&self) -> Option<String> {
        let mut lists = self.lists.iter();
        let (_, members) = lists.next()?;
        let numbers = lists.map(|(name, ids)| {
            let last = ids.last().and_then(|last| last.strip_prefix('+'));
            let more = last.and_then(|more| more.parse::<usize>().ok());
            let count = more.map_or(ids.len(), |more| ids.len() - 1 + more);
            format!("{count} {}", name.member.trim_start_matches("alerts_"))
        });
        let numbers: Vec<_> = numbers.collect();
        let members = members.join(", ");
        Some(match numbers.is_empty() {
            true => format!("changed: {members}"),
            // The alerts are the last member.
            false => format!("changed: {members} ({})", numbers.join(", ")),
        })
    }
}

fn ids(all: &[String]) -> Vec<String> {
    let (mut texts, mut bytes) = (Vec::new(), 0);
    for id in all.iter().take(MOST) {
        let text = encoded(id);
        bytes += text.len() + 1;
        if bytes > MOST_BYTES {
            break;
        }
        texts.push(text);
    }
    match all.len() - texts.len() {
        0 => {}
        more => texts.push(format!("+{more}")),
    }
    texts
}

fn encoded(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b',' | b'+' | b'%' | b'"' | b'\\' => push(&mut text, byte),
            _ if byte.is_ascii_graphic() => text.push(char::from(byte)),
            _ => push(&mut text, byte),
        }
    }
    text
}

fn push(text: &mut String, byte: u8) {
    // A string takes all that is written.
    let _ = write!(text, "%{byte:02X}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::incident::changes::{AlertChanges, VersionBefore};
    use crate::core::incident::version::ContentHash;
    use crate::core::time::ticks::Ticks;
    use serde_json::json;

    fn changes(members: &[&'static str], alerts: Option<AlertChanges>) -> Changes {
        Changes {
            before: VersionBefore {
                updated: Ticks(17),
                hash: ContentHash(0xab),
            },
            members: members.to_vec(),
            alerts,
        }
    }

    fn numbered(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("da{number}")).collect()
    }

    #[test]
    fn each_format_has_the_same_news() {
        let alerts = AlertChanges {
            added: vec!["da1".to_owned(), "fa, \"é+%\\".to_owned()],
            removed: vec![],
            changed: vec!["da3".to_owned()],
        };
        let news = VersionNews::of("t/4", Some(&changes(&["status", "alerts"], Some(alerts))));
        let odd = "fa%2C%20%22%C3%A9%2B%25%5C";
        let headers: Vec<_> = news.headers().collect();
        assert_eq!(
            headers,
            [
                ("ce_previousid", "t/4/17/00000000000000ab".to_owned()),
                ("ce_changedmembers", "status,alerts".to_owned()),
                ("ce_alertsadded", format!("da1,{odd}")),
                ("ce_alertschanged", "da3".to_owned()),
            ]
        );
        let event: Value =
            serde_json::from_str(&format!("{{\"a\":1{}}}", news.attributes())).expect("JSON");
        assert_eq!(event["alertsadded"], format!("da1,{odd}"));
        assert_eq!(
            news.object(),
            Some(json!({
                "previous_id": "t/4/17/00000000000000ab", "members": ["status", "alerts"],
                "alerts_added": ["da1", odd], "alerts_changed": ["da3"],
            }))
        );
        let summary = "changed: status, alerts (2 added, 1 changed)";
        assert_eq!(news.summary().as_deref(), Some(summary));
    }

    #[test]
    fn names_keep_to_the_rules_of_cloudevents() {
        for name in [PREVIOUS, MEMBERS, ADDED, REMOVED, CHANGED] {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            assert!(
                name.attribute.bytes().all(plain) && name.attribute.len() <= 20,
                "{name:?}"
            );
            assert_eq!(name.header, format!("ce_{}", name.attribute));
        }
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let news = VersionNews::of("t/4", None);
        assert_eq!(news.headers().count(), 0);
        assert_eq!(
            (news.attributes().as_str(), news.object(), news.summary()),
            ("", None, None)
        );
        let news = VersionNews::of("t/4", Some(&changes(&["alerts"], None)));
        assert_eq!(news.headers().count(), 2);
        assert_eq!(news.summary().as_deref(), Some("changed: alerts"));
        let news = VersionNews::of("t/4", Some(&changes(&[], Some(AlertChanges::default()))));
        assert_eq!(news.headers().count(), 1);
        assert_eq!(news.summary(), None);
    }

    #[test]
    fn lists_are_bounded_and_say_how_many_more_there_are() {
        let alerts = AlertChanges {
            added: numbered(250),
            removed: numbered(MOST),
            changed: vec!["é".repeat(63); 20],
        };
        let news = VersionNews::of("t/4", Some(&changes(&["alerts"], Some(alerts))));
        let texts: Vec<String> = news.headers().map(|(_, text)| text).collect();
        let [_, _, added, removed, changed] = texts.as_slice() else {
            panic!("{texts:?}");
        };
        assert!(added.ends_with(",da99,+150"), "{added}");
        assert!(removed.ends_with(",da99"), "{removed}");
        assert!(
            changed.ends_with(",+10") && changed.len() <= MOST_BYTES,
            "{changed}"
        );
        let summary = "changed: alerts (250 added, 100 removed, 20 changed)";
        assert_eq!(news.summary().as_deref(), Some(summary));
        let first = vec!["x".repeat(MOST_BYTES)];
        assert_eq!(ids(&first), ["+1"]);
    }
}
