//! The image: what is in it, and the list of that (CycloneDX).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::chart::render::{TOOLS, repository};

/// Lays out the image's root as the build of the image does.
pub fn lay_out(root: &Path, binary: &str) {
    let laid = Command::new(repository().join("deploy/image-root"))
        .arg(root)
        .arg(binary)
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("deploy/image-root runs");
    let said = String::from_utf8_lossy(&laid.stderr);
    assert!(laid.status.success(), "{said}");
}

/// The command with which the image checks its own health, and all other lines of its Dockerfile.
pub fn dockerfile() -> (Vec<String>, String) {
    let text = fs::read_to_string(repository().join("deploy/Dockerfile")).expect("a Dockerfile");
    let check = text.lines().find(|line| line.starts_with("HEALTHCHECK"));
    let (_, command) = check
        .expect("a check")
        .split_once("CMD ")
        .expect("a command");
    (serde_json::from_str(command).expect("a list"), text)
}

/// All files below a folder, as paths in it.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut left) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => left.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

fn sum(path: &Path) -> String {
    let made = Command::new("sha256sum")
        .arg(path)
        .output()
        .expect("sha256sum runs");
    let line = String::from_utf8(made.stdout).expect("UTF-8");
    line.split(' ').next().expect("a sum").to_owned()
}

/// All components, also those within others.
fn components(of: &Value) -> Vec<&Value> {
    let own = of["components"].as_array().into_iter().flatten();
    own.flat_map(|each| [vec![each], components(each)].concat())
        .collect()
}

/// Checks a document against the schema. `None`: it is one.
fn fault(document: &str) -> Option<String> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), document).expect("written");
    const CHECK: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(fault) if fault else 0)
";
    let checked = Command::new("python3")
        .args(["-c", CHECK])
        .arg(file.path())
        .env("PYTHONPATH", TOOLS.join("python"))
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    (!checked.status.success()).then_some(said)
}

#[test]
fn the_image_holds_the_binary_and_its_libraries_and_lists_all_that_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    lay_out(&root, env!("CARGO_BIN_EXE_incidentd"));
    let list = "usr/share/doc/incidentd/sbom.cdx.json";
    let text = fs::read_to_string(root.join(list)).expect("a list");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(fault(&text), None);
    let broken = text.replace("\"bomFormat\" : \"CycloneDX\"", "\"bomFormat\" : \"list\"");
    assert!(fault(&broken).is_some(), "the check finds nothing");

    let components = components(&document);
    let mut others = 0;
    for path in files(&root) {
        let name = path
            .strip_prefix(&root)
            .expect("below")
            .display()
            .to_string();
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o6022, 0, "{name}: {mode:o}");
        let is_library = name.starts_with("lib") && name.contains(".so");
        assert_eq!(
            mode & 0o111 != 0,
            is_library || name == "usr/bin/incidentd",
            "{name}: {mode:o}"
        );
        if name != list {
            let listed = components
                .iter()
                .find(|each| each["name"] == format!("/{name}"));
            let listed = listed.unwrap_or_else(|| panic!("{name} is not listed"));
            assert_eq!(listed["hashes"][0]["content"], sum(&path), "{name}");
        }
        if name != "usr/bin/incidentd" {
            others += fs::metadata(&path).expect("a file").len();
        }
    }
    assert!(others < 20 << 20, "{others} bytes beside the binary");

    let has = |name: &str| components.iter().any(|each| each["name"] == name);
    for name in [
        "rdkafka-sys",
        "librdkafka",
        "zstd",
        "zlib",
        "lz4",
        "ring",
        "libc6",
        "ca-certificates",
    ] {
        assert!(has(name), "{name} is not listed");
    }
    // Of tests, of macros.
    for name in ["proptest", "criterion", "syn", "serde_derive"] {
        assert!(!has(name), "{name} is listed, and not in the program");
    }
    let lock = fs::read_to_string(repository().join("Cargo.lock")).expect("Cargo.lock");
    let lock: toml::Table = lock.parse().expect("TOML");
    let locked: BTreeSet<_> = lock["package"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|each| (each["name"].as_str(), each["version"].as_str()))
        .collect();
    let crates: Vec<_> = components
        .iter()
        .filter(|each| {
            each["purl"]
                .as_str()
                .is_some_and(|purl| purl.starts_with("pkg:cargo/"))
        })
        .map(|each| (each["name"].as_str(), each["version"].as_str()))
        .collect();
    assert!(crates.len() > 100, "{crates:?}");
    for each in &crates {
        assert!(locked.contains(each), "{each:?} is not in Cargo.lock");
    }
}

/// With a small program in place of the daemon's, which is a hundred times as large.
#[test]
fn the_same_input_gives_the_same_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let [one, other] = ["one", "other"].map(|name| {
        let root = folder.path().join(name);
        lay_out(&root, "/bin/true");
        let packed = Command::new("tar")
            .args([
                "--create",
                "--sort=name",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
            ])
            .arg("--directory")
            .arg(&root)
            .arg(".")
            .output()
            .expect("tar runs");
        assert!(packed.status.success());
        packed.stdout
    });
    assert!(one == other);
}

#[test]
fn the_dockerfile_pins_its_base_and_starts_as_nobody() {
    let (_, text) = dockerfile();
    let bases: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    let [base, last] = bases[..] else {
        panic!("{bases:?}")
    };
    let (_, digest) = base.split_once("@sha256:").expect("a digest");
    let digest = digest.split(' ').next().expect("hex");
    assert!(
        digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{base}"
    );
    assert_eq!(last, "scratch");
    assert!(text.contains("\nUSER 65532:65532\n"));
    assert!(text.contains("cargo build --locked"));
}
