//! The documents: README is short, and links, anchors and paths are valid.

use std::fs;
use std::path::Path;

use super::alerts::anchors;

const MAX_README: usize = 8 * 1024;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents for people, relative to the root.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let names = docs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.ends_with(".md"));
    let mut pages: Vec<String> = names.map(|name| format!("docs/{name}")).collect();
    pages.extend(["README.md", "CHANGELOG.md", "SECURITY.md"].map(str::to_owned));
    pages.sort();
    pages
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// The targets of a page's links, except links to other sites.
fn links(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1);
    links
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.contains("://"))
        .collect()
}

#[test]
fn the_readme_is_for_newcomers() {
    let length = read("README.md").len();
    assert!(
        length <= MAX_README,
        "README.md has {length} bytes, more than {MAX_README}: move a part to docs/"
    );
}

#[test]
fn the_picture_in_the_readme_is_small() {
    let picture = fs::metadata(root().join("docs/status-page.png")).unwrap();
    assert!(picture.len() < 150_000, "{} bytes", picture.len());
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = read(&page);
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() {
                root().join(&page)
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{page}: no file for {link}");
            if !anchor.is_empty() {
                let found = anchors(&fs::read_to_string(&target).unwrap()).contains(anchor);
                assert!(found, "{page}: no heading for {link}");
            }
            count += 1;
        }
    }
    assert!(count > 30, "{count} links");
}

/// Paths of the repository in backquotes, such as `src/record/` and `tests/run`.
#[test]
fn every_path_in_the_map_of_the_house_exists() {
    let page = read("docs/contributing.md");
    let quoted = page.split('`').skip(1).step_by(2);
    let beginnings = [
        "src/", "tests/", "docs/", "deploy/", "config/", "benches/", ".ci/",
    ];
    let paths: Vec<&str> = quoted
        .filter(|text| beginnings.iter().any(|start| text.starts_with(start)))
        .map(|text| text.split([' ', ':']).next().unwrap_or(text))
        .collect();
    assert!(paths.len() > 30, "{paths:?}");
    for path in paths {
        assert!(
            root().join(path).exists(),
            "docs/contributing.md: no {path}"
        );
    }
}
