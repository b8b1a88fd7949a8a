//! A version in few bytes.

use crate::core::incident::version::{ContentHash, Forms, Phase, Seen};
use crate::core::sources::SourceKind;
use crate::core::time::ticks::Ticks;

/// A [`Seen`] in 24 bytes. Almost every version has one form, and room for eight would take six times as much.
#[derive(Debug, PartialEq)]
pub(super) enum CompactSeen {
    OneForm {
        updated: Ticks,
        hash: ContentHash,
        phase: Phase,
        origin: SourceKind,
        whole: bool,
    },
    Other(Box<Seen>),
}

impl CompactSeen {
    pub(super) fn new(seen: &Seen) -> Self {
        let Seen {
            updated,
            phase,
            forms,
            origin,
            whole,
        } = *seen;
        let mut hashes = forms.hashes();
        match (hashes.next(), hashes.next()) {
            (Some(hash), None) => Self::OneForm {
                updated,
                hash,
                phase,
                origin,
                whole,
            },
            _ => Self::Other(Box::new(*seen)),
        }
    }

    pub(super) fn seen(&self) -> Seen {
        match *self {
            Self::OneForm {
                updated,
                hash,
                phase,
                origin,
                whole,
            } => Seen {
                updated,
                phase,
                forms: Forms::NONE.and(hash),
                origin,
                whole,
            },
            Self::Other(ref seen) => **seen,
        }
    }

    pub(super) fn updated(&self) -> Ticks {
        match self {
            Self::OneForm { updated, .. } => *updated,
            Self::Other(seen) => seen.updated,
        }
    }
}
