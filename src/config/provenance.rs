//! What each key came to, noted where it is read: its value as TOML, and where that comes from.
//!
//! No second list of keys: what a [`ConfigSection`](super::section::ConfigSection) was asked for is what there is. Invariant: a value
//! that may be a secret is never in here.

use super::origin::Spot;
use crate::core::format::is_wild;

/// All tables that were read.
#[derive(Default)]
pub(super) struct Provenance {
    pub tables: Vec<Table>,
}

/// One table of the main file, or of one tenant.
pub(super) struct Table {
    /// `poll`, `kafka.properties`; empty for keys outside of tables.
    pub path: String,
    /// The tenant's number, over all files.
    pub tenant: Option<usize>,
    pub entries: Vec<Entry>,
}

pub(super) struct Entry {
    pub key: String,
    /// It holds keys, and no value.
    pub is_table: bool,
    pub meaning: Meaning,
}

/// A key's value in the form of TOML, and why it holds.
#[derive(Clone)]
pub(super) enum Meaning {
    Given {
        literal: String,
        spot: Spot,
    },
    Default {
        literal: String,
    },
    /// It follows from other keys.
    Derived {
        literal: String,
        from: String,
    },
    /// Of a tenant's key: what the main file has.
    Inherited,
    Unset,
}

impl Provenance {
    /// The tables of the main file.
    pub fn shared(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| table.tenant.is_none())
    }
}

/// How values are written in TOML.
pub(super) trait Literal {
    /// Only a text can be one, as of a path: a number in its place is a slip, and would be taken for a file's name.
    const IS_TEXT: bool = false;

    fn literal(&self) -> String;
}

/// A text between quotes; in those that need no escapes, when it can be.
pub(super) fn quoted(text: &str) -> String {
    let plain = !text.contains(|c: char| is_wild(c) || c == '\\' || c == '"');
    if plain {
        return format!("\"{text}\"");
    }
    if !text.contains(|c: char| is_wild(c) || c == '\'') {
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

impl Literal for u64 {
    fn literal(&self) -> String {
        self.to_string()
    }
}

impl Literal for crate::settings::CaFile {
    const IS_TEXT: bool = true;

    fn literal(&self) -> String {
        self.path.literal()
    }
}

impl Literal for std::path::PathBuf {
    const IS_TEXT: bool = true;

    fn literal(&self) -> String {
        quoted(&self.display().to_string())
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
    std::sync::Arc<str>,
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
        quoted(&format!(
            "{}://{hidden}{host}{}",
            self.scheme(),
            port.unwrap_or_default()
        ))
    }
}
