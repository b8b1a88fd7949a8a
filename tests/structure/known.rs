//! Offences that are older than their rule. The list may only shrink: a new offence is refused, and so is an entry that
//! is no longer an offence.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[derive(Clone, Copy)]
pub enum Known {
    Names,
    Fields,
    Globs,
    Circles,
}

impl Known {
    fn heading(self) -> &'static str {
        match self {
            Self::Names => "# names",
            Self::Fields => "# fields",
            Self::Globs => "# globs",
            Self::Circles => "# circles",
        }
    }

    fn read(self) -> BTreeSet<String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/structure/known.txt");
        let text = fs::read_to_string(file).unwrap();
        let lines = text.lines().skip_while(|line| *line != self.heading());
        lines
            .skip(1)
            .take_while(|line| !line.starts_with('#'))
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// What is found but not listed, and what is listed but no longer found.
pub fn offences_beyond(known: Known, found: &BTreeSet<String>) -> Vec<String> {
    differences(&known.read(), found)
}

fn differences(known: &BTreeSet<String>, found: &BTreeSet<String>) -> Vec<String> {
    let new = found.difference(known).map(|name| format!("new: {name}"));
    let gone = known.difference(found);
    let gone = gone.map(|name| format!("mended: take out of tests/structure/known.txt: {name}"));
    new.chain(gone).collect()
}

#[test]
fn the_list_of_known_offences_can_only_shrink() {
    let set = |names: &[&str]| names.iter().copied().map(str::to_owned).collect();
    assert!(differences(&set(&["a", "b"]), &set(&["a", "b"])).is_empty());
    let found = differences(&set(&["a", "b"]), &set(&["b", "c"]));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("new: c"), "{found:?}");
    assert!(found[1].contains("take out"), "{found:?}");
}
