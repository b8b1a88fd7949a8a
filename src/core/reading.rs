//! From an incident's bytes to a [`Reading`](super::version::Reading).

/// What an API calls the fields that are acted upon. All else passes through unread.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    pub id: &'static str,
    pub updated: &'static str,
    pub status: &'static str,
    pub redirect: &'static str,
}
