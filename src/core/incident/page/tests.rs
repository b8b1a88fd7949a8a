use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn split(page: &[u8], cuts: &[usize]) -> Result<(Vec<Bytes>, Envelope), PageError> {
    let mut splitter = Splitter::default();
    let (mut elements, mut rest) = (Vec::new(), page);
    for cut in cuts {
        let (chunk, tail) = rest.split_at(cut % (rest.len() + 1));
        splitter.feed(&Bytes::copy_from_slice(chunk), &mut elements)?;
        rest = tail;
    }
    splitter.feed(&Bytes::copy_from_slice(rest), &mut elements)?;
    Ok((elements, splitter.finish()?))
}

fn texts(page: &str) -> Vec<String> {
    let (elements, _) = split(page.as_bytes(), &[]).unwrap_or_else(|why| panic!("{page}: {why}"));
    elements
        .iter()
        .map(|raw| String::from_utf8_lossy(raw).into_owned())
        .collect()
}

#[test]
fn elements_are_the_bytes_that_came() {
    let page = r#" {"@odata.context":"value","n":{"value":[0]},"value" : [ {"a": "}]\"" } ,[ 1 ],"x\\", nul,7] , "z":[1]} "#;
    assert_eq!(
        texts(page),
        [r#"{"a": "}]\"" }"#, "[ 1 ]", r#""x\\""#, "nul", "7"]
    );
}

#[test]
fn however_the_key_of_the_list_is_written_its_elements_are_found() {
    let escaped: String = "value"
        .chars()
        .map(|c| format!("\\u{:04x}", c as u32))
        .collect();
    for key in ["value", &escaped] {
        for space in [0, 40, 100] {
            let space = " ".repeat(space);
            let page = format!("{{{space}\"{key}\"{space}:{space}[{space}{{\"id\":1}}{space}]}}");
            assert_eq!(texts(&page), ["{\"id\":1}"], "{page}");
        }
    }
}

#[test]
fn an_empty_page_may_have_a_next_link() {
    let page = b"\xef\xbb\xbf{\"value\":[ ],\"@odata.nextLink\":\"https://h/x?a=1\"}";
    let (elements, envelope) = split(page, &[]).expect("splits");
    assert!(elements.is_empty());
    assert_eq!(envelope.next_link.as_deref(), Some("https://h/x?a=1"));
}

#[test]
fn what_json_readers_refuse_beside_the_incidents_hides_no_page() {
    for member in [
        &br#""\ud83d":1"#[..],
        br#""note":"half a pair \ud83d""#,
        b"\"torn \xf0\x9f\":\"\xff\"",
        br#""count":1e400"#,
        &[
            b"\"deep\":".to_vec(),
            b"[".repeat(9_000),
            b"]".repeat(9_000),
        ]
        .concat(),
    ] {
        let link = br#""@odata.nextLink":"https://h/x""#;
        let page = [b"{", member, b",\"value\":[{}],", link, b"}"].concat();
        let (elements, envelope) = split(&page, &[7]).expect("splits");
        assert_eq!(elements.len(), 1);
        assert_eq!(envelope.next_link.as_deref(), Some("https://h/x"));
    }
}

#[test]
fn what_is_no_page_says_why() {
    for (page, error) in [
        ("", PageError::Truncated),
        (r#"{"value":[{"a":1}"#, PageError::Truncated),
        (r#"{"value":[{"a":"#, PageError::Truncated),
        (r#"{"value":[]"#, PageError::Truncated),
        (r#"{"value":[1,]}"#, PageError::NotJson(12)),
        (r#"{"value":[{} {}]}"#, PageError::NotJson(13)),
        (r#"]"#, PageError::NotJson(0)),
        (r#"{"error":{"code":"x"}}"#, PageError::NoValue),
        (r#"{"value":null}"#, PageError::NoValue),
    ] {
        assert_eq!(
            split(page.as_bytes(), &[]).map(|_| ()),
            Err(error),
            "{page}"
        );
    }
    for page in [
        "<html><body>Sign in</body></html>",
        r#"{"value":[]} x"#,
        r#"{"value":[]"a":1}"#,
        "[]",
    ] {
        let error = split(page.as_bytes(), &[]).map(|_| ());
        assert!(
            matches!(error, Err(PageError::Envelope(_))),
            "{page}: {error:?}"
        );
    }
}

#[test]
fn the_envelope_is_bounded() {
    let page = format!(r#"{{"value":[],"pad":"{}"}}"#, "x".repeat(ENVELOPE_LIMIT));
    assert_eq!(
        split(page.as_bytes(), &[]).map(|_| ()),
        Err(PageError::EnvelopeTooLarge)
    );
}

fn element() -> impl Strategy<Value = Value> {
    prop_oneof![
        "\\PC{0,8}|[\\\\\"\\[\\]{},:]{0,8}".prop_map(Value::from),
        ("[a-z\"\\\\]{0,3}", "[\\\\\"\\[\\]{},:é]{0,8}")
            .prop_map(|(k, v)| json!({k: [v, {"value": [1]}]})),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

proptest! {
    #[test]
    fn any_cut_of_a_page_yields_its_elements(
        items in prop::collection::vec(element(), 0..6),
        pretty in any::<bool>(),
        cuts in prop::collection::vec(0_usize..60, 0..30),
    ) {
        let page = json!({"@odata.context": "c", "value": items, "zz": {"value": [0]}});
        let text = if pretty { serde_json::to_string_pretty(&page) } else { serde_json::to_string(&page) };
        let (elements, _) = split(text.expect("serialises").as_bytes(), &cuts).expect("splits");
        let parsed: Vec<Value> =
            elements.iter().map(|raw| serde_json::from_slice(raw).expect("is JSON")).collect();
        prop_assert_eq!(parsed, items);
    }

    #[test]
    fn no_bytes_panic_and_cuts_change_nothing(
        page in "[\\[\\]{}\",:\\\\ a1]{0,40}|\\{\"value\":\\[[\\[\\]{}\",:\\\\ a1]{0,30}\\]\\}",
        cuts in prop::collection::vec(0_usize..20, 0..10),
    ) {
        prop_assert_eq!(split(page.as_bytes(), &cuts), split(page.as_bytes(), &[]));
    }
}

#[test]
fn a_page_of_more_elements_than_any_server_gives_is_refused_as_soon_as_it_shows() {
    for element in ["{}", "1", "[[]]", "\"x\""] {
        let page = |count: usize| format!("{{\"value\":[{}]}}", vec![element; count].join(", "));
        let (elements, _) = split(page(MOST_ELEMENTS).as_bytes(), &[7]).expect("as many as may be");
        assert_eq!(elements.len(), MOST_ELEMENTS);
        let (mut splitter, mut elements) = (Splitter::default(), Vec::new());
        let fed = splitter.feed(&Bytes::from(page(100_000)), &mut elements);
        assert_eq!(fed, Err(PageError::TooMany(MOST_ELEMENTS)));
        assert_eq!(elements.len(), MOST_ELEMENTS, "it went on");
    }
    let failure = Failure::from(PageError::TooMany(MOST_ELEMENTS));
    assert_eq!(
        failure.suspect,
        Suspect::Link,
        "to ask for less would be in vain"
    );
}

#[test]
fn what_is_held_back_is_all_of_it() {
    let page = Bytes::from_static(b"{\"pad\":\"0123456789\",\"value\":[{},{\"a\":12345");
    let (mut splitter, mut elements) = (Splitter::default(), Vec::new());
    splitter.feed(&page, &mut elements).expect("so far");
    assert!(
        splitter.held() >= page.len() - b"{},".len(),
        "{}",
        splitter.held()
    );
}

#[test]
fn a_next_link_that_is_no_text_says_that_there_is_more() {
    for (link, next, more) in [
        ("\"x\"", Some("x"), false),
        ("null", None, false),
        ("\"\"", None, false),
        ("7", None, true),
        ("{\"href\":\"x\"}", None, true),
        ("[[1]]", None, true),
        ("\"\\ud83d\"", None, true),
        ("7,\"@odata.nextLink\":\"x\"", Some("x"), false),
    ] {
        let page =
            format!("{{\"@odata.context\":\"\\ud83d\",\"@odata.nextLink\":{link},\"value\":[]}}");
        let (_, envelope) =
            split(page.as_bytes(), &[]).unwrap_or_else(|why| panic!("{page}: {why}"));
        assert_eq!(
            (envelope.next_link.as_deref(), envelope.more_unreachable),
            (next, more),
            "{page}"
        );
    }
}
