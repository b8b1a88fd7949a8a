//! Removes insignificant white space from JSON, piece by piece.
//!
//! Pure. White space outside strings has no meaning. Valid JSON escapes control characters inside strings. Microsoft's bytes
//! may hold unescaped ones, which are escaped here. So the output is one line.

/// Remembers between two pieces whether a string is open.
#[derive(Debug, Default)]
pub struct Compactor {
    in_string: bool,
    /// The last byte was a backslash that escapes the next one.
    escaped: bool,
}

impl Compactor {
    /// Appends to `out` what is significant in `piece`.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        // Whole runs are copied: most bytes of an incident are inside strings, or significant.
        let mut run = 0;
        for (at, byte) in piece.iter().enumerate() {
            if self.in_string && *byte < b' ' {
                out.extend_from_slice(&piece[run..at]);
                run = at + 1;
                self.escape(*byte, out);
            } else if self.in_string {
                self.within_string(*byte);
            } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                out.extend_from_slice(&piece[run..at]);
                run = at + 1;
            } else if *byte == b'"' {
                self.in_string = true;
            }
        }
        out.extend_from_slice(&piece[run..]);
    }

    /// A backslash before the control character would escape the new escape sequence, so it is escaped itself.
    fn escape(&mut self, control: u8, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.escaped) {
            out.push(b'\\');
        }
        out.extend_from_slice(format!("\\u{control:04x}").as_bytes());
    }

    fn within_string(&mut self, byte: u8) {
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn json() -> impl Strategy<Value = Value> {
        let text = "[ \\t\\n\\r\"\\\\a-cé\u{2028}]{0,8}";
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

    fn compact<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        let mut compactor = Compactor::default();
        for piece in pieces {
            compactor.push(piece, &mut out);
        }
        out
    }

    #[test]
    fn a_raw_control_character_in_a_string_is_escaped() {
        let out = compact([&b"{\"a\" : \"b\nc\t\\\rd\"}"[..]]);
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"a":"b\u000ac\u0009\\\u000dd"}"#
        );
        let value: Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(value["a"], "b\nc\t\\\rd");
    }

    proptest! {
        #[test]
        fn the_meaning_stays_and_the_white_space_goes(value in json()) {
            let pretty = serde_json::to_string_pretty(&value).expect("JSON");
            let out = compact([pretty.as_bytes()]);
            prop_assert_eq!(&serde_json::from_slice::<Value>(&out).expect("still JSON"), &value);
            prop_assert_eq!(String::from_utf8(out).expect("UTF-8"), value.to_string());
        }

        #[test]
        fn it_does_not_matter_how_the_bytes_arrive(value in json(), size in 1..7_usize) {
            let pretty = serde_json::to_string_pretty(&value).expect("JSON");
            let whole = compact([pretty.as_bytes()]);
            prop_assert_eq!(compact(pretty.as_bytes().chunks(size)), whole);
        }

        #[test]
        fn what_is_compact_stays_byte_for_byte(value in json()) {
            let text = value.to_string();
            prop_assert!(!text.contains('\n'), "{text}");
            prop_assert_eq!(compact([text.as_bytes()]), text.as_bytes());
        }

        #[test]
        fn what_comes_out_is_one_line_whatever_goes_in(bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..60), size in 1..7_usize) {
            let out = compact(bytes.chunks(size));
            prop_assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "{}", String::from_utf8_lossy(&out));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            compact([&bytes[..]]);
        }
    }
}
