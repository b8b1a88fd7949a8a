//! A fleet's state as text of at most so many columns: what is wrong first, with what to do; then every tenant, worst
//! first.
//!
//! All texts come from outside and are tamed before they are laid out.

use super::report::{
    AlarmFields, ConfigurationFields, OK, PartFields, StatusDocument, TenantFields, instant,
};
use crate::cli::text::{left, right, width, wrapped};
use crate::core::format::{bytes, counted, gist, grouped, span, tally, tame};
use crate::core::time::ticks::Ticks;

/// Back-fills named one by one.
const MOST_FILLS: usize = 5;
/// A tenant's name is cut to no less.
const LEAST_NAME: usize = 12;
/// Nor do the other columns ever need more, unless what answers is not what it should be.
const MOST_OTHER: usize = 14;
const GAP: &str = "  ";

pub struct TableContext<'a> {
    /// Where the daemon was asked.
    pub address: &'a str,
    /// The time by the daemon's clock.
    pub now: Ticks,
    pub columns: usize,
    pub colour: bool,
}

pub fn render(report: &StatusDocument, frame: &TableContext<'_>) -> String {
    let mut page = StatusText {
        frame,
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
    frame: &'a TableContext<'a>,
    lines: Vec<String>,
}

impl StatusText<'_> {
    fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn text(&mut self, label: &str, text: &str) {
        let lines = wrapped(label, &tame(text), self.frame.columns);
        self.lines.extend(lines);
    }

    fn head(&mut self, report: &StatusDocument) {
        let now = Ticks::from_unix_seconds(self.frame.now.unix_seconds());
        let age = instant(report.started.as_ref()).map(|at| self.since(at));
        let age = age.map(|age| format!(" for {age}")).unwrap_or_default();
        let head = format!(
            "incidentd {} at {}, {}{age}, asked {now}",
            report.version, self.frame.address, report.state
        );
        self.text("", &head);
        let states = report.tenants.iter().map(|tenant| tenant.state.as_str());
        let tenants = counted(report.tenants.len(), "tenant");
        self.text("", &format!("{tenants}: {}", tally(states)));
        let kafka = report.kafka.in_flight_bytes;
        let kafka = kafka.map(|number| format!("{} in flight", bytes(number)));
        self.part("Kafka", &report.kafka, kafka);
        let ledger = &report.ledger;
        let known = ledger.versions;
        let known = known.map(|number| format!("{} incidents known", grouped(number)));
        self.part("Ledger", ledger, known);
    }

    fn part(&mut self, name: &str, part: &PartFields, more: Option<String>) {
        let more = more.map(|more| format!(", {more}")).unwrap_or_default();
        let state = self.paint(&tame(&part.state), &part.state);
        self.line(format!("{name}: {state}{more}"));
        if let Some(error) = &part.error {
            self.text("  why: ", error);
        }
        if let Some(remedy) = &part.remedy {
            self.text("  do:  ", remedy);
        }
    }

    fn fills(&mut self, tenants: &[TenantFields]) {
        let open =
            |tenant: &&TenantFields| tenant.backfill.as_ref().map_or(0, |fill| fill.open_seconds);
        let mut filled: Vec<&TenantFields> =
            tenants.iter().filter(|it| it.backfill.is_some()).collect();
        if filled.is_empty() {
            return;
        }
        filled.sort_by_key(|tenant| std::cmp::Reverse(open(tenant)));
        let all = filled.iter().map(open).fold(0, u64::saturating_add);
        let count = counted(filled.len(), "tenant");
        self.line(format!(
            "Back-fill: {} of incidents still to be read in {count}",
            span(all)
        ));
        for tenant in filled.iter().take(MOST_FILLS) {
            let Some(fill) = &tenant.backfill else {
                continue;
            };
            let between = match (&fill.from, &fill.to) {
                (Some(from), Some(to)) => format!(", between {from} and {to}"),
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
        self.line("");
        let count = counted(alarm.tenants, "tenant");
        let since = instant(alarm.since.as_ref());
        let since = since.map(|at| format!(" for {}", self.since(at)));
        let word = self.paint("ALARM", "alarm");
        let (state, cause) = (tame(&alarm.state), tame(&alarm.cause));
        self.line(format!(
            "{word}: {count} with one cause, {state}{}: {cause}",
            since.unwrap_or_default()
        ));
        self.text("  why: ", &alarm.error);
        self.text("  do:  ", &alarm.remedy);
    }

    /// What the files say and the daemon does not do.
    fn configuration(&mut self, configuration: &ConfigurationFields) {
        if configuration.is_refused() {
            let loaded = instant(configuration.loaded.as_ref());
            let loaded = loaded.map(|at| format!(" {} ago", self.since(at)));
            let (word, loaded) = (
                self.paint("RELOAD REFUSED", "refused"),
                loaded.unwrap_or_default(),
            );
            self.line("");
            self.line(format!("{word}: what was loaded{loaded} stays in force"));
            let report = configuration.error.as_deref().unwrap_or_default();
            self.text("  why: ", &gist(report));
            self.text("  do:  ", "correct the files and reload again; incidentd check --offline prints the report whole");
        }
        if !configuration.restart_needed.is_empty() {
            let word = self.paint("RESTART NEEDED", "restart");
            let keys = configuration.restart_needed.join(", ");
            self.line("");
            self.line(format!(
                "{word}: some new values can't be taken up while the daemon runs; the old ones hold"
            ));
            self.text("  why: ", &keys);
            self.text(
                "  do:  ",
                "restart it when it suits: systemctl restart incidentd",
            );
        }
    }

    fn tenants(&mut self, report: &StatusDocument) {
        let rows = rows(&report.tenants, |at| format!("{} ago", self.since(at)));
        let widths = widths(&rows, self.frame.columns);
        self.line("");
        let heading = lay_out(&HEADING.map(str::to_owned), &widths);
        self.line(heading.trim_end());
        for group in groups(&report.tenants) {
            for index in &group {
                let (Some(row), Some(tenant)) = (rows.get(*index), report.tenants.get(*index))
                else {
                    continue;
                };
                let line = lay_out(row, &widths);
                let (state, rest) = line.split_once(GAP).unwrap_or((&line, ""));
                let state = self.paint(state, &tenant.state);
                self.line(format!("{state}{GAP}{}", rest.trim_end()));
            }
            let members: Vec<_> = group
                .iter()
                .filter_map(|n| report.tenants.get(*n))
                .collect();
            self.explain(&members, &report.alarms);
        }
    }

    /// What is wrong with these tenants, which have one remedy.
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

    fn since(&self, at: Ticks) -> String {
        span(self.frame.now.since(at).as_secs())
    }

    fn paint(&self, text: &str, state: &str) -> String {
        if !self.frame.colour {
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

type TableRow = [String; 7];

const HEADING: [&str; 7] = [
    "STATE",
    "TENANT",
    "SOURCE",
    "LAG",
    "LAST SUCCESS",
    "PUBLISHED",
    "SINCE",
];
const NAME: usize = 1;
const TO_THE_RIGHT: [usize; 2] = [3, 5];

fn rows(tenants: &[TenantFields], ago: impl Fn(Ticks) -> String) -> Vec<TableRow> {
    let ago = |at: Option<&String>| instant(at).map_or_else(|| "-".to_owned(), &ago);
    let row = |tenant: &TenantFields| {
        [
            tame(&tenant.state),
            tame(&tenant.name),
            tame(&tenant.source),
            tenant.lag_seconds.map_or_else(|| "-".to_owned(), span),
            ago(tenant.last_success.as_ref()),
            grouped(tenant.published),
            ago(tenant.since.as_ref()),
        ]
    };
    tenants.iter().map(row).collect()
}

/// Each column as wide as what is in it; the names give way when that is too much.
fn widths(rows: &[TableRow], columns: usize) -> [usize; 7] {
    let mut widths = HEADING.map(width);
    for row in rows {
        for (n, (widest, cell)) in widths.iter_mut().zip(row).enumerate() {
            let most = if n == NAME { columns } else { MOST_OTHER };
            *widest = (*widest).max(width(cell).min(most));
        }
    }
    let others: usize = widths.iter().sum::<usize>() - widths[NAME];
    let room = columns.saturating_sub(others + GAP.len() * (HEADING.len() - 1));
    widths[NAME] = widths[NAME].min(room.max(LEAST_NAME));
    widths
}

fn lay_out(row: &TableRow, widths: &[usize; 7]) -> String {
    let cells = row.iter().zip(widths).enumerate();
    let cells: Vec<_> = cells
        .map(|(n, (cell, width))| match TO_THE_RIGHT.contains(&n) {
            true => right(cell, *width),
            false => left(cell, *width),
        })
        .collect();
    cells.join(GAP)
}

/// Tenants by number, those together that are in one state with one remedy; otherwise in the order given.
fn groups(tenants: &[TenantFields]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (n, tenant) in tenants.iter().enumerate() {
        let key = (tenant.state.as_str(), tenant.remedy.as_deref());
        let group = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(n),
            None => groups.push(vec![n]),
        }
    }
    groups
}

#[cfg(test)]
mod tests;
