//! Runs the seeds of the fuzz targets, and random changes of them, through the same checks as an ordinary test. How to
//! fuzz: `tests/fuzz/README.md`.

#[path = "fuzz/src/lib.rs"]
mod checks;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;

type Check = fn(&[u8]);

const CHECKS: [(&str, Check); 6] = [
    ("codec", checks::codec),
    ("error_body", checks::error_body),
    ("instants", checks::instants),
    ("page", checks::page),
    ("reading", checks::reading),
    ("token_answer", checks::token_answer),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// Each seed of a target, with its name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join("seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let seed = |path: PathBuf| (path.display().to_string(), fs::read(&path).unwrap());
    let seeds: Vec<_> = files.map(|file| seed(file.unwrap().path())).collect();
    assert!(!seeds.is_empty(), "{folder:?} holds no seed");
    seeds
}

#[test]
fn every_seed_holds_what_its_target_promises() {
    for (target, check) in CHECKS {
        for (name, seed) in seeds(target) {
            println!("{name}");
            check(&seed);
        }
    }
}

#[test]
fn every_target_has_a_check_and_seeds_here() {
    let names = |folder: PathBuf| {
        let files = fs::read_dir(folder).unwrap();
        let name = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<_> = files.map(|file| name(file.unwrap().path())).collect();
        names.sort();
        names
    };
    let checks: Vec<_> = CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(folder().join("targets")), checks, "fuzz targets");
    assert_eq!(names(folder().join("seeds")), checks, "folders of seeds");
}

/// A change of an input.
#[derive(Debug, Clone)]
enum Change {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Cut(Index),
    /// Copies a part to another place.
    Repeat(Index, usize, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let bytes = prop::collection::vec(any::<u8>(), 1..9);
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (at(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (at(), 1..20_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), 1..60_usize, at()).prop_map(|(from, length, to)| Change::Repeat(from, length, to)),
    ]
}

fn changed(mut input: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: &Index| at.index(input.len() + 1);
        let stretch = |from: usize, length: usize| from..input.len().min(from + length);
        match change {
            Change::Set(at, byte) => {
                let at = place(at);
                input.splice(stretch(at, 1), [*byte]);
            }
            Change::Insert(at, bytes) => {
                let at = place(at);
                input.splice(at..at, bytes.iter().copied());
            }
            Change::Remove(at, length) => {
                let gone = stretch(place(at), *length);
                input.drain(gone);
            }
            Change::Cut(at) => input.truncate(at.index(input.len() + 1)),
            Change::Repeat(from, length, to) => {
                let (said, to) = (input[stretch(place(from), *length)].to_vec(), place(to));
                input.splice(to..to, said);
            }
        }
    }
    input
}

proptest! {
    // Store a failing input as a seed instead.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_seeds_hold_it_too(seed in any::<Index>(), changes in prop::collection::vec(change(), 1..6)) {
        for (target, check) in CHECKS {
            let seeds = seeds(target);
            check(&changed(seed.get(&seeds).1.clone(), &changes));
        }
    }
}
