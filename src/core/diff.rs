//! What a reload changes: compares two configurations of a fleet.
//!
//! Invariant: a tenant in none of the lists is untouched, and a reload changes nothing of it.

use std::collections::BTreeMap;

/// The differences by the keys of the tenants, each list in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff<K> {
    pub added: Vec<K>,
    pub removed: Vec<K>,
    pub changed: Vec<K>,
    pub untouched: usize,
}

impl<K: Ord + Copy> Diff<K> {
    /// The differences from `before` to `after`. Keys are unique.
    pub fn between<V>(
        before: impl IntoIterator<Item = (K, V)>,
        after: impl IntoIterator<Item = (K, V)>,
        same: impl Fn(&V, &V) -> bool,
    ) -> Self {
        let mut before: BTreeMap<_, _> = before.into_iter().collect();
        let after: BTreeMap<_, _> = after.into_iter().collect();
        let mut diff = Self {
            added: Vec::new(),
            removed: Vec::new(),
            changed: Vec::new(),
            untouched: 0,
        };
        for (key, value) in after {
            match before.remove(&key) {
                None => diff.added.push(key),
                Some(was) if same(&was, &value) => diff.untouched += 1,
                Some(_) => diff.changed.push(key),
            }
        }
        diff.removed = before.into_keys().collect();
        diff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_tenant_is_in_one_list_and_the_lists_lead_from_before_to_after(
            before in prop::collection::btree_map(0_u8..20, 0_u8..3, 0..12),
            after in prop::collection::btree_map(0_u8..20, 0_u8..3, 0..12),
        ) {
            let diff = Diff::between(before.clone(), after.clone(), |a, b| a == b);
            let mut made = before.clone();
            made.retain(|key, _| !diff.removed.contains(key));
            for key in diff.added.iter().chain(&diff.changed) {
                made.insert(*key, after[key]);
            }
            prop_assert_eq!(&made, &after);
            prop_assert!(diff.added.iter().all(|key| !before.contains_key(key)));
            prop_assert!(diff.changed.iter().all(|key| before[key] != after[key]));
            prop_assert_eq!(diff.untouched + diff.added.len() + diff.changed.len(), after.len());
        }
    }
}
