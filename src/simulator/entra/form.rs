//! The body of a token request (section 4.1; the errors are those of section 4.3).

use super::super::urlencoded::{self, Field};
use super::TokenError;

pub(super) fn malformed() -> TokenError {
    let text = "Invalid request. Request is malformed or invalid.";
    TokenError(400, "invalid_request", 9002313, text.to_owned())
}

pub(super) struct Form(Vec<Field>);

impl Form {
    /// `sent`: the body says that it is a form; another has no fields.
    pub fn read(sent: bool, body: &[u8]) -> Result<Self, TokenError> {
        if !sent {
            return Ok(Self(Vec::new()));
        }
        urlencoded::parse(body).map(Self).ok_or_else(malformed)
    }

    pub fn get(&self, name: &str) -> Option<&Field> {
        let empty = |field: &&Field| field.value.is_empty() && field.encoded;
        let found = self.0.iter().find(|field| field.name == name);
        found.filter(|field| !empty(field))
    }

    pub fn required(&self, name: &str) -> Result<&str, TokenError> {
        let field = self.get(name).map(|field| field.value.as_str());
        field.ok_or_else(|| {
            let text = format!("The request body must contain the following parameter: '{name}'.");
            TokenError(400, "invalid_request", 900144, text)
        })
    }

    pub fn once_each(&self) -> Result<(), TokenError> {
        let mut names: Vec<_> = self.0.iter().map(|field| &field.name).collect();
        names.sort_unstable();
        match names.windows(2).any(|pair| pair.first() == pair.last()) {
            true => Err(malformed()),
            false => Ok(()),
        }
    }
}

/// `https://api.security.microsoft.com/.default` → the part before `/.default`.
pub(super) fn resource_of(scope: &str) -> Result<&str, TokenError> {
    let invalid = |code, text| Err(TokenError(400, "invalid_scope", code, text));
    if scope.split_whitespace().count() != 1 {
        let text = format!(
            "The provided value for the input parameter 'scope' isn't valid. The scope {scope} isn't valid."
        );
        return invalid(70011, text);
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
