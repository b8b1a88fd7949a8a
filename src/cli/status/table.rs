//! The status of all tenants as text: first what is wrong and what to do, then every tenant, worst first.
//!
//! All texts come from outside and go through `tame` before they are laid out.

use std::collections::HashMap;

use super::report::{
    AlarmFields, BackfillFields, ConfigurationFields, OK, PartFields, StatusDocument, TenantFields,
};
use crate::cli::text::{GAP, Layout, table, wrapped};
use crate::core::format::{counted, gist, grouped, span, tame};
use crate::core::health::failure::one_line;
use crate::core::health::sentences;
use crate::core::time::ticks::Ticks;

/// At most this many back-fills are listed.
const MOST_FILLS: usize = 5;
/// Cuts the state and the source. Longer ones come only from something that is not incidentd.
const LONGEST_WORD: usize = 14;
const UNKNOWN: &str = "-";

pub struct TableContext<'a> {
    /// The daemon's address.
    pub address: &'a str,
    /// The time by the daemon's clock.
    pub now: Ticks,
    pub columns: usize,
    pub colour: bool,
}

pub fn render(report: &StatusDocument, context: &TableContext<'_>) -> String {
    let mut page = StatusText {
        context,
        lines: Vec::new(),
    };
    page.head(report);
    page.fills(&report.tenants);
    for alarm in &report.alarms {
        page.alarm(alarm);
    }
    page.configuration(&report.configuration);
    page.tenants(report);
    page.lines.join("\n") + "\n"
}

struct StatusText<'a> {
    context: &'a TableContext<'a>,
    lines: Vec<String>,
}

impl StatusText<'_> {
    fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn text(&mut self, label: &str, text: &str) {
        let lines = wrapped(label, &tame(text), self.context.columns);
        self.lines.extend(lines);
    }

    fn head(&mut self, report: &StatusDocument) {
        let now = Ticks::from_unix_seconds(self.context.now.unix_seconds());
        let age = self.age(report.started.as_ref());
        let age = age.map(|age| format!(" for {}", span(age)));
        let head = format!(
            "incidentd {} at {}, {}{}, asked {now}",
            report.version,
            self.context.address,
            report.state,
            age.unwrap_or_default()
        );
        self.text("", &head);
        let states = report.tenants.iter().map(|tenant| tenant.state.as_str());
        self.text("", &sentences::tenants(states));
        self.part("Kafka", &report.kafka);
        self.part("Ledger", &report.ledger);
        if let Some(ownership) = &report.ownership {
            let partitions = ownership.partitions.iter();
            let partitions = partitions.map(|one| (one.id, one.state.as_str()));
            let line = sentences::ownership(partitions, ownership.member.as_deref());
            self.text("Partitions: ", &line);
        }
    }

    fn part(&mut self, name: &str, part: &PartFields) {
        let more = sentences::about_part(part.in_flight_bytes, part.versions);
        let more = more.map(|more| format!(", {more}")).unwrap_or_default();
        let state = self.paint(&tame(&part.state), &part.state);
        self.line(format!("{name}: {state}{more}"));
        for (label, text) in [("  why: ", &part.error), ("  do:  ", &part.remedy)] {
            if let Some(text) = text {
                self.text(label, text);
            }
        }
    }

    fn fills(&mut self, tenants: &[TenantFields]) {
        let filled = tenants.iter();
        let mut filled: Vec<(&TenantFields, &BackfillFields)> = filled
            .filter_map(|tenant| Some((tenant, tenant.backfill.as_ref()?)))
            .collect();
        if filled.is_empty() {
            return;
        }
        filled.sort_by_key(|(_, fill)| std::cmp::Reverse(fill.open_seconds));
        let open = filled.iter().map(|(_, fill)| fill.open_seconds);
        let all = open.fold(0, u64::saturating_add);
        let count = counted(filled.len(), "tenant");
        self.line(format!(
            "Back-fill: {} of incidents still to be read in {count}",
            span(all)
        ));
        for (tenant, fill) in filled.iter().take(MOST_FILLS) {
            let between = match (&fill.from, &fill.to) {
                (Some(from), Some(to)) => format!(", between {} and {}", second(from), second(to)),
                _ => String::new(),
            };
            let line = format!("{}: {}{between}", tenant.name, span(fill.open_seconds));
            self.text("  ", &line);
            if let Some(error) = &fill.error {
                self.text("    why it broke off: ", error);
            }
        }
        let more = filled.len().saturating_sub(MOST_FILLS);
        if more > 0 {
            self.line(format!("  and {more} more"));
        }
    }

    fn alarm(&mut self, alarm: &AlarmFields) {
        let age = self.age(alarm.since.as_ref());
        let what = sentences::alarm(alarm.tenants, &tame(&alarm.state), age);
        let what = format!("{what}: {}", tame(&alarm.cause));
        self.notice(("ALARM", "alarm"), &what, &alarm.error, &alarm.remedy);
    }

    /// A refused reload, and values that wait for a restart.
    fn configuration(&mut self, configuration: &ConfigurationFields) {
        if configuration.is_refused() {
            let age = self.age(configuration.loaded.as_ref());
            let why = gist(configuration.error.as_deref().unwrap_or_default());
            let what = sentences::stays_in_force(age);
            self.notice(
                ("RELOAD REFUSED", "refused"),
                &what,
                &why,
                sentences::RELOAD_REMEDY,
            );
        }
        if !configuration.restart_needed.is_empty() {
            let keys = configuration.restart_needed.join(", ");
            let (what, remedy) = (sentences::RESTART_NEEDED, sentences::RESTART_REMEDY);
            self.notice(("RESTART NEEDED", "restart"), what, &keys, remedy);
        }
    }

    fn notice(&mut self, word: (&str, &str), what: &str, why: &str, remedy: &str) {
        let word = self.paint(word.0, word.1);
        self.line("");
        self.line(format!("{word}: {what}"));
        self.text("  why: ", why);
        self.text("  do:  ", remedy);
    }

    fn tenants(&mut self, report: &StatusDocument) {
        let groups = groups(&report.tenants);
        let rows = groups.iter().flatten().map(|tenant| self.row(tenant));
        let layout = Layout {
            width: self.context.columns,
            name: 1,
            right: &[3, 5],
        };
        let mut lines = table(HEADING, rows, layout).into_iter();
        self.line("");
        self.lines.extend(lines.next());
        for group in groups {
            for (tenant, line) in group.iter().zip(lines.by_ref()) {
                let (state, rest) = line.split_once(GAP).unwrap_or((&line, ""));
                let state = self.paint(state, &tenant.state);
                self.line(format!("{state}{GAP}{rest}"));
            }
            self.explain(&group, &report.alarms);
        }
    }

    fn row(&self, tenant: &TenantFields) -> [String; 7] {
        let ago = |at: Option<&String>| match self.age(at) {
            Some(age) => format!("{} ago", span(age)),
            None => UNKNOWN.to_owned(),
        };
        let lag = tenant.lag_seconds.map(span);
        [
            one_line(&tenant.state, LONGEST_WORD),
            tame(&tenant.name),
            one_line(&tenant.source, LONGEST_WORD),
            lag.unwrap_or_else(|| UNKNOWN.to_owned()),
            ago(tenant.last_success.as_ref()),
            grouped(tenant.published),
            ago(tenant.since.as_ref()),
        ]
    }

    /// What is wrong with these tenants, which have the same remedy.
    fn explain(&mut self, members: &[&TenantFields], alarms: &[AlarmFields]) {
        let Some(last) = members.last().filter(|last| last.state != OK) else {
            return;
        };
        let remedy = last.remedy.as_deref().unwrap_or_default();
        if alarms.iter().any(|alarm| alarm.remedy == remedy) {
            self.line("    see the alarm above");
            return;
        }
        if let Some(error) = &last.error {
            let all = members.iter().all(|it| it.error == last.error);
            let of = if all {
                String::new()
            } else {
                format!("of {}: ", last.name)
            };
            self.text("    why: ", &format!("{of}{error}"));
        }
        if !remedy.is_empty() {
            let all = match members.len() {
                1 => String::new(),
                many => format!("(all {many}) "),
            };
            self.text("    do:  ", &format!("{all}{remedy}"));
        }
    }

    /// Whole seconds since an instant of the document. `None`: it has none, or none that can be read.
    fn age(&self, at: Option<&String>) -> Option<u64> {
        let at = at?.parse().ok()?;
        Some(self.context.now.since(at).as_secs())
    }

    fn paint(&self, text: &str, state: &str) -> String {
        if !self.context.colour {
            return text.to_owned();
        }
        let colour = match state {
            OK => 32,
            "starting" | "throttled" | "restart" => 33,
            _ => 31,
        };
        format!("\x1b[{colour}m{text}\x1b[0m")
    }
}

/// The second of an instant in the report.
fn second(instant: &str) -> String {
    let parsed: Result<Ticks, _> = instant.parse();
    parsed.map_or_else(|_| instant.to_owned(), |at| at.second().to_string())
}

const HEADING: [&str; 7] = [
    "STATE",
    "TENANT",
    "SOURCE",
    "LAG",
    "LAST SUCCESS",
    "PUBLISHED",
    "SINCE",
];

/// Groups tenants with the same state and remedy, otherwise in the order given.
fn groups(tenants: &[TenantFields]) -> Vec<Vec<&TenantFields>> {
    let mut groups: Vec<Vec<&TenantFields>> = Vec::new();
    let mut known = HashMap::new();
    for tenant in tenants {
        let key = (tenant.state.as_str(), tenant.remedy.as_deref());
        let group = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(tenant),
            None => groups.push(vec![tenant]),
        }
    }
    groups
}

#[cfg(test)]
mod tests;
