//! What a server or a proxy asks for before it serves: `WWW-Authenticate` and `Proxy-Authenticate` (RFC 9110, 11.3).

use reqwest::header::HeaderValue;

/// One challenge: a scheme and its parameters, names in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// All challenges of these header values. A value may hold several, and commas separate challenges as well as parameters.
/// Text that can't be understood is skipped.
pub(super) fn challenges<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in values {
        read(&String::from_utf8_lossy(value.as_bytes()), &mut found);
    }
    found
}

fn read(text: &str, found: &mut Vec<Challenge>) {
    for part in outside_quotes(text) {
        let part = part.trim();
        let (first, rest) = part.split_once([' ', '\t']).unwrap_or((part, ""));
        if first.is_empty() {
            continue;
        }
        // A parameter of the previous challenge. There may be blanks around its equals sign.
        if first.contains('=') || rest.trim_start().starts_with('=') {
            if let Some(challenge) = found.last_mut() {
                challenge.parameters.extend(parameter(part));
            }
            continue;
        }
        found.push(Challenge {
            scheme: first.to_ascii_lowercase(),
            parameters: parameter(rest).into_iter().collect(),
        });
    }
}

/// The parts of `text` between its commas, except for commas in quotes.
fn outside_quotes(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(|c: char| {
        let plain = !std::mem::take(&mut escaped);
        match c {
            '\\' if plain && quoted => escaped = true,
            '"' if plain => quoted = !quoted,
            _ => {}
        }
        c == ',' && !quoted
    });
    parts.collect()
}

/// `name=value` or `name="value"`.
fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    // A part without a name is a token68: `NTLM TlRMTVNTUAAC=`.
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let value = value.trim();
    let value = match value.strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        None => value.to_owned(),
    };
    Some((name.to_ascii_lowercase(), value))
}

/// The text before the closing quote, with its escapes resolved.
fn unquoted(text: &str) -> String {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(values: &[&str]) -> Vec<Challenge> {
        let values: Vec<HeaderValue> = values
            .iter()
            .map(|value| HeaderValue::from_str(value).unwrap())
            .collect();
        challenges(values.iter())
    }

    #[test]
    fn a_claims_challenge_is_read_whatever_stands_around_it() {
        for value in [
            r#"Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000", error_description="Continuous access evaluation resulted in challenge with result: InteractionRequired, and code: LocationConditionEvaluationSatisfied", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ==""#,
            r#"bearer error=insufficient_claims,claims=eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="#,
            r#"Basic realm="a \"quoted, name\"", BEARER Error = "insufficient_claims" , Claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ==""#,
        ] {
            let found = parse(&[value]);
            let bearer = found.iter().find(|it| it.scheme == "bearer").unwrap();
            assert_eq!(bearer.get("error"), Some("insufficient_claims"), "{value}");
            assert_eq!(
                bearer.get("claims"),
                Some("eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="),
                "{value}"
            );
        }
    }

    #[test]
    fn every_scheme_is_found_in_one_value_or_in_several() {
        for values in [
            &["NTLM", "Negotiate", "Basic realm=\"x\""][..],
            &["NTLM, Negotiate, Basic realm=\"x, y\""],
            &["ntlm TlRMTVNTUAACAA==,negotiate", "BASIC"],
        ] {
            let found = parse(values);
            let schemes: Vec<&str> = found.iter().map(|it| it.scheme.as_str()).collect();
            assert_eq!(schemes, ["ntlm", "negotiate", "basic"], "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_value_is_read_to_its_end(value in proptest::collection::vec(0x20_u8..0xff, 0..200)) {
            let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
            for challenge in challenges([value].iter()) {
                prop_assert!(!challenge.scheme.is_empty());
            }
        }
    }
}
