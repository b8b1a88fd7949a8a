use super::*;
use crate::core::health::alarms::Alarm;
use crate::core::health::status::{
    ConfigurationState, ConfigurationStatus, OwnershipStatus, PartStatus, PartitionStatus, RunState,
};
use crate::core::ids::TenantId;
use crate::core::ownership::PartitionStage;
use proptest::prelude::*;

/// 2026-11-24T02:14:07Z.
const NOW: Ticks = Ticks(17_954_864_470_000_000);

fn ago(seconds: i64) -> Ticks {
    Ticks::from_unix_seconds(NOW.unix_seconds() - seconds)
}

fn tenant(name: &str, state: Health) -> TenantStatus {
    TenantStatus {
        id: TenantId::from_bytes([0x11; 16]),
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
        next_sweep: None,
        token_expires: None,
        credential_expires: None,
        published: 1234,
        backfill: None,
        late_found: 0,
    }
}

fn report(tenants: Vec<TenantStatus>) -> StatusReport {
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
        tenants,
        kafka: PartStatus {
            state: PartState::Ok,
            in_flight_bytes: Some(0),
            error: None,
            remedy: None,
            ..PartStatus::OK
        },
        ledger: PartStatus {
            kind: Some("local"),
            state: PartState::Ok,
            versions: Some(12_345),
            error: None,
            remedy: None,
            ..PartStatus::OK
        },
        ownership: None,
    }
}

fn body(report: &StatusReport) -> String {
    let html = render(report, NOW, MARK).expect("a page");
    let body = html.split_once("<body>\n").expect("a body").1;
    body.to_owned()
}

#[test]
fn a_replica_says_which_partitions_it_has() {
    let mut replica = report(vec![]);
    assert!(!body(&replica).contains("Partitions"));
    let partition = |id, state| PartitionStatus { id, state };
    replica.ownership = Some(OwnershipStatus {
        partitions: vec![
            partition(3, PartitionStage::Active),
            partition(4, PartitionStage::Restoring),
        ],
        member: Some("incidentd-<1>".to_owned()),
        ..OwnershipStatus::default()
    });
    let said = "<p>Partitions: 1 active, 1 restoring (3-4), member incidentd-&#60;1&#62;</p>";
    assert!(body(&replica).contains(said), "{}", body(&replica));
}

#[test]
fn the_page_says_what_is_wrong_and_what_to_do() {
    let mut sick = tenant("Müller & Söhne", Health::Consent);
    sick.error = Some("AADSTS65001: not consented".into());
    sick.remedy = Some("have https://login.example/?a=1&b=2 opened".into());
    (sick.lag_seconds, sick.last_success) = (None, None);
    let mut filling = tenant("contoso", Health::Ok);
    filling.backfill = Some(BackfillStatus {
        from: ago(7200),
        to: ago(3600),
        open_seconds: 3600,
        error: Some("no answer".into()),
    });
    let mut report = report(vec![sick, filling]);
    report.kafka.state = PartState::Unavailable;
    report.kafka.error = Some("no answer from kafka:9092".into());
    report.kafka.remedy = Some("see whether it's up".into());
    report.alarms.push(Alarm {
        cause: "entra 7000222".into(),
        state: Health::Credential,
        tenants: 40,
        since: ago(60),
        error: "expired".into(),
        remedy: "make a new one".into(),
    });
    let expected = r#"<h1>2 tenants: 1 consent, 1 ok</h1>
<p class="quiet">incidentd 0.1.0, running for 3d 4h. As of 2026-11-24T02:14:07Z; renewed every 10 seconds. <a href="/api/status">JSON</a> <a href="/metrics">Metrics</a></p>
<section class="bad">
<h2>Alarm: 40 tenants with one cause, credential for 1m</h2>
<p>expired</p>
<p class="do">make a new one</p>
<p class="quiet">entra 7000222</p>
</section>
<p>Kafka: <b class="bad">unavailable</b>, 0 B in flight<br>no answer from kafka:9092<br><b>see whether it&#39;s up</b></p>
<p>Ledger: <b class="good">ok</b>, 12,345 incidents known</p>
<table>
<thead><tr><th>State<th>Tenant<th>Source<th>Lag<th>Last success<th>Published<th>In this state since</tr></thead>
<tbody>
<tr><td><b class="bad">consent</b><td title="11111111-1111-1111-1111-111111111111">Müller &#38; Söhne<td>defender<td class="n">-<td>-<td class="n">1,234<td title="2026-11-24T00:09:07Z">2h 5m ago</tr>
<tr class="why"><td><td colspan="6">AADSTS65001: not consented</tr>
<tr class="do"><td><td colspan="6">have https://login.example/?a=1&#38;b=2 opened</tr>
<tr><td><b class="good">ok</b><td title="11111111-1111-1111-1111-111111111111">contoso<td>defender<td class="n">22s<td>14s ago<td class="n">1,234<td title="2026-11-24T00:09:07Z">2h 5m ago</tr>
<tr class="fill"><td><td colspan="6">back-fill: 1h still to be read, between 2026-11-24T00:14:07Z and 2026-11-24T01:14:07Z; it broke off: no answer</tr>
</tbody>
</table>
</body>
</html>"#;
    assert_eq!(body(&report), expected);
}

#[test]
fn a_refused_reload_and_a_restart_that_waits_stand_above_the_tenants() {
    let mut report = report(vec![tenant("contoso", Health::Ok)]);
    assert!(!body(&report).contains("<section"), "all is well");
    report.configuration = ConfigurationStatus {
        state: ConfigurationState::Refused,
        loaded: ago(7500),
        restart_needed: vec!["kafka.brokers", "http.listen"],
        error: Some("the configuration has one error:\na.toml:7: poll = \"<7>\": it is no table\n    write [poll]".into()),
    };
    let expected = "\
<section class=\"bad\">
<h2>Reload refused: what was loaded 2h 5m ago stays in force</h2>
<p>the configuration has one error: a.toml:7: poll = &#34;&#60;7&#62;&#34;: it is no table</p>
<p class=\"do\">correct the files and reload again; incidentd check --offline prints the report whole</p>
</section>
<section class=\"fair\">
<h2>Restart needed: some new values can&#39;t be taken up while the daemon runs; the old ones hold</h2>
<p>kafka.brokers, http.listen</p>
<p class=\"do\">restart it when it suits: systemctl restart incidentd</p>
</section>
<p>Kafka:";
    let body = body(&report);
    assert!(body.contains(expected), "{body}");
}

#[test]
fn nothing_is_fetched_from_elsewhere() {
    let html = render(&report(vec![tenant("contoso", Health::Ok)]), NOW, MARK).expect("a page");
    for word in [
        "<script", "<link", "<img", "src=", "url(", "@import", "http:", "https:",
    ] {
        assert!(!html.contains(word), "{word} in {html}");
    }
    assert!(
        html.contains("<meta http-equiv=\"refresh\" content=\"10\">"),
        "{html}"
    );
}

proptest! {
    /// Texts from Microsoft, a proxy or a file can't create a tag or end an attribute.
    #[test]
    fn texts_from_outside_stay_texts(text in "[<>\"'&;/a-z \\x00-\\x1f]{0,40}") {
        let plain = body(&report(vec![with("", "")]));
        let marked = body(&report(vec![with(&text, &text)]));
        for tag in ['<', '>', '"', '\''] {
            let count = |html: &str| html.matches(tag).count();
            prop_assert_eq!(count(&plain), count(&marked), "{} in {}", tag, marked);
        }
    }
}

fn with(name: &str, text: &str) -> TenantStatus {
    TenantStatus {
        error: Some(text.to_owned()),
        remedy: Some(text.to_owned()),
        ..tenant(name, Health::Credential)
    }
}
