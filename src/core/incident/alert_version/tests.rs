use super::*;
use crate::core::incident::changes::{AlertChanges, VersionBefore};
use crate::core::sources::{defender, graph};

fn changes(alerts: Option<AlertChanges>, members: &[&'static str]) -> Changes {
    Changes {
        before: VersionBefore {
            updated: Ticks(4),
            hash: ContentHash(4),
        },
        members: members.to_vec(),
        alerts,
    }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// The ids of the alerts that are news, and what their records say.
fn told(raw: &str, change: Change, changes: Option<&Changes>) -> Vec<(String, Change)> {
    let news = news(raw.as_bytes(), &graph::SHAPE, change, changes);
    news.map(|alert| (alert.id.into_owned(), alert.change))
        .collect()
}

fn all(of: &[(&str, Change)]) -> Vec<(String, Change)> {
    of.iter()
        .map(|(id, change)| ((*id).to_owned(), *change))
        .collect()
}

const THREE: &str =
    r#"{"id":"4","alerts":[{"id":"a","status":"new"},{"id":"b","status":"Resolved"},{"id":"c"}]}"#;

#[test]
fn all_alerts_of_a_new_incident_are_created() {
    let created = Change::Created;
    assert_eq!(
        told(THREE, created, None),
        all(&[("a", created), ("b", created), ("c", created)])
    );
}

#[test]
fn only_alerts_that_are_new_or_changed_are_news() {
    let differ = AlertChanges {
        added: ids(&["a"]),
        removed: ids(&["z"]),
        changed: ids(&["b"]),
    };
    let changes = changes(Some(differ), &["alerts"]);
    assert_eq!(
        told(THREE, Change::Updated, Some(&changes)),
        all(&[("a", Change::Created), ("b", Change::Resolved)])
    );
}

#[test]
fn where_it_is_not_known_which_alerts_differ_none_is_called_new() {
    let (updated, resolved) = (Change::Updated, Change::Resolved);
    let every = all(&[("a", updated), ("b", resolved), ("c", updated)]);
    assert_eq!(told(THREE, updated, None), every);
    assert_eq!(
        told(THREE, updated, Some(&changes(None, &["status", "alerts"]))),
        every
    );
    assert_eq!(
        told(THREE, updated, Some(&changes(None, &["status"]))),
        Vec::new(),
        "none of them differs"
    );
}

#[test]
fn each_alert_has_its_bytes_and_its_own_update_in_both_apis() {
    let raw = r#"{"alerts":[ {"id": "a",  "lastUpdateDateTime":"1970-01-01T00:00:00.0000005Z"} ]}"#;
    let mut graph = news(raw.as_bytes(), &graph::SHAPE, Change::Created, None);
    let alert = graph.next().expect("an alert");
    assert_eq!(alert.updated, Some(Ticks(5)));
    let bytes: &[u8] = br#"{"id": "a",  "lastUpdateDateTime":"1970-01-01T00:00:00.0000005Z"}"#;
    assert_eq!(alert.raw, bytes);
    assert!(graph.next().is_none());
    let raw = br#"{"alerts":[{"alertId":7,"lastUpdatedTime":"1970-01-01T00:00:00.0000006Z","status":"Resolved"}]}"#;
    let mut defender = news(raw, &defender::SHAPE, Change::Updated, None);
    let alert = defender.next().expect("an alert");
    assert_eq!((&*alert.id, alert.updated), ("7", Some(Ticks(6))));
    assert_eq!(alert.change, Change::Resolved);
}

#[test]
fn an_alert_without_an_id_is_left_out_and_its_neighbours_are_not() {
    for odd in [
        "{}",
        "7",
        "null",
        r#"{"id":""}"#,
        r#"{"id":null}"#,
        r#"{"id":{"a":1}}"#,
        r#"{"id":0}"#,
    ] {
        let raw = format!(r#"{{"alerts":[{{"id":"a"}},{odd},{{"id":"b"}}]}}"#);
        let found = told(&raw, Change::Created, None);
        let created = Change::Created;
        assert_eq!(found, all(&[("a", created), ("b", created)]), "{odd}");
    }
}

#[test]
fn alerts_of_another_shape_are_none_and_nothing_panics() {
    for raw in [
        "",
        "7",
        "{}",
        r#"{"alerts":null}"#,
        r#"{"alerts":{"id":"a"}}"#,
        r#"{"alerts":[{"id":"a"#,
    ] {
        assert_eq!(told(raw, Change::Created, None), Vec::new(), "{raw}");
    }
    for end in 0..THREE.len() {
        let _ = told(&THREE[..end], Change::Created, None);
    }
}

#[test]
fn of_two_lists_the_last_one_counts() {
    let raw = r#"{"alerts":[{"id":"a"}],"x":1,"alerts":[{"id":"b"}]}"#;
    assert_eq!(
        told(raw, Change::Created, None),
        all(&[("b", Change::Created)])
    );
}
