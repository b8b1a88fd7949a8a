//! Any text and any environment get an answer and never cause a panic.

use proptest::prelude::*;

use super::{Fixture, with};

/// Valid and invalid lines of a configuration, in any order.
fn any_lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        prop::sample::select(vec![
            "[app]",
            "[api]",
            "[poll]",
            "[kafka]",
            "[kafka.properties]",
            "[ledger]",
            "[http]",
            "[log]",
            "[[tenants]]",
            "[tenants]",
            "[poll.overlap]",
            "tenants = 1",
            "tenants = [1, {}]",
            "tenants_dir = \"\\u0000\"",
            "client_secret_file = \"secret\"",
        ])
        .prop_map(str::to_owned),
        (
            prop::sample::select(vec![
                "client_id",
                "client_secret_file",
                "client_secret_env",
                "id",
                "name",
                "source",
                "cloud",
                "base_url",
                "scope",
                "proxy",
                "schedule",
                "lookback",
                "overlap",
                "requests_per_minute",
                "max_response",
                "max_in_flight",
                "brokers",
                "topic",
                "acks",
                "path",
                "listen",
                "level",
                "api.cloud",
                "poll.schedule",
                "\"\"",
                "a.b.c",
                "tenants_dir",
            ]),
            prop_oneof![
                "\"[ -!#-\\[\\]-~]{0,20}\"",
                "'\\PC{0,12}'",
                "-?[0-9]{1,25}",
                Just("{ a = [1, 2.5, true] }".to_owned()),
                Just("1979-05-27T07:32:00Z".to_owned()),
                Just("\"every 30s\"".to_owned()),
                Just("\"11111111-1111-1111-1111-111111111111\"".to_owned()),
            ],
        )
            .prop_map(|(key, value)| format!("{key} = {value}")),
    ];
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_and_no_environment_panics(
        main in prop_oneof![4 => any_lines(), 1 => "\\PC{0,80}"],
        names in prop::collection::vec("INCIDENTD__([A-Z_.\\[\\]0-9]{0,12}__){0,3}[A-Z_]{0,8}|\\PC{0,12}", 0..4),
        value in "\\PC{0,12}",
    ) {
        let fixture = Fixture::new(&main);
        let fixture = names.iter().fold(fixture, |fixture, name| fixture.with_env(name, &value));
        if let Err(errors) = fixture.load() {
            prop_assert!(!errors.problems().is_empty(), "refused without a reason");
            for problem in errors.problems() {
                let lines = problem.to_string();
                prop_assert!(lines.lines().count() == 2, "{lines}");
                prop_assert!(!problem.what.is_empty() && !problem.remedy.is_empty(), "{lines}");
            }
        }
    }

    #[test]
    fn deep_names_in_the_environment_do_no_harm(depth in 1_usize..20_000) {
        let name = format!("INCIDENTD{}", "__A".repeat(depth));
        prop_assert!(with("").with_env(&name, "1").load().is_err());
    }
}
