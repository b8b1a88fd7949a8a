//! One aligned line for each record that arrives.

use crate::cli::record_view::{RecordView, colours};
use crate::core::health::failure::one_line;

pub const HEADING: &str =
    "UPDATED (UTC)  CHANGE      TENANT         INCIDENT  SEVERITY       STATUS      NAME";
const NAME_WIDTH: usize = 21;

pub fn line(record: &RecordView, colour: bool) -> String {
    let time = record.updated.split_once('T');
    let (on, off) = colours(&record.change, colour);
    format!(
        "{:<13}  {on}{:<10}{off}  {:<13.13}  {:>8}  {:<13.13}  {:<10}  {}",
        time.map_or_else(String::new, |(_, time)| millis(time)),
        record.change,
        record.tenant,
        record.incident,
        record.severity,
        record.status,
        one_line(&record.title, NAME_WIDTH),
    )
}

/// `12:18:03.500` of `12:18:03.5Z`.
fn millis(time: &str) -> String {
    let time = time.trim_end_matches('Z');
    let (whole, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{whole}.{fraction:0<3.3}")
}
