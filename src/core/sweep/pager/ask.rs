//! What to ask for: pages of a list, the server's own links, single incidents.

use super::super::backlog::Span;
use crate::core::ids::IncidentId;

/// What to ask of an API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PageAsk {
    Query(Query),
    /// A nextLink, followed whole. The adapter refuses one that leaves the configured host: it would carry the token.
    Link(String),
    /// One incident alone and whole, as a page of one.
    One(IncidentId),
}

/// A page of a list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Query {
    pub span: Span,
    /// So many incidents,
    pub top: u32,
    /// after the first so many.
    pub skip: u32,
    /// Whether they come with their alerts. Not every API can leave them out.
    pub alerts: bool,
}

/// How many incidents a page has: as many as were asked for, or fewer if the server has a limit of its own. Microsoft
/// documents that it gives what `$top` asks for; should it ever give less, without a nextLink, a page that is merely full
/// would pass for the last one. So behind the first short page that a tenant shows, one more is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// The most that the API gives.
    most: u32,
    /// What is asked for: less than the most where larger pages don't come through.
    pub(super) top: u32,
    /// From so many incidents on, a page may have another behind it.
    pub(super) full: u32,
    /// Whether it is known what a short page means.
    pub(super) proven: bool,
}

impl PageSize {
    /// Pages of `most` incidents (at least 1), nothing being known of the server yet.
    pub fn of(most: u32) -> Self {
        let most = most.max(1);
        Self {
            most,
            top: most,
            full: most,
            proven: false,
        }
    }

    /// Forgets what was learned of this server: larger pages may come through again.
    #[must_use]
    pub fn anew(self) -> Self {
        Self::of(self.most)
    }

    pub(super) fn narrowed_to(self, top: u32) -> Self {
        Self {
            top,
            full: self.full.min(top),
            ..self
        }
    }
}
