//! No circular dependencies between files, except between a parent and its children.
//!
//! A file depends on the file that defines what it names: a path through another module's `use` is followed to its end.
//! Paths between a module and the modules within it are left out, and so is everything that is compiled only for tests.

use std::collections::{BTreeMap, BTreeSet};

use super::scan::Source;
use super::{is_test, own_sources, within};

struct Graph<'a> {
    /// Each module that has a file, and the modules whose files that file needs.
    needs: BTreeMap<String, BTreeSet<String>>,
    imports: BTreeMap<&'a (String, String), &'a String>,
}

impl<'a> Graph<'a> {
    fn new(sources: &'a [Source]) -> Self {
        let production = || sources.iter().filter(|source| !is_test(source, sources));
        let mut graph = Self {
            needs: production()
                .map(|source| (source.module(), BTreeSet::new()))
                .collect(),
            imports: production().flat_map(|source| &source.imports).collect(),
        };
        for source in production() {
            let module = source.module();
            let named = source.paths.iter().filter(|named| !named.in_tests);
            let needs = named
                .filter_map(|named| graph.home(&named.path))
                .filter(|home| !within(home, &module) && !within(&module, home));
            let needs = needs.collect();
            graph.needs.insert(module, needs);
        }
        graph
    }

    /// The module whose file defines the target of a path.
    fn home(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        // Each step follows one `use`; no chain is longer than this.
        for _ in 0..8 {
            let module = self.file_module(&path)?.to_owned();
            let rest = path[module.len()..].trim_start_matches("::");
            let first = rest.split("::").next().unwrap_or_default();
            let key = (module.clone(), first.to_owned());
            match self.imports.get(&key) {
                Some(target) if target.starts_with("crate::") && **target != path => {
                    path = format!("{target}{}", &rest[first.len()..]);
                }
                _ => return Some(module),
            }
        }
        None
    }

    /// The innermost module with a file on a path.
    fn file_module<'p>(&self, path: &'p str) -> Option<&'p str> {
        let mut module = path;
        while !self.needs.contains_key(module) {
            module = module.rsplit_once("::")?.0;
        }
        // Every path begins with `crate`, which does not count.
        (module != "crate").then_some(module)
    }

    /// Each circle once, by its shortest way: `a → b → a`, from its alphabetically first name.
    fn circles(&self) -> BTreeSet<String> {
        self.needs
            .keys()
            .filter_map(|start| self.shortest_way_back(start))
            .filter(|way| way.iter().min() == way.first())
            .map(|way| {
                let names = way.iter().chain(way.first());
                let names = names.map(|name| name.trim_start_matches("crate::"));
                names.collect::<Vec<_>>().join(" → ")
            })
            .collect()
    }

    fn shortest_way_back(&self, start: &String) -> Option<Vec<String>> {
        let mut ways = vec![vec![start.clone()]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                for next in way.last().and_then(|last| self.needs.get(last))? {
                    if next == start {
                        return Some(way);
                    }
                    if seen.insert(next.clone()) {
                        longer.push([way.as_slice(), std::slice::from_ref(next)].concat());
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

pub fn circles(sources: &[Source]) -> BTreeSet<String> {
    Graph::new(sources).circles()
}

#[test]
fn no_files_go_in_circles() {
    let circles = circles(own_sources());
    assert!(circles.is_empty(), "{circles:#?}");
}
