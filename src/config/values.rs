//! Reads values from texts, and writes them as TOML.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::problems::{Wrong, wrong};
use super::units::{self, Bounds};
use crate::core::format::is_wild;
use crate::core::incident::version::Deduplicate;
use crate::core::sources::Cloud;
use crate::settings::{CaFile, LogFormat, RecordFormat, SourceKind, TokenEndpoint};

/// A value as TOML. What may be a secret is left out.
pub(super) trait Literal {
    fn literal(&self) -> String;
}

/// A value that its text and its bounds are enough to read.
pub(super) trait FromText: Literal + Sized {
    fn from_text(text: &str, bounds: Bounds) -> Result<Self, Wrong>;
}

/// A value that is one of a few words.
pub(super) trait Choice: Copy + PartialEq + 'static {
    const NAMES: &'static [(&'static str, Self)];

    fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, choice)| *choice == self);
        found.map_or("", |(name, _)| name)
    }
}

pub(super) fn names<T: Choice>() -> Vec<&'static str> {
    T::NAMES.iter().map(|(name, _)| *name).collect()
}

macro_rules! choices {
    ($($kind:ident { $($name:literal = $variant:ident),* })*) => {$(
        impl Choice for $kind {
            const NAMES: &'static [(&'static str, Self)] = &[$(($name, $kind::$variant)),*];
        }
    )*};
}

choices! {
    SourceKind { "graph" = Graph, "defender" = Defender }
    TokenEndpoint { "v2" = V2, "v1" = V1 }
    Deduplicate { "version" = Version, "id" = Id }
    RecordFormat { "cloudevents" = CloudEvents, "raw" = Raw }
    LogFormat { "auto" = Auto, "json" = Json, "text" = Text }
}

impl Choice for Cloud {
    const NAMES: &'static [(&'static str, Self)] = &Cloud::NAMES;
}

impl<T: Choice> Literal for T {
    fn literal(&self) -> String {
        quoted(self.name())
    }
}

impl<T: Choice> FromText for T {
    fn from_text(text: &str, _: Bounds) -> Result<Self, Wrong> {
        let found = T::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<String> = names::<T>().into_iter().map(quoted).collect();
            wrong(
                "it is none of the choices",
                format!("choose {}", names.join(" or ")),
            )
        })
    }
}

impl Literal for u64 {
    fn literal(&self) -> String {
        self.to_string()
    }
}

impl FromText for u64 {
    fn from_text(text: &str, bounds: Bounds) -> Result<Self, Wrong> {
        units::number(text, bounds)
    }
}

impl Literal for Duration {
    fn literal(&self) -> String {
        quoted(&units::show_duration(*self))
    }
}

impl FromText for Duration {
    fn from_text(text: &str, bounds: Bounds) -> Result<Self, Wrong> {
        units::duration(text, bounds)
    }
}

/// A number of bytes.
impl Literal for usize {
    fn literal(&self) -> String {
        quoted(&units::show_size(*self as u64))
    }
}

impl FromText for usize {
    fn from_text(text: &str, bounds: Bounds) -> Result<Self, Wrong> {
        let size = units::size(text, bounds)?;
        size.try_into()
            .map_err(|_| wrong("it is out of range", "give a smaller size"))
    }
}

impl Literal for PathBuf {
    fn literal(&self) -> String {
        quoted(&self.display().to_string())
    }
}

impl Literal for CaFile {
    fn literal(&self) -> String {
        self.path.literal()
    }
}

impl Literal for Vec<Arc<str>> {
    fn literal(&self) -> String {
        let texts: Vec<String> = self.iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    }
}

macro_rules! written_in_quotes {
    ($($kind:ty),*) => {$(
        impl Literal for $kind {
            fn literal(&self) -> String {
                quoted(&self.to_string())
            }
        }
    )*};
}

written_in_quotes!(
    String,
    Arc<str>,
    std::net::SocketAddr,
    uuid::Uuid,
    crate::core::ids::TenantId,
    crate::core::time::schedule::Schedule
);

/// Without user and password, which proxies have.
impl Literal for url::Url {
    fn literal(&self) -> String {
        let hidden = match self.username().is_empty() && self.password().is_none() {
            true => "",
            false => "(user and password not shown)@",
        };
        let host = self.host_str().unwrap_or_default();
        let port = self.port().map(|port| format!(":{port}"));
        let port = port.unwrap_or_default();
        quoted(&format!("{}://{hidden}{host}{port}", self.scheme()))
    }
}

/// A text in quotes; in those that need no escapes, if possible.
pub(super) fn quoted(text: &str) -> String {
    let has = |special: &[char]| text.contains(|c: char| is_wild(c) || special.contains(&c));
    if !has(&['\\', '"']) {
        return format!("\"{text}\"");
    }
    if !has(&['\'']) {
        return format!("'{text}'");
    }
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '\\' | '"' => format!("\\{c}"),
            c if is_wild(c) => format!("\\U{:08X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}
