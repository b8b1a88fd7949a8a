//! Removes secrets, assertions and tokens from every text that comes from the other side.

use std::cmp::Reverse;
use std::collections::HashSet;

use url::Url;

use crate::core::health::failure::one_line;

const REDACTED: &str = "[redacted]";
/// Parts of secrets with at least this many bytes are also removed.
const LONG: usize = 32;
/// The size of the shortest part that is removed. A shorter part does not help to guess the rest, and may be a word.
const PIECE: usize = 16;

/// `text` without `secret`, as with [`scrub_all`].
pub(super) fn scrub(text: &str, secret: &str) -> String {
    scrub_all(text, &[secret])
}

/// `text` without any of `secrets`, and without any part of 16 bytes or more of a secret of 32 bytes or more. Call this
/// before the text is shortened; afterwards half a secret would not be found.
///
/// The longest secret is removed first, because another may be part of it. Parts are removed last, because the rest of
/// a secret would not be found after one of its parts was removed.
pub(super) fn scrub_all(text: &str, secrets: &[&str]) -> String {
    let mut secrets = secrets.to_vec();
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    let whole = |text: String, secret: &&str| without_whole(&text, secret);
    let text = secrets.iter().fold(text.to_owned(), whole);
    without_pieces(text, &secrets)
}

/// `text` without `secret` in any spelling: encoded as in a form or a link, whichever characters the other side
/// encodes, or escaped as in JSON.
fn without_whole(text: &str, secret: &str) -> String {
    if secret.is_empty() {
        return text.to_owned();
    }
    // The plain spelling first: a secret that contains a `%` could be misread below.
    let text = text.replace(secret, REDACTED);
    let (mut clean, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        if let Some(behind) = behind_secret(rest, secret.as_bytes()) {
            clean.extend_from_slice(REDACTED.as_bytes());
            rest = behind;
        } else {
            clean.push(*first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&clean).into_owned()
}

/// `text` without any run of [`PIECE`] bytes or more that it shares with one of `secrets`. Secrets shorter than
/// [`LONG`] are only removed as a whole, because a part of them may be an ordinary word.
fn without_pieces(text: String, secrets: &[&str]) -> String {
    let long = secrets.iter().filter(|secret| secret.len() >= LONG);
    if text.len() < PIECE {
        return text;
    }
    let pieces: HashSet<&[u8]> = long
        .flat_map(|secret| secret.as_bytes().windows(PIECE))
        .collect();
    let mut clean = Vec::with_capacity(text.len());
    // Everything before this offset is in `clean`, or removed.
    let mut done = 0;
    let shared = text.as_bytes().windows(PIECE).enumerate();
    for (at, _) in shared.filter(|(_, window)| pieces.contains(window)) {
        if at > done || clean.is_empty() {
            clean.extend_from_slice(text.as_bytes().get(done..at).unwrap_or_default());
            clean.extend_from_slice(REDACTED.as_bytes());
        }
        done = at + PIECE;
    }
    if clean.is_empty() {
        return text;
    }
    clean.extend_from_slice(text.as_bytes().get(done..).unwrap_or_default());
    String::from_utf8_lossy(&clean).into_owned()
}

/// The host of an address from outside, without any of `secrets`; never its path or query. The address may be relative
/// to `base`.
///
/// The secrets are removed before the address is parsed and once more afterwards: the parser changes a host to lower
/// case, decodes it and removes white space, so that a secret could appear.
pub(super) fn host_without(address: &str, base: Option<&Url>, secrets: &[&str]) -> String {
    let address: String = address.split_ascii_whitespace().collect();
    let url = Url::options()
        .base_url(base)
        .parse(&scrub_all(&address, secrets));
    let small: Vec<String> = secrets.iter().map(|it| it.to_lowercase()).collect();
    let small: Vec<&str> = small.iter().map(String::as_str).collect();
    match url.as_ref().map(Url::host_str) {
        Ok(Some(host)) => one_line(&scrub_all(host, &small), 100),
        _ => "an unnamed place".to_owned(),
    }
}

/// The rest of `text` after the secret, if `text` begins with it.
fn behind_secret<'a>(text: &'a [u8], secret: &[u8]) -> Option<&'a [u8]> {
    secret.iter().try_fold(text, |text, byte| {
        let (found, length) = spelled(text)?;
        if found == *byte {
            return text.get(length..);
        }
        match text.split_first()? {
            (literal, behind) if literal == byte => Some(behind),
            (b'+', behind) if *byte == b' ' => Some(behind),
            _ => None,
        }
    })
}

/// The first byte of `text` with its escape resolved, and the length of its spelling.
fn spelled(text: &[u8]) -> Option<(u8, usize)> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let hex = |high, low| u8::try_from(16 * digit(high)? + digit(low)?).ok();
    let escaped = match text {
        [b'%', high, low, ..] => hex(*high, *low).map(|byte| (byte, 3)),
        [b'\\', b'u', b'0', b'0', high, low, ..] => hex(*high, *low).map(|byte| (byte, 6)),
        [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => Some((*byte, 2)),
        _ => None,
    };
    escaped.or(text.first().map(|byte| (*byte, 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    #[test]
    fn a_host_from_outside_is_named_without_a_secret_however_that_is_spelled() {
        const SECRET: &str = "s3cret-Value";
        for address in [
            "https://s3cret-Value.login.example/path",
            "https://S3CRET-VALUE.example",
            "https://s3cret%2DValue.example",
            "https://%53%33cret-value.example",
            "https://s3cret-\tvalue.example",
            "//s3c\nret-value.example",
        ] {
            let base = Url::parse("https://graph.microsoft.com").unwrap();
            let host = host_without(address, Some(&base), &["other", SECRET]);
            let shown = host.to_lowercase().contains(&SECRET.to_lowercase());
            assert!(!shown, "{address:?}: {host}");
        }
        let host = host_without("https://login.example/s3cret-Value?a", None, &[SECRET]);
        assert_eq!(host, "login.example");
    }

    #[test]
    fn of_a_secret_that_holds_another_nothing_remains() {
        let text = scrub_all("said: old-and-new!", &["old", "old-and-new"]);
        assert_eq!(text, "said: [redacted]!");
    }

    /// The longest run of bytes that both contain.
    fn longest_shared(text: &str, secret: &str) -> usize {
        let (text, secret) = (text.as_bytes(), secret.as_bytes());
        let shares = |length: &usize| {
            let mut runs = secret.windows(*length);
            runs.any(|run| text.windows(*length).any(|other| other == run))
        };
        (1..=secret.len()).take_while(shares).last().unwrap_or(0)
    }

    proptest! {
        #[test]
        fn of_a_long_secret_no_piece_of_16_bytes_or_more_remains(
            secret in "[A-Za-z0-9_.-]{32,300}",
            pieces in proptest::collection::vec((any::<Index>(), any::<Index>(), "[ -Z]{0,20}"), 1..4),
        ) {
            let mut text = String::from("said: ");
            for (from, length, between) in &pieces {
                let from = from.index(secret.len() - PIECE + 1);
                let length = PIECE + length.index(secret.len() - from - PIECE + 1);
                text += &secret[from..from + length];
                text += between;
            }
            let clean = scrub_all(&text, &["another", &secret]);
            prop_assert!(longest_shared(&clean, &secret) < PIECE, "{clean}");
            prop_assert!(clean.contains("said: [redacted]"), "{clean}");
            let host = host_without(&format!("https://{secret}.example/"), None, &[&secret]);
            prop_assert!(longest_shared(&host, &secret.to_lowercase()) < PIECE, "{host}");
        }

        #[test]
        fn a_text_that_shares_no_16_bytes_with_a_secret_stays_as_it_is(
            text in "[a-mü ]{0,200}",
            secret in "[n-z]{32,100}",
            shared in 0..PIECE,
        ) {
            let text = format!("{text}-{}-{text}", &secret[..shared]);
            prop_assert_eq!(scrub(&text, &secret), text);
        }
    }

    #[test]
    fn a_piece_of_a_long_secret_is_cut_out_wherever_it_is_from_and_next_to_whatever_it_stands() {
        let secret: String = (0..40).map(|n| format!("{:x}", n * 7919 + 65537)).collect();
        for piece in [
            &secret[..100],
            &secret[40..56],
            &secret[secret.len() - 100..],
        ] {
            assert_eq!(scrub(piece, &secret), REDACTED);
            let text = format!("ü{piece}ü {piece}, {piece}");
            let clean = format!("ü{REDACTED}ü {REDACTED}, {REDACTED}");
            assert_eq!(scrub(&text, &secret), clean);
            let host = format!("https://a.{}.example/", piece.get(..40).unwrap_or(piece));
            let named = host_without(&host.to_uppercase(), None, &[&secret]);
            assert_eq!(longest_shared(&named, &secret) / PIECE, 0, "{named}");
        }
    }

    #[test]
    fn every_spelling_of_a_secret_is_scrubbed() {
        let secret = r#"p+q/r~s"%41\ü t"#;
        for spelling in [
            secret,
            "p%2Bq%2Fr%7Es%22%2541%5C%C3%BC+t",
            "p%2bq%2fr~s%22%2541%5c%c3%bc%20t",
            r#"p+q\/r~s\"%41\\ü t"#,
            r#"p\u002Bq/r\u007es\u0022%41\u005cü\u0020t"#,
        ] {
            let text = format!("ä {spelling} b %zz {spelling}");
            assert_eq!(scrub(&text, secret), "ä [redacted] b %zz [redacted]");
        }
        assert_eq!(scrub("unharmed", ""), "unharmed");
    }
}
