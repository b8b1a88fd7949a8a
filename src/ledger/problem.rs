//! What is wrong with the ledger now, for the status page.

use parking_lot::{Mutex, MutexGuard};
use std::path::Path;

use crate::core::health::failure::Failure;

use super::error::StoreError;

/// The last failure, until a write succeeds.
#[derive(Debug, Default)]
pub(super) struct CurrentProblem(Mutex<Option<LedgerProblem>>);

#[derive(Debug, Clone)]
pub(super) struct LedgerProblem {
    pub(super) what: String,
    pub(super) remedy: String,
    /// The rows themselves can't be trusted: waiting does not help.
    pub(super) damage: bool,
    /// The disk is slow and has refused nothing: the next answer of any kind ends the problem.
    slow: bool,
}

impl CurrentProblem {
    /// Keeps the failure and returns it as a message.
    pub(super) fn note(&self, error: &StoreError, path: &Path) -> Failure {
        let failure = error.failure(path);
        let mut current = self.lock();
        // It is closed because of the failure before, which says why.
        if current.is_none() || !matches!(error, StoreError::Closed) {
            *current = Some(LedgerProblem {
                what: failure.what.clone(),
                remedy: failure.remedy.clone(),
                damage: error.is_damage(),
                slow: false,
            });
        }
        failure
    }

    /// Keeps that the disk does not answer, unless there is a worse problem.
    pub(super) fn note_slow(&self, failure: Failure) -> Failure {
        self.lock().get_or_insert_with(|| LedgerProblem {
            what: failure.what.clone(),
            remedy: failure.remedy.clone(),
            damage: false,
            slow: true,
        });
        failure
    }

    /// The disk has answered a read.
    pub(super) fn answered(&self) {
        self.lock().take_if(|current| current.slow);
    }

    /// A write succeeded. Damage that was found in a row stays: a write elsewhere does not mend it.
    pub(super) fn clear(&self) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| !current.damage) {
            *current = None;
        }
    }

    pub(super) fn current(&self) -> Option<LedgerProblem> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<LedgerProblem>> {
        self.0.lock()
    }
}
