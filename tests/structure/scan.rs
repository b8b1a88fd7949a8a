//! Reads as much of Rust as the rules need: which paths a file names, and how many of its lines are not tests.
//!
//! Comments and literals are blanked first, so that prose about a module is no use of it. Paths are found wherever they
//! stand: in `use` trees, and in code when they begin with `crate`, `self`, `super`, the crate's own name or a
//! dependency's. What a macro makes up is not seen.

use std::collections::BTreeSet;
use std::ops::Range;

/// One source file, scanned.
pub struct Source {
    /// Beneath `src/`, with `/`.
    pub path: String,
    /// Each path named, from its root on: `crate::core::time::ticks::Ticks`, `std::fmt`.
    pub paths: BTreeSet<Named>,
    /// All identifiers in code.
    pub words: BTreeSet<String>,
    /// Modules that are compiled for tests only and live in files of their own: `crate::runtime::fakes`.
    pub test_modules: Vec<String>,
    /// Lines that are not within a `#[cfg(test)]` module.
    pub lines: usize,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Named {
    pub line: usize,
    pub path: String,
}

impl Source {
    pub fn scan(path: &str, text: &str, dependencies: &BTreeSet<String>) -> Self {
        let mut scan = Scan {
            tokens: tokens(&blank(text)),
            module: module_of(path),
            inner: Vec::new(),
            depth: 0,
            dependencies,
            paths: BTreeSet::new(),
            test_modules: Vec::new(),
            test_lines: Vec::new(),
        };
        scan.run();
        let within = |line: &usize| scan.test_lines.iter().any(|range| range.contains(line));
        Self {
            path: path.to_owned(),
            words: scan.words(),
            lines: (1..=text.lines().count())
                .filter(|line| !within(line))
                .count(),
            paths: scan.paths,
            test_modules: scan.test_modules,
        }
    }

    /// `crate::runtime::fakes` of `runtime/fakes.rs`.
    pub fn module(&self) -> String {
        join(&module_of(&self.path))
    }
}

/// The segments behind `crate`: `["runtime", "fakes"]` of `runtime/fakes.rs`.
fn module_of(path: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    match stem {
        "lib" | "main" => Vec::new(),
        stem => stem.split('/').map(str::to_owned).collect(),
    }
}

fn join(segments: &[String]) -> String {
    let mut path = "crate".to_owned();
    for segment in segments {
        path.push_str("::");
        path.push_str(segment);
    }
    path
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Token {
    Word(String),
    /// `::`
    Path,
    Mark(char),
}

struct Scan<'a> {
    tokens: Vec<(usize, Token)>,
    module: Vec<String>,
    /// Inline modules that are open, and the depth of braces at which each began.
    inner: Vec<(String, usize)>,
    depth: usize,
    dependencies: &'a BTreeSet<String>,
    paths: BTreeSet<Named>,
    test_modules: Vec<String>,
    test_lines: Vec<Range<usize>>,
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut at = 0;
        while let Some((_, token)) = self.tokens.get(at).cloned() {
            at = match token {
                Token::Word(word) if word == "use" => self.use_tree(at + 1, &[]),
                Token::Word(word) if word == "mod" => self.mod_item(at),
                Token::Word(word) if self.begins_path(at, &word) => self.code_path(at),
                Token::Mark('{') => {
                    self.depth += 1;
                    at + 1
                }
                Token::Mark('}') => {
                    self.depth = self.depth.saturating_sub(1);
                    self.inner.pop_if(|(_, depth)| *depth == self.depth);
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    fn words(&self) -> BTreeSet<String> {
        let words = self.tokens.iter().filter_map(|(_, token)| match token {
            Token::Word(word) => Some(word.clone()),
            _ => None,
        });
        words.collect()
    }

    fn word(&self, at: usize) -> Option<&str> {
        match self.tokens.get(at) {
            Some((_, Token::Word(word))) => Some(word),
            _ => None,
        }
    }

    fn is(&self, at: usize, token: &Token) -> bool {
        self.tokens.get(at).is_some_and(|(_, found)| found == token)
    }

    fn line(&self, at: usize) -> usize {
        self.tokens
            .get(at.min(self.tokens.len() - 1))
            .map_or(0, |(line, _)| *line)
    }

    /// Reads a `use` tree; returns where to read on.
    fn use_tree(&mut self, mut at: usize, prefix: &[String]) -> usize {
        let mut path = prefix.to_vec();
        let line = self.line(at);
        loop {
            if self.is(at, &Token::Path) {
                at += 1;
            } else if self.is(at, &Token::Mark('{')) {
                at += 1;
                while at < self.tokens.len() && !self.is(at, &Token::Mark('}')) {
                    at = self.use_tree(at, &path);
                    at += usize::from(self.is(at, &Token::Mark(',')));
                }
                return at + 1;
            } else if self.is(at, &Token::Mark('*')) {
                at += 1;
            } else if let Some(word) = self.word(at).map(str::to_owned) {
                if word == "as" {
                    at += 2;
                } else {
                    path.push(word);
                    at += 1;
                }
            } else {
                self.name(line, &path);
                // A stray token must not stop the scan.
                let ends = [Token::Mark(','), Token::Mark('}'), Token::Mark(';')];
                return if ends.iter().any(|end| self.is(at, end)) {
                    at
                } else {
                    at + 1
                };
            }
        }
    }

    fn mod_item(&mut self, at: usize) -> usize {
        let Some(name) = self.word(at + 1).map(str::to_owned) else {
            return at + 1;
        };
        let for_tests = self.is_cfg_test(at);
        if self.is(at + 2, &Token::Mark('{')) {
            if for_tests {
                let end = self.closing(at + 2);
                self.test_lines.push(self.line(at)..self.line(end) + 1);
            }
            self.inner.push((name, self.depth));
        } else if for_tests {
            let mut module = self.here();
            module.push(name);
            self.test_modules.push(join(&module));
        }
        at + 2
    }

    /// Whether `#[cfg(test)]` stands before the item, maybe with a visibility in between.
    fn is_cfg_test(&self, item: usize) -> bool {
        let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
        let text = |at: usize| match self.tokens.get(at) {
            Some((_, Token::Word(word))) => word.clone(),
            Some((_, Token::Mark(mark))) => mark.to_string(),
            _ => String::new(),
        };
        let mut start = item;
        while start > 0 && !["]", ";", "}", "{"].contains(&text(start - 1).as_str()) {
            start -= 1;
        }
        start >= attribute.len()
            && attribute
                .iter()
                .enumerate()
                .all(|(n, part)| text(start - attribute.len() + n) == *part)
    }

    fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for at in open..self.tokens.len() {
            if self.is(at, &Token::Mark('{')) {
                depth += 1;
            } else if self.is(at, &Token::Mark('}')) {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        self.tokens.len() - 1
    }

    fn begins_path(&self, at: usize, word: &str) -> bool {
        let root = matches!(word, "crate" | "self" | "super" | "std" | "incidentd")
            || self.dependencies.contains(word);
        let leads_here = |before: &str| !matches!(before, "as" | "dyn" | "impl" | "in" | "mut");
        let inside = at > 1
            && self.is(at - 1, &Token::Path)
            && (self.word(at - 2).is_some_and(leads_here) || self.is(at - 2, &Token::Mark('>')));
        root && !inside && self.is(at + 1, &Token::Path)
    }

    fn code_path(&mut self, mut at: usize) -> usize {
        let line = self.line(at);
        let mut path = Vec::new();
        while let Some(word) = self.word(at) {
            path.push(word.to_owned());
            at += 1;
            if !self.is(at, &Token::Path) {
                break;
            }
            at += 1;
        }
        self.name(line, &path);
        at
    }

    fn here(&self) -> Vec<String> {
        let inner = self.inner.iter().map(|(name, _)| name.clone());
        self.module.iter().cloned().chain(inner).collect()
    }

    /// Notes a path, with `self`, `super` and the crate's name resolved.
    fn name(&mut self, line: usize, path: &[String]) {
        let Some(root) = path.first() else { return };
        let mut rest = &path[1..];
        let mut module = match root.as_str() {
            "crate" | "incidentd" => Vec::new(),
            "self" | "super" => self.here(),
            _ => {
                let path = path.join("::");
                self.paths.insert(Named { line, path });
                return;
            }
        };
        if root == "super" {
            module.pop();
        }
        while let Some((first, more)) = rest.split_first()
            && matches!(first.as_str(), "super" | "self")
        {
            if first == "super" {
                module.pop();
            }
            rest = more;
        }
        module.extend(rest.iter().cloned());
        let path = join(&module);
        self.paths.insert(Named { line, path });
    }
}

fn tokens(text: &str) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let word = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let (token, length) = if word > 0 {
                (Some(Token::Word(rest[..word].to_owned())), word)
            } else if rest.starts_with("::") {
                (Some(Token::Path), 2)
            } else {
                let token = (!first.is_whitespace()).then_some(Token::Mark(first));
                (token, first.len_utf8())
            };
            tokens.extend(token.map(|token| (number + 1, token)));
            rest = &rest[length..];
        }
    }
    tokens
}

/// The text with comments and the insides of literals as spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest, &out));
        match skipped {
            Some(length) => {
                let keep = |c: char| if c == '\n' { '\n' } else { ' ' };
                out.extend(rest[..length].chars().map(keep));
                rest = &rest[length..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// The length of the comment that `text` begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        let step = match rest {
            _ if rest.starts_with("/*") => {
                depth += 1;
                2
            }
            _ if rest.starts_with("*/") => {
                depth -= 1;
                2
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    Some(at)
}

/// The length of the string or character that `text` begins with. `before` ends in what stands to its left.
fn literal(text: &str, before: &str) -> Option<usize> {
    let after_word = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if let Some(raw) = text
        .strip_prefix('r')
        .filter(|_| !after_word || before.ends_with('b'))
    {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = &raw[hashes + 1..];
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            return Some(1 + hashes + 1 + length);
        }
    }
    match text.chars().next() {
        Some('"') => quoted(text, '"'),
        // A lifetime has no closing quote behind its first character.
        Some('\'') if text[1..].starts_with('\\') => quoted(text, '\''),
        Some('\'') => {
            let inside = text[1..].chars().next()?;
            let length = 1 + inside.len_utf8();
            text[length..].starts_with('\'').then_some(length + 1)
        }
        _ => None,
    }
}

fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return Some(at + 1);
        }
        escaped = !escaped && c == '\\';
    }
    Some(text.len())
}
