use super::*;
use crate::cli::text::width;
use proptest::prelude::*;
use serde_json::{Value, json};

/// 2026-11-24T02:14:07Z.
const NOW: Ticks = Ticks(17_954_864_470_000_000);

fn ago(seconds: i64) -> String {
    Ticks::from_unix_seconds(NOW.unix_seconds() - seconds).to_string()
}

fn tenant(name: &str, state: &str) -> Value {
    json!({
        "id": "11111111-1111-1111-1111-111111111111", "name": name, "source": "defender", "state": state,
        "since": ago(90_000), "remedy": null, "error": null, "cursor": ago(40), "lag_seconds": 22,
        "last_success": ago(14), "next_sweep": ago(-16), "token_expires": ago(-3000), "published": 1234,
        "backfill": null, "late_found": 0,
    })
}

fn with(mut tenant: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        tenant[key] = value.clone();
    }
    tenant
}

fn report(tenants: Vec<Value>) -> Value {
    json!({
        "version": "0.1.0", "started": ago(273_600), "state": "running", "alarms": [], "tenants": tenants,
        "kafka": {"state": "ok", "in_flight_bytes": 0, "error": null},
        "ledger": {"kind": "local", "state": "ok", "versions": 12_345, "error": null},
    })
}

fn shown(report: Value) -> String {
    shown_in(report, 100, false)
}

fn shown_in(report: Value, columns: usize, colour: bool) -> String {
    let report: StatusDocument = serde_json::from_value(report).unwrap();
    let context = TableContext {
        address: "127.0.0.1:9464",
        now: NOW,
        columns,
        colour,
    };
    render(&report, &context)
}

#[test]
fn a_healthy_fleet_is_said_first_and_then_listed() {
    let fresh = json!({"source": "graph", "published": 7, "lag_seconds": 4000, "since": ago(30)});
    let text = shown(report(vec![
        tenant("contoso", "ok"),
        with(
            tenant("Fabrikam Holding GmbH & Co. KG, Werk Süd", "ok"),
            fresh,
        ),
    ]));
    assert_eq!(
        text,
        "\
incidentd 0.1.0 at 127.0.0.1:9464, running for 3d 4h, asked 2026-11-24T02:14:07Z
2 tenants: 2 ok
Kafka: ok, 0 B in flight
Ledger: ok, 12,345 incidents known

STATE  TENANT                                    SOURCE      LAG  LAST SUCCESS  PUBLISHED  SINCE
ok     contoso                                   defender    22s  14s ago           1,234  1d 1h ago
ok     Fabrikam Holding GmbH & Co. KG, Werk Süd  graph     1h 6m  14s ago               7  30s ago
"
    );
}

#[test]
fn a_replica_says_which_partitions_it_has() {
    let mut replica = report(vec![tenant("contoso", "ok")]);
    let partition = |id: u16, state: &str| json!({"id": id, "state": state});
    replica["ownership"] = json!({
        "partitions": [partition(0, "active"), partition(1, "active"), partition(5, "restoring")],
        "member": "incidentd-1a2b",
    });
    let text = shown(replica);
    let line = "Partitions: 2 active, 1 restoring (0-1, 5), member incidentd-1a2b";
    assert_eq!(text.lines().nth(4), Some(line), "{text}");
}

#[test]
fn a_sick_fleet_shows_the_worst_first_and_what_to_do_beneath() {
    let expired = json!({
        "since": ago(7500), "last_success": ago(7520), "lag_seconds": 7530, "published": 88,
        "error": "Entra refuses the client secret: AADSTS7000222: the provided client secret keys for app are expired",
        "remedy": "make a new client secret in the app registration and put its Value into /etc/incidentd/client-secret",
    });
    let consent = json!({
        "since": ago(180), "last_success": null, "lag_seconds": null, "published": 0,
        "error": "AADSTS65001: the app is not consented in this tenant",
        "remedy": format!("have the tenant's administrator open {}", link()),
    });
    let waiting = json!({
        "since": ago(180), "last_success": null, "lag_seconds": null, "published": 0,
        "remedy": "Nothing to do yet: the first sweep has not ended.",
    });
    let filling = json!({"backfill": {
        "from": ago(90_000), "to": ago(3600), "open_seconds": 86_400, "error": "no answer within 30 s",
    }});
    let text = shown(report(vec![
        with(tenant("contoso", "credential"), expired.clone()),
        with(
            tenant("tailspin", "credential"),
            json!({"remedy": "look at the second secret", "error": "another"}),
        ),
        with(tenant("fabrikam", "credential"), expired),
        with(
            tenant(
                "Wide World Importers, every subsidiary and branch",
                "consent",
            ),
            consent,
        ),
        with(tenant("adatum", "starting"), waiting),
        with(tenant("northwind", "ok"), filling),
    ]));
    let expected = format!(
        "\
incidentd 0.1.0 at 127.0.0.1:9464, running for 3d 4h, asked 2026-11-24T02:14:07Z
6 tenants: 3 credential, 1 consent, 1 starting, 1 ok
Kafka: ok, 0 B in flight
Ledger: ok, 12,345 incidents known
Back-fill: 1d of incidents still to be read in 1 tenant
  northwind: 1d, between 2026-11-23T01:14:07Z and 2026-11-24T01:14:07Z
    why it broke off: no answer within 30 s

STATE       TENANT                               SOURCE      LAG  LAST SUCCESS  PUBLISHED  SINCE
credential  contoso                              defender  2h 5m  2h 5m ago            88  2h 5m ago
credential  fabrikam                             defender  2h 5m  2h 5m ago            88  2h 5m ago
    why: Entra refuses the client secret: AADSTS7000222: the provided client secret keys for app are
         expired
    do:  (all 2) make a new client secret in the app registration and put its Value into
         /etc/incidentd/client-secret
credential  tailspin                             defender    22s  14s ago           1,234  1d 1h ago
    why: another
    do:  look at the second secret
consent     Wide World Importers, every subsid…  defender      -  -                     0  3m ago
    why: AADSTS65001: the app is not consented in this tenant
    do:  have the tenant's administrator open
         {}
starting    adatum                               defender      -  -                     0  3m ago
    do:  Nothing to do yet: the first sweep has not ended.
ok          northwind                            defender    22s  14s ago           1,234  1d 1h ago
",
        link()
    );
    assert_eq!(text, expected);
}

fn link() -> String {
    format!(
        "https://login.example/11111111-1111-1111-1111-111111111111/adminconsent?client_id={}",
        "0".repeat(36)
    )
}

#[test]
fn kafka_and_the_ledger_say_why_and_what_follows() {
    let mut sick = report(vec![tenant("contoso", "ok")]);
    sick["kafka"] = json!({"state": "unavailable", "in_flight_bytes": 12_900_000, "error": "no answer from kafka:9092",
        "remedy": "see whether it is up"});
    sick["ledger"] = json!({"kind": "local", "state": "failed", "versions": 5, "error": "the file is damaged",
        "remedy": "put an older copy in its place"});
    let text = shown(sick);
    let part = text.split("\n\n").next().unwrap();
    assert_eq!(
        part,
        "\
incidentd 0.1.0 at 127.0.0.1:9464, running for 3d 4h, asked 2026-11-24T02:14:07Z
1 tenant: 1 ok
Kafka: unavailable, 12.3 MiB in flight
  why: no answer from kafka:9092
  do:  see whether it is up
Ledger: failed, 5 incidents known
  why: the file is damaged
  do:  put an older copy in its place"
    );
}

#[test]
fn an_alarm_is_told_once_and_not_again_with_each_of_its_tenants() {
    let shared =
        json!({"error": "the secret has expired", "remedy": "make a new one", "since": ago(60)});
    let tenants = (1..=40).map(|n| {
        with(
            tenant(&format!("customer-{n:02}"), "credential"),
            shared.clone(),
        )
    });
    let mut fleet = report(tenants.collect());
    fleet["alarms"] = json!([{"cause": "entra 7000222", "state": "credential", "tenants": 40, "since": ago(61),
        "error": "the secret has expired", "remedy": "make a new one"}]);
    let text = shown(fleet);
    let alarm = "\nALARM: 40 tenants with one cause, credential for 1m: entra 7000222\n  why: the secret has expired\n  \
                 do:  make a new one\n\nSTATE";
    assert!(text.contains(alarm), "{text}");
    assert_eq!(text.matches("make a new one").count(), 1, "{text}");
    assert!(
        text.ends_with("1m ago\n    see the alarm above\n"),
        "{text}"
    );
}

#[test]
fn what_the_files_say_and_the_daemon_does_not_do_is_told_above_the_tenants() {
    let mut fleet = report(vec![tenant("contoso", "ok")]);
    fleet["configuration"] = json!({"state": "refused", "loaded": ago(7500),
        "restart_needed": ["kafka.brokers", "http.listen"],
        "error": "the configuration has 2 errors:\n/etc/incidentd/incidentd.toml:7: poll.schedule = \"daily\": it is no \
                  schedule\n    write \"every 5m\"\n/etc/incidentd/incidentd.toml:9: another\n    do that"});
    let text = shown(fleet.clone());
    let told = "Ledger: ok, 12,345 incidents known

RELOAD REFUSED: what was loaded 2h 5m ago stays in force
  why: the configuration has 2 errors: /etc/incidentd/incidentd.toml:7: poll.schedule = \"daily\": it
       is no schedule
  do:  correct the files and reload again; incidentd check --offline prints the report whole

RESTART NEEDED: some new values can't be taken up while the daemon runs; the old ones hold
  why: kafka.brokers, http.listen
  do:  restart it when it suits: systemctl restart incidentd

STATE ";
    assert!(text.contains(told), "{text}");
    let read = |fleet: &Value| serde_json::from_value::<StatusDocument>(fleet.clone()).unwrap();
    assert_eq!(
        read(&fleet).trouble().as_deref(),
        Some("the last reload was refused")
    );
    fleet["configuration"]["state"] = json!("ok");
    assert_eq!(
        read(&fleet).trouble(),
        None,
        "a restart that waits is no fault"
    );
    let text = shown(fleet);
    assert!(
        !text.contains("REFUSED") && text.contains("RESTART"),
        "{text}"
    );
}

#[test]
fn colours_are_only_written_when_asked_for() {
    let fleet = report(vec![
        tenant("a", "forbidden"),
        tenant("b", "throttled"),
        tenant("c", "ok"),
    ]);
    assert!(!shown(fleet.clone()).contains('\x1b'));
    let coloured = shown_in(fleet.clone(), 100, true);
    for cell in [
        "\x1b[31mforbidden\x1b[0m",
        "\x1b[33mthrottled\x1b[0m",
        "\x1b[32mok\x1b[0m         c",
    ] {
        assert!(coloured.contains(cell), "{cell:?} in {coloured:?}");
    }
    let mut plain = coloured;
    for code in ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, shown(fleet), "colours change nothing else");
}

proptest! {
    /// Names, states, errors and remedies come from outside, from any server.
    #[test]
    fn whatever_a_daemon_says_the_table_fits_and_commands_nothing(
        name in "\\PC{0,70}|[a\\x00-\\x1f日]{0,64}",
        word in "[a-z\\x1b\n]{0,12}",
        text in "([a-z\\x07\\x1b]{1,20}[ \r\n]){0,40}",
        number: u64,
    ) {
        let sick = json!({"remedy": text, "error": text, "lag_seconds": number % 1_000_000_000,
            "published": number % 1_000_000_000, "backfill": {"open_seconds": number, "from": word, "error": text}});
        let mut fleet = report(vec![with(tenant(&name, &word), sick), tenant("b", "ok")]);
        fleet["kafka"]["error"] = json!(text);
        fleet["kafka"]["state"] = json!(word);
        fleet["started"] = json!(word);
        fleet["configuration"] = json!({"state": "refused", "loaded": word, "restart_needed": [word, word], "error": text});
        let shown = shown(fleet);
        for line in shown.lines() {
            prop_assert!(!line.contains(char::is_control), "{line:?}");
            let fits = width(line) <= 100 || line.contains("between");
            prop_assert!(fits, "too wide: {line}");
        }
    }
}
