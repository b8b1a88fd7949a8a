//! incidentd polls Microsoft's security-incident APIs for many customer tenants and publishes every version of every
//! incident to Kafka, once. This page is the theory of operation: what happens to an incident, what happens to a tenant,
//! and who guards each promise. The modules' own pages go on from here.
//!
//! # The life of an incident
//!
//! 1. A **firing** of a schedule ([`runtime::scheduler`]) puts its tenants into the queue of [`runtime::dispatcher`], each
//!    at its own place in the period ([`core::time::spread`]). When a tenant's turn comes, a **sweep** begins
//!    ([`runtime::sweep`]).
//! 2. [`core::sweep::cursor`] chooses where the sweep begins: at the **cursor** minus the **overlap**, as a rule.
//!    [`core::sweep::pager`] leads through the pages; it notices when the list moves under its feet and reads again what it may
//!    have jumped over. It does without a nextLink that leads elsewhere, and notices a server that ignores `$filter`.
//!    A page that fails for what it holds is narrowed down to the incident that spoils it (`runtime::reader`).
//! 3. A page streams in through a source ([`microsoft`]). [`core::incident::page`] cuts it into incidents as the bytes arrive;
//!    [`core::incident::reading`] reads of each only id, last update, status and the hash of its **significant members**, which
//!    are a table for each source ([`core::incident::significant`]). The bytes themselves are not touched: they are what gets
//!    published.
//! 4. [`core::incident::version`] holds the reading against the **version** that the **ledger** knows. Unchanged: its bytes are
//!    dropped at once. News: [`record`] makes a record of it.
//! 5. Records gather in a batch (the runtime's intake) and go through the **outlet** ([`runtime::local_outlet`]): Kafka first
//!    ([`kafka`]), and after its acknowledgement the [`ledger`]. The bytes count against the budget of
//!    [`runtime::limits`] from their arrival to that acknowledgement.
//! 6. When the last page is read to its end and every record of the sweep is acknowledged and recorded, the cursor moves.
//!    Not before, not by the local clock, and never past the time that Microsoft's own answer bears. A single answer's time
//!    takes nothing back either ([`core::sweep::cursor`]).
//! 7. What a live sweep does not read (the old part of a long range, an incident that Microsoft can't give, the window of a
//!    **reconcile**) is **backlog** ([`core::sweep::backlog`]): open intervals of last updates that the ledger keeps, read between
//!    live sweeps from what those leave of the budget, and closed one window at a time.
//!
//! An element without a readable id or last update goes to the dead-letter topic ([`core::incident::dead_letters`]), and takes nothing
//! else with it. An incident that is too large for its topic, or for a request to the brokers, is published in parts, which the
//! outlet has [`record`] make when Kafka has refused the whole. Until then it travels apart from all other records, because a
//! broker may answer it by closing the connection ([`kafka`]).
//!
//! # The life of a tenant
//!
//! [`config`] turns files and environment into values that can't be wrong; [`app`] makes a [`runtime::tenant::Tenant`] of
//! each, with its own token source, incident source and encoder behind the traits of [`ports`]. At first contact its
//! state is written: a cursor at *now minus lookback*, a fixed instant from then on. It is also the **start** of its first
//! range, which stays when the cursor moves on: nothing older is ever asked for.
//!
//! Its token comes from [`runtime::tokens`]: one request per lifetime, renewed in the background. Its requests are spent
//! from a budget of its own ([`core::pace::budget`]) before they go out. It is swept by one sweep at a time.
//!
//! A failure is made where its cause is known, as a [`core::health::failure::Failure`]: what happened, what the operator should
//! do, and the reaction. [`runtime::health::board`] shows it from the first failed request; [`core::pace::backoff`] says when it is
//! tried again; it is logged when the tenant's state changes, not each time. Failing tenants come back by themselves.
//!
//! # The life of a configuration
//!
//! A reload reads all files again and validates them as a whole. A mistake anywhere changes nothing: the report is logged
//! and shown until a reload is accepted. A good configuration becomes a new fleet ([`runtime::fleet`]) in which every tenant whose
//! settings are the same is the same object, and one with new settings keeps its token unless those are about tokens
//! ([`core::diff`], `app::fleet`). Dispatcher, scheduler and token renewal take the difference: what is at work for a
//! tenant that was changed or removed comes to rest and commits what it has; nobody else notices.
//!
//! # Whether it lives
//!
//! [`runtime::liveness`]: dispatcher, scheduler, the ledger and Kafka's client each leave a mark when they get on.
//! `/livez` and systemd's watchdog look at those marks and at nothing else: Kafka away, a full disk or failing tenants are
//! no reason for a restart. [`runtime::supervisor`] ends the daemon when a task ends unasked.
//!
//! # The promises, and who guards each
//!
//! | promise | guarded by |
//! |---|---|
//! | nothing lost | the order of steps 4 to 6; [`core::sweep::pager`] (moved pages); overlap and reconcile in [`core::sweep::cursor`] (late and silent changes); [`core::sweep::backlog`]; the account that each sweep's intake closes |
//! | once | the ledger's versions; the idempotent producer, which waits for ever instead of guessing, and is replaced when Kafka refuses it ([`kafka`]); a ledger that can't be written is waited for ([`runtime::local_outlet`]) |
//! | in order | one sweep a tenant at a time; one version of an incident in a batch; one partition, by key |
//! | isolated | slots that a waiting sweep gives back, and lanes ([`runtime::limits`]); budget, pause and token of each tenant are its own |
//! | bounded | [`runtime::limits`] for bytes, and for work between two yields; [`core::incident::page`] for elements; bounded channels; size and time limits on everything from outside |
//! | quiet | [`core::pace::budget`], spent before the wire; [`core::pace::throttle`], when a pause is asked for again and again |
//! | honest | [`core::health::failure`], [`core::health::alarms`], [`runtime::health::board`], [`telemetry`] |
//! | secret | secrets live in types without a readable `Debug`, are read at the moment of use, and texts from outside are scrubbed of them ([`microsoft`], [`kafka`]) |
//!
//! With the local ledger a record can repeat when the process dies between Kafka's acknowledgement and the ledger's
//! commit: then the batch in flight of each tenant is published again, with the same `ce_id`. So is what was on its way when
//! a broker contradicted the producer's sequence numbers, or closed connections over it: nobody can tell whether it arrived.
//!
//! # The structure
//!
//! `core` decides and touches nothing; `ports` are traits; `runtime` acts and sees only those two; adapters (`microsoft`,
//! `kafka`, `ledger`, `record`, `telemetry`, `simulator`) implement ports and do not see one another; `app` alone knows
//! them all. `tests/structure` checks it from the `use` lines.

#![forbid(unsafe_code)]

pub mod app;
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
