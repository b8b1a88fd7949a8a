//! Tables of Microsoft's errors: `"name": [status, code, message]`. A message has holes: `{0}`, `{1}`, …

use std::collections::HashMap;

use serde::Deserialize;

pub(super) struct Errors(HashMap<String, MicrosoftError>);

#[derive(Clone, Default, Deserialize)]
pub(super) struct MicrosoftError {
    pub status: u16,
    pub code: String,
    pub message: String,
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
