//! The container image is built from only a part of the repository, which must contain all sources of the program.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Starts of what reads a file when the program is compiled. The path of the last is one in `templates`, askama's folder.
const INCLUDES: [&str; 3] = ["include_str!(\"", "include_bytes!(\"", TEMPLATE];
const TEMPLATE: &str = "template(path = \"";

/// Files that the program includes, except those of tests.
fn taken_in(folder: &Path, templates: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" {
                taken_in(&path, templates, into);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(&path).unwrap();
            for start in INCLUDES {
                let beside = if start == TEMPLATE { templates } else { folder };
                let literals = text
                    .split(start)
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next());
                into.extend(literals.map(|literal| plain(&beside.join(literal))));
            }
        }
    }
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn what_the_program_includes_is_in_the_context_of_the_image() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = fs::read_to_string(root.join("deploy/Dockerfile.dockerignore")).unwrap();
    let let_in: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let mut files = Vec::new();
    taken_in(&root.join("src"), &root.join("templates"), &mut files);
    for included in ["config/incidentd.toml", "templates/fleet.html"] {
        assert!(files.contains(&root.join(included)), "found: {files:?}");
    }
    for file in files.iter().filter(|file| file.is_file()) {
        let file = file.strip_prefix(root).unwrap();
        assert!(
            let_in.iter().any(|path| file.starts_with(path)),
            "the build of the image needs {}: let it in in deploy/Dockerfile.dockerignore",
            file.display()
        );
    }
}
