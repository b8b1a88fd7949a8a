//! Single values: texts, choices, numbers, durations, sizes; with what holds when they are not given.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use config::{Value, ValueKind};

use super::super::problems::{Wrong, wrong};
use super::super::units;
use super::{ConfigSection, Owner};
use crate::config::provenance::{Literal, Meaning, quoted};

impl ConfigSection<'_> {
    /// A value without a default. `parse` says what is wrong with its text.
    pub fn parse<T: Literal>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = self.take_text(key, T::IS_TEXT)?;
        self.note(key, text.and_then(|text| parse(&text)), T::literal)
    }

    /// Notes what a key came to, or reports what is wrong with it.
    fn note<T>(
        &mut self,
        key: &'static str,
        parsed: Result<T, Wrong>,
        literal: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match parsed {
            Ok(value) => {
                let literal = literal(&value);
                if let Some(spot) = self.given_at(key).cloned() {
                    self.mean(key, Meaning::Given { literal, spot });
                }
                Some(value)
            }
            Err(wrong) => {
                self.refuse(key, wrong);
                None
            }
        }
    }

    /// A value that is `base` when it is not given.
    pub fn parse_or<T: Literal + Clone>(
        &mut self,
        key: &'static str,
        base: &T,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> T {
        let text = self.take_text(key, T::IS_TEXT);
        self.or(key, text, base, T::literal, parse)
    }

    fn or<T: Clone>(
        &mut self,
        key: &'static str,
        text: Option<Result<String, Wrong>>,
        base: &T,
        literal: impl Fn(&T) -> String,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> T {
        let parsed = text.map(|text| text.and_then(|text| parse(&text)));
        if let Some(value) = parsed.and_then(|parsed| self.note(key, parsed, &literal)) {
            return value;
        }
        if let Owner::Daemon = self.scope.owner {
            let literal = literal(base);
            self.mean(key, Meaning::Default { literal });
        }
        base.clone()
    }

    pub fn choice_or<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        base: T,
        choices: &[(&str, T)],
    ) -> T {
        let names = |quote: &str| {
            let names: Vec<String> = choices
                .iter()
                .map(|(name, _)| format!("{quote}{name}{quote}"))
                .collect();
            names.join(" or ")
        };
        let name = |choice: &T| {
            let found = choices.iter().find(|(_, other)| other == choice);
            quoted(found.map_or("", |(name, _)| name))
        };
        let text = self.take_text(key, false);
        self.or(key, text, &base, name, |text| {
            let found = choices.iter().find(|(name, _)| *name == text);
            found.map(|(_, choice)| *choice).ok_or_else(|| {
                wrong(
                    "it is none of the choices",
                    format!("choose {}", names("\"")),
                )
            })
        })
    }

    /// A list of texts, none when it is not given. The environment has them in one text, with commas between.
    pub fn texts(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<Arc<str>, Wrong>,
    ) -> Vec<Arc<str>> {
        let literal = |texts: &Vec<Arc<str>>| {
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", texts.join(", "))
        };
        let texts = self.take_texts(key);
        let texts = texts.map(|texts| texts?.iter().map(|text| parse(text.trim())).collect());
        match texts {
            Some(texts) => self.note(key, texts, literal).unwrap_or_default(),
            None => Vec::new(),
        }
    }

    fn take_texts(&mut self, key: &'static str) -> Option<Result<Vec<String>, Wrong>> {
        let list = || wrong("it should be a list of texts", "write it as [\"…\", \"…\"]");
        Some(match self.take(key, false)?.kind {
            ValueKind::Array(values) => {
                let text = |value: Value| match value.kind {
                    ValueKind::String(text) => Ok(text),
                    _ => Err(list()),
                };
                values.into_iter().map(text).collect()
            }
            ValueKind::String(text) if text.trim().is_empty() => Ok(Vec::new()),
            ValueKind::String(text) => Ok(text.split(',').map(str::to_owned).collect()),
            _ => Err(list()),
        })
    }

    pub fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.parse(key, |text| units::number(text, range))
    }

    pub fn number_or(&mut self, key: &'static str, base: u64, range: RangeInclusive<u64>) -> u64 {
        self.parse_or(key, &base, |text| units::number(text, range))
    }

    pub fn duration_or(
        &mut self,
        key: &'static str,
        base: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let literal = |duration: &Duration| quoted(&units::show_duration(*duration));
        let text = self.take_text(key, false);
        self.or(key, text, &base, literal, |text| {
            units::duration_in(text, range)
        })
    }

    pub fn size_or(&mut self, key: &'static str, base: usize, range: RangeInclusive<u64>) -> usize {
        let literal = |size: &usize| quoted(&units::show_size(*size as u64));
        let text = self.take_text(key, false);
        self.or(key, text, &base, literal, |text| {
            units::size_in(text, range)
        })
    }

    /// Asks for a key without looking at its value: another key has spoilt it.
    pub fn pass_over(&mut self, key: &'static str) {
        self.take(key, false);
    }

    /// Notes that a key follows from others.
    pub fn derive(&mut self, key: &'static str, value: &impl Literal, from: String) {
        let literal = value.literal();
        self.mean(key, Meaning::Derived { literal, from });
    }

    /// Notes that a key of a tenant has no value, whatever the main file has.
    pub fn unset(&mut self, key: &'static str) {
        if !self.given(key) {
            self.mean(key, Meaning::Unset);
        }
    }
}
