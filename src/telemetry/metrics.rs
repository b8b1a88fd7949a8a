//! Metrics: counters and histograms of events, and gauges at the time of a scrape.
//!
//! Counters and histograms are kept here and updated by [`Observer::see`]. What a [`StatusReport`] contains is written at
//! the scrape and not kept: eight states for each of 5,000 tenants would otherwise stay in memory all the time.
//!
//! The text has Prometheus's format, version 0.0.4. prometheus-client writes OpenMetrics only, where a counter's type is
//! declared under its name without `_total`: a reader of the older format (promtool, most agents other than Prometheus)
//! finds samples without type and help there. Every reader takes 0.0.4, so there is no second format. What OpenMetrics has
//! beyond it (exemplars, creation times) is not used here.
//!
//! No label has unbounded values: changes, outcomes and states are enums, sources are named at construction, statuses
//! are HTTP's, tenants are the configured ones.

mod exposition;
mod gauges;
mod process;

use std::borrow::Cow;

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::core::health::status::StatusReport;
use crate::core::incident::version::Change;
use crate::ports::{Event, Observer};
use crate::settings::MetricsDetail;
use exposition::Exposition;

/// The `Content-Type` of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds in seconds: requests are fast, or end at their time limit.
const REQUEST_BOUNDS: [f64; 11] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Upper bounds in seconds: from one page to a back-fill that waits for its budget.
const SWEEP_BOUNDS: [f64; 11] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 1800.0,
];
/// Upper bounds in seconds: from a broker's round trip to an hour without Kafka.
const PUBLISH_BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3600.0,
];

/// Metrics by the value of one label.
type ByLabel<M> = Family<[(&'static str, &'static str); 1], M, fn() -> M>;

/// Counts events and renders them. Counting is cheap from any task, and never waits.
#[derive(Debug)]
// More than 12 fields: one for each metric.
pub struct Metrics {
    registry: Registry,
    detail: MetricsDetail,
    sources: Vec<&'static str>,
    published: ByLabel<Counter>,
    requests: RequestMetrics,
    token_requests: ByLabel<Counter>,
    late_found: Counter,
    stale: Counter,
    dead_letters: Counter,
    split: Counter,
    missed_firings: Counter,
    sweep_took: ByLabel<Histogram>,
    publish_took: Histogram,
}

/// Of Microsoft's incident API.
#[derive(Debug)]
struct RequestMetrics {
    /// By source and status.
    count: Family<[(&'static str, Cow<'static, str>); 2], Counter>,
    took: ByLabel<Histogram>,
    throttled: ByLabel<Counter>,
}

/// Registers a metric. prometheus-client adds `_total` to the name of a counter, and a full stop to each help text.
fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Series with a small, known set of labels exist from the start, at zero: a rate misses the first increase of a series
    /// that appears with it.
    ///
    /// `sources` are the names that events may carry; another name is counted as `other`.
    pub fn new(sources: &[&'static str]) -> Self {
        let mut registry = Registry::with_prefix("incidentd");
        let to = &mut registry;
        let metrics = Self {
            published: registered(
                to,
                "records_published",
                "Incident records acknowledged by Kafka, by kind of change",
                counters(),
            ),
            requests: RequestMetrics::new(to),
            token_requests: registered(
                to,
                "token_requests",
                "Requests for an access token",
                counters(),
            ),
            late_found: registered(
                to,
                "late_found",
                "Versions that only the overlap or a reconcile found",
                Counter::default(),
            ),
            stale: registered(
                to,
                "stale_readings",
                "Readings dropped because a later version was already published",
                Counter::default(),
            ),
            dead_letters: registered(
                to,
                "dead_letters",
                "Elements that could not be read as an incident, counted when they are met first",
                Counter::default(),
            ),
            split: registered(
                to,
                "split",
                "Incidents published in parts because they were larger than their topic accepts",
                Counter::default(),
            ),
            missed_firings: registered(
                to,
                "missed_firings",
                "Scheduled sweeps that did not start because the one before was still running",
                Counter::default(),
            ),
            sweep_took: registered(
                to,
                "sweep_duration_seconds",
                "Time from the start of a tenant's sweep to its end",
                Family::new_with_constructor(|| Histogram::new(SWEEP_BOUNDS)),
            ),
            publish_took: registered(
                to,
                "publish_duration_seconds",
                "Time from a page's arrival to Kafka's acknowledgement of its records",
                Histogram::new(PUBLISH_BOUNDS),
            ),
            sources: sources.to_vec(),
            registry,
            detail: MetricsDetail::Tenants,
        };
        metrics.show_zeroes();
        metrics
    }

    /// The same with other series.
    pub(crate) fn showing(self, detail: MetricsDetail) -> Self {
        Self { detail, ..self }
    }

    fn show_zeroes(&self) {
        for change in Change::ALL {
            let _ = self.published.get_or_create(&[("change", change.as_str())]);
        }
        for ok in [true, false] {
            let _ = self.token_requests.get_or_create(&[outcome(ok)]);
        }
        for &source in &self.sources {
            let by = [("source", source)];
            let _ = self
                .requests
                .count
                .get_or_create(&source_and_status(source, 200));
            let _ = self.requests.took.get_or_create(&by);
            let _ = self.requests.throttled.get_or_create(&by);
            let _ = self.sweep_took.get_or_create(&by);
        }
    }

    /// The text of one scrape, of type [`CONTENT_TYPE`].
    ///
    /// Reads `/proc`, and writes some megabytes for thousands of tenants: not for a thread that must not block. When `/proc`
    /// can't be read, the process's own series are missing.
    pub fn render(&self, report: &StatusReport) -> String {
        let mut counted = String::new();
        // Writing to a String does not fail, and neither do our labels.
        let _ = encode_registry(&mut counted, &self.registry);
        let tenants = match self.detail {
            MetricsDetail::Tenants => &report.tenants[..],
            MetricsDetail::Fleet => &[],
        };
        let mut out = Exposition::with_room_for(tenants.len());
        out.counted(&counted);
        gauges::write(&mut out, report);
        gauges::write_tenants(&mut out, tenants);
        process::write(&mut out);
        out.finish()
    }

    fn source(&self, name: &str) -> &'static str {
        let known = self.sources.iter().find(|known| **known == name);
        known.copied().unwrap_or("other")
    }
}

impl RequestMetrics {
    fn new(to: &mut Registry) -> Self {
        Self {
            count: registered(
                to,
                "api_requests",
                "Requests to Microsoft's incident API, by HTTP status (none: no answer)",
                Family::default(),
            ),
            took: registered(
                to,
                "api_request_duration_seconds",
                "Time from a request to the incident API to the end of its answer",
                Family::new_with_constructor(|| Histogram::new(REQUEST_BOUNDS)),
            ),
            throttled: registered(
                to,
                "throttled",
                "Answers of the incident API that asked for fewer requests",
                counters(),
            ),
        }
    }
}

fn counters() -> ByLabel<Counter> {
    Family::new_with_constructor(Counter::default)
}

impl Observer for Metrics {
    fn see(&self, event: Event<'_>) {
        match event {
            Event::Published { change } => {
                let by = [("change", change.as_str())];
                self.published.get_or_create(&by).inc();
            }
            Event::ApiRequest {
                source,
                status,
                took,
            } => {
                let source = self.source(source);
                let took = took.as_secs_f64();
                self.requests
                    .took
                    .get_or_create(&[("source", source)])
                    .observe(took);
                self.requests
                    .count
                    .get_or_create(&source_and_status(source, status))
                    .inc();
            }
            Event::TokenRequest { ok } => {
                self.token_requests.get_or_create(&[outcome(ok)]).inc();
            }
            Event::Throttled { source } => {
                let by = [("source", self.source(source))];
                self.requests.throttled.get_or_create(&by).inc();
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
                .get_or_create(&[("source", self.source(source))])
                .observe(took.as_secs_f64()),
            Event::Acknowledged { took } => self.publish_took.observe(took.as_secs_f64()),
        }
    }
}

fn outcome(ok: bool) -> (&'static str, &'static str) {
    ("outcome", if ok { "ok" } else { "failed" })
}

/// The labels of a request. Its status is `none` for no answer, and `other` for a number that HTTP does not know.
fn source_and_status(source: &'static str, status: u16) -> [(&'static str, Cow<'static, str>); 2] {
    let status = match status {
        0 => "none".into(),
        100..=599 => status.to_string().into(),
        _ => "other".into(),
    };
    [("source", source.into()), ("status", status)]
}

#[cfg(test)]
mod tests;
