//! The status page: what `/api/status` says, for a person with a browser and nothing else.
//!
//! One document without scripts, pictures or anything that is fetched from elsewhere; it asks for itself again every few
//! seconds. Every text in it is escaped, and the policy that goes with it lets a browser do nothing but show it.

use std::fmt::{self, Display, Write};

use bytes::Bytes;
use uuid::Uuid;

use crate::core::format::{bytes, counted, gist, grouped, span, tally, tame};
use crate::core::health::alarms::Alarm;
use crate::core::health::failure::Health;
use crate::core::health::status::{
    Backfill, ConfigurationState, ConfigurationStatus, PartState, StatusReport, TenantStatus,
};
use crate::core::time::ticks::Ticks;

const REFRESH_SECONDS: u32 = 10;

const STYLE: &str = include_str!("page.css");

/// Stands for the nonce in a page that many share. Nothing before the nonce's place in a page is from outside.
pub const MARK: Uuid = Uuid::nil();

/// The `Content-Security-Policy` that a page is to be served with.
pub fn policy(nonce: Uuid) -> String {
    format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// What comes before the nonce of a page that was rendered with [`MARK`], and what comes behind it.
pub fn around_mark(html: &Bytes) -> Option<(Bytes, Bytes)> {
    let mark = MARK.to_string();
    let at = memchr::memmem::find(html, mark.as_bytes())?;
    Some((html.slice(..at), html.slice(at + mark.len()..)))
}

/// The page at `now`. `nonce`, which nobody can know before, marks the one style sheet as the daemon's own.
pub fn render(report: &StatusReport, now: Ticks, nonce: Uuid) -> String {
    let mut html = String::with_capacity(4096 + report.tenants.len() * 512);
    // Writing to a String does not fail.
    let _ = write_page(&mut html, report, now, nonce);
    html
}

fn write_page(out: &mut String, report: &StatusReport, now: Ticks, nonce: Uuid) -> fmt::Result {
    let states = report.tenants.iter().map(|tenant| tenant.state.as_str());
    let states = tally(states);
    let whole = Ticks::from_unix_seconds(now.unix_seconds());
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"dark light\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH_SECONDS}\">\n\
         <title>{states} - incidentd</title>\n<style nonce=\"{nonce}\">\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{}: {states}</h1>\n\
         <p class=\"quiet\">incidentd {}, {} for {}. As of {whole}; renewed every {REFRESH_SECONDS} seconds. \
         <a href=\"/api/status\">JSON</a> <a href=\"/metrics\">Metrics</a></p>\n",
        counted(report.tenants.len(), "tenant"),
        Escaped(report.version),
        report.state.as_str(),
        ago(now, report.started),
    )?;
    for alarm in &report.alarms {
        write_alarm(out, alarm, now)?;
    }
    write_configuration(out, &report.configuration, now)?;
    write_parts(out, report)?;
    write_tenants(out, &report.tenants, now)?;
    out.write_str("</body>\n</html>\n")
}

fn write_alarm(out: &mut String, alarm: &Alarm, now: Ticks) -> fmt::Result {
    writeln!(
        out,
        "<section class=\"bad\">\n<h2>Alarm: {} with one cause, {} for {}</h2>\n<p>{}</p>\n<p class=\"do\">{}</p>\n\
         <p class=\"quiet\">{}</p>\n</section>",
        counted(alarm.tenants, "tenant"),
        alarm.state,
        ago(now, alarm.since),
        Escaped(&alarm.error),
        Escaped(&alarm.remedy),
        Escaped(&alarm.cause),
    )
}

/// What the files say and the daemon does not do.
fn write_configuration(
    out: &mut String,
    configuration: &ConfigurationStatus,
    now: Ticks,
) -> fmt::Result {
    if configuration.state == ConfigurationState::Refused {
        let report = configuration.error.as_deref().unwrap_or_default();
        writeln!(
            out,
            "<section class=\"bad\">\n<h2>Reload refused: what was loaded {} ago stays in force</h2>\n<p>{}</p>\n\
             <p class=\"do\">correct the files and reload again; incidentd check --offline prints the report whole</p>\n\
             </section>",
            ago(now, configuration.loaded),
            Escaped(&gist(report)),
        )?;
    }
    if !configuration.restart_needed.is_empty() {
        writeln!(
            out,
            "<section class=\"fair\">\n<h2>Restart needed: some new values can&#39;t be taken up while the daemon runs; the \
             old ones hold</h2>\n<p>{}</p>\n<p class=\"do\">restart it when it suits: systemctl restart incidentd</p>\n\
             </section>",
            configuration.restart_needed.join(", "),
        )?;
    }
    Ok(())
}

fn write_parts(out: &mut String, report: &StatusReport) -> fmt::Result {
    let kafka = &report.kafka;
    let in_flight = bytes(kafka.in_flight_bytes.unwrap_or_default());
    write_state(out, "Kafka", kafka.state)?;
    write!(out, ", {in_flight} in flight")?;
    write_advice(out, kafka.error.as_deref(), kafka.remedy.as_deref())?;
    let ledger = &report.ledger;
    write_state(out, "Ledger", ledger.state)?;
    if let Some(known) = ledger.versions {
        write!(out, ", {} incidents known", grouped(known))?;
    }
    write_advice(out, ledger.error.as_deref(), ledger.remedy.as_deref())
}

fn write_state(out: &mut String, name: &str, state: PartState) -> fmt::Result {
    let (class, state) = (class_of_part(state), state.as_str());
    write!(out, "<p>{name}: <b class=\"{class}\">{state}</b>")
}

fn write_advice(out: &mut String, error: Option<&str>, remedy: Option<&str>) -> fmt::Result {
    if let Some(error) = error {
        write!(out, "<br>{}", Escaped(error))?;
    }
    if let Some(remedy) = remedy {
        write!(out, "<br><b>{}</b>", Escaped(remedy))?;
    }
    out.write_str("</p>\n")
}

fn write_tenants(out: &mut String, tenants: &[TenantStatus], now: Ticks) -> fmt::Result {
    out.write_str(
        "<table>\n<thead><tr><th>State<th>Tenant<th>Source<th>Lag<th>Last success<th>Published<th>In this state \
         since</tr></thead>\n<tbody>\n",
    )?;
    for tenant in tenants {
        write_tenant(out, tenant, now)?;
    }
    out.write_str("</tbody>\n</table>\n")
}

fn write_tenant(out: &mut String, tenant: &TenantStatus, now: Ticks) -> fmt::Result {
    let class = class(tenant.state);
    let lag = tenant.lag_seconds.map_or_else(|| "-".into(), span);
    let success = tenant.last_success;
    let success = success.map_or_else(|| "-".into(), |at| format!("{} ago", ago(now, at)));
    writeln!(
        out,
        "<tr><td><b class=\"{class}\">{}</b><td title=\"{}\">{}<td>{}<td class=\"n\">{lag}<td>{success}\
         <td class=\"n\">{}<td title=\"{}\">{} ago</tr>",
        tenant.state,
        tenant.id,
        Escaped(&tenant.name),
        tenant.source,
        grouped(tenant.published),
        tenant.since,
        ago(now, tenant.since),
    )?;
    let fill = tenant.backfill.as_ref().map(filling);
    let lines = [
        ("why", tenant.error.as_deref()),
        ("do", tenant.remedy.as_deref()),
        ("fill", fill.as_deref()),
    ];
    for (class, text) in lines {
        if let Some(text) = text {
            writeln!(
                out,
                "<tr class=\"{class}\"><td><td colspan=\"6\">{}</tr>",
                Escaped(text)
            )?;
        }
    }
    Ok(())
}

fn filling(fill: &Backfill) -> String {
    let broke_off = fill.error.as_ref();
    let broke_off = broke_off.map(|why| format!("; it broke off: {why}"));
    format!(
        "back-fill: {} still to be read, between {} and {}{}",
        span(fill.open_seconds),
        fill.from,
        fill.to,
        broke_off.unwrap_or_default()
    )
}

fn ago(now: Ticks, at: Ticks) -> String {
    span(now.since(at).as_secs())
}

fn class(state: Health) -> &'static str {
    match state {
        Health::Ok => "good",
        Health::Starting | Health::Throttled => "fair",
        _ => "bad",
    }
}

fn class_of_part(state: PartState) -> &'static str {
    match state {
        PartState::Ok => "good",
        PartState::Starting => "fair",
        PartState::Unavailable | PartState::Failed => "bad",
    }
}

/// A text that is nothing but text, between tags and within a quoted attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in tame(self.0).chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
