//! The words that Microsoft documents, and what becomes of others. The schema itself is checked in `tests/records`.

use super::*;

/// The documented words of both APIs, of the tables that must know them all. Graph's `unknownFutureValue` has no meaning.
const DOCUMENTED: [(&str, &Enumeration, &str); 5] = [
    (
        "severity",
        &tables::SEVERITY,
        "unknown informational low medium high UnSpecified Informational Low Medium High",
    ),
    (
        "status",
        &tables::STATUS,
        "active resolved inProgress redirected awaitingAction Active InProgress Resolved Redirected",
    ),
    (
        "an alert's status",
        &tables::ALERT_STATUS,
        "unknown new inProgress resolved New Active InProgress Resolved",
    ),
    (
        "classification",
        &tables::VERDICT,
        "unknown falsePositive truePositive informationalExpectedActivity Unknown TruePositive FalsePositive InformationalExpectedActivity",
    ),
    (
        "detectionSource",
        &tables::ANALYTIC,
        "unknown customDetection scheduledAlerts nrtAlerts builtInMl",
    ),
];

#[test]
fn each_documented_word_has_an_id_and_each_id_its_caption() {
    for (member, enumeration, words) in DOCUMENTED {
        for word in words.split(' ') {
            let (id, caption) = enumeration.of(Some(word));
            assert!(
                id != 99 && !caption.is_empty(),
                "{member} {word}: {id} {caption}"
            );
        }
        for (word, id) in enumeration.words {
            assert_ne!(enumeration.named(*id).1, "", "{member} {word}");
        }
        for future in ["unknownFutureValue", "a word of 2027"] {
            assert_eq!(enumeration.of(Some(future)), (99, future), "{member}");
        }
        assert_eq!(enumeration.of(None), (0, "Unknown"), "{member}");
    }
    for (_, id) in tables::VERDICT_BY_DETERMINATION {
        assert_ne!(tables::VERDICT.named(*id).1, "");
    }
}

#[test]
fn the_three_ranges_of_the_score_are_the_portal_s() {
    for (score, id) in [
        (0, 1),
        (14, 1),
        (15, 2),
        (85, 2),
        (86, 4),
        (100, 4),
        (-1, 1),
    ] {
        assert_eq!(priority(score).map(|(id, _)| id), Some(id), "{score}");
    }
}

#[test]
fn an_assignee_that_is_no_address_is_a_name_only() {
    for address in ["ann@contoso.com", "a.b+c/d@x-1.contoso.com", "a@b.c"] {
        assert!(is_email(address), "{address}");
    }
    for name in [
        "Ann",
        "ann@contoso",
        "@a.b",
        "a@.b",
        "a@b.",
        "a@b.c d",
        "ä@b.c",
        "a@b@c.d",
        "",
        "a@b.ü",
    ] {
        assert!(!is_email(name), "{name}");
    }
}
