use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;
use crate::core::health::failure::{Health, Reaction};
use crate::core::ids::TenantId;
use crate::core::sweep::cursor::TenantState;
use crate::core::time::ticks::Ticks;
use crate::kafka::ledger::log::Row;
use crate::kafka::ledger::rows::LedgerRow;

/// Answers calls in the order of a script, and notes them.
#[derive(Default, Clone)]
struct Script(Rc<RefCell<Calls>>);

#[derive(Default)]
struct Calls {
    made: Vec<String>,
    stable: VecDeque<i64>,
    rows: VecDeque<Vec<Row>>,
    /// The call that fails, and how.
    fails: Option<(&'static str, PartitionLogError)>,
}

impl Script {
    fn call(&self, name: &str) -> Result<(), PartitionLogError> {
        let mut calls = self.0.borrow_mut();
        calls.made.push(name.to_owned());
        match calls.fails.take_if(|(call, _)| *call == name) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    fn fail(&self, call: &'static str, error: PartitionLogError) {
        self.0.borrow_mut().fails = Some((call, error));
    }

    fn made(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().made)
    }
}

impl PartitionLog for Script {
    fn fence(&mut self) -> Result<(), PartitionLogError> {
        self.call("fence")
    }

    fn end(&mut self) -> Result<i64, PartitionLogError> {
        self.call("end").map(|()| 7)
    }

    fn stable_end(&mut self) -> Result<i64, PartitionLogError> {
        self.call("stable end")?;
        Ok(self.0.borrow_mut().stable.pop_front().unwrap_or(7))
    }

    fn read(&mut self) -> Result<Option<Vec<Row>>, PartitionLogError> {
        self.call("read")?;
        Ok(self.0.borrow_mut().rows.pop_front())
    }

    fn begin(&mut self) -> Result<(), PartitionLogError> {
        self.call("begin")
    }

    fn add(&mut self, entry: Entry) -> Result<(), PartitionLogError> {
        self.call(match entry {
            Entry::Record(_) => "record",
            Entry::Row(_) => "row",
        })
    }

    fn commit(&mut self) -> Result<(), PartitionLogError> {
        self.call("commit")
    }
}

fn tenant(number: u8) -> TenantId {
    TenantId::from_bytes([number; 16])
}

fn state(cursor: i64) -> Option<TenantState> {
    Some(TenantState {
        start: Ticks(0),
        cursor: Ticks(cursor),
        reconciled: Ticks(0),
        backlog: Default::default(),
        paused: None,
    })
}

fn row(of: u8, cursor: i64) -> Row {
    let (tenant, state) = (tenant(of), state(cursor));
    LedgerRow::State { tenant, state }.encode()
}

/// A commit that moves the tenant's cursor, with records of these sizes.
fn commit(of: u8, cursor: i64, sizes: &[usize]) -> Commit {
    let record = |size: &usize| Record {
        topic: format!("topic-{of}").into(),
        key: String::new(),
        headers: Vec::new(),
        value: vec![0; *size],
        raw: 0..0,
    };
    Commit {
        records: sizes.iter().map(record).collect(),
        entry: LedgerEntry {
            tenant: tenant(of),
            seen: Vec::new(),
            outlines: Vec::new(),
            letters: Vec::new(),
            state: state(cursor),
            forget_before: None,
            forget_letters_before: None,
        },
    }
}

fn cursor(ledger: &PartitionLedger<Script>, of: u8) -> Option<i64> {
    let state = ledger.memory().read().state(tenant(of));
    state.map(|state| state.cursor.0)
}

fn goes_on() -> bool {
    false
}

fn opened(script: &Script) -> PartitionLedger<Script> {
    let mut ledger = PartitionLedger::new(script.clone());
    ledger.open(&goes_on, &mut |_| {}).expect("open");
    script.made();
    ledger
}

fn failure(what: &str) -> Failure {
    Failure::new(
        Health::Unreachable,
        Reaction::Backoff,
        what,
        "look at Kafka",
    )
}

fn failed() -> PartitionLogError {
    PartitionLogError::Failed(failure("no answer"))
}

#[test]
fn it_fences_then_waits_until_all_before_the_end_is_decided_and_then_reads_all_rows() {
    let script = Script::default();
    script.0.borrow_mut().stable = [3, 6, 7].into();
    script.0.borrow_mut().rows = [vec![row(1, 10)], vec![], vec![row(1, 11), row(2, 20)]].into();
    let mut ledger = PartitionLedger::new(script.clone());
    let memory = ledger.memory();
    let mut steps = Vec::new();
    let opened = ledger.open(&goes_on, &mut |step| {
        steps.push(step);
        let tenants = memory.read().tenants().count();
        let expected = if step == OpenStep::Open { 2 } else { 0 };
        assert_eq!(tenants, expected, "{step:?}: nobody may see half of it");
    });
    assert_eq!(opened, Ok(()));
    let end = 7;
    let expected = [
        OpenStep::Fenced,
        OpenStep::End(end),
        OpenStep::Undecided,
        OpenStep::Undecided,
        OpenStep::Decided,
        OpenStep::Read { rows: 1, end },
        OpenStep::Read { rows: 1, end },
        OpenStep::Read { rows: 3, end },
        OpenStep::Open,
    ];
    assert_eq!(steps, expected);
    let stable = ["stable end"; 3];
    let calls = [&["fence", "end"][..], &stable, &["read"; 4]].concat();
    assert_eq!(script.made(), calls);
    assert_eq!(
        (cursor(&ledger, 1), cursor(&ledger, 2)),
        (Some(11), Some(20))
    );
}

#[test]
fn the_memory_changes_after_the_commit_and_not_before() {
    let script = Script::default();
    let mut ledger = opened(&script);
    assert_eq!(
        ledger.write(vec![commit(1, 10, &[5]), commit(2, 20, &[])]),
        Ok(false)
    );
    for step in [
        WriteStep::Begun,
        WriteStep::Added,
        WriteStep::Added,
        WriteStep::Added,
    ] {
        assert_eq!(ledger.write_step(), Ok(step));
        assert_eq!(cursor(&ledger, 1), None);
    }
    assert_eq!(ledger.write_step(), Ok(WriteStep::Committed));
    assert_eq!(script.made(), ["begin", "record", "row", "row", "commit"]);
    assert_eq!(
        (cursor(&ledger, 1), cursor(&ledger, 2)),
        (Some(10), Some(20))
    );
    assert_eq!(ledger.commit(vec![commit(1, 11, &[])], &goes_on), Ok(()));
    assert_eq!(cursor(&ledger, 1), Some(11));
}

#[test]
fn a_transaction_without_entries_is_not_begun() {
    let script = Script::default();
    let mut ledger = opened(&script);
    let mut nothing = commit(1, 1, &[]);
    nothing.entry.state = None;
    nothing.entry.forget_before = Some(Ticks(1));
    assert_eq!(ledger.commit(vec![nothing], &goes_on), Ok(()));
    assert_eq!(ledger.commit(vec![], &goes_on), Ok(()));
    assert_eq!(script.made().len(), 0);
}

#[test]
fn after_any_error_it_makes_no_call_any_more_and_its_memory_stays() {
    for call in ["fence", "end", "stable end", "read"] {
        let script = Script::default();
        script.0.borrow_mut().rows = [vec![row(1, 10)]].into();
        script.fail(call, failed());
        let mut ledger = PartitionLedger::new(script.clone());
        let opened = ledger.open(&goes_on, &mut |_| {});
        assert_eq!(opened, Err(failed().into()), "{call}");
        script.made();
        assert_eq!(ledger.open_step(), Err(PartitionError::NotOpen), "{call}");
        assert_eq!(ledger.write(vec![]), Err(PartitionError::NotOpen), "{call}");
        assert_eq!(ledger.write_step(), Err(PartitionError::NotOpen), "{call}");
        assert_eq!(
            (script.made().len(), cursor(&ledger, 1)),
            (0, None),
            "{call}"
        );
    }
    for call in ["begin", "record", "row", "commit"] {
        let script = Script::default();
        let mut ledger = opened(&script);
        script.fail(call, PartitionLogError::Fenced("a later epoch".to_owned()));
        let committed = ledger.commit(vec![commit(1, 10, &[5])], &goes_on);
        let fenced = PartitionLogError::Fenced("a later epoch".to_owned());
        assert_eq!(committed, Err(fenced.into()), "{call}");
        script.made();
        let again = ledger.commit(vec![commit(1, 11, &[])], &goes_on);
        assert_eq!(again, Err(PartitionError::NotOpen), "{call}");
        assert_eq!(ledger.open_step(), Err(PartitionError::NotOpen), "{call}");
        assert_eq!(
            (script.made().len(), cursor(&ledger, 1)),
            (0, None),
            "{call}"
        );
    }
}

#[test]
fn a_row_that_cannot_be_read_stops_the_restore() {
    let script = Script::default();
    let mut damaged = row(1, 10);
    damaged.value = Some(vec![99]);
    script.0.borrow_mut().rows = [vec![row(2, 20), damaged]].into();
    let mut ledger = PartitionLedger::new(script.clone());
    let error = ledger.open(&goes_on, &mut |_| {}).expect_err("an error");
    assert!(error.to_string().contains("later incidentd"), "{error}");
    assert_eq!(ledger.open_step(), Err(PartitionError::NotOpen));
    assert_eq!(cursor(&ledger, 2), None);
}

#[test]
fn a_refused_record_is_named_with_its_commit() {
    // The places of entries: records of all commits first, then rows.
    for (entry, of) in [
        (0, Some(0)),
        (1, Some(2)),
        (2, Some(2)),
        (3, None),
        (9, None),
    ] {
        let refused = PartitionLogError::Refused {
            entry,
            oversize: true,
            failure: failure("too large"),
        };
        let script = Script::default();
        let mut ledger = opened(&script);
        script.fail("commit", refused.clone());
        let commits = vec![
            commit(1, 1, &[10]),
            commit(2, 2, &[]),
            commit(3, 3, &[30, 31]),
        ];
        let error = ledger.commit(commits, &goes_on).expect_err("refused");
        match (of, error) {
            (
                Some(of),
                PartitionError::Refused {
                    record, oversize, ..
                },
            ) => {
                assert_eq!(record.commit, of);
                assert_eq!(*record.topic, format!("topic-{}", of + 1));
                assert_eq!(record.size, [10, 30, 31][entry]);
                assert!(oversize);
            }
            (None, error) => assert_eq!(error, refused.into(), "a row"),
            (of, error) => panic!("{of:?} {error:?}"),
        }
        assert_eq!(ledger.write(vec![]), Err(PartitionError::NotOpen));
    }
}

#[test]
fn a_stop_ends_it_between_two_steps() {
    let script = Script::default();
    let mut ledger = PartitionLedger::new(script.clone());
    let stopped = Err(PartitionLogError::Stopped.into());
    assert_eq!(ledger.open(&|| true, &mut |_| {}), stopped);
    assert_eq!(script.made().len(), 0);
    let mut ledger = opened(&script);
    let stop = || script.0.borrow().made.len() == 2;
    assert_eq!(ledger.commit(vec![commit(1, 1, &[1, 2])], &stop), stopped);
    assert_eq!(script.made(), ["begin", "record"]);
    assert_eq!(
        ledger.write(vec![]),
        Err(PartitionError::NotOpen),
        "a transaction is open"
    );
}
