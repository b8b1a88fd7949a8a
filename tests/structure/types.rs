//! No two types with the same name, no struct with many fields without a reason, no file that imports all of its
//! parent's names.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::{Source, Type};
use super::{is_test, own_sources, part};

const MAX_FIELDS: usize = 12;
/// In the comment above a larger struct, the reason follows these words.
const REASON: &str = "More than 12 fields: ";

/// The types of the program. The simulator has its own names.
fn types(sources: &[Source]) -> impl Iterator<Item = (&Source, &Type)> {
    sources
        .iter()
        .filter(|source| part(source) != "simulator" && !is_test(source, sources))
        .flat_map(|source| source.types.iter().map(move |found| (source, found)))
}

/// Names that more than one type has, with the files of those types.
pub fn double_names(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for (source, found) in types(sources) {
        let place = format!("src/{}:{}", source.path, found.line);
        places.entry(found.name.clone()).or_default().push(place);
    }
    places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| (name, places.into_iter().collect()))
        .collect()
}

pub fn large_structs(sources: &[Source]) -> BTreeSet<String> {
    types(sources)
        .filter(|(_, found)| found.fields > MAX_FIELDS && !found.comment.contains(REASON))
        .map(|(source, found)| format!("src/{}: {}", source.path, found.name))
        .collect()
}

pub fn globs_of_parents(sources: &[Source]) -> BTreeSet<String> {
    let production = sources.iter().filter(|source| !is_test(source, sources));
    production
        .filter(|source| {
            let module = source.module();
            let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
            let mut paths = source.paths.iter();
            paths.any(|named| named.glob && !named.in_tests && named.path == parent)
        })
        .map(|source| format!("src/{}", source.path))
        .collect()
}

#[test]
fn no_two_types_have_one_name() {
    let double = double_names(own_sources());
    assert!(double.is_empty(), "{double:#?}");
}

#[test]
fn large_structs_give_their_reason() {
    let large = large_structs(own_sources());
    assert!(
        large.is_empty(),
        "{large:#?}\nof more than {MAX_FIELDS} fields and without a comment `// {REASON}...` above"
    );
}

#[test]
fn no_file_is_a_cut_of_its_parent() {
    let globs = globs_of_parents(own_sources());
    assert!(
        globs.is_empty(),
        "{globs:#?}\nwith `use super::*`: name what it needs"
    );
}
