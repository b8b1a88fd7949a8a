//! Metrics: what events add up, and what a scrape finds.
//!
//! Counters and histograms live here and are moved by [`Observer::see`]. What a [`StatusReport`] knows anyway is written
//! at the scrape and not kept: eight states for each of 5,000 tenants would otherwise stay in memory all the time.
//!
//! The text is Prometheus's own format, version 0.0.4, and not OpenMetrics, which prometheus-client writes: in
//! OpenMetrics a counter's type is declared under its name without `_total`, so a reader of the older format (promtool,
//! most agents that are not Prometheus) finds samples without type and help. Every reader takes 0.0.4; what OpenMetrics
//! could say beyond it (exemplars, creation times) is not used here.
//!
//! No label has unbounded values: changes, outcomes and states are enums, sources are named at construction, statuses
//! are HTTP's, tenants are the configured ones.

mod exposition;
mod gauges;
mod process;

use std::fmt::{self, Write};
use std::time::Duration;

use prometheus_client::encoding::{
    EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode_registry,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::core::health::status::StatusReport;
use crate::core::incident::version::Change;
use crate::ports::{Event, Observer};
use exposition::Exposition;

/// The `Content-Type` of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds in seconds: requests are fast, or end at their time limit.
const REQUEST_BOUNDS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Upper bounds in seconds: one page, or a back-fill that waits for its budget.
const SWEEP_BOUNDS: [f64; 11] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 1800.0,
];
/// Upper bounds in seconds: a broker's round trip, or an hour in which Kafka was away.
const PUBLISH_BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3600.0,
];

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByChange {
    change: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct BySource {
    source: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct BySourceAndStatus {
    source: &'static str,
    status: StatusLabel,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ByOutcome {
    outcome: &'static str,
}

/// An HTTP status as a label: `none` for no answer, `other` for a number that HTTP does not know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum StatusLabel {
    None,
    Code(u16),
    Other,
}

impl From<u16> for StatusLabel {
    fn from(status: u16) -> Self {
        match status {
            0 => StatusLabel::None,
            100..=599 => StatusLabel::Code(status),
            _ => StatusLabel::Other,
        }
    }
}

impl EncodeLabelValue for StatusLabel {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            StatusLabel::None => encoder.write_str("none"),
            StatusLabel::Code(code) => write!(encoder, "{code}"),
            StatusLabel::Other => encoder.write_str("other"),
        }
    }
}

type Histograms = Family<BySource, Histogram, fn() -> Histogram>;

/// Counts events and renders them. Cheap to count into from any task; nothing in it waits.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sources: Vec<&'static str>,
    published: Family<ByChange, Counter>,
    api_requests: Family<BySourceAndStatus, Counter>,
    api_took: Histograms,
    token_requests: Family<ByOutcome, Counter>,
    throttled: Family<BySource, Counter>,
    late_found: Counter,
    stale: Counter,
    dead_letters: Counter,
    split: Counter,
    missed_firings: Counter,
    sweep_took: Histograms,
    publish_took: Histogram,
}

impl Metrics {
    /// Series that have a known, small set of labels are there from the start, at zero: a rate over a series that
    /// appears with its first increase misses that increase.
    ///
    /// `sources` are the names that events may carry; another name is counted as `other`.
    pub fn new(sources: &[&'static str]) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("incidentd"),
            sources: sources.to_vec(),
            published: Family::default(),
            api_requests: Family::default(),
            api_took: Family::new_with_constructor(|| Histogram::new(REQUEST_BOUNDS)),
            token_requests: Family::default(),
            throttled: Family::default(),
            late_found: Counter::default(),
            stale: Counter::default(),
            dead_letters: Counter::default(),
            split: Counter::default(),
            missed_firings: Counter::default(),
            sweep_took: Family::new_with_constructor(|| Histogram::new(SWEEP_BOUNDS)),
            publish_took: Histogram::new(PUBLISH_BOUNDS),
        };
        metrics.show_zeroes();
        metrics.register();
        metrics
    }

    fn show_zeroes(&self) {
        for change in Change::ALL {
            let change = change.as_str();
            let _ = self.published.get_or_create(&ByChange { change });
        }
        for ok in [true, false] {
            let _ = self.token_requests.get_or_create(&outcome(ok));
        }
        for &source in &self.sources {
            let status = StatusLabel::Code(200);
            let _ = self
                .api_requests
                .get_or_create(&BySourceAndStatus { source, status });
            let _ = self.api_took.get_or_create(&BySource { source });
            let _ = self.throttled.get_or_create(&BySource { source });
            let _ = self.sweep_took.get_or_create(&BySource { source });
        }
    }

    /// prometheus-client adds `_total` to the names of counters by itself, and a full stop to each help text.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "records_published",
            "Incident records acknowledged by Kafka, by kind of change",
            self.published.clone(),
        );
        registry.register(
            "api_requests",
            "Requests to Microsoft's incident API, by HTTP status (none: no answer)",
            self.api_requests.clone(),
        );
        registry.register(
            "api_request_duration_seconds",
            "Time from a request to the incident API to the end of its answer",
            self.api_took.clone(),
        );
        registry.register(
            "token_requests",
            "Requests for an access token",
            self.token_requests.clone(),
        );
        registry.register(
            "throttled",
            "Answers of the incident API that asked for fewer requests",
            self.throttled.clone(),
        );
        registry.register(
            "late_found",
            "Versions that only the overlap or a reconcile found",
            self.late_found.clone(),
        );
        registry.register(
            "stale_readings",
            "Readings dropped because a later version was already published",
            self.stale.clone(),
        );
        registry.register(
            "dead_letters",
            "Elements that could not be read as an incident, counted when they are met first",
            self.dead_letters.clone(),
        );
        registry.register(
            "split",
            "Incidents published in parts because they were larger than their topic accepts",
            self.split.clone(),
        );
        registry.register(
            "missed_firings",
            "Scheduled sweeps that did not start because the one before was still running",
            self.missed_firings.clone(),
        );
        registry.register(
            "sweep_duration_seconds",
            "Time from the start of a tenant's sweep to its end",
            self.sweep_took.clone(),
        );
        registry.register(
            "publish_duration_seconds",
            "Time from a page's arrival to Kafka's acknowledgement of its records",
            self.publish_took.clone(),
        );
    }

    /// The text of one scrape, of type [`CONTENT_TYPE`].
    ///
    /// Reads `/proc`, and writes some megabytes for thousands of tenants: not for a thread that must not block. Where
    /// `/proc` can't be read the process's own series are left out.
    pub fn render(&self, report: &StatusReport) -> String {
        let mut counted = String::new();
        // Writing to a String does not fail, and neither do our labels.
        let _ = encode_registry(&mut counted, &self.registry);
        let mut out = Exposition::with_room_for(report.tenants.len());
        out.counted(&counted);
        gauges::write(&mut out, report);
        process::write(&mut out);
        out.finish()
    }

    fn source(&self, name: &str) -> BySource {
        let known = self.sources.iter().find(|known| **known == name);
        BySource {
            source: known.copied().unwrap_or("other"),
        }
    }

    fn see_request(&self, source: &str, status: u16, took: Duration) {
        let by = self.source(source);
        self.api_took.get_or_create(&by).observe(took.as_secs_f64());
        let by = BySourceAndStatus {
            source: by.source,
            status: status.into(),
        };
        self.api_requests.get_or_create(&by).inc();
    }
}

impl Observer for Metrics {
    fn see(&self, event: Event<'_>) {
        match event {
            Event::Published { change } => {
                let change = change.as_str();
                self.published.get_or_create(&ByChange { change }).inc();
            }
            Event::ApiRequest {
                source,
                status,
                took,
            } => self.see_request(source, status, took),
            Event::TokenRequest { ok } => {
                self.token_requests.get_or_create(&outcome(ok)).inc();
            }
            Event::Throttled { source } => {
                self.throttled.get_or_create(&self.source(source)).inc();
            }
            Event::LateFound { count } => {
                self.late_found.inc_by(count);
            }
            Event::Stale { count } => {
                self.stale.inc_by(count);
            }
            Event::DeadLetter => {
                self.dead_letters.inc();
            }
            Event::Split => {
                self.split.inc();
            }
            Event::MissedFirings { count } => {
                self.missed_firings.inc_by(count);
            }
            Event::Swept { source, took } => self
                .sweep_took
                .get_or_create(&self.source(source))
                .observe(took.as_secs_f64()),
            Event::Acknowledged { took } => self.publish_took.observe(took.as_secs_f64()),
        }
    }
}

fn outcome(ok: bool) -> ByOutcome {
    ByOutcome {
        outcome: if ok { "ok" } else { "failed" },
    }
}

#[cfg(test)]
mod tests;
