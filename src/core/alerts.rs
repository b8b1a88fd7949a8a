//! Alerts that continue on another page.
//!
//! OData allows an incident whose alerts are too many to end with `alerts@odata.nextLink`. The rest is then fetched from
//! there and put behind the alerts that came, so that what is published is the whole incident. All other bytes stay as
//! Microsoft sent them; the link is left out, because it leads nowhere any more.

use std::fmt;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

const LINK: &str = "alerts@odata.nextLink";
const ALERTS: &str = "alerts";

/// Where the rest of the incident's alerts is. `None`: they are all here, or this is no incident.
pub fn continuation(raw: &[u8]) -> Option<String> {
    // Nearly no incident has one, and to look for the name is far cheaper than to read the incident.
    memmem::find(raw, LINK.as_bytes())?;
    let Members(members) = serde_json::from_slice(raw).ok()?;
    // Of a key that occurs twice the last value counts, as in `reading`.
    let (_, link) = members.iter().rfind(|(key, _)| key == LINK)?;
    let link: String = serde_json::from_str(link.get()).ok()?;
    Some(link).filter(|link| !link.is_empty())
}

/// The incident with `more` alerts behind its own, and without the link to them. `None` when `raw` is no JSON object, or
/// its alerts are no list.
pub fn join<B: AsRef<[u8]>>(raw: &[u8], more: &[B]) -> Option<Vec<u8>> {
    let Members(members) = serde_json::from_slice(raw).ok()?;
    let mut own = "";
    for (key, value) in &members {
        if key == ALERTS {
            own = value
                .get()
                .trim()
                .strip_prefix('[')?
                .strip_suffix(']')?
                .trim();
        }
    }
    let own = Some(own.as_bytes()).filter(|own| !own.is_empty());
    let alerts: Vec<&[u8]> = own
        .into_iter()
        .chain(more.iter().map(AsRef::as_ref))
        .collect();
    let mut joined = b"{\"alerts\":[".to_vec();
    joined.extend(alerts.join(&b','));
    joined.push(b']');
    for (key, value) in members
        .iter()
        .filter(|(key, _)| key != ALERTS && key != LINK)
    {
        joined.push(b',');
        joined.extend(serde_json::to_vec(key).ok()?);
        joined.push(b':');
        joined.extend(value.get().as_bytes());
    }
    joined.push(b'}');
    Some(joined)
}

/// An object's members in their order.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an incident object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = entries.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn only_a_link_of_the_incidents_own_is_a_continuation() {
        for (raw, link) in [
            (
                r#"{"id":"1","alerts@odata.nextLink":"https://x/y"}"#,
                Some("https://x/y"),
            ),
            (r#"{"id":"1","alerts@odata.nextLink":null}"#, None),
            (r#"{"id":"1","alerts@odata.nextLink":""}"#, None),
            (r#"{"id":"1","title":"alerts@odata.nextLink"}"#, None),
            (
                r#"{"id":"1","inner":{"alerts@odata.nextLink":"https://x"}}"#,
                None,
            ),
            (r#"{"alerts@odata.nextLink":"#, None),
            ("alerts@odata.nextLink", None),
            (r#"["alerts@odata.nextLink"]"#, None),
            (
                r#"{"alerts@odata.nextLink":"https://a","alerts@odata.nextLink":"https://b"}"#,
                Some("https://b"),
            ),
        ] {
            assert_eq!(continuation(raw.as_bytes()).as_deref(), link, "{raw}");
        }
    }

    #[test]
    fn what_is_no_incident_is_not_joined() {
        for raw in ["[]", "{", r#"{"alerts":7}"#, r#"{"alerts":{"a":[]}}"#] {
            assert_eq!(join(raw.as_bytes(), &[b"{}"]), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_joined_incident_has_all_alerts_in_order_and_all_else_as_it_was(own in 0_u32..5, more in 0_u32..5, alerts_given in any::<bool>(), space in "[ \n]{0,3}") {
            let own = if alerts_given { own } else { 0 };
            let alert = |n: u32| json!({"id": n, "alerts": ["not these"]}).to_string();
            let list: Vec<_> = (0..own).map(alert).collect();
            let given = format!("{space}[{space}{}{space}]{space}", list.join(","));
            let alerts = if alerts_given { format!("\"alerts\":{given},") } else { String::new() };
            let raw = format!("{{\"id\":\"1\",{alerts}\"alerts@odata.nextLink\":\"https://x\",\"n\":1.50}}");
            let rest: Vec<_> = (own..own + more).map(alert).collect();
            let joined = join(raw.as_bytes(), &rest).expect("an incident");
            let value: Value = serde_json::from_slice(&joined).expect("JSON");
            let ids: Vec<_> = value["alerts"].as_array().expect("a list").iter().map(|alert| alert["id"].as_u64()).collect();
            prop_assert_eq!(ids, (0..u64::from(own + more)).map(Some).collect::<Vec<_>>());
            prop_assert_eq!(&value["id"], "1");
            prop_assert!(continuation(&joined).is_none());
            prop_assert!(String::from_utf8_lossy(&joined).contains("1.50"), "a number was written anew");
        }
    }
}
