//! What a file with a secret or a token may contain. The configuration checks it, and so does every use of the file.

use std::fmt;

/// The largest size of such a file in bytes. A secret has about forty characters, a token a few thousand: a larger file
/// is the wrong file.
pub const MAX_FILE: u64 = 64 << 10;

/// Why the content of a file is not a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSecret {
    TooLarge,
    NotText,
    Empty,
    SeveralLines,
}

impl fmt::Display for NoSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "is larger than 64 KiB",
            Self::NotText => "is not UTF-8 text",
            Self::Empty => "is empty",
            Self::SeveralLines => "has more than one line",
        })
    }
}

/// The secret in the content of a file.
///
/// # Errors
/// The content is not a single line of text.
pub fn secret_in(content: &[u8]) -> Result<&str, NoSecret> {
    if content.len() as u64 > MAX_FILE {
        return Err(NoSecret::TooLarge);
    }
    let text = std::str::from_utf8(content).map_err(|_| NoSecret::NotText)?;
    match trimmed(text) {
        "" => Err(NoSecret::Empty),
        text if text.contains(['\n', '\r']) => Err(NoSecret::SeveralLines),
        text => Ok(text),
    }
}

/// Removes what does not belong to the secret. Mounted files and shells add a line end, and some editors add a
/// byte-order mark. A secret never begins or ends with white space.
pub fn trimmed(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_line_and_everything_else_says_why_it_is_none() {
        for good in ["a b", "a b\n", "\u{feff}a b \r\n\n"] {
            assert_eq!(secret_in(good.as_bytes()), Ok("a b"), "{good:?}");
        }
        let large = vec![b'x'; 64 * 1024 + 1];
        for (bad, why) in [
            (&b" \n"[..], NoSecret::Empty),
            (b"a\nb", NoSecret::SeveralLines),
            (b"a\rb", NoSecret::SeveralLines),
            (b"\xff\xfe", NoSecret::NotText),
            (&large, NoSecret::TooLarge),
        ] {
            assert_eq!(secret_in(bad), Err(why));
        }
    }
}
