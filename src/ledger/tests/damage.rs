//! Files that must be refused and left unchanged.

use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;

use proptest::prelude::*;
use redb::{Database, ReadableDatabase};

use super::*;
use crate::core::health::status::PartState;
use crate::ledger::open::{FORMAT, FORMAT_KEY, META};
use crate::ledger::tables::VERSIONS;

/// A directory with a ledger of a few hundred rows.
fn filled() -> tempfile::TempDir {
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(fill);
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(dir.path().join("ledger.redb"), &*BYTES).expect("write");
    dir
}

fn fill() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ledger = open(dir.path());
    let write = async {
        for of in 0..4 {
            let mut all = entry(of, 0);
            all.seen = (0..200).map(|id| (IncidentId(id), seen(id))).collect();
            ledger.write(all).await.expect("written");
        }
    };
    wait_for(write);
    ledger.close();
    std::fs::read(dir.path().join("ledger.redb")).expect("read")
}

pub(super) fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("runtime").block_on(future)
}

/// Changes a ledger without incidentd.
pub(super) fn tamper(dir: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(dir.join("ledger.redb")).expect("open");
    let mut transaction = database.begin_write().expect("begin");
    transaction.set_quick_repair(true);
    change(&transaction);
    transaction.commit().expect("commit");
}

#[test]
fn a_ledger_in_use_is_refused_and_free_again_afterwards() {
    let dir = filled();
    let first = open(dir.path());
    let error = LocalLedger::open(dir.path()).expect_err("in use");
    assert!(matches!(error, LedgerError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    first.close();
    open(dir.path());
}

#[test]
fn a_file_in_the_place_of_the_folder_is_named() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("ledger");
    std::fs::write(&file, "").expect("write");
    for path in [file.clone(), file.join("below")] {
        let error = LocalLedger::open(&path).expect_err("no folder");
        let told = format!("in {}: it is a file, not a folder", file.display());
        assert!(error.to_string().contains(&told), "{error}");
    }
}

#[test]
fn messages_name_the_whole_path() {
    // Relative to the working directory of the tests, which is the package's folder.
    let error = LocalLedger::open(Path::new("Cargo.toml")).expect_err("no folder");
    let whole = std::path::absolute("Cargo.toml").expect("a path");
    let whole = whole.display().to_string();
    assert!(error.to_string().contains(&whole), "{error}");
}

#[test]
fn a_ledger_of_a_later_version_is_refused_untouched() {
    let dir = filled();
    tamper(dir.path(), |transaction| {
        let mut meta = transaction.open_table(META).expect("meta");
        meta.insert(FORMAT_KEY, FORMAT + 1).expect("insert");
    });
    let error = refused_untouched(dir.path());
    let LedgerError::LaterVersion { found, known, .. } = error else {
        panic!("{error}");
    };
    assert_eq!((found, known), (FORMAT + 1, FORMAT));
}

#[test]
fn what_is_no_ledger_is_refused_untouched() {
    let half = std::fs::read(filled().path().join("ledger.redb")).expect("read");
    let half = &half[..half.len() / 2];
    for bytes in [&b""[..], b"x", &[0; 8192], &[b'x'; 100_000], half] {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("ledger.redb"), bytes).expect("write");
        let error = refused_untouched(dir.path());
        assert!(
            matches!(error, LedgerError::Corrupt { .. }),
            "{} bytes: {error:?}",
            bytes.len()
        );
    }
}

#[test]
fn another_program_s_database_is_refused_untouched() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("ledger.redb");
    let table = redb::TableDefinition::<u64, u64>::new("theirs");
    let database = Database::create(&file).expect("create");
    let transaction = database.begin_write().expect("begin");
    transaction
        .open_table(table)
        .expect("table")
        .insert(1, 1)
        .expect("insert");
    transaction.commit().expect("commit");
    drop(database);
    let error = refused_untouched(dir.path());
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_flipped_byte_is_found_or_harmless_and_never_a_panic(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let sound = filled();
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut bytes = std::fs::read(sound.path().join("ledger.redb")).expect("read");
        // The used part of the file: redb allocates much more than it uses.
        let live = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes[at.index(live)] ^= flip;
        let file = dir.path().join("ledger.redb");
        std::fs::write(&file, &bytes).expect("write");
        match LocalLedger::open(dir.path()) {
            Ok(ledger) => {
                let ids: Vec<_> = (0..200).map(IncidentId).collect();
                let all: Vec<_> = (0..200).map(|id| Some(seen(id))).collect();
                for of in 0..4 {
                    let known = wait_for(ledger.known(tenant(of), &ids));
                    prop_assert_eq!(known, Ok(all.clone()));
                }
            }
            Err(error) => {
                prop_assert!(matches!(error, LedgerError::Corrupt { .. }), "{:?}", error);
                prop_assert!(std::fs::read(&file).expect("read") == bytes, "changed: {}", error);
            }
        }
    }
}

#[test]
fn a_first_start_that_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    std::fs::write(dir.path().join("ledger.redb.new"), b"half").expect("write");
    let ledger = open(dir.path());
    assert_eq!(ledger.status().versions, Some(0));
    assert!(!dir.path().join("ledger.redb.new").exists());
}

#[test]
fn the_directory_is_made_for_its_owner_only() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("var/ledger");
    open(&path).close();
    let mode = |path: &Path| std::fs::metadata(path).expect("made").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("ledger.redb")), 0o600);
}

#[test]
fn a_path_that_cannot_be_a_directory_is_an_error_with_a_remedy() {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    let error = LocalLedger::open(&file.path().join("ledger")).expect_err("below a file");
    assert!(error.to_string().contains("[ledger] path"), "{error}");
}

#[test]
fn a_row_of_a_later_format_is_a_failure_that_says_so() {
    let dir = filled();
    tamper(dir.path(), |transaction| {
        let mut versions = transaction.open_table(VERSIONS).expect("versions");
        let key = crate::core::codec::incident_key(tenant(1), IncidentId(7));
        versions.insert(&key, &[9, 1, 2][..]).expect("insert");
    });
    let ledger = open(dir.path());
    let failure =
        wait_for(ledger.known(tenant(1), &[IncidentId(7)])).expect_err("it can't be read");
    assert!(failure.what.contains("later incidentd"), "{failure}");
    assert_eq!(
        wait_for(known(&ledger, 1, 8)),
        Some(seen(8)),
        "other rows can be read"
    );
    wait_for(ledger.write(entry(2, 1))).expect("others can be written");
    assert_eq!(ledger.status().state, PartState::Failed);
}

fn set_format(dir: &Path, format: u64) {
    tamper(dir, |transaction| {
        let mut meta = transaction.open_table(META).expect("meta");
        meta.insert(FORMAT_KEY, format).expect("insert");
    });
}

fn format_of(dir: &Path) -> Option<u64> {
    let database = Database::open(dir.join("ledger.redb")).expect("open");
    let transaction = database.begin_read().expect("begin");
    let meta = transaction.open_table(META).expect("meta");
    let format = meta.get(FORMAT_KEY).expect("read");
    format.map(|format| format.value())
}

#[test]
fn a_new_ledger_and_one_of_an_earlier_format_say_which_rows_may_be_in_them() {
    let dir = tempfile::tempdir().expect("temporary directory");
    open(dir.path()).close();
    assert_eq!(format_of(dir.path()), Some(FORMAT));
    for earlier in 1..FORMAT {
        let dir = filled();
        set_format(dir.path(), earlier);
        let ledger = open(dir.path());
        assert_eq!(
            wait_for(known(&ledger, 1, 8)),
            Some(seen(8)),
            "from {earlier}"
        );
        ledger.close();
        assert_eq!(format_of(dir.path()), Some(FORMAT), "from {earlier}");
    }
}

#[test]
fn a_row_of_a_later_format_in_a_file_that_does_not_say_so_is_refused_untouched() {
    for table in ["versions", "tenants"] {
        let dir = filled();
        set_format(dir.path(), 1);
        tamper(dir.path(), |transaction| {
            let later: &[u8] = &[9, 1, 2];
            match table {
                "versions" => {
                    let key = crate::core::codec::incident_key(tenant(1), IncidentId(7));
                    let mut versions = transaction.open_table(VERSIONS).expect("versions");
                    versions.insert(&key, later).expect("insert");
                }
                _ => {
                    let mut tenants = transaction.open_table(TENANTS).expect("tenants");
                    tenants.insert(tenant(1).as_bytes(), later).expect("insert");
                }
            }
        });
        let error = refused_untouched(dir.path());
        assert!(
            matches!(
                error,
                LedgerError::LaterVersion {
                    found: 9,
                    known: FORMAT,
                    ..
                }
            ),
            "{table}: {error}"
        );
    }
}

/// Checks that `dir` is refused and that nothing was created in it. Returns the error.
fn not_begun(dir: &Path) -> LedgerError {
    let error = LocalLedger::open(dir).expect_err("it must be refused");
    assert!(
        !dir.join("ledger.redb").exists(),
        "it was begun anew: {error}"
    );
    assert!(
        !dir.join("ledger.redb.new").exists(),
        "half a ledger: {error}"
    );
    error
}

#[test]
fn a_link_that_leads_nowhere_is_a_disk_that_is_not_mounted_and_no_first_start() {
    use std::os::unix::fs::symlink;
    let scene = tempfile::tempdir().expect("temporary directory");
    let (away, at) = (scene.path().join("mnt/disk"), |name: &str| {
        scene.path().join(name)
    });
    let link = |target: &Path, link: &Path| symlink(target, link).expect("a link");

    std::fs::create_dir(at("file")).expect("a folder");
    link(&away.join("ledger.redb"), &at("file/ledger.redb"));
    link(&away, &at("folder"));
    for (dir, link, target) in [
        (at("file"), at("file/ledger.redb"), away.join("ledger.redb")),
        (at("folder"), at("folder"), away.clone()),
        (at("folder/below/it"), at("folder"), away.clone()),
    ] {
        let error = not_begun(&dir);
        assert!(matches!(error, LedgerError::NotMounted { .. }), "{error:?}");
        let told = format!("{} is a link to {}", link.display(), target.display());
        assert!(error.to_string().contains(&told), "{error}");
        assert!(error.to_string().contains("mount"), "{error}");
        assert!(!away.exists(), "something was made in its place");
    }

    link(&at("loop"), &at("loop"));
    std::fs::create_dir(at("round")).expect("a folder");
    link(&at("round/ledger.redb"), &at("round/ledger.redb"));
    for dir in [at("loop"), at("round")] {
        let error = not_begun(&dir);
        assert!(matches!(error, LedgerError::BadLink { .. }), "{error:?}");
    }

    // The disk is mounted again.
    std::fs::create_dir_all(&away).expect("a folder");
    open(&at("folder")).close();
    assert!(away.join("ledger.redb").exists());
    open(&at("file")).close();
    assert!(at("file/ledger.redb").is_symlink(), "the link stays");
}

#[test]
fn a_first_start_writes_through_no_link() {
    let scene = tempfile::tempdir().expect("temporary directory");
    let (dir, other) = (scene.path().join("ledger"), scene.path().join("other"));
    std::fs::create_dir(&dir).expect("a folder");
    std::fs::write(&other, "of another").expect("written");
    let unfinished = dir.join("ledger.redb.new");
    std::os::unix::fs::symlink(&other, unfinished).expect("a link");
    open(&dir).close();
    assert_eq!(std::fs::read(&other).expect("read"), b"of another");
    assert!(!dir.join("ledger.redb").is_symlink());
}

/// In its own thread with a time limit: opening a pipe would wait for its other end for ever.
#[test]
fn a_pipe_or_a_folder_in_the_place_of_a_file_is_refused_with_words_and_nothing_waits_for_it() {
    for name in ["ledger.redb", "ledger.lock"] {
        for pipe in [true, false] {
            let dir = tempfile::tempdir().expect("tempdir");
            let path = dir.path().join(name);
            let program = if pipe { "mkfifo" } else { "mkdir" };
            let made = std::process::Command::new(program).arg(&path).status();
            assert!(made.expect("it runs").success(), "{program}");
            let (done, opened) = std::sync::mpsc::sync_channel(1);
            let ledger = dir.path().to_owned();
            std::thread::spawn(move || done.send(LocalLedger::open(&ledger).map(drop)));
            let opened = opened.recv_timeout(std::time::Duration::from_secs(10));
            let refused = opened
                .expect("the opening hangs")
                .expect_err("it is no file");
            assert!(
                matches!(refused, LedgerError::NotAFile { .. }),
                "{refused:?}"
            );
            let said = refused.to_string();
            assert!(said.contains(name) && said.contains("pipe"), "{said}");
        }
    }
}
