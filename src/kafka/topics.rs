//! Topics that Kafka was seen to have.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

/// A poisoned lock guards a plain set here, which is whole whatever thread died.
#[derive(Default)]
pub(super) struct Topics(RwLock<HashSet<Arc<str>>>);

impl Topics {
    pub(super) fn has(&self, topic: &Arc<str>) -> bool {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        seen.contains(topic)
    }

    pub(super) fn any(&self) -> Option<Arc<str>> {
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        seen.iter().next().cloned()
    }

    pub(super) fn note(&self, topic: &Arc<str>) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        seen.insert(Arc::clone(topic));
    }

    pub(super) fn forget(&self, topic: &Arc<str>) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        seen.remove(topic);
    }
}
