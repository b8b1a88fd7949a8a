//! The end of the Defender API, for `check` and for the log of `run`.

use std::fmt;

use crate::core::format::counted;
use crate::core::sources::EndOfService;
use crate::core::time::ticks::Ticks;
use crate::settings::TenantSettings;

const DAY: i64 = 86_400;

/// Tenants that are read through an API that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retirement {
    /// How many; never 0.
    pub tenants: usize,
    /// Days from today's date, in UTC, to the last day: 0 on that day, negative after it.
    pub days_left: i64,
}

impl Retirement {
    /// The retirement to report of `tenants` at `now`. `None`: no source of theirs has an announced end.
    pub fn of<'a>(
        tenants: impl IntoIterator<Item = &'a TenantSettings>,
        now: Ticks,
    ) -> Option<Self> {
        let ends = tenants.into_iter();
        let ends: Vec<&EndOfService> = ends
            .filter_map(|tenant| tenant.api.source.facts().end.as_ref())
            .collect();
        let end = ends.first()?;
        Some(Self {
            tenants: ends.len(),
            days_left: days_left(end, now),
        })
    }
}

fn days_left(end: &EndOfService, now: Ticks) -> i64 {
    let day = |at: Ticks| at.unix_seconds().div_euclid(DAY);
    day(end.last_day) - day(now)
}

impl fmt::Display for Retirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = || counted(self.days_left.unsigned_abs() as usize, "day");
        let (ends, when, move_) = match self.days_left {
            1.. => ("ends", format!("in {}", days()), "Move to graph"),
            0 => ("ends", "today".to_owned(), "Move to graph"),
            _ => ("ended", format!("{} ago", days()), "Move to graph now"),
        };
        let verb = if self.tenants == 1 { "is" } else { "are" };
        write!(
            f,
            "{} {verb} read through the Defender API, which {ends} on 2027-02-01 ({when}) by Microsoft's notice MC1220762. \
             {move_}: give the app registration the application permission SecurityIncident.Read.All of Microsoft Graph, set \
             api.source = \"graph\", and have each customer consent through the link that incidentd consent then prints. \
             Nothing is published again by the move.",
            counted(self.tenants, "tenant")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sources::SourceKind;

    fn said(tenants: usize, now: &str) -> String {
        let now: Ticks = now.parse().expect("an instant");
        let end = SourceKind::Defender.facts().end.expect("it ends");
        let days_left = days_left(&end, now);
        Retirement { tenants, days_left }.to_string()
    }

    #[test]
    fn the_end_is_dated_before_it_on_its_day_and_after_it() {
        for (now, expected) in [
            ("2026-11-29T16:00:00Z", "ends on 2027-02-01 (in 64 days)"),
            ("2027-01-31T23:59:59.9Z", "ends on 2027-02-01 (in 1 day)"),
            ("2027-02-01T00:00:00Z", "ends on 2027-02-01 (today)"),
            ("2027-02-01T23:59:59Z", "ends on 2027-02-01 (today)"),
            ("2027-02-02T00:00:00Z", "ended on 2027-02-01 (1 day ago)"),
            ("2027-03-01T12:00:00Z", "ended on 2027-02-01 (28 days ago)"),
        ] {
            let said = said(3, now);
            assert!(said.contains(expected), "{now}: {said}");
            assert!(said.starts_with("3 tenants are read"), "{said}");
            for remedy in [
                "MC1220762",
                "api.source = \"graph\"",
                "SecurityIncident.Read.All",
                "consent",
            ] {
                assert!(said.contains(remedy), "{now}: {remedy} is not in {said}");
            }
        }
        assert!(said(1, "2026-11-29T16:00:00Z").starts_with("1 tenant is read"));
    }
}
