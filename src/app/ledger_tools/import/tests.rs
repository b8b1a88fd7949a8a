use std::path::Path;

use super::*;
use crate::core::incident::outline::PackedOutline;
use crate::core::incident::version::{Forms, Phase};
use crate::core::sources::SourceKind;
use crate::core::sweep::backlog::{Backlog, Interval};
use crate::core::time::ticks::Ticks;
use crate::ledger::LedgerFile;

fn tenant(number: u8) -> TenantId {
    TenantId::from_bytes([number; 16])
}

fn state(cursor: i64) -> TenantState {
    TenantState {
        start: Ticks(1),
        cursor: Ticks(cursor),
        reconciled: Ticks(3),
        backlog: Backlog::from_iter([Interval::unread(Ticks(1), Ticks(2))]),
        paused: None,
    }
}

fn seen(updated: i64) -> Seen {
    Seen {
        updated: Ticks(updated),
        phase: Phase::Open,
        forms: Forms::NONE.and(ContentHash(updated as u64)),
        origin: SourceKind::Defender,
        whole: true,
    }
}

fn outline(id: u64) -> PackedOutline {
    PackedOutline::from_bytes(&id.to_be_bytes())
}

/// A ledger of three tenants, as an export has it: the states first.
fn entries() -> Vec<LedgerEntry> {
    let states = (1..=3).map(|number| LedgerEntry {
        state: Some(state(100)),
        ..LedgerEntry::of(tenant(number))
    });
    let versions = (0..5_000).map(|id| LedgerEntry {
        seen: vec![(IncidentId(id), seen(id as i64))],
        outlines: vec![(IncidentId(id), outline(id))],
        ..LedgerEntry::of(tenant(1 + (id % 3) as u8))
    });
    let letter = Letter {
        met: Ticks(8),
        accepted: true,
    };
    let letters = (0..3).map(|content| LedgerEntry {
        letters: vec![(ContentHash(content), letter)],
        ..LedgerEntry::of(tenant(2))
    });
    states.chain(versions).chain(letters).collect()
}

fn lines() -> Vec<String> {
    let rows: Vec<LedgerLine> = entries()
        .iter()
        .flat_map(|entry| LedgerLine::of(entry).collect::<Vec<_>>())
        .collect();
    let head = LedgerLine::Ledger {
        format: FORMAT,
        incidentd: "0.1.0".to_owned(),
        from: "here".to_owned(),
        exported: "now".to_owned(),
    };
    let end = LedgerLine::End {
        rows: rows.len() as u64,
    };
    let all = std::iter::once(head).chain(rows).chain([end]);
    let text = |line: LedgerLine| serde_json::to_string(&line).unwrap();
    all.map(text).collect()
}

async fn import_into(dir: &Path, lines: &[String]) -> Result<ImportReport, LedgerToolError> {
    let (dir, text) = (dir.to_owned(), lines.join("\n") + "\n");
    let handle = Handle::current();
    let import = tokio::task::spawn_blocking(move || {
        let target = ImportTarget::Local(LocalLedger::open(&dir).unwrap(), handle);
        import(&target, &mut text.as_bytes())
    });
    import.await.unwrap()
}

/// All rows, as lines.
fn exported(dir: &Path) -> Vec<String> {
    let file = LedgerFile::open(dir).unwrap().expect("a ledger");
    let mut lines = Vec::new();
    file.rows::<LedgerToolError>(None, &mut |entry| {
        let rows = LedgerLine::of(&entry);
        lines.extend(rows.map(|row| serde_json::to_string(&row).unwrap()));
        Ok(())
    })
    .unwrap();
    lines.sort();
    lines
}

/// The rows of [`lines`].
fn rows() -> Vec<String> {
    let mut rows = lines();
    rows.pop();
    rows.remove(0);
    rows.sort();
    rows
}

#[tokio::test]
async fn an_import_is_complete_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let first = import_into(dir.path(), &lines()).await.unwrap();
    assert_eq!(
        (first.tenants, first.rows, first.written),
        (3, 5_006, 5_006)
    );
    assert_eq!(first.from, "here");
    assert_eq!(exported(dir.path()), rows());
    let again = import_into(dir.path(), &lines()).await.unwrap();
    assert_eq!((again.rows, again.written), (5_006, 0));
    assert_eq!(exported(dir.path()), rows());
}

#[tokio::test]
async fn an_import_that_is_cut_off_writes_no_state_and_the_whole_one_completes_it() {
    let dir = tempfile::tempdir().unwrap();
    let whole = lines();
    for length in [2_500, whole.len() - 1] {
        let error = import_into(dir.path(), &whole[..length]).await.unwrap_err();
        assert!(
            matches!(error, LedgerToolError::CutOff { number } if number == length as u64),
            "{error}"
        );
        let states = exported(dir.path());
        assert!(!states.iter().any(|row| row.contains(r#""row":"state""#)));
    }
    import_into(dir.path(), &whole).await.unwrap();
    assert_eq!(exported(dir.path()), rows());
}

#[tokio::test]
async fn a_line_that_is_damaged_or_missing_is_refused_with_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let damage = |damage: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines();
        damage(&mut lines);
        lines
    };
    let later = r#"{"row":"ledger","format":2,"incidentd":"9.0.0","from":"","exported":""}"#;
    for (lines, number, says) in [
        (
            damage(&|it| it[41] = it[41].replace(r#""04"#, r#""05"#)),
            42,
            "damaged",
        ),
        (damage(&|it| it[41] = "nonsense".to_owned()), 42, "damaged"),
        (damage(&|it| it[41] = "x".repeat(200_000)), 42, "too long"),
        (damage(&|it| it[0] = later.to_owned()), 1, "9.0.0"),
        (
            damage(&|it| drop(it.remove(0))),
            1,
            "incidentd ledger export",
        ),
        (
            damage(&|it| drop(it.remove(41))),
            5_007,
            "5006 rows were exported, and 5005 came",
        ),
        (
            damage(&|it| it.push(it[1].clone())),
            5_009,
            "after the last line",
        ),
        (
            damage(&|it| it.insert(41, it[0].clone())),
            42,
            "another ledger",
        ),
    ] {
        let error = import_into(dir.path(), &lines).await.unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, LedgerToolError::Line { number: found, .. } if found == number),
            "{text}, not {number}"
        );
        assert!(text.contains(says), "{text}");
    }
}

#[tokio::test]
async fn later_versions_stay_and_a_tenant_that_was_read_here_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = LocalLedger::open(dir.path()).unwrap();
    let (older, newer) = (seen(1), seen(9_999));
    ledger
        .write(LedgerEntry {
            seen: vec![(IncidentId(0), newer), (IncidentId(3), older)],
            ..LedgerEntry::of(tenant(1))
        })
        .await
        .unwrap();
    ledger.close();
    import_into(dir.path(), &lines()).await.unwrap();
    let ledger = LocalLedger::open(dir.path()).unwrap();
    let ids = [IncidentId(0), IncidentId(3)];
    let known = ledger.known(tenant(1), &ids).await.unwrap();
    assert_eq!(known, [Some(newer), Some(seen(3))]);
    let outlines = ledger.outlines(tenant(1), &ids).await.unwrap();
    assert_eq!(outlines, [None, Some(outline(3))]);

    ledger
        .write(LedgerEntry {
            state: Some(state(200)),
            ..LedgerEntry::of(tenant(2))
        })
        .await
        .unwrap();
    ledger.close();
    let error = import_into(dir.path(), &lines()).await.unwrap_err();
    assert!(
        matches!(error, LedgerToolError::Conflict { tenant: of } if of == tenant(2)),
        "{error}"
    );
}
