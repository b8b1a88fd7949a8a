//! When a credential in files is valid, as its present content says.

use parking_lot::Mutex;

use crate::core::health::validity::Validity;

/// The validity in the files, and the stamp that the files had then: they are read again when they change.
#[derive(Debug, Default)]
pub(super) struct KnownValidity(Mutex<Option<(u64, Option<Validity>)>>);

impl KnownValidity {
    /// `stamp` changes with the files; `read` reads them.
    pub(super) fn get(
        &self,
        stamp: &dyn Fn() -> u64,
        read: impl FnOnce() -> Option<Validity>,
    ) -> Option<Validity> {
        let stamp = stamp();
        let mut known = self.0.lock();
        match *known {
            Some((of, validity)) if of == stamp => validity,
            _ => {
                let validity = read();
                *known = Some((stamp, validity));
                validity
            }
        }
    }
}
