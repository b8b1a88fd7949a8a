//! What integration tests share. Each test binary uses a part of it.

#![allow(dead_code)]
// Real processes are waited for in real time.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod kafka;
