//! Pages, their incidents, and alerts that continue elsewhere. The results are compared with serde_json, which reads a
//! page in one go.

use std::collections::HashMap;

use bytes::Bytes;
use incidentd::core::incident::further_alerts::{Continuation, continuation, join};
use incidentd::core::incident::page::{Envelope, MOST_ELEMENTS, PageError, Splitter};
use incidentd::core::incident::reading::read;
use incidentd::core::sources::{defender, graph};
use serde::Deserialize;
use serde_json::value::RawValue;

const ALERTS: &str = "alerts";
const LINK: &str = "alerts@odata.nextLink";
const COUNT: &str = "alerts@odata.count";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Pages up to this size are also read byte by byte.
const SHORT: usize = 2048;
/// Alerts that are joined to each incident.
const MORE: usize = 4;

type Members<'a> = HashMap<String, &'a RawValue>;

/// A page. The bytes after the last zero byte, if there is one, are the sizes of the chunks in which the page arrives,
/// used repeatedly.
pub fn page(input: &[u8]) {
    let zero = input.iter().rposition(|byte| *byte == 0);
    let (page, sizes) = input.split_at(zero.unwrap_or(input.len()));
    let page = Bytes::copy_from_slice(page);
    let whole = split(&page, &[]);
    assert_eq!(split(&page, sizes), whole, "in pieces of {sizes:?}");
    if page.len() <= SHORT {
        assert_eq!(split(&page, &[1]), whole, "byte by byte");
    }
    let (elements, ending) = whole;
    if std::str::from_utf8(&page).is_ok() {
        is_as_known(&page, &elements, ending);
    }
    let more: Vec<&Bytes> = elements.iter().filter(|e| is_json(e)).take(MORE).collect();
    for element in &elements {
        reads(element);
        continues(element);
        joins(element, &more);
    }
}

fn split(page: &Bytes, sizes: &[u8]) -> (Vec<Bytes>, Result<Envelope, PageError>) {
    let (mut splitter, mut elements, mut at) = (Splitter::default(), Vec::new(), 0);
    let mut sizes = sizes.iter().map(|size| usize::from(*size)).cycle();
    // A round of zeros would make no progress.
    let mut empty = 0;
    while at < page.len() {
        let size = sizes.next().filter(|_| empty < 300).unwrap_or(page.len());
        empty = if size == 0 { empty + 1 } else { 0 };
        let end = page.len().min(at.saturating_add(size));
        if let Err(error) = splitter.feed(&page.slice(at..end), &mut elements) {
            return (elements, Err(error));
        }
        at = end;
        // And the closing bracket of the list: only its two brackets are kept.
        assert!(splitter.held() <= at + 1, "holds more than it was given");
    }
    (elements, splitter.finish())
}

/// A page whose incidents are JSON is accepted exactly when serde_json accepts it, with the same content. serde_json
/// refuses keys that occur twice and a nextLink that is not text, and has no limit; those cases can't be compared.
fn is_as_known(page: &[u8], elements: &[Bytes], ending: Result<Envelope, PageError>) {
    let known = known(page.strip_prefix(BYTE_ORDER_MARK).unwrap_or(page));
    let texts = elements
        .iter()
        .map(|element| std::str::from_utf8(element).ok());
    let texts: Option<Vec<&str>> = texts.collect();
    let read = ending.ok().and_then(|envelope| {
        let texts = texts.filter(|_| elements.iter().all(|element| is_json(element)))?;
        Some((texts, envelope.next_link))
    });
    let limited = known
        .as_ref()
        .is_some_and(|(value, _)| value.len() > MOST_ELEMENTS);
    let object = is_json(page) && page.trim_ascii_start().starts_with(b"{");
    if (known.is_some() || !object) && !limited {
        assert_eq!(read, known);
    }
}

fn known(page: &[u8]) -> Option<(Vec<&str>, Option<String>)> {
    #[derive(Deserialize)]
    struct Known<'a> {
        #[serde(borrow)]
        value: Vec<&'a RawValue>,
        #[serde(rename = "@odata.nextLink")]
        next_link: Option<String>,
    }
    // serde would also accept a list for the struct.
    let is_object = page.trim_ascii_start().starts_with(b"{");
    let known: Known<'_> = serde_json::from_slice(page).ok().filter(|_| is_object)?;
    let texts = known.value.into_iter().map(RawValue::get).collect();
    Some((texts, known.next_link.filter(|link| !link.is_empty())))
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

fn reads(element: &[u8]) {
    for shape in [&defender::SHAPE, &graph::SHAPE] {
        let reading = read(element, shape);
        match &reading {
            Ok(reading) => assert_eq!(reading.updated.to_string().parse(), Ok(reading.updated)),
            Err(malformed) => {
                let why = malformed.to_string();
                assert!(why.chars().count() < 300, "endless: {why}");
                assert!(
                    !why.chars().any(char::is_control),
                    "more than a line: {why}"
                );
            }
        }
        let spaced = [b" \n", element, b"\t"].concat();
        assert_eq!(read(&spaced, shape).ok(), reading.ok());
    }
}

fn continues(element: &[u8]) {
    let found = continuation(element);
    let Ok(members) = serde_json::from_slice::<Members<'_>>(element) else {
        return;
    };
    let expected = members.get(LINK).and_then(|link| {
        match serde_json::from_str::<Option<String>>(link.get()) {
            Ok(link) => link.filter(|link| !link.is_empty()).map(Continuation::Link),
            Err(_) => Some(Continuation::Unusable),
        }
    });
    assert_eq!(found, expected);
}

fn joins(element: &[u8], more: &[&Bytes]) {
    let joined = join(element, more);
    let Ok(mut members) = serde_json::from_slice::<Members<'_>>(element) else {
        // An element that is not JSON, or has keys that are not text, is cut all the same, and its bytes pass through.
        return;
    };
    let own = members.remove(ALERTS);
    let own = own.map_or(Ok(None), |own| {
        serde_json::from_str::<Option<Vec<&RawValue>>>(own.get())
    });
    let expected = own.ok().and_then(|own| {
        let mut alerts = own.unwrap_or_default();
        for alert in more {
            alerts.push(serde_json::from_slice(alert).ok()?);
        }
        let count = members
            .get(COUNT)
            .and_then(|count| serde_json::from_str::<u64>(count.get()).ok());
        if count.is_some_and(|count| count > alerts.len() as u64) {
            return None;
        }
        members.remove(LINK);
        Some((texts(members), alerts.iter().map(|a| a.get()).collect()))
    });
    let found = joined.as_deref().map(|joined| {
        let mut members: Members<'_> = serde_json::from_slice(joined).expect("a joined incident");
        let alerts = members.remove(ALERTS).expect("a joined incident's alerts");
        let alerts: Vec<&RawValue> = serde_json::from_str(alerts.get()).expect("a list");
        let alerts: Vec<&str> = alerts.iter().map(|a| a.get()).collect();
        (texts(members), alerts)
    });
    assert_eq!(found, expected);
    if let Some(same) = join::<&[u8]>(element, &[]) {
        for shape in [&defender::SHAPE, &graph::SHAPE] {
            let facts = |raw| read(raw, shape).map(|r| (r.id, r.updated, r.phase)).ok();
            assert_eq!(facts(&same), facts(element));
        }
    }
}

fn texts<'a>(members: Members<'a>) -> HashMap<String, &'a str> {
    let text = |(key, value): (String, &'a RawValue)| (key, value.get());
    members.into_iter().map(text).collect()
}
