//! What commands print.

use std::io::{self, ErrorKind, Write};

use super::{Failed, INTERNAL};

/// Prints to standard output. A reader that has seen enough (`incidentd config | head -1`) is no failure.
pub(super) fn print(text: &str) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failed::new(INTERNAL, error)),
        _ => Ok(()),
    }
}
