//! The body of a token request (section 4.1; the errors are those of section 4.3).

use std::collections::HashSet;

use super::super::urlencoded::{self, Field};
use super::{TokenError, error};

pub(super) fn malformed() -> TokenError {
    error(9002313, [])
}

pub(super) struct Form(Vec<Field>);

impl Form {
    /// `kind` is the body's content type. A body that is not a form has no fields.
    pub fn read(kind: &str, body: &[u8]) -> Result<Self, TokenError> {
        if !kind.starts_with("application/x-www-form-urlencoded") {
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
        field.ok_or_else(|| error(900144, [name]))
    }

    pub fn once_each(&self) -> Result<(), TokenError> {
        let mut names = HashSet::new();
        let once = self.0.iter().all(|field| names.insert(&field.name));
        once.then_some(()).ok_or_else(malformed)
    }
}

/// `https://api.security.microsoft.com/.default` → the part before `/.default`.
pub(super) fn resource_of(scope: &str) -> Result<&str, TokenError> {
    if scope.split_whitespace().count() != 1 {
        return Err(error(70011, [scope]));
    }
    let resource = scope.strip_suffix("/.default");
    resource
        .filter(|resource| !resource.is_empty())
        .ok_or_else(|| error(1002012, [scope]))
}
