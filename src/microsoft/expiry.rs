//! Until when another issuer's token is good, as the token itself says: shown before the day on which it is refused.
//!
//! Read from the file as it is now, not from the token that was last sent: whoever keeps the file fresh does so more often
//! than tokens are asked for, and an expiry of an hour ago would be a false alarm. What a client secret's expiry is, Entra
//! tells nobody who only has the secret.

use parking_lot::Mutex;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::core::time::ticks::Ticks;

const MAX_FILE: u64 = 64 << 10;

/// What was found in a file when it had a certain stamp. Looking again costs nothing until the stamp changes.
#[derive(Debug, Default)]
pub(super) struct Expiry(Mutex<Option<(u64, Option<Ticks>)>>);

impl Expiry {
    /// Blocks for as long as reading a small file takes.
    pub(super) fn of(&self, file: &Path, stamp: u64) -> Option<Ticks> {
        let mut known = self.0.lock();
        match *known {
            Some((of, expiry)) if of == stamp => expiry,
            _ => {
                let expiry = read(file).and_then(|token| expiry(token.expose_secret()));
                *known = Some((stamp, expiry));
                expiry
            }
        }
    }
}

fn read(file: &Path) -> Option<SecretString> {
    // A pipe would block.
    if !std::fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let file = File::open(file).ok()?;
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text.into())
}

/// The claim `exp` of a signed token, unverified.
fn expiry(token: &str) -> Option<Ticks> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let payload = token.trim().split('.').nth(1)?.trim_end_matches('=');
    let claims = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    (exp > 0).then(|| Ticks::from_unix_seconds(exp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn token(claims: &str) -> String {
        format!("aGVhZA.{}.c2lnbmVk\n", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_file_s_token_says_when_it_ends_and_a_new_one_says_it_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let expiry = Expiry::default();
        assert_eq!(expiry.of(&file, 1), None, "there is no file yet");
        fs::write(&file, token(r#"{"exp":1700000000,"sub":"x"}"#)).unwrap();
        assert_eq!(
            expiry.of(&file, 1),
            None,
            "nothing has changed, as far as is known"
        );
        let first = Some(Ticks::from_unix_seconds(1_700_000_000));
        assert_eq!(expiry.of(&file, 2), first);
        fs::write(&file, token(r#"{"exp":1700003600}"#)).unwrap();
        assert_eq!(expiry.of(&file, 2), first);
        assert_eq!(
            expiry.of(&file, 3),
            Some(Ticks::from_unix_seconds(1_700_003_600))
        );
        assert_eq!(expiry.of(folder.path(), 4), None, "a folder is no token");
    }

    #[test]
    fn what_does_not_say_is_not_known() {
        for claims in [
            "",
            "{}",
            "[]",
            r#"{"exp":"soon"}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":null}"#,
        ] {
            assert_eq!(expiry(&token(claims)), None, "{claims}");
        }
        assert_eq!(expiry("opaque"), None);
    }

    proptest! {
        #[test]
        fn no_token_panics(text in "[a-zA-Z0-9_.=-]{0,60}", number: i64) {
            let _ = expiry(&text);
            let _ = expiry(&token(&format!("{{\"exp\":{number}}}")));
        }
    }
}
