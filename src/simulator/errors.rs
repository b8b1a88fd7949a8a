//! Microsoft's errors, in tables: `"name": [status, code, message]`. A message has holes: `{0}`, `{1}`, … The Defender API's
//! errors are those of sections 2.2 and 2.3, Graph's those of 3.2 and 9, Entra's, by AADSTS number, those of 4.3.

use std::collections::HashMap;

use serde::Deserialize;

use super::faults::Effect;

pub(super) struct Errors(HashMap<String, MicrosoftError>);

#[derive(Clone, Default, Deserialize)]
pub(super) struct MicrosoftError {
    pub status: u16,
    pub code: String,
    pub message: String,
}

/// Why a request is refused.
pub(super) enum Refusal {
    /// The name of an error in the API's table, and the values of its holes.
    Error(&'static str, Vec<String>),
    /// A fault, which has its own answer.
    Fault(Effect),
}

impl Errors {
    pub fn new(json: &str) -> Self {
        Self(serde_json::from_str(json).unwrap_or_default())
    }

    pub fn find(&self, name: &str, values: &[String]) -> MicrosoftError {
        let mut error = self.0.get(name).cloned().unwrap_or_default();
        for (hole, value) in values.iter().enumerate() {
            error.message = error.message.replace(&format!("{{{hole}}}"), value);
        }
        error
    }
}

impl Refusal {
    pub fn error<const N: usize>(name: &'static str, values: [&str; N]) -> Self {
        Self::Error(name, values.map(str::to_owned).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_can_be_read() {
        for (json, errors) in [
            (include_str!("defender/errors.json"), 14),
            (include_str!("graph/errors.json"), 14),
            (include_str!("entra/errors.json"), 24),
        ] {
            let table = Errors::new(json).0;
            assert_eq!(table.len(), errors, "{json}");
            for (name, error) in table {
                assert!(error.status >= 400 && !error.message.is_empty(), "{name}");
            }
        }
    }
}
