//! incidentd polls Microsoft's security-incident APIs for many customer tenants and publishes every version of every
//! incident to Kafka, once. This page is the theory of operation: what happens to an incident, a tenant, a partition and a
//! configuration, and which part guards each promise. Each module's own page goes on from here.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | **tenant** | a customer's Microsoft Entra tenant, with settings, a token, a budget and a cursor of its own |
//! | **source** | the API that a tenant is read from: Microsoft Graph or Defender XDR |
//! | **incident** | what Microsoft shows under one id; its bytes are published as they came |
//! | **version** | one state of an incident: its last update, and the hash of its significant members |
//! | **sweep** | one reading of what a tenant's list has to show, page by page |
//! | **cursor** | the time up to which everything of a tenant was read and published, except its backlog |
//! | **overlap**, **reconcile** | how far before the cursor a sweep begins, for incidents that Microsoft shows late; the comparison of a longer window, for changes without a new last update |
//! | **backlog** | times that are still to be read; **back-fill** reads them between sweeps |
//! | **batch**, **item** | what a sweep publishes and records together; one entry of it: a version or a dead letter with its bytes, or a note for the ledger alone |
//! | **record** | one message in Kafka; the tenant's **encoder** decides what it looks like |
//! | **ledger** | what was published, and each tenant's cursor and backlog: a file of this machine (the local ledger), or a compacted topic (the ledger in Kafka) |
//! | **outlet**, **lease** | what makes records of a batch, publishes them and writes the ledger; the right to read and write one tenant, which the outlet gives to a sweep |
//! | **replica** | one running incidentd of several that share the tenants through a ledger in Kafka |
//! | **partition** | a part of the ledger's topic, with all rows of the tenants that hash to it; one replica **owns** it |
//! | **epoch** | one start of a partition in a replica: from its fence to the next failure, or to another owner |
//! | **failure** | what happened, what the operator should do, and how incidentd reacts |
//!
//! # The life of an incident
//!
//! 1. A schedule fires ([`runtime::scheduler`]). [`core::agenda`] puts its tenants into a queue, each at its own place in the
//!    period ([`core::time::spread`]), and decides whose turn it is. [`runtime::dispatcher`] starts the sweep
//!    ([`runtime::sweep`]). The sweep asks the outlet for a lease on the tenant, and reads the cursor and the backlog through it.
//! 2. [`core::sweep::cursor`] chooses where the sweep begins: as a rule at the cursor minus the overlap.
//!    [`core::sweep::pager`] goes through the pages. It notices when the list changes meanwhile, and reads again what it may
//!    have missed. It does without a nextLink that leads elsewhere, and notices a server that ignores `$filter`. When a page
//!    fails because of what is in it, the sweep asks for less and less until it has found the incident.
//! 3. A page arrives in pieces from a source ([`microsoft`]). [`core::incident::page`] cuts it into incidents as the bytes
//!    arrive. [`core::incident::reading`] reads of each incident only the id, the last update, the status, whether it was merged
//!    into another, and the hash of its significant members (a table for each source in [`core::sources`];
//!    [`core::incident::significant`] says how members are compared). Nothing changes the bytes: they are what is published.
//!    Only alerts that Microsoft gives on pages of their own are added to them ([`core::incident::further_alerts`]).
//! 4. The sweep asks the ledger for the published version, through its lease. [`core::incident::version`] compares the reading
//!    with it. If the reading is the same or older, its bytes are dropped at once. A new version becomes an item of the sweep's
//!    batch: the reading and Microsoft's bytes. Only then the ledger is asked for the outline of the published version, and
//!    [`core::incident::outline`] says what is new. No record exists yet.
//! 5. The sweep hands the batch to the outlet. The outlet makes the records, with the tenant's encoder ([`record`]), because it
//!    knows how large a record may be. With the local ledger ([`runtime::local_outlet`]) it publishes them ([`kafka`]), and
//!    after Kafka's acknowledgement it writes the [`ledger`]. With the ledger in Kafka ([`runtime::transactional_outlet`])
//!    records and ledger rows are one transaction: both are there, or neither. One record that Kafka refuses would abort it, so
//!    topics and sizes are checked before. If there is a topic for alerts, those that differ from the incident's version before
//!    ([`core::incident::alert_version`]) are records of the same item: with the local ledger they are acknowledged before the
//!    incident is sent, with the ledger in Kafka they are in its transaction. The bytes count against the budget of [`runtime::limits`] from their arrival until
//!    the ledger is written.
//! 6. The cursor is written with the last batch of the sweep: when the last page was read to its end and every record of the
//!    sweep is acknowledged (with the ledger in Kafka: committed). It does not follow the local clock, and never passes the time
//!    in Microsoft's own answer. The time of a single answer never moves it back
//!    ([`core::sweep::cursor`]; how far a sweep moves it: `core/sweep/pager/cursor_move.rs`).
//! 7. What a sweep does not read becomes backlog ([`core::sweep::backlog`]): the old part of a long range, an incident that
//!    Microsoft can't give, the window of a reconcile. The ledger keeps these open intervals. They are read between sweeps,
//!    from what the sweeps leave of the request budget, and closed one window at a time.
//!
//! An element without a readable id or last update goes to the dead-letter topic ([`core::incident::dead_letters`]); all others go
//! on. The outlet publishes an incident in parts when it is too large for its topic or for a request to the brokers. A record so
//! large that a broker may close the connection on it is sent apart from all others ([`kafka`]).
//!
//! # The life of a tenant
//!
//! [`config`] turns files and environment into [`settings`], which can't be wrong. `app::fleet` makes a
//! [`runtime::tenant::Tenant`] of each tenant's settings, with its own token source, incident source and encoder behind the traits
//! of [`ports`]. At first contact incidentd writes the tenant's state: a cursor at *now minus lookback*. This instant is also the
//! start of the tenant's first range. It stays when the cursor moves on, and incidentd never asks for anything older.
//!
//! The token comes from [`runtime::tokens`]: one request for each lifetime, renewed in the background. `microsoft::credential`
//! has a file for each kind of credential. Requests for incidents are taken from the tenant's own budget
//! ([`core::pace::budget`]) before they go out. Only one sweep of a tenant is at work at a time.
//!
//! A failure is made where its cause is known, as a [`core::health::failure::Failure`]. [`runtime::health::board`] shows it from
//! the first failed request on. [`core::pace::backoff`] says when the tenant is tried again. [`runtime::health::log`] logs it when
//! the tenant's state changes, not each time. Failing tenants recover by themselves.
//!
//! An operator may pause a tenant, or have its past read again (`app::control`). The command waits until the tenant's work in
//! progress has given way, and is then recorded in the tenant's state ([`core::sweep::command`]): by the process that has the
//! tenant, through a lease, as sweeps do. A sweep that finds its tenant paused asks nothing of Microsoft.
//!
//! # The life of a partition
//!
//! Only the ledger in Kafka has partitions; the local ledger belongs to one process, which has all tenants.
//!
//! 1. A tenant belongs to the partition that its id hashes to ([`core::ownership`]). A consumer group assigns the partitions to
//!    the replicas (`kafka::ledger::membership`). The group only shares the work. No promise depends on it, because it may
//!    assign a partition to a new owner while the old one still runs.
//! 2. The new owner opens the partition (`kafka::ledger::partition`). It fences: its `init_transactions` makes Kafka decide the
//!    open transaction of the old owner and refuse all later ones. Then it restores: it reads every committed row into memory.
//!    In the other order it could miss what the old owner still commits, and would publish that again.
//! 3. The partition is active: [`runtime::assignment`] hands its tenants to the dispatcher. Leases read from memory. A thread of
//!    the partition (`kafka::ledger::worker`) writes what its tenants commit at the same time in one transaction. The memory
//!    changes after the commit, and not before, because what it holds counts as published.
//! 4. After any error of a transaction nobody knows whether it was committed. The epoch ends, its leases are lost, and its
//!    sweeps end; nothing is wrong with the tenants. The partition starts again with another producer at step 2, and the next
//!    sweeps read from the cursors that it finds.
//! 5. When the group takes the partition back, it drains: no sweep of its tenants begins, those at work commit and end, and then
//!    the group gets it. When another replica has fenced it, the owner gives it up at once, leaves the group and joins again. It
//!    does not fence in return: two replicas would stop one another for ever.
//!
//! # The life of a configuration
//!
//! A reload (`app::reload`) reads all files again and checks them as a whole. A mistake anywhere changes nothing: the report is
//! logged and shown until a reload succeeds. A good configuration becomes a new fleet ([`runtime::fleet`]). A tenant with the
//! same settings stays the same object; one with new settings keeps its token unless these settings are about tokens
//! (`app::fleet`). Dispatcher, scheduler and token renewal follow the fleet, and the log counts what changed ([`core::diff`]).
//! Sweeps of changed or removed tenants end and commit what they have; no other tenant notices.
//!
//! # Liveness
//!
//! Dispatcher, scheduler, the ledger and Kafka's client each leave a mark when they make progress ([`runtime::liveness`]); of the
//! ledger in Kafka it is the member of the consumer group. `/livez` and systemd's watchdog look only at these marks: no Kafka, a
//! full disk or failing tenants are no reason for a restart.
//! [`runtime::supervisor`] ends the daemon when a task ends unasked.
//!
//! # The promises, and what guards each
//!
//! | promise | guarded by |
//! |---|---|
//! | nothing lost | the order of steps 4 to 6; [`core::sweep::pager`] (moved pages); overlap and reconcile in [`core::sweep::cursor`] (late and silent changes); [`core::sweep::backlog`]; the account of all that arrived, which each sweep has to balance |
//! | once | the versions in the ledger. Local ledger: the idempotent producer, which waits for ever instead of guessing, and is replaced when Kafka refuses it ([`kafka`]); [`runtime::local_outlet`], which waits for a ledger that can't be written. Ledger in Kafka: one transaction for records and rows; the order of fence, restore and commit (`kafka::ledger::partition`), which a model of Kafka with planted faults tests |
//! | in order | one sweep of a tenant at a time; one version of an incident in a batch; one partition, by key |
//! | isolated | permits that a waiting sweep gives back, and lanes ([`runtime::limits`]); budget, pause and token of each tenant are its own |
//! | bounded | [`runtime::limits`] for bytes, and for work between two yields; [`core::incident::page`] for elements; bounded channels; size and time limits on everything from outside |
//! | quiet | [`core::pace::budget`], taken before the request; [`core::pace::throttle`], when Microsoft asks for a pause again and again |
//! | honest | [`core::health::failure`], [`core::health::alarms`], [`runtime::health::board`], [`telemetry`] |
//! | secret | secrets are in types without a readable `Debug` and are read at the moment of use; they are removed from texts from outside ([`microsoft`], [`kafka`]) |
//!
//! With the local ledger a record can repeat when the process dies between Kafka's acknowledgement and the ledger's commit: then
//! the batch in flight of each tenant is published again, with the same `ce_id`. The same holds for records on their way when a
//! broker contradicts the producer's sequence numbers or closes connections on them: nobody can tell whether they arrived.
//!
//! With the ledger in Kafka nothing repeats for a consumer that reads committed records only (`read_committed`), whatever dies. A
//! consumer without this setting also sees the records of aborted transactions, and sees their versions again when they are
//! published. `docs/guarantees.md` says what brokers and consumers have to do for the promise.
//!
//! # The structure
//!
//! [`core`] decides and touches nothing. [`ports`] are traits. [`runtime`] acts and sees only these two. Adapters ([`microsoft`],
//! [`kafka`], [`ledger`], [`record`], [`telemetry`]) implement ports and do not see one another. The `simulator` is a Microsoft
//! of its own, and uses nothing of the rest. [`config`] reads the configuration, with a row for each key in `config::keys`;
//! [`settings`] is its result, which adapters read too. `app` alone
//! knows all of these, and connects them: `app::delivery` chooses the ledger and its outlet. [`cli`] has a file for each command. `tests/structure` checks this.
//! `docs/contributing.md` says where to change what.

// One call of librdkafka that rdkafka does not wrap: `kafka/oauth/hand_over.rs`.
#![deny(unsafe_code)]
#![warn(missing_docs)]
// Public is what the binary, the tests, the benches and the fuzz targets use. The pages describe everything: read them in
// the source, or with `cargo doc --document-private-items`.
#![allow(rustdoc::private_intra_doc_links)]

mod app;
pub mod cli;
pub mod config;
pub mod core;
pub mod kafka;
pub mod ledger;
pub mod microsoft;
pub mod ports;
pub mod record;
pub mod runtime;
pub mod settings;
#[cfg(feature = "demo")]
pub mod simulator;
pub mod telemetry;

// The checks of the fuzz targets name the crate as targets do, and some of them reach private parts.
#[cfg(test)]
extern crate self as incidentd;
#[cfg(test)]
#[path = "../tests/fuzz_seeds.rs"]
mod fuzz_seeds;
