//! Where a running daemon is to be asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::problems::{ConfigErrors, Findings};
use super::{MISSING, in_section, layers, read_http, root};

/// Where the daemon of this configuration shows itself. Nothing else is looked at: who asks a running daemon is not to be
/// stopped by what it would stumble over at its next start, or by a variable that only the daemon has.
///
/// # Errors
/// The main file can't be read, or `http.listen` is wrong.
pub fn listen(
    path: &Path,
    environment: &HashMap<String, String>,
) -> Result<SocketAddr, ConfigErrors> {
    let mut findings = Findings::default();
    let Some(mut table) = layers::read(path, MISSING, &mut findings) else {
        return Err(ConfigErrors(findings.problems));
    };
    layers::overlay(&mut table, environment, &mut findings);
    let file: Arc<str> = path.display().to_string().into();
    let http = in_section(&mut root(&mut findings, &file, table), "http", read_http);
    let mut problems = findings.problems;
    problems.retain(|problem| matches!(problem.key.as_str(), "http" | "http.listen"));
    if problems.is_empty() {
        Ok(http.listen)
    } else {
        Err(ConfigErrors(problems))
    }
}
