//! Notices that Kubernetes has replaced the files of a mounted ConfigMap or Secret.
//!
//! The kubelet keeps the files of such a volume in a folder of their own, and the symbolic link `..data` points to it. An
//! update writes a new folder and then replaces the link, so all files of a volume change in one step. Only these links are
//! checked: a change in a folder without `..data`, which is every folder outside Kubernetes, is never noticed.
//!
//! Invariant: a replacement is never missed. The links are read before the files, so a change during the reading of the files
//! is noticed afterwards.
//!
//! Failure modes: a link that can't be read counts as missing until it can be read again.

use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::settings::Settings;

/// How often the links are checked. The kubelet itself needs a minute or two to replace one.
const LOOK: Duration = Duration::from_secs(2);

/// Folders, and the target of the `..data` link in each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mounts(BTreeMap<PathBuf, Option<PathBuf>>);

impl Mounts {
    /// The same folders with their links of now. Blocks.
    pub fn again(&self) -> Self {
        let look = |folder: &PathBuf| (folder.clone(), link(folder));
        Self(self.0.keys().map(look).collect())
    }

    /// The folders of all files of `settings`: known folders with their known links, the others with their links of now. Blocks.
    pub fn of(&self, settings: &Settings) -> Self {
        let of = |folder: &Path| {
            let known = self.0.get(folder).cloned();
            (folder.to_owned(), known.unwrap_or_else(|| link(folder)))
        };
        Self(settings.all_folders().into_iter().map(of).collect())
    }

    /// Whether Kubernetes has mounted any of the folders.
    pub fn any(&self) -> bool {
        self.0.values().any(Option::is_some)
    }

    /// Resolves when a link has another target; never, if there are no links.
    pub async fn replaced(&self) {
        if !self.any() {
            return pending().await;
        }
        loop {
            sleep(LOOK).await;
            let before = self.clone();
            // A check that panicked, or that the end of the runtime prevented, has seen no change.
            let looked = spawn_blocking(move || before.again() != before).await;
            if looked.unwrap_or(false) {
                return;
            }
        }
    }
}

fn link(folder: &Path) -> Option<PathBuf> {
    fs::read_link(folder.join("..data")).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mount(folder: &Path, version: &str) {
        let new = folder.join("..data_tmp");
        symlink(version, &new).unwrap();
        fs::rename(new, folder.join("..data")).unwrap();
    }

    fn mounts(folders: &[&Path]) -> Mounts {
        let look = |folder: &&Path| (folder.to_path_buf(), link(folder));
        Mounts(folders.iter().map(look).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_is_replaced_is_noticed_and_one_that_is_not_never() {
        let (mounted, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        mount(mounted.path(), "..1");
        let mounts = mounts(&[mounted.path(), plain.path()]);
        let hour = Duration::from_secs(3600);
        assert!(
            tokio::time::timeout(hour, mounts.replaced()).await.is_err(),
            "nothing was replaced"
        );
        mount(mounted.path(), "..2");
        assert!(
            tokio::time::timeout(hour, mounts.replaced()).await.is_ok(),
            "the link leads elsewhere"
        );
        let now = mounts.again();
        assert!(
            tokio::time::timeout(hour, now.replaced()).await.is_err(),
            "that was noticed before"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_change_outside_kubernetes_are_not_noticed() {
        let plain = tempfile::tempdir().unwrap();
        let mounts = mounts(&[plain.path()]);
        assert!(!mounts.any());
        fs::write(plain.path().join("incidentd.toml"), "changed").unwrap();
        mount(plain.path(), "..1");
        let hour = Duration::from_secs(3600);
        assert!(tokio::time::timeout(hour, mounts.replaced()).await.is_err());
    }
}
