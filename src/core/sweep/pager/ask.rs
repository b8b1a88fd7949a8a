//! What to ask for: pages of a list, the server's own links, single incidents.

use super::super::backlog::Span;
use crate::core::ids::IncidentId;

/// What to ask an API for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PageAsk {
    /// A page of the list.
    Query(Query),
    /// A nextLink, followed as it is. The adapter refuses a link that leaves the configured host, which would get the
    /// token.
    Link(String),
    /// One complete incident by its id, as a page of one.
    One(IncidentId),
}

/// A page of a list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Query {
    /// The last updates to list.
    pub span: Span,
    /// How many incidents to return.
    pub top: u32,
    /// How many incidents to skip first.
    pub skip: u32,
    /// Whether the incidents come with their alerts. Not every API can leave them out.
    pub alerts: bool,
}

/// How many incidents a page has: as many as requested, or fewer if the server has its own limit. Microsoft documents
/// that it returns as many as `$top` requests. If it returned fewer without a nextLink, a full page would be taken for
/// the last one. So one more page is requested after the first short page of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// The most that the API returns.
    most: u32,
    /// How many to request: fewer than `most` if larger pages don't come through.
    pub(super) top: u32,
    /// A page with this many incidents may be followed by another.
    pub(super) full: u32,
    /// Whether the meaning of a short page is known.
    pub(super) proven: bool,
}

impl PageSize {
    /// Pages of `most` incidents (at least 1), for a server of which nothing is known yet.
    pub fn of(most: u32) -> Self {
        let most = most.max(1);
        Self {
            most,
            top: most,
            full: most,
            proven: false,
        }
    }

    /// Discards what was learned about this server: larger pages may come through again.
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
