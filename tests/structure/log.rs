//! Each log line that a service shows by default is in the table of docs/operations.md, with what to do.

use std::fs;
use std::path::Path;

/// The messages of `info!`, `warn!` and `error!` in sources other than tests.
fn messages(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" {
                messages(&path, into);
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            let sources = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let calls = sources.split("tracing::").skip(1).filter(|call| {
                ["info!(", "warn!(", "error!("]
                    .iter()
                    .any(|level| call.starts_with(level))
            });
            // The last text of the call is the message; the others are values of fields.
            let last = |call: &str| {
                let inside = call.split(");").next()?;
                let texts: Vec<_> = inside.split('"').collect();
                texts
                    .len()
                    .checked_sub(2)
                    .map(|last| texts[last].to_owned())
            };
            into.extend(calls.filter_map(last));
        }
    }
}

#[test]
fn what_is_logged_by_default_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let (_, log) = page.split_once("\n## Log\n").unwrap();
    let log = log.split("\n## ").next().unwrap();
    let mut all = Vec::new();
    messages(&root.join("src"), &mut all);
    assert!(all.len() > 30, "{all:?}");
    let missing: Vec<_> = all
        .iter()
        .filter(|message| {
            // The table has only the beginnings of long messages.
            let start = message.split([';', ':', '{']).next().unwrap_or_default();
            !log.contains(start.trim())
        })
        .collect();
    assert!(
        missing.is_empty(),
        "not in the table of docs/operations.md: {missing:#?}"
    );
}
