//! `application/x-www-form-urlencoded`, read strictly: crates for it accept broken escapes.

/// One field of a form.
pub(super) struct Field {
    pub name: String,
    pub value: String,
    /// Whether the client encoded the value. A client that does not encode `~` or `/` does not encode `+` and `&` either.
    pub encoded: bool,
}

/// `None`: it is not a form.
pub(super) fn parse(body: &[u8]) -> Option<Vec<Field>> {
    let body = std::str::from_utf8(body).ok()?;
    let field = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // A broken escape spoils only this value.
        let decoded = decode(value);
        Some(Field {
            name: decode(name)?,
            encoded: decoded.is_some() && value.bytes().all(untouched),
            value: decoded.unwrap_or_default(),
        })
    };
    body.split('&').map(field).collect()
}

/// The decoded keys and values of a query; `None` for those with a broken escape.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (Option<String>, Option<String>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key), decode(value))
    })
}

fn untouched(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"*-._+%".contains(&byte)
}

/// `+` is a space, `%XX` a byte; a broken escape, or bytes that are not UTF-8, are `None`.
pub(super) fn decode(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => (digit(rest.next()?)? << 4) | digit(rest.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use url::form_urlencoded::byte_serialize;

    use super::*;

    #[test]
    fn decoding_undoes_encoding_and_refuses_broken_escapes() {
        let text = "a b+c%d&e=f~g/h'ü";
        let encoded: String = byte_serialize(text.as_bytes()).collect();
        assert_eq!(decode(&encoded).as_deref(), Some(text));
        for broken in ["%", "%4", "%zz", "%ff", "a%2"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }
}
