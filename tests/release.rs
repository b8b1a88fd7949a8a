//! `deploy/release --check`: what has to be right before a version is built.

use std::fs;
use std::path::Path;
use std::process::Command;

const RELEASED: &str = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n### Added\n\n- Something.\n\n## [1.1.0] - 2026-01-01\n\n- Old.\n";

/// A tree that can be released as 1.2.0, with the files that the script looks at.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().expect("a folder"));
        let script = fs::read_to_string("deploy/release").expect("the script");
        tree.write("deploy/release", &script);
        tree.write(
            "Cargo.toml",
            "[package]\nname = \"incidentd\"\nversion = \"1.2.0\"\n\n[dependencies.x]\nversion = \"9.9.9\"\n",
        );
        tree.write(
            "Cargo.lock",
            "[[package]]\nname = \"incidentd\"\nversion = \"1.2.0\"\n\n[[package]]\nname = \"x\"\nversion = \"9.9.9\"\n",
        );
        let chart = "apiVersion: v2\nversion: 0.7.0\nappVersion: \"1.2.0\"\n";
        tree.write("deploy/helm/incidentd/Chart.yaml", chart);
        tree.write("CHANGELOG.md", RELEASED);
        tree.git(&["init", "--quiet"]);
        tree.commit();
        tree
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn git(&self, args: &[&str]) {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.net"];
        let done = Command::new("git")
            .current_dir(self.path())
            .args(identity)
            .args(args)
            .status();
        assert!(done.expect("git").success(), "{args:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "x"]);
    }

    /// The exit code, and what is said.
    fn check(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new("bash");
        command.arg(self.path().join("deploy/release")).args(args);
        let output = command.output().expect("bash");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("text");
        (output.status.code().expect("a code"), said)
    }
}

#[test]
fn a_tree_that_is_right_can_be_built() {
    let tree = Tree::new();
    let expected = (0, "release: 1.2.0 can be built\n".to_owned());
    assert_eq!(tree.check(&["--check", "1.2.0"]), expected);
    tree.git(&["tag", "v1.2.0"]);
    assert_eq!(tree.check(&["--check", "1.2.0"]), expected, "its own tag");
}

#[test]
fn each_mistake_is_named_and_all_of_them_at_once() {
    let (code, said) = Tree::new().check(&["--check", "1.3.0"]);
    assert_eq!(code, 1);
    for file in [
        "Cargo.toml has version 1.2.0",
        "Cargo.lock has",
        "appVersion) has",
        "CHANGELOG.md has no line",
    ] {
        assert!(said.contains(file), "{file}: {said}");
    }
    let cases = [
        (
            "CHANGELOG.md",
            RELEASED.replace("2026-12-01", "2026-13-01"),
            "has no line",
        ),
        (
            "CHANGELOG.md",
            RELEASED.replace(" - 2026-12-01", ""),
            "has no line",
        ),
        (
            "CHANGELOG.md",
            RELEASED.replace("- Something.", ""),
            "has no entry",
        ),
        (
            "CHANGELOG.md",
            RELEASED.replace("[Unreleased]\n", "[Unreleased]\n- New.\n"),
            "below ## [Unreleased]",
        ),
    ];
    for (file, text, named) in cases {
        let tree = Tree::new();
        tree.write(file, &text);
        tree.commit();
        let (code, said) = tree.check(&["--check", "1.2.0"]);
        assert_eq!((code, said.lines().count()), (1, 1), "{named}: {said}");
        assert!(said.contains(named), "{named}: {said}");
    }
    let tree = Tree::new();
    tree.write("new", "");
    assert!(
        tree.check(&["--check", "1.2.0"])
            .1
            .contains("not committed")
    );
    tree.git(&["tag", "v1.2.0"]);
    tree.commit();
    assert!(
        tree.check(&["--check", "1.2.0"])
            .1
            .contains("another commit")
    );
}

#[test]
fn what_is_no_version_is_no_command() {
    let tree = Tree::new();
    for args in [
        &[][..],
        &["1.2"],
        &["v1.2.0"],
        &["1.2.0", "more"],
        &["--check"],
        &["--check", "1.2.0; true"],
    ] {
        assert_eq!(tree.check(args).0, 64, "{args:?}");
    }
}
