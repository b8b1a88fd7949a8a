//! Alerts that continue on another page.
//!
//! In OData, an incident with too many alerts may end with `alerts@odata.nextLink`. The remaining alerts are fetched
//! from there and appended to the first ones, so that the complete incident is published. All other bytes stay as
//! Microsoft sent them. The link is left out, because it leads nowhere any more.
//!
//! The incident is cut only at its own commas. Its values are not checked: half of a surrogate pair, bytes that are not
//! UTF-8 or any nesting can't keep alerts from being joined. If they can't be joined all the same, the result is
//! `None`, and the incident must be published as one with incomplete alerts.

use memchr::memmem;

use crate::core::incident::members::{each_member, elements};

const LINK: &str = "alerts@odata.nextLink";
const COUNT: &str = "alerts@odata.count";
const ALERTS: &str = "alerts";

/// Where the remaining alerts of an incident are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// The nextLink of the alerts, as Microsoft sent it: its host is not checked yet.
    Link(String),
    /// There are more alerts, but their link is not usable.
    Unusable,
}

/// Where the remaining alerts of the incident are. `None`: all alerts are here, or `raw` is not an incident.
pub fn continuation(raw: &[u8]) -> Option<Continuation> {
    // Almost no incident has a link, and searching for its name is much cheaper than cutting the incident. A name
    // spelled with escapes contains `\u00`.
    if memmem::find(raw, LINK.as_bytes()).is_none() && memmem::find(raw, b"\\u00").is_none() {
        return None;
    }
    // If a key occurs twice, the last value counts, as in `reading`.
    let mut link = None;
    each_member(raw, |member| {
        if member.is(LINK) {
            link = Some(member.value);
        }
    })?;
    match serde_json::from_slice::<Option<String>>(link?) {
        Ok(link) => link.filter(|link| !link.is_empty()).map(Continuation::Link),
        Err(_) => Some(Continuation::Unusable),
    }
}

/// The incident with `more` alerts after its own, and without the link to them. `None`: `raw` is not a JSON object, its
/// alerts are not a list, or there are fewer alerts than the incident announces.
pub fn join<B: AsRef<[u8]>>(raw: &[u8], more: &[B]) -> Option<Vec<u8>> {
    let (mut own, mut announced) = (None, None);
    each_member(raw, |member| {
        if member.is(ALERTS) {
            own = Some(member.value);
        } else if member.is(COUNT) {
            announced = serde_json::from_slice::<u64>(member.value).ok();
        }
    })?;
    let own_list: &[u8] = match own {
        None | Some(b"null") => b"[]",
        Some(list) => list,
    };
    let count = elements(own_list)? + more.len() as u64;
    let own_alerts = &own_list[1..own_list.len() - 1];
    if announced.is_some_and(|announced| announced > count) {
        return None;
    }
    let added: usize = more.iter().map(|alert| alert.as_ref().len() + 1).sum();
    let mut joined = Vec::with_capacity(raw.len() + added + ALERTS.len() + 6);
    joined.push(b'{');
    if own.is_none() {
        joined.extend_from_slice(b"\"alerts\":");
        put_list(&mut joined, own_alerts, more);
        joined.push(b',');
    }
    each_member(raw, |member| {
        if member.is(LINK) {
            return;
        }
        // Compare the address: a key may occur twice.
        if own.is_some_and(|own| std::ptr::eq(own, member.value)) {
            joined.extend_from_slice(member.before);
            put_list(&mut joined, own_alerts, more);
            joined.extend_from_slice(member.behind);
        } else {
            joined.extend_from_slice(member.all);
        }
        joined.push(b',');
    })?;
    // The object has at least its alerts now, so the last byte is a comma.
    joined.pop();
    joined.push(b'}');
    Some(joined)
}

fn put_list<B: AsRef<[u8]>>(joined: &mut Vec<u8>, own: &[u8], more: &[B]) {
    joined.push(b'[');
    joined.extend_from_slice(own);
    let mut first = own.trim_ascii().is_empty();
    for alert in more {
        if !std::mem::take(&mut first) {
            joined.push(b',');
        }
        joined.extend_from_slice(alert.as_ref());
    }
    joined.push(b']');
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
            (
                r#"{"id":"1","alerts\u0040odata.nextLin\u006B" : "https://x/y"}"#,
                Some("https://x/y"),
            ),
            (r#"{"alerts@odata.nextLink":"#, None),
            ("alerts@odata.nextLink", None),
            (r#"["alerts@odata.nextLink"]"#, None),
            (
                r#"{"alerts@odata.nextLink":"https://a","alerts@odata.nextLink":"https://b"}"#,
                Some("https://b"),
            ),
        ] {
            let link = link.map(|link| Continuation::Link(link.to_owned()));
            assert_eq!(continuation(raw.as_bytes()), link, "{raw}");
        }
    }

    #[test]
    fn what_stands_for_a_link_and_is_none_says_that_there_is_more() {
        for link in [
            "7",
            "true",
            "{}",
            r#"["https://x"]"#,
            r#"{"url":"https://x"}"#,
            r#""\ud83d""#,
        ] {
            let raw = format!(r#"{{"id":"1","alerts@odata.nextLink":{link},"alerts":[]}}"#);
            let found = continuation(raw.as_bytes());
            assert_eq!(found, Some(Continuation::Unusable), "{raw}");
        }
    }

    #[test]
    fn what_has_no_list_of_alerts_is_not_joined() {
        for raw in [
            "[]",
            "{",
            r#"{"alerts":7}"#,
            r#"{"alerts":"[]"}"#,
            r#"{"alerts":{"a":[]}}"#,
            r#"{"alerts":[,]}"#,
            r#"{"alerts":[{}],}"#,
            r#"{"alerts":[{}] "id":1}"#,
        ] {
            assert_eq!(join(raw.as_bytes(), &[b"{}"]), None, "{raw}");
        }
    }

    #[test]
    fn an_incident_with_fewer_alerts_than_it_says_is_not_joined() {
        for (count, whole) in [("3", true), ("2", true), ("4", false), ("null", true)] {
            let raw = format!(r#"{{"alerts@odata.count":{count},"alerts":[1,[2,{{"a":3}}]]}}"#);
            assert_eq!(join(raw.as_bytes(), &[b"{}"]).is_some(), whole, "{raw}");
        }
    }

    #[test]
    fn alerts_are_joined_whatever_stands_for_none_and_whatever_else_is_in_the_incident() {
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        let others: [&[u8]; 6] = [
            br#""mail from \ud83d""#,
            b"\"\xff\xfe\"",
            b"1e400",
            br#"{"alerts":null,"alerts@odata.nextLink":"https://inner"}"#,
            br#""a \"quoted\" \\""#,
            &deep,
        ];
        let nothing: [(&[u8], &[u8]); 4] = [
            (b"\"alerts\": null ,", b"\"alerts\": [{\"a\":1},2] ,"),
            (b"\"alerts\":[ ],", b"\"alerts\":[ {\"a\":1},2],"),
            (
                b"\"alerts\":7,\"\\u0061lerts\":null,",
                b"\"alerts\":7,\"\\u0061lerts\":[{\"a\":1},2],",
            ),
            (b"", b""),
        ];
        for other in others {
            for (given, joined) in nothing {
                let raw = [
                    b"{ \"id\":1,".as_slice(),
                    given,
                    b" \"n\" :",
                    other,
                    b",\"alerts@odata.nextLink\":\"x\"}",
                ]
                .concat();
                let put: &[u8] = if given.is_empty() {
                    b"\"alerts\":[{\"a\":1},2],"
                } else {
                    b""
                };
                let expected =
                    [b"{", put, b" \"id\":1,", joined, b" \"n\" :", other, b"}"].concat();
                let found = join(&raw, &[&b"{\"a\":1}"[..], b"2"])
                    .map(|raw| String::from_utf8_lossy(&raw).into_owned());
                assert_eq!(found, Some(String::from_utf8_lossy(&expected).into_owned()));
            }
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
