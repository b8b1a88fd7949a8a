//! Compares the documents with the program: keys, commands, configurations.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use incidentd::cli::Cli;
use incidentd::config::{ConfigKey, keys};

use crate::chart::render::helm_template;
use crate::support::daemon::incidentd;

fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(page)
}

fn read(page: &str) -> String {
    fs::read_to_string(path(page)).unwrap()
}

pub fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(path("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.ends_with(".md"));
    let names = names.map(|name| format!("docs/{name}"));
    let names = names.chain(["README.md".to_owned()]);
    names
        .map(|name| (read(&name), name))
        .map(|(text, name)| (name, text))
        .collect()
}

/// The blocks of a language, without the indentation of a list.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let all = blocks_named(text, language).into_iter();
    all.filter(|(name, _)| name.is_empty())
        .map(|(_, block)| block)
        .collect()
}

/// The blocks whose first line begins so, each with the rest of that line.
pub fn blocks_named(text: &str, language: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.trim().strip_prefix(&format!("```{language}")) {
            let indent = line.len() - line.trim_start().len();
            let inside = lines.by_ref().take_while(|line| line.trim() != "```");
            let inside = inside.map(|line| line.get(indent..).unwrap_or_default());
            blocks.push((name.to_owned(), inside.collect::<Vec<_>>().join("\n")));
        }
    }
    blocks
}

fn table() -> String {
    let mut table = String::from(
        "| key | type | default | range | reload | tenant | |\n|---|---|---|---|---|---|---|\n",
    );
    let code = |text: &str| format!("`{text}`");
    for key in keys() {
        let key: &ConfigKey = key;
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            key.path(),
            key.type_name(),
            key.default().map(code).unwrap_or_default(),
            key.range().unwrap_or_default(),
            if key.is_reloadable() {
                "yes"
            } else {
                "restart"
            },
            if key.is_tenant_s() { "yes" } else { "" },
            key.about(),
        )
        .unwrap();
    }
    table
}

/// `UPDATE=1 tests/run --test docs` rewrites the table.
#[test]
fn every_key_is_described_as_the_program_reads_it() {
    let (page, begin, end) = (
        read("docs/configuration.md"),
        "<!-- keys -->\n",
        "<!-- end of keys -->\n",
    );
    let (before, rest) = page.split_once(begin).unwrap();
    let (shown, after) = rest.split_once(end).unwrap();
    let table = table();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(
            path("docs/configuration.md"),
            format!("{before}{begin}{table}{end}{after}"),
        )
        .unwrap();
        return;
    }
    assert_eq!(shown, table);
}

#[test]
fn every_command_is_one_that_the_program_takes() {
    let mut count = 0;
    for (name, text) in pages() {
        for block in blocks(&text, "sh") {
            for line in block.lines().map(str::trim) {
                let line = line.split(" #").next().unwrap().split(" >").next().unwrap();
                if !line.starts_with("incidentd ") {
                    continue;
                }
                // A value that a shell would insert.
                let line = line.replace("\"$id\"", "11111111-1111-1111-1111-111111111111");
                let words = line.split_whitespace();
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{name}: {line}: {}", parsed.unwrap_err());
                count += 1;
            }
        }
        // In a sentence, with the options that it names.
        let quoted = text.split('`').skip(1).step_by(2);
        for command in quoted.filter(|text| text.starts_with("incidentd ") && !text.contains('\n'))
        {
            let words = command.split_whitespace();
            let parsed = Cli::try_parse_from(words);
            let usage = parsed.as_ref().err().map(clap::Error::kind);
            let incomplete = usage == Some(clap::error::ErrorKind::MissingRequiredArgument);
            assert!(
                parsed.is_ok() || incomplete,
                "{name}: {command}: {}",
                parsed.unwrap_err()
            );
            count += 1;
        }
    }
    assert!(count > 20, "{count} commands");
}

/// Each TOML configuration is complete, except for the files that it names.
#[tokio::test(flavor = "multi_thread")]
async fn every_configuration_is_taken() {
    let mut count = 0;
    for (name, text) in pages() {
        for block in blocks(&text, "toml") {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("incidentd.toml");
            fs::write(&file, &block).unwrap();
            fs::write(folder.path().join("client-secret"), "x".repeat(40)).unwrap();
            let output = incidentd()
                .args(["check", "--offline", "--config"])
                .arg(&file)
                .output()
                .await
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}:\n{block}\n{said}");
            count += 1;
        }
    }
    assert!(count > 0, "no configuration is shown");
}

#[test]
fn the_values_of_the_chart_are_taken() {
    let text = read("docs/kubernetes.md");
    let values = blocks(&text, "yaml");
    assert!(!values.is_empty());
    for block in values {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("values.yaml");
        fs::write(&file, &block).unwrap();
        let output = helm_template(&file, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\n{said}");
    }
}
