//! Reads from a source file what the rules need: the paths that it names, its types, and its number of lines without
//! tests.
//!
//! `syn` parses the file. Paths are found in `use` trees, and in code when they begin with `crate`, `self`, `super`,
//! the crate's own name, `std` or a dependency. The tokens within macro calls and attributes are searched the same way.
//! Paths that a macro generates are not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// One source file, scanned.
pub struct Source {
    /// Relative to `src/`, with `/`.
    pub path: String,
    /// Each path named, from its root on: `crate::core::time::ticks::Ticks`, `std::fmt`.
    pub paths: BTreeSet<Named>,
    /// All identifiers in code.
    pub words: BTreeSet<String>,
    /// What `use` imports into each module of the file: the module and the local name, and the path.
    pub imports: BTreeMap<(String, String), String>,
    /// Types outside test modules.
    pub types: Vec<Type>,
    /// Modules that are compiled only for tests and have their own files: `crate::runtime::fakes`.
    pub test_modules: Vec<String>,
    /// Lines outside `#[cfg(test)]` modules.
    pub lines: usize,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Named {
    pub line: usize,
    pub path: String,
    /// Whether a `#[cfg(test)]` module of the file names it.
    pub in_tests: bool,
    /// Whether it is a `use path::*`.
    pub glob: bool,
}

pub struct Type {
    pub name: String,
    pub line: usize,
    /// The number of fields of a struct.
    pub fields: usize,
    /// The comment lines above the item, joined by spaces.
    pub comment: String,
}

impl Source {
    pub fn scan(path: &str, text: &str, dependencies: &BTreeSet<String>) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}: {e}"));
        let mut scan = Scan {
            text: text.lines().collect(),
            dependencies,
            module: module_of(path),
            children: children(&file),
            in_tests: 0,
            in_function: 0,
            paths: BTreeSet::new(),
            words: BTreeSet::new(),
            imports: BTreeMap::new(),
            types: Vec::new(),
            test_modules: Vec::new(),
            test_lines: Vec::new(),
        };
        scan.visit_file(&file);
        let is_test = |line: &usize| scan.test_lines.iter().any(|range| range.contains(line));
        Self {
            path: path.to_owned(),
            lines: (1..=scan.text.len()).filter(|line| !is_test(line)).count(),
            paths: scan.paths,
            words: scan.words,
            imports: scan.imports,
            types: scan.types,
            test_modules: scan.test_modules,
        }
    }

    /// `crate::runtime::fakes` for `runtime/fakes.rs`.
    pub fn module(&self) -> String {
        join(&module_of(&self.path))
    }
}

/// The segments after `crate`: `["runtime", "fakes"]` for `runtime/fakes.rs`.
fn module_of(path: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    match stem {
        "lib" | "main" => Vec::new(),
        stem => stem.split('/').map(str::to_owned).collect(),
    }
}

fn join(segments: &[String]) -> String {
    let root = ["crate"].into_iter();
    let path: Vec<&str> = root.chain(segments.iter().map(String::as_str)).collect();
    path.join("::")
}

struct Scan<'a> {
    text: Vec<&'a str>,
    dependencies: &'a BTreeSet<String>,
    /// The present module: the file's, and the inline modules within it.
    module: Vec<String>,
    /// The modules that the file declares, except inline ones: a path may begin with their names.
    children: BTreeSet<String>,
    /// How many open inline modules are for tests, and how many functions are open.
    in_tests: usize,
    in_function: usize,
    paths: BTreeSet<Named>,
    words: BTreeSet<String>,
    imports: BTreeMap<(String, String), String>,
    types: Vec<Type>,
    test_modules: Vec<String>,
    test_lines: Vec<RangeInclusive<usize>>,
}

impl Scan<'_> {
    /// A path in code. A single segment is not a path: it names an import.
    fn code_path(&mut self, segments: &[String], span: Span) {
        let Some(root) = segments.first() else { return };
        let known = matches!(
            root.as_str(),
            "crate" | "self" | "super" | "std" | "incidentd"
        );
        let known = known || self.children.contains(root);
        if segments.len() > 1 && (known || self.dependencies.contains(root)) {
            self.name(segments, span, false);
        }
    }

    fn name(&mut self, segments: &[String], span: Span, glob: bool) -> String {
        let path = self.resolve(segments);
        self.paths.insert(Named {
            line: span.start().line,
            path: path.clone(),
            in_tests: self.in_tests > 0,
            glob,
        });
        path
    }

    /// The path from its root on: `self`, `super` and the crate's own name become `crate` and the module.
    fn resolve(&self, segments: &[String]) -> String {
        let (mut module, mut rest) = match segments.first().map(String::as_str) {
            Some("crate" | "incidentd") => (Vec::new(), &segments[1..]),
            Some("self" | "super") => (self.module.clone(), segments),
            Some(child) if self.children.contains(child) && self.in_tests == 0 => {
                (self.module.clone(), segments)
            }
            _ => return segments.join("::"),
        };
        while let Some((first, more)) = rest.split_first()
            && matches!(first.as_str(), "super" | "self")
        {
            if first == "super" {
                module.pop();
            }
            rest = more;
        }
        module.extend(rest.iter().cloned());
        join(&module)
    }

    fn use_tree(&mut self, tree: &syn::UseTree, prefix: &[String]) {
        let with = |name: &Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => {
                self.word(&path.ident);
                self.use_tree(&path.tree, &with(&path.ident));
            }
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.use_tree(item, prefix);
                }
            }
            syn::UseTree::Glob(glob) => {
                self.name(prefix, glob.star_token.spans[0], true);
            }
            syn::UseTree::Name(syn::UseName { ident }) if ident == "self" => {
                self.import(prefix, prefix.last().cloned(), ident.span());
            }
            syn::UseTree::Name(syn::UseName { ident }) => {
                self.word(ident);
                self.import(&with(ident), Some(ident.to_string()), ident.span());
            }
            syn::UseTree::Rename(syn::UseRename { ident, rename, .. }) => {
                self.word(ident);
                self.import(&with(ident), Some(rename.to_string()), ident.span());
            }
        }
    }

    fn import(&mut self, segments: &[String], local: Option<String>, span: Span) {
        let path = self.name(segments, span, false);
        if let Some(local) = local.filter(|_| self.in_function == 0) {
            self.imports.insert((join(&self.module), local), path);
        }
    }

    fn word(&mut self, ident: &Ident) {
        self.words.insert(ident.to_string());
    }

    /// Finds words and paths among the tokens of a macro call or an attribute.
    fn tokens(&mut self, tokens: &TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        // The number of colons between the last word and here.
        let mut colons = 0;
        for token in tokens.clone() {
            match token {
                TokenTree::Ident(ident) => {
                    self.word(&ident);
                    if colons != 2 || path.is_empty() {
                        self.code_path(&std::mem::take(&mut path), start);
                        start = ident.span();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.code_path(&std::mem::take(&mut path), start);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(&group.stream());
                    }
                }
            }
        }
        self.code_path(&path, start);
    }

    fn new_type(&mut self, name: &Ident, fields: usize) {
        if self.in_tests > 0 || self.in_function > 0 {
            return;
        }
        let line = name.span().start().line;
        let above = self.text[..line - 1].iter().rev().map(|line| line.trim());
        let comment: Vec<&str> = above
            .take_while(|line| line.starts_with("//") || line.starts_with("#["))
            .filter_map(|line| line.strip_prefix("//"))
            .map(|line| line.trim_start_matches('/').trim())
            .collect();
        self.types.push(Type {
            name: name.to_string(),
            line,
            fields,
            comment: comment.into_iter().rev().collect::<Vec<_>>().join(" "),
        });
    }
}

impl<'ast> Visit<'ast> for Scan<'_> {
    fn visit_ident(&mut self, ident: &'ast Ident) {
        self.word(ident);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if let Some(first) = path.segments.first() {
            self.code_path(&segments, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(&call.tokens);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.visit_path(&list.path);
        self.tokens(&list.tokens);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let for_tests = item.attrs.iter().any(is_cfg_test);
        self.word(&item.ident);
        self.module.push(item.ident.to_string());
        match &item.content {
            Some((braces, items)) => {
                if for_tests {
                    let (open, close) = (braces.span.open(), braces.span.close());
                    self.test_lines.push(open.start().line..=close.end().line);
                }
                self.in_tests += usize::from(for_tests);
                items.iter().for_each(|item| self.visit_item(item));
                self.in_tests -= usize::from(for_tests);
            }
            None if for_tests => self.test_modules.push(join(&self.module)),
            None => {}
        }
        self.module.pop();
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.in_function += 1;
        visit::visit_block(self, block);
        self.in_function -= 1;
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.new_type(&item.ident, item.fields.len());
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.new_type(&item.ident, 0);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.new_type(&item.ident, 0);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.new_type(&item.ident, 0);
        visit::visit_item_type(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.new_type(&item.ident, item.fields.named.len());
        visit::visit_item_union(self, item);
    }
}

fn children(file: &syn::File) -> BTreeSet<String> {
    let modules = file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
        _ => None,
    });
    modules.collect()
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Path>()
            .is_ok_and(|what| what.is_ident("test"))
}
