//! The meaning of each key, noted where it is read: its value as TOML, and its origin.
//!
//! Invariant: a value that may be a secret is never in here.

use std::collections::BTreeMap;

use super::origin::Spot;

/// The meaning of every key that has one.
#[derive(Default)]
pub(super) struct Provenance(BTreeMap<(Option<usize>, String), KeyMeaning>);

/// A key's value in the form of TOML, and why it holds.
#[derive(Clone)]
pub(super) enum KeyMeaning {
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
    /// A tenant does not use what the main file has.
    Unset,
}

impl Provenance {
    /// `tenant`: its number over all files; `None` for the main file.
    pub fn insert(&mut self, tenant: Option<usize>, path: String, meaning: KeyMeaning) {
        self.0.insert((tenant, path), meaning);
    }

    pub fn get(&self, tenant: Option<usize>, path: &str) -> Option<&KeyMeaning> {
        self.0.get(&(tenant, path.to_owned()))
    }

    /// The main file's keys below a table whose keys are free.
    pub fn below<'a>(
        &'a self,
        table: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a KeyMeaning)> + 'a {
        self.0.iter().filter_map(move |((tenant, path), meaning)| {
            let key = path.strip_prefix(table)?.strip_prefix('.')?;
            tenant.is_none().then_some((key, meaning))
        })
    }
}
