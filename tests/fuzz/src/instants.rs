//! Instants in text.

use std::cmp::Ordering;

use chrono::DateTime;
use incidentd::core::time::ticks::Ticks;

/// Two texts, one per line, each perhaps an instant, and the same bytes as ticks.
pub fn instants(input: &[u8]) {
    let mut found: Vec<Ticks> = input
        .splitn(2, |byte| *byte == b'\n')
        .filter_map(|text| read(std::str::from_utf8(text).ok()?))
        .collect();
    if let Some((raw, _)) = input.split_first_chunk() {
        let span = Ticks::MAX.0 - Ticks::MIN.0 + 1;
        found.push(Ticks(
            Ticks::MIN.0 + i64::from_be_bytes(*raw).rem_euclid(span),
        ));
    }
    for instant in &found {
        survives(*instant);
        for other in &found {
            compares(*instant, *other);
        }
    }
}

fn read(text: &str) -> Option<Ticks> {
    let instant: Ticks = text.parse().ok()?;
    if let Ok(known) = DateTime::parse_from_rfc3339(text) {
        let nanos = i128::from(known.timestamp()) * 1_000_000_000
            + i128::from(known.timestamp_subsec_nanos());
        assert_eq!(i128::from(instant.0), nanos.div_euclid(100), "{text}");
    }
    Some(instant)
}

fn survives(instant: Ticks) {
    let text = instant.to_string();
    assert!((20..=28).contains(&text.len()), "{text}");
    assert_eq!(text.parse(), Ok(instant), "{text}");
    assert!(
        DateTime::parse_from_rfc3339(&text).is_ok(),
        "{text} is no RFC 3339"
    );
}

/// Two different instants may be equal coarsely, but their order is never reversed.
fn compares(one: Ticks, other: Ticks) {
    let (order, exact) = (one.cmp_coarsely(other), one.cmp(&other));
    assert!(
        order == Ordering::Equal || order == exact,
        "{one} and {other}: {order:?}"
    );
    assert_eq!(
        order,
        other.cmp_coarsely(one).reverse(),
        "{one} and {other}"
    );
    if one.since(other) >= std::time::Duration::from_secs(1) {
        assert_eq!(order, Ordering::Greater, "{one} and {other}");
    }
}
