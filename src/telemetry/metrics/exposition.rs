//! Prometheus's text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
//!
//! Names, kinds and help texts are constants; label values come from the configuration and are escaped.

use std::fmt::{Display, Write};

use crate::core::health::failure::Health;

/// The approximate size of one tenant in a scrape: its series times the length of a line.
const BYTES_PER_TENANT: usize = (Health::ALL.len() + 6) * 120;

#[derive(Clone, Copy)]
pub enum MetricKind {
    Counter,
    Gauge,
}

pub struct Exposition(String);

impl Exposition {
    pub fn with_room_for(tenants: usize) -> Self {
        let room = tenants.saturating_mul(BYTES_PER_TENANT);
        Self(String::with_capacity(room.saturating_add(16 * 1024)))
    }

    pub fn finish(self) -> String {
        self.0
    }

    /// Converts what prometheus-client wrote as OpenMetrics. The samples are the same in both formats. In OpenMetrics the help
    /// and type of a counter are under its name without `_total`, and there are further comments (`# UNIT`, `# EOF`).
    pub fn counted(&mut self, open_metrics: &str) {
        let mut help = "";
        for line in open_metrics.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ').map_or("", |(_, help)| help);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
                let suffix = if kind == "counter" { "_total" } else { "" };
                self.line(format_args!("# HELP {name}{suffix} {help}"));
                self.line(format_args!("# TYPE {name}{suffix} {kind}"));
            } else if !line.starts_with('#') {
                self.line(line);
            }
        }
    }

    /// Begins a family. All its samples must follow directly.
    pub fn family(
        &mut self,
        name: &'static str,
        kind: MetricKind,
        help: &'static str,
    ) -> Samples<'_> {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        Samples { out: self, name }
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

pub struct Samples<'a> {
    out: &'a mut Exposition,
    name: &'static str,
}

impl Samples<'_> {
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let text = &mut self.out.0;
        text.push_str(self.name);
        let mut before = '{';
        for (label, value) in labels {
            text.push(before);
            text.push_str(label);
            text.push_str("=\"");
            push_escaped(text, value);
            text.push('"');
            before = ',';
        }
        if !labels.is_empty() {
            text.push('}');
        }
        self.out.line(format_args!(" {value}"));
    }
}

fn push_escaped(text: &mut String, value: &str) {
    for part in value.split_inclusive(['\\', '"', '\n']) {
        let plain = part.trim_end_matches(['\\', '"', '\n']);
        text.push_str(plain);
        text.push_str(match &part[plain.len()..] {
            "\\" => "\\\\",
            "\"" => "\\\"",
            "\n" => "\\n",
            rest => rest,
        });
    }
}
