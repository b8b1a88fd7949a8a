//! What a tenant's sweep decides: the span of last updates to read, the order of the pages, and what is left for later.

pub mod backlog;
pub mod cursor;
pub mod pager;
pub mod unreadable;
