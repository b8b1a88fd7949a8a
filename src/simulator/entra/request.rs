//! The body of a token request.

use super::super::form::{self, Field};
use super::Refusal;

pub(super) fn malformed() -> Refusal {
    let text = "Invalid request. Request is malformed or invalid.";
    Refusal(400, "invalid_request", 9002313, text.to_owned())
}

pub(super) struct Form(Vec<Field>);

impl Form {
    /// `sent`: the body says that it is a form; another has no fields.
    pub fn read(sent: bool, body: &[u8]) -> Result<Self, Refusal> {
        let fields = if sent {
            form::parse(body)
        } else {
            Some(Vec::new())
        };
        fields.map(Self).ok_or_else(malformed)
    }

    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0
            .iter()
            .find(|field| field.name == name && !(field.value.is_empty() && field.encoded))
    }

    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)
            .map(|field| field.value.as_str())
            .ok_or_else(|| {
                let text =
                    format!("The request body must contain the following parameter: '{name}'.");
                Refusal(400, "invalid_request", 900144, text)
            })
    }

    pub fn once_each(&self) -> Result<(), Refusal> {
        let mut names: Vec<_> = self.0.iter().map(|field| &field.name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(malformed());
        }
        Ok(())
    }
}

/// `https://api.security.microsoft.com/.default` → the part before `/.default`.
pub(super) fn resource_of(scope: &str) -> Result<&str, Refusal> {
    let invalid = |code, text| Err(Refusal(400, "invalid_scope", code, text));
    if scope.split_whitespace().count() != 1 {
        return invalid(
            70011,
            format!(
                "The provided value for the input parameter 'scope' isn't valid. The scope {scope} isn't valid."
            ),
        );
    }
    match scope.strip_suffix("/.default") {
        Some(resource) if !resource.is_empty() => Ok(resource),
        _ => invalid(
            1002012,
            format!(
                "The provided value for scope {scope} is not valid. Client credential flows must have a scope value \
                 with /.default suffixed to the resource identifier (application ID URI)."
            ),
        ),
    }
}
