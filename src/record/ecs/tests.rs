//! The words that Microsoft documents. The fields themselves are checked in `tests/records`.

use super::*;

#[test]
fn each_documented_severity_but_unknown_has_a_number() {
    for word in [
        "informational",
        "low",
        "medium",
        "high",
        "Informational",
        "Low",
        "Medium",
        "High",
    ] {
        assert!(look_up(tables::SEVERITY, word).is_some(), "{word}");
    }
    for word in ["unknown", "UnSpecified", "unknownFutureValue", ""] {
        assert_eq!(look_up(tables::SEVERITY, word), None, "{word}");
    }
}

#[test]
fn an_item_is_listed_once_where_it_is_first() {
    assert_eq!(
        distinct(["b", "a", "b", "c", "a"].into_iter()),
        ["b", "a", "c"]
    );
}
