//! What a tenant's sweep decides: the span of last updates to read, the order of the pages, and what is left for later.

pub mod backlog;
pub(crate) mod command;
pub(crate) mod cursor;
pub(crate) mod pager;
pub(crate) mod pause;
pub(crate) mod unreadable;
