//! Reads values from texts, and writes them as TOML.

use std::time::Duration;

use url::Url;
use uuid::Uuid;

use super::choices::{Choice, names};
use super::keys::{ConfigKey, KeyType};
use super::problems::{Wrong, wrong};
use super::scope::Context;
use super::service_copies;
use crate::core::format::is_wild;

/// A value that its text and its key's row are enough to read.
pub(super) trait FromText: Sized {
    fn from_text(text: &str, key: &ConfigKey) -> Result<Self, Wrong>;
}

impl<T: Choice> FromText for T {
    fn from_text(text: &str, _: &ConfigKey) -> Result<Self, Wrong> {
        let found = T::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<String> = names::<T>().into_iter().map(quoted).collect();
            let remedy = format!("choose {}", names.join(" or "));
            wrong("it is none of the choices", remedy)
        })
    }
}

/// The id of an app or of an identity.
pub(super) fn guid(text: &str) -> Result<Uuid, Wrong> {
    let what = match Uuid::try_parse(text) {
        Ok(id) if text.len() == 36 && !id.is_nil() => return Ok(id),
        Ok(id) if id.is_nil() => "it is still the example's placeholder",
        _ => "it is not a GUID",
    };
    let remedy = "copy \"Application (client) ID\" from the app registration's overview page in Microsoft Entra";
    Err(wrong(what, remedy))
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl FromText for $number {
            fn from_text(text: &str, key: &ConfigKey) -> Result<Self, Wrong> {
                let too_large = |_| wrong("it is out of range", "give a smaller number");
                key.amount(text)?.try_into().map_err(too_large)
            }
        }
    )*};
}

numbers!(u16, u32, usize);

impl FromText for Duration {
    fn from_text(text: &str, key: &ConfigKey) -> Result<Self, Wrong> {
        key.amount(text).map(Self::from_millis)
    }
}

/// The value of a key as TOML. What may be a secret is left out: a name without a file or a variable of that name
/// could be a secret in the wrong key.
pub(super) fn literal(key: &ConfigKey, text: &str, context: &Context<'_>) -> String {
    let path = context.folder().join(text);
    match key.kind {
        KeyType::List => {
            let texts: Vec<String> = list(text).map(quoted).collect();
            format!("[{}]", texts.join(", "))
        }
        KeyType::Amount(measure, ..) => {
            let shown = measure.show(key.amount(text).unwrap_or_default());
            let has_unit = shown.parse::<u64>().is_err();
            if has_unit { quoted(&shown) } else { shown }
        }
        KeyType::Credential if !service_copies::is_surely_a_path(&path) => {
            quoted("(not shown: there is no such file now)")
        }
        KeyType::Path | KeyType::Credential => quoted(&path.display().to_string()),
        KeyType::Variable if !context.environment.contains_key(text) => {
            quoted("(not shown: there is no such variable now)")
        }
        KeyType::Url => quoted(&Url::parse(text).map_or(String::new(), |url| address(&url))),
        _ => quoted(text),
    }
}

/// The texts of a list that is given as one text with commas.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    let empty = text.trim().is_empty();
    text.split(',').map(str::trim).filter(move |_| !empty)
}

/// Whether it is a host name (RFC 1123, section 2.1; with the underscores that containers use).
pub(super) fn is_host_name(text: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letters);
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Scheme, host and port, without user and password, which proxies have.
pub(super) fn address(url: &Url) -> String {
    let hidden = match url.username().is_empty() && url.password().is_none() {
        true => "",
        false => "(user and password not shown)@",
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}"));
    let port = port.unwrap_or_default();
    format!("{}://{hidden}{host}{port}", url.scheme())
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    let escaped = |c: char| match c {
        '\\' | '"' => format!("\\{c}"),
        c if is_wild(c) => format!("\\U{:08X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}
