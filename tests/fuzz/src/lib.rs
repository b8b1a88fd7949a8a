//! What must hold for every input: one function for each fuzz target, which panics if a promise is broken. The fuzz
//! targets call them, and so does the unit test `fuzz_seeds`, which includes this file as a module.

mod codec;
mod instants;
mod page;
mod reading;

pub use codec::codec;
pub use incidentd::microsoft::fuzzing::{error_body, token_answer};
pub use instants::instants;
pub use page::page;
pub use reading::reading;
