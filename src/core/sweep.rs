//! What a sweep of a tenant decides: which span of last updates it reads, the way through the pages, and what is left for
//! later.

pub mod backlog;
pub mod cursor;
pub mod pager;
pub mod unreadable;
