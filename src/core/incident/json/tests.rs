use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;

/// The content of the first string in `json`.
fn said(json: &[u8]) -> Option<Vec<u8>> {
    match Scanner::new(json).scalar() {
        Ok(Some(Scalar::Text(text))) => text.said().map(Cow::into_owned),
        other => panic!("{}: {other:?}", String::from_utf8_lossy(json)),
    }
}

#[test]
fn half_a_surrogate_pair_is_a_text_like_any_other() {
    for (json, expected) in [
        (&br#""\ud83d\ude00""#[..], Some("😀".as_bytes())),
        (br#""a\ud83d""#, Some(b"a\xed\xa0\xbd")),
        (br#""\ude00\ud83d""#, Some(b"\xed\xb8\x80\xed\xa0\xbd")),
        (br#""\ud83d\u0041""#, Some(b"\xed\xa0\xbdA")),
        (br#""\ud83d\n""#, Some(b"\xed\xa0\xbd\n")),
        (b"\"\xff\"", Some(b"\xff")),
        (b"\"a\nb\"", Some(b"a\nb")),
        (br#""\x41""#, None),
        (br#""\u12g4""#, None),
        (br#""\u12""#, None),
        (br#""\\\"\/\b\f\n\r\t""#, Some(b"\\\"/\x08\x0c\n\r\t")),
    ] {
        let name = String::from_utf8_lossy(json);
        assert_eq!(said(json).as_deref(), expected, "{name}");
    }
}

#[test]
fn a_hundred_thousand_levels_are_passed_over_in_the_time_of_their_bytes() {
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let object = [b"{\"a\":", &deep[..], b",\"b\":1}"].concat();
    let mut input = Scanner::new(&object);
    assert!(input.enter(Begins::Object));
    for name in ["a", "b"] {
        assert!(input.key().expect("a key").expect("one more").is(name));
        input.skip().expect("a value");
    }
    assert!(input.key().expect("the end").is_none());
    assert_eq!(input.end(), Ok(()));
}

#[test]
fn what_can_not_be_followed_says_where() {
    for (json, at) in [
        ("{", 1),
        ("{\"a", 3),
        ("{\"a\"", 4),
        ("{\"a\":", 5),
        ("{\"a\":[1", 7),
        ("{a:1}", 1),
        ("{\"a\" 1}", 5),
        ("{\"a\":]}", 5),
        ("{\"a\":1]", 6),
        ("{\"a\":1}}", 7),
    ] {
        let scan = || -> Result<(), Broken> {
            let mut input = Scanner::new(json.as_bytes());
            assert!(input.enter(Begins::Object), "{json}");
            while input.key()?.is_some() {
                input.skip()?;
            }
            input.end()
        };
        assert_eq!(scan(), Err(Broken(at)), "{json}");
    }
    for json in ["[", "[1", "[1}", "[:]"] {
        let scan = || -> Result<(), Broken> {
            let mut input = Scanner::new(json.as_bytes());
            assert!(input.enter(Begins::List), "{json}");
            while input.item()? {
                input.skip()?;
            }
            input.end()
        };
        assert!(scan().is_err(), "{json}");
    }
}

/// The values that a scanner finds, in the form of `serde_json`.
fn parse(input: &mut Scanner<'_>) -> Result<Value, Broken> {
    if input.enter(Begins::Object) {
        let mut members = serde_json::Map::new();
        while let Some(key) = input.key()? {
            let key = key.said().expect("valid escapes").into_owned();
            members.insert(String::from_utf8(key).expect("UTF-8"), parse(input)?);
        }
        return Ok(Value::Object(members));
    }
    if input.enter(Begins::List) {
        let mut items = Vec::new();
        while input.item()? {
            items.push(parse(input)?);
        }
        return Ok(Value::Array(items));
    }
    Ok(match input.scalar()?.expect("neither object nor list") {
        Scalar::Text(text) => {
            let said = text.said().expect("valid escapes").into_owned();
            Value::from(String::from_utf8(said).expect("UTF-8"))
        }
        Scalar::Token(token) => serde_json::from_slice(token).expect("a token of JSON's"),
    })
}

fn json() -> impl Strategy<Value = Value> {
    let text = "[ \\t\\n\"\\\\,:{}\\[\\]a-cé\u{1f600}]{0,8}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::hash_map(text, inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn valid_json_means_what_it_means_to_others(value in json(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value).expect("JSON") } else { value.to_string() };
        let mut input = Scanner::new(text.as_bytes());
        prop_assert_eq!(parse(&mut input), Ok(value));
        prop_assert_eq!(input.end(), Ok(()));
        let mut input = Scanner::new(text.as_bytes());
        let place = input.skip().expect("a value");
        prop_assert_eq!(input.slice(place), text.as_bytes());
    }

    #[test]
    fn bytes_of_any_kind_end_and_what_others_read_is_read(bytes in proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b'"'), Just(b'\\'), Just(b','), Just(b':'), Just(b'u'), any::<u8>()], 0..40)) {
        let mut input = Scanner::new(&bytes);
        let skipped = input.skip().and_then(|place| input.end().map(|()| place));
        if serde_json::from_slice::<&RawValue>(&bytes).is_ok() {
            prop_assert!(skipped.is_ok(), "{skipped:?}");
        }
        let mut input = Scanner::new(&bytes);
        if input.enter(Begins::List) {
            let mut items = 0;
            while let Ok(true) = input.item() {
                if input.skip().is_err() {
                    break;
                }
                items += 1;
                prop_assert!(items <= bytes.len(), "it does not get on");
            }
        }
    }
}
