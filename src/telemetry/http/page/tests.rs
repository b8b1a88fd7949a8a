use super::*;
use crate::core::health::activity::{EventKind, EventLog, HOURS};
use crate::core::health::alarms::{Alarm, AlarmTenant};
use crate::core::health::failure::{Failure, Reaction};
use crate::core::health::fleet_view::{
    FleetQuery, FleetView, PER_PAGE, TenantDetails, TenantKey, TenantView,
};
use crate::core::health::status::{
    ConfigurationState, ConfigurationStatus, OwnershipStatus, PartState, PartStatus,
    PartitionStatus, RunState, StatusReport, TenantStatus,
};
use crate::core::ids::TenantId;
use crate::core::ownership::PartitionStage;
use crate::core::sweep::backlog::Interval;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// 2026-11-24T02:14:07Z.
const NOW: Ticks = Ticks(17_954_864_470_000_000);

const LINK: &str = "https://login.example/t/v2.0/adminconsent?client_id=a&scope=b%2F.default";

fn ago(seconds: i64) -> Ticks {
    Ticks::from_unix_seconds(NOW.unix_seconds() - seconds)
}

fn tenant(n: u16, name: &str, state: Health) -> TenantView {
    let mut id = [0x11; 16];
    id[14..].copy_from_slice(&n.to_be_bytes());
    let mut hours = [0; HOURS];
    (hours[20], hours[22]) = (40, 1234);
    TenantView {
        status: TenantStatus {
            id: TenantId::from_bytes(id),
            name: name.into(),
            source: "defender",
            state,
            since: ago(7500),
            remedy: None,
            error: None,
            alarm: None,
            cursor: None,
            lag_seconds: Some(22),
            overdue_seconds: 0,
            last_success: Some(ago(14)),
            next_sweep: Some(ago(-16)),
            token_expires: None,
            credential_expires: None,
            published: 1234,
            backfill: None,
            late_found: 0,
        },
        last_sweep: Some(LastSweep {
            ended: ago(14),
            took: Duration::from_millis(1250),
            failed: state != Health::Ok,
        }),
        hours,
        consent_link: (state == Health::Consent).then(|| LINK.to_owned()),
    }
}

fn report() -> StatusReport {
    StatusReport {
        version: "0.1.0",
        started: ago(273_600),
        state: RunState::Running,
        configuration: ConfigurationStatus {
            state: ConfigurationState::Ok,
            loaded: Ticks::from_unix_seconds(1_700_000_000),
            restart_needed: Vec::new(),
            error: None,
        },
        alarms: vec![],
        tenants: vec![],
        kafka: PartStatus {
            in_flight_bytes: Some(0),
            ..PartStatus::OK
        },
        ledger: PartStatus {
            kind: Some("local"),
            versions: Some(12_345),
            ..PartStatus::OK
        },
        ownership: None,
    }
}

fn address(search: &str, state: Option<Health>, page: usize) -> PageAddress {
    PageAddress {
        query: FleetQuery::new(search, state, page),
        refresh: true,
    }
}

/// What `address` shows of a daemon with these tenants.
fn view(report: StatusReport, tenants: &[TenantView], address: &PageAddress) -> FleetView {
    let key = |tenant: &TenantView| TenantKey {
        id: tenant.status.id,
        name: tenant.status.name.clone(),
        state: tenant.status.state,
        since: tenant.status.since,
    };
    let selection = address.query.select(tenants.iter().map(key).collect());
    let shown = selection.shown.iter().map(|id| {
        let tenant = tenants.iter().find(|tenant| tenant.status.id == *id);
        tenant.expect("one of them").clone()
    });
    FleetView {
        tenants: shown.collect(),
        report,
        selection,
        hours: [7; HOURS],
    }
}

fn page(report: StatusReport, tenants: &[TenantView], address: &PageAddress) -> String {
    render_fleet(&view(report, tenants, address), address, NOW).expect("a page")
}

fn front(report: StatusReport, tenants: &[TenantView]) -> String {
    page(report, tenants, &address("", None, 1))
}

/// The texts of the page in their order, without tags.
fn texts(html: &str) -> String {
    let mut texts = Vec::new();
    for piece in html.split('<').skip(1) {
        let text = piece.split_once('>').expect("the end of a tag").1.trim();
        if !text.is_empty() {
            texts.push(text);
        }
    }
    texts.join(" ")
}

#[track_caller]
fn assert_order(html: &str, parts: &[&str]) {
    let text = texts(html);
    let mut rest = text.as_str();
    for part in parts {
        let (_, after) = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("no {part:?} in its place in:\n{text}"));
        rest = after;
    }
}

#[test]
fn the_page_says_what_is_wrong_and_what_to_do_and_the_alarms_come_first() {
    let mut sick = tenant(1, "Müller & Söhne", Health::Consent);
    sick.status.error = Some("AADSTS65001: not consented".into());
    sick.status.remedy = Some(format!("have an administrator consent at {LINK} (once)"));
    (sick.status.lag_seconds, sick.last_sweep) = (None, None);
    let mut shared = tenant(2, "fabrikam", Health::Credential);
    shared.status.alarm = Some("entra 7000222".into());
    shared.status.error = Some("the secret of fabrikam has expired".into());
    shared.status.remedy = Some("make a new one".into());
    let mut filling = tenant(3, "contoso", Health::Ok);
    filling.status.backfill = Some(BackfillStatus {
        from: ago(7200),
        to: ago(3600),
        open_seconds: 3600,
        error: Some("no answer".into()),
    });
    let mut report = report();
    report.kafka.state = PartState::Unavailable;
    report.kafka.error = Some("no answer from kafka:9092".into());
    report.kafka.remedy = Some("see whether it's up".into());
    report.alarms.push(Alarm {
        cause: "entra 7000222".into(),
        state: Health::Credential,
        tenants: 40,
        since: ago(60),
        error: "expired".into(),
        remedy: "make a new secret".into(),
        named: vec![],
    });
    let html = front(report, &[filling, sick, shared]);
    assert_order(
        &html,
        &[
            "3 tenants: 1 credential, 1 consent, 1 ok",
            "The daemon is running, for 3d 4h. As of 2026-11-24 02:14:07 UTC , renewed every 30 seconds.",
            "Alarm 1: 40 tenants with one cause, credential for 1m expired make a new secret",
            "Cause: entra 7000222. Tenants in state credential",
            // Three hours of the day.
            "Published today 21",
            "Kafka ! unavailable 0 B in flight no answer from kafka:9092 see whether it&#39;s up",
            "Ledger ✓ ok 12,345 incidents known",
            "all 3 ! credential 1 ! consent 1 ✓ ok 1",
            "Tenants 1 to 3 of 3",
            "Tenant State Last sweep Lag Next sweep Published today Last 24 hours",
            "fabrikam 11111111-1111-1111-1111-111111110002 ! credential for 2h 5m alarm 1 14s ago, failed 22s in 16s 1,234",
            "Müller &#38; Söhne 11111111-1111-1111-1111-111111110001 ! consent for 2h 5m none yet - in 16s",
            "AADSTS65001: not consented have an administrator consent at the link below (once)",
            "Consent link, for an administrator of this tenant: https://login.example/t/v2.0/adminconsent?client_id=a&#38;scope=b%2F.default",
            "contoso",
            "✓ ok for 2h 5m 14s ago 22s",
            "back-fill: 1h still to be read, between 2026-11-24T00:14:07Z and 2026-11-24T01:14:07Z; it broke off: no answer",
        ],
    );
    assert!(
        !html.contains("the secret of fabrikam"),
        "an alarm says it once"
    );
    assert!(html.contains("href=\"#alarm-1\""), "{html}");
    assert!(html.contains("id=\"alarm-1\""), "{html}");
}

#[test]
fn a_healthy_fleet_has_no_notice() {
    let html = front(report(), &[tenant(1, "contoso", Health::Ok)]);
    assert!(!html.contains("class=\"notice"), "{html}");
    assert!(!html.contains("class=\"more\""), "{html}");
    assert!(!html.contains("class=\"pages\""), "{html}");
}

#[test]
fn a_replica_says_which_partitions_it_has() {
    assert!(!front(report(), &[]).contains("Partitions"));
    let partition = |id, state| PartitionStatus { id, state };
    let mut replica = report();
    replica.ledger.kind = Some("kafka");
    replica.ownership = Some(OwnershipStatus {
        partitions: vec![
            partition(0, PartitionStage::Active),
            partition(1, PartitionStage::Active),
            partition(3, PartitionStage::Active),
            partition(4, PartitionStage::Restoring),
        ],
        member: Some("incidentd-<1>".to_owned()),
        ..OwnershipStatus::default()
    });
    assert_order(
        &front(replica.clone(), &[]),
        &[
            "Ledger in Kafka ✓ ok",
            "Partitions of this replica 3 active, 1 restoring restoring: 4 active: 0-1, 3 member incidentd-&#60;1&#62;",
            "No tenant is read here now.",
        ],
    );
    replica.ownership = Some(OwnershipStatus::default());
    let none = ["Partitions of this replica none not in the consumer group yet"];
    assert_order(&front(replica, &[]), &none);
}

#[test]
fn a_refused_reload_and_a_restart_that_waits_stand_above_the_tenants() {
    let mut report = report();
    report.configuration = ConfigurationStatus {
        state: ConfigurationState::Refused,
        loaded: ago(7500),
        restart_needed: vec!["kafka.brokers", "http.listen"],
        error: Some("the configuration has one error:\na.toml:7: poll = \"<7>\": it is no table\n    write [poll]".into()),
    };
    assert_order(
        &front(report, &[tenant(1, "contoso", Health::Ok)]),
        &[
            "Reload refused: what was loaded 2h 5m ago stays in force",
            "the configuration has one error: a.toml:7: poll = &#34;&#60;7&#62;&#34;: it is no table",
            "correct the files and reload again; incidentd check --offline prints the report whole",
            "Restart needed: some new values can&#39;t be taken up while the daemon runs; the old ones hold",
            "kafka.brokers, http.listen",
            "restart it when it suits: systemctl restart incidentd",
            "Kafka",
            "contoso",
        ],
    );
}

fn many() -> Vec<TenantView> {
    let name = |n: u16| format!("customer {n:04}");
    let mut all: Vec<_> = (0..250).map(|n| tenant(n, &name(n), Health::Ok)).collect();
    all.push(tenant(900, "fabrikam", Health::Forbidden));
    all
}

/// The number of rows with a tenant.
fn rows(html: &str) -> usize {
    html.matches("scope=\"row\"").count()
}

#[test]
fn a_page_has_a_part_of_the_fleet_and_links_to_the_others() {
    let page = |n| page(report(), &many(), &address("", None, n));
    let (first, second, last) = (page(1), page(2), page(3));
    assert_eq!([rows(&first), rows(&second), rows(&last)], [100, 100, 51]);
    assert_order(
        &first,
        &[
            "Tenants 1 to 100 of 251",
            "fabrikam",
            "Page 1 of 3 Next Last",
        ],
    );
    assert_order(&second, &["First Previous Page 2 of 3 Next Last"]);
    assert_order(
        &last,
        &["Tenants 201 to 251 of 251", "First Previous Page 3 of 3"],
    );
    assert!(!last.contains(">Next<"), "{last}");
    for link in ["\"/\"", "\"/?page=3\""] {
        assert!(second.contains(&format!("<a href={link}>")), "{link}");
    }
}

#[test]
fn a_search_keeps_its_words_and_its_state_in_every_link() {
    let address = PageAddress {
        query: FleetQuery::new("\"><b>é&", Some(Health::Ok), 1),
        refresh: false,
    };
    let html = page(report(), &many(), &address);
    assert_order(
        &html,
        &["No tenant found", "No tenant is like this. Show all"],
    );
    for part in [
        "value=\"&#34;&#62;&#60;b&#62;é&#38;\"",
        "<input type=\"hidden\" name=\"state\" value=\"ok\">",
        "<input type=\"hidden\" name=\"refresh\" value=\"off\">",
        "href=\"/?q=%22%3E%3Cb%3E%C3%A9%26&#38;state=forbidden&#38;refresh=off\"",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(!html.contains("http-equiv"), "it stays as it is");
    let found = page(report(), &many(), &self::address("CUSTOMER 00", None, 1));
    assert_eq!(rows(&found), 100);
    assert_order(
        &found,
        &[
            "all 100 ! forbidden 0 ✓ ok 100",
            "Tenants 1 to 100 of 100 found",
        ],
    );
    let state = page(
        report(),
        &many(),
        &self::address("", Some(Health::Forbidden), 1),
    );
    assert_eq!(rows(&state), 1);
    let current = "href=\"/?state=forbidden\" aria-current=\"true\"";
    assert!(state.contains(current), "{state}");
}

#[test]
fn nothing_is_fetched_from_elsewhere_and_nothing_is_run() {
    let fleet = front(report(), &[tenant(1, "contoso", Health::Ok)]);
    for html in [fleet, details_page(&details("contoso", "no answer"))] {
        for word in [
            "<script", "<img", "<style", "src=", "style=", "url(", "@import", "http:", "https:",
        ] {
            assert!(!html.contains(word), "{word} in {html}");
        }
        let own = "<link rel=\"stylesheet\" href=\"/page.css\">";
        assert_eq!(html.matches("<link").count(), 1, "{html}");
        assert!(html.contains(own), "{html}");
        assert!(html.contains("<html lang=\"en\">"), "{html}");
        assert!(
            html.contains("<meta http-equiv=\"refresh\" content=\"30\">"),
            "{html}"
        );
    }
    for word in ["url(", "@import", "http"] {
        assert!(!STYLE.contains(word), "{word}");
    }
}

fn details(name: &str, text: &str) -> TenantDetails {
    let failure = Failure::new(Health::Unreachable, Reaction::Backoff, text, "wait");
    let mut events = EventLog::default();
    events.note(ago(9000), EventKind::Joined, None);
    events.note(ago(8900), EventKind::FirstSuccess, None);
    let changed = EventKind::Changed(Health::Unreachable);
    events.note(ago(7500), changed, Some(&failure));
    for n in 0..3 {
        events.note(ago(7400 - n), EventKind::SweepFailed, Some(&failure));
    }
    let mut view = tenant(1, name, Health::Unreachable);
    view.status.error = Some(text.to_owned());
    view.status.remedy = Some(text.to_owned());
    view.status.cursor = Some(ago(8000));
    view.status.token_expires = Some(ago(-3600));
    view.status.credential_expires = Some(ago(60));
    TenantDetails {
        view,
        open: vec![
            Interval::unread(ago(90_000), ago(86_400)),
            Interval::again(ago(500), ago(400)),
        ],
        roles: Some([format!("SecurityIncident.Read.All{text}")].into()),
        events: events.events().cloned().collect(),
    }
}

fn details_page(details: &TenantDetails) -> String {
    render_tenant(details, true, NOW).expect("a page")
}

#[test]
fn a_tenants_page_tells_what_happened_and_what_is_to_be_read() {
    let mut details = details("contoso", "no answer");
    assert_order(
        &details_page(&details),
        &[
            "contoso: unreachable - incidentd",
            "All tenants contoso 11111111-1111-1111-1111-111111110001 , read from defender.",
            "! unreachable for 2h 5m Since 2026-11-24 00:09:07 UTC no answer no answer",
            "Published today 1,234",
            "Cursor 2026-11-24 00:00:47 UTC, 2h 13m ago",
            "Last sweep 14s ago, failed, took 1.2 s",
            "Expires 2026-11-24 03:14:07 UTC, in 1h",
            "Roles SecurityIncident.Read.Allno answer",
            "Credential expires 2026-11-24 02:13:07 UTC, over",
            "2026-11-23 01:14:07 UTC 2026-11-23 02:14:07 UTC 1h no",
            "2026-11-24 02:05:47 UTC 2026-11-24 02:07:27 UTC 1m yes",
            "in memory: they begin when this process began to read the tenant",
            "2026-11-24 00:10:49 UTC first 2026-11-24 00:10:47 UTC a sweep failed, 3 times no answer",
            "now unreachable no answer",
            "first successful sweep",
            "this process began to read the tenant",
        ],
    );
    details.roles = None;
    (details.open, details.view.status.token_expires) = (vec![], None);
    assert_order(
        &details_page(&details),
        &[
            "Expires - Roles -",
            "Still to be read All from the cursor on, 2026-11-24 00:00:47 UTC. Events",
        ],
    );
}

#[test]
fn nothing_is_left_to_read_only_when_the_last_sweep_ended_well() {
    let left = |state, cursor: Option<Ticks>| {
        let mut details = details("contoso", "");
        (details.view.status.state, details.view.status.cursor) = (state, cursor);
        details.open.clear();
        let text = texts(&details_page(&details));
        let (_, left) = text.split_once("Still to be read ").expect("its heading");
        left.split_once(" Events").expect("the next").0.to_owned()
    };
    let cursor = Some(ago(8000));
    let all = "from the cursor on, 2026-11-24 00:00:47 UTC.";
    assert_eq!(left(Health::Ok, cursor), "Nothing.");
    assert_eq!(left(Health::Consent, cursor), format!("All {all}"));
    assert_eq!(
        left(Health::Paused, cursor),
        format!("After a resume, all {all}")
    );
    assert!(left(Health::Starting, None).starts_with("Not known"));
}

#[test]
fn a_credential_that_ends_names_its_tenants() {
    let named = tenant(1, "contoso", Health::Ok).status;
    let mut report = report();
    let mut alarm = Alarm {
        cause: "the secret has ended".into(),
        state: Health::Credential,
        tenants: 3,
        since: ago(60),
        error: "it ended".into(),
        remedy: "renew it".into(),
        named: vec![AlarmTenant {
            name: named.name.clone(),
            id: named.id,
        }],
    };
    report.alarms.push(alarm.clone());
    (alarm.tenants, alarm.state) = (1, Health::Ok);
    report.alarms.push(alarm);
    let html = front(report, &[tenant(1, "contoso", Health::Ok)]);
    assert_order(
        &html,
        &[
            "Alarm 1: 3 tenants get no new token",
            "Used by contoso and 2 more",
            "Alarm 2: 1 tenant, well until then",
            "Used by contoso",
        ],
    );
    assert!(!html.contains("Tenants in state"), "{html}");
}

#[test]
fn a_paused_tenant_looks_neither_well_nor_ill_and_has_a_mark_of_its_own() {
    let html = front(report(), &[tenant(1, "contoso", Health::Paused)]);
    assert!(html.contains("class=\"state idle\""), "{html}");
    assert_order(&html, &["‖ paused 1", "‖ paused for"]);
    let marks: BTreeSet<_> = Health::ALL
        .map(|state| (class(&state), mark(class(&state))))
        .into();
    let of_each: BTreeSet<_> = marks.iter().map(|(_, mark)| mark).collect();
    assert_eq!(of_each.len(), marks.len());
}

#[test]
fn the_links_to_the_whole_fleet_keep_the_page_from_refreshing() {
    let mut address = address("nobody", None, 1);
    address.refresh = false;
    let html = page(report(), &[tenant(1, "contoso", Health::Ok)], &address);
    assert!(!html.contains("href=\"/\""), "{html}");
    assert_eq!(html.matches("href=\"/?refresh=off\"").count(), 2, "{html}");
}

#[test]
fn a_tenant_that_starts_needs_no_line_of_its_own() {
    let mut starts = tenant(1, "contoso", Health::Starting);
    starts.status.remedy = Some("see the state of Kafka".into());
    assert!(!front(report(), &[starts.clone()]).contains("state of Kafka"));
    starts.status.error = Some("its partition is read".into());
    assert!(front(report(), &[starts]).contains("state of Kafka"));
}

#[test]
fn a_page_of_the_longest_texts_has_a_bounded_size() {
    let long = "\"".repeat(100_000);
    let mut worst: Vec<_> = (0..2000)
        .map(|n| tenant(n, &long, Health::Consent))
        .collect();
    for tenant in &mut worst {
        tenant.status.error = Some(long.clone());
        tenant.status.remedy = Some(long.clone());
        tenant.hours = [u32::MAX; HOURS];
    }
    let html = front(report(), &worst);
    assert_eq!(rows(&html), PER_PAGE);
    // Each character is written as five.
    let most = PER_PAGE * (3 * 5 * MOST_TEXT + 4000);
    assert!(html.len() < most, "{} of {most}", html.len());
}

proptest! {
    /// Texts from Microsoft, a proxy, a file or an address can't create a tag or end an attribute.
    #[test]
    fn texts_from_outside_stay_texts(text in "[<>\"'&;/a-z \\x00-\\x1f]{1,40}") {
        let fleet = |text: &str| {
            let mut with = tenant(1, text, Health::Consent);
            with.status.error = Some(text.to_owned());
            with.status.remedy = Some(text.to_owned());
            with.consent_link = Some(text.to_owned());
            let mut report = report();
            report.kafka.error = Some(text.to_owned());
            let mut address = address("", None, 1);
            let view = view(report, &[with], &address);
            address.query = FleetQuery::new(&format!("x{text}"), None, 1);
            render_fleet(&view, &address, NOW).expect("a page")
        };
        let details = |text: &str| details_page(&details(text, text));
        for page in [&fleet as &dyn Fn(&str) -> String, &details] {
            let (plain, marked) = (page("x"), page(&format!("x{text}")));
            for tag in ['<', '>', '"', '\''] {
                let count = |html: &str| html.matches(tag).count();
                prop_assert_eq!(count(&plain), count(&marked), "{} in {}", tag, marked);
            }
        }
    }
}
