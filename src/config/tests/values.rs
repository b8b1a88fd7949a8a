//! The meaning of the keys, and which value takes precedence.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::super::{LibraryChecks, Wrong, load};
use super::{APP, Fixture, TENANT, with};
use crate::settings::LedgerKind;

#[test]
fn the_environment_goes_before_the_file_and_a_tenant_before_both() {
    let main = with("[poll]\nlookback = \"2d\"\noverlap = \"10m\"\nrequests_per_minute = 10\n[kafka]\ntopic = \"file\"")
        .with_file("more/b.toml", "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\npoll.overlap = \"30m\"")
        .with_env("INCIDENTD__POLL__OVERLAP", "20m")
        .with_env("INCIDENTD__POLL__REQUESTS_PER_MINUTE", "12")
        .with_env("INCIDENTD__KAFKA__TOPIC", "environment")
        .with_env("INCIDENTD__TENANTS_DIR", "more")
        .with_env("INCIDENTD_OTHER", "is not ours")
        .with_env("PATH", "/bin");
    let settings = main.valid();
    let [contoso, other] = &settings.tenants[..] else {
        panic!("{settings:?}")
    };
    assert_eq!(contoso.poll.overlap, Duration::from_secs(1200));
    assert_eq!(other.poll.overlap, Duration::from_secs(1800));
    for tenant in [contoso, other] {
        assert_eq!(tenant.poll.lookback, Duration::from_secs(172_800));
        assert_eq!(tenant.poll.requests_per_minute, 12);
        assert_eq!(&*tenant.topic, "environment");
    }
}

#[test]
fn properties_are_one_list_however_they_are_written() {
    let main = with("[kafka.properties]\n\"sasl.password\" = \"file\"\nlinger.ms = 5\n\"socket.keepalive.enable\" = true\nmessage.timeout.ms = 1000")
        .with_env("INCIDENTD__KAFKA__PROPERTIES__SASL__PASSWORD", "environment");
    let settings = main.valid();
    let list: Vec<(&str, &str)> = settings
        .kafka
        .connection
        .properties
        .iter()
        .map(|(name, value)| (&**name, value.expose_secret()))
        .collect();
    let expected = [
        ("linger.ms", "5"),
        ("message.timeout.ms", "1000"),
        ("sasl.password", "environment"),
        ("socket.keepalive.enable", "true"),
    ];
    assert_eq!(list, expected);
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(
        settings.warnings[0].contains("kafka.properties.message.timeout.ms: "),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn a_new_content_of_a_file_that_a_property_names_is_another_value_of_the_properties() {
    for name in [
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
    ] {
        let file = |fixture: &Fixture| fixture.folder.path().join("kafka/file.pem");
        let main = with("").with_file("kafka/file.pem", "one");
        let path = file(&main).display().to_string();
        let property = format!(
            "INCIDENTD__KAFKA__PROPERTIES__{}",
            name.to_uppercase().replace('.', "__")
        );
        let main = main.with_env(&property, &path);
        let before = main.valid();
        assert!(before.kafka.same_properties(&main.valid().kafka), "{name}");
        assert!(
            before
                .all_folders()
                .contains(&*main.folder.path().join("kafka")),
            "{name}: a mount of it is looked at"
        );
        let main = main.with_file("kafka/file.pem", "two");
        assert!(!before.kafka.same_properties(&main.valid().kafka), "{name}");
        std::fs::remove_file(file(&main)).expect("removed");
        assert!(!before.kafka.same_properties(&main.valid().kafka), "{name}");
    }
}

#[test]
fn a_log_in_with_tokens_needs_its_properties_and_knows_no_others() {
    const GOOD: &str = "sasl.mechanisms = \"OAUTHBEARER\"
\"sasl.oauthbearer.method\" = \"oidc\"
\"sasl.oauthbearer.client.id\" = \"incidentd\"
\"sasl.oauthbearer.client.secret\" = \"canary\"
\"sasl.oauthbearer.token.endpoint.url\" = \"https://login.example/token\"";
    let of = |properties: &str| with(&format!("[kafka.properties]\n{properties}"));
    of(GOOD).valid();
    let unknown = of(&format!("{GOOD}\n\"sasl.oauthbearer.config\" = \"a=b\"")).report();
    assert!(
        unknown.contains("kafka.properties.sasl.oauthbearer.config")
            && unknown.contains("has no use for this property")
            && unknown.contains("one error"),
        "{unknown}"
    );
    let bare = of("sasl.mechanisms = \"OAUTHBEARER\"").report();
    for missing in ["method", "token.endpoint.url", "client.id", "client.secret"] {
        let said = format!("OAUTHBEARER needs sasl.oauthbearer.{missing}, too");
        assert!(bare.contains(&said), "{missing}: {bare}");
    }
    assert!(
        bare.contains("4 errors") && !bare.contains("canary"),
        "{bare}"
    );
}

#[test]
fn properties_that_break_a_promise_are_refused() {
    for (property, remedy) in [
        ("\"bootstrap.servers\" = \"a:1\"", "set kafka.brokers"),
        ("metadata.broker.list = \"a:1\"", "set kafka.brokers"),
        ("enable.idempotence = false", "without idempotence"),
        ("acks = 1", "without all acknowledgements"),
        (
            "request.required.acks = \"0\"",
            "without all acknowledgements",
        ),
        ("transactional.id = \"a\"", "incidentd sets it itself"),
        ("sasl.mechanism = \"GSSAPI\"", "use PLAIN, SCRAM-SHA-256"),
        (
            "sasl.mechanisms = \"a password\"",
            "use PLAIN, SCRAM-SHA-256",
        ),
        (
            "delivery.report.only.error = true",
            "without delivery reports",
        ),
        ("partitioner = \"random\"", "would change order"),
        ("plugin.library.paths = \"/a.so\"", "would run code"),
        ("ssl.engine.location = \"/a.so\"", "would run code"),
        ("internal.termination.signal = 9", "would run code"),
        ("retries = 2", "would be repeated"),
        ("a = [1]", "it is not a single value"),
        ("a.b = 1\n\"a.b\" = 2", "it is given at "),
    ] {
        let report = with(&format!("[kafka.properties]\n{property}")).report();
        assert!(
            report.contains(remedy) && report.contains("one error"),
            "{property}: {report}"
        );
    }
    let accepted = "enable.idempotence = true\nacks = \"all\"\nrequest.required.acks = -1\nmessage.timeout.ms = 0";
    assert_eq!(
        with(&format!("[kafka.properties]\n{accepted}"))
            .valid()
            .warnings,
        Vec::<String>::new()
    );
}

#[test]
fn what_azure_event_hubs_does_not_offer_is_warned_of() {
    const LEDGER: &str = "[ledger]\nkind = \"kafka\"";
    let warnings = |host: &str, properties: &str, more: &str| {
        let brokers = format!("[kafka]\nbrokers = \"b1:9092,{host}:9093\"");
        with(&format!(
            "{brokers}\n[kafka.properties]\n{properties}\n{more}"
        ))
        .warnings()
    };
    for host in [
        "soc.servicebus.windows.net",
        "SOC.ServiceBus.usgovcloudapi.net",
        "soc.servicebus.chinacloudapi.cn",
    ] {
        for codec in [
            "\"compression.type\" = \"zstd\"",
            "compression.codec = \"lz4\"",
            "topic.compression.type = \"snappy\"",
        ] {
            let warnings = warnings(host, codec, "");
            assert!(
                warnings.len() == 1
                    && warnings[0].contains("incidentd.toml")
                    && warnings[0].contains("compression")
                    && warnings[0].contains("no compression but gzip"),
                "{host}, {codec}: {warnings:?}"
            );
        }
        let warnings = warnings(host, "", LEDGER);
        assert!(
            warnings.len() == 1 && warnings[0].contains("kafka.brokers: they are Azure Event Hubs"),
            "{host}: {warnings:?}"
        );
    }
    for (host, properties, more) in [
        (
            "soc.servicebus.windows.net",
            "compression.type = \"gzip\"",
            "",
        ),
        (
            "soc.servicebus.windows.net",
            "compression.type = \"none\"",
            "",
        ),
        ("soc.servicebus.windows.net", "", ""),
        (
            "servicebus.windows.net.example",
            "compression.type = \"zstd\"",
            LEDGER,
        ),
    ] {
        assert_eq!(
            warnings(host, properties, more),
            Vec::<String>::new(),
            "{host}, {properties}"
        );
    }
}

/// librdkafka loads a library as soon as a property names it.
#[test]
fn a_property_that_is_refused_never_reaches_the_library() {
    struct Library;
    impl LibraryChecks for Library {
        fn property(&self, name: &str, _: &str) -> Result<(), Wrong> {
            assert_ne!(name, "plugin.library.paths");
            Ok(())
        }
        fn properties(&self, all: &[(String, SecretString)], _: LedgerKind) -> Result<(), Wrong> {
            panic!("it gets {} properties", all.len());
        }
    }
    let properties = "plugin.library.paths = \"/a.so\"\nacks = \"all\"";
    let fixture = with(&format!("[kafka.properties]\n{properties}"));
    let errors = load(&fixture.main(), &fixture.environment, &Library).expect_err("refused");
    assert_eq!(errors.problems().len(), 1, "{errors}");
}

#[test]
fn plain_http_is_for_loopback_and_a_base_is_scheme_and_host() {
    let url = |url: &str| with(&format!("[api]\nbase_url = {url:?}\nlogin_url = {url:?}"));
    for accepted in [
        "https://a.example.net",
        "https://a:8443/",
        "http://127.0.0.1:1234",
        "http://127.9.9.9",
        "http://[::1]:80",
        "http://localhost:1",
    ] {
        url(accepted).valid();
    }
    for refused in [
        "http://a.example.net",
        "http://10.0.0.1",
        "http://localhost.example.net",
        "http://[::ffff:10.0.0.1]",
        "ftp://localhost",
        "https://a/b",
        "https://a?b",
        "https://a#b",
        "https://u@a",
        "https://",
        "a.example.net",
        "",
    ] {
        let report = url(refused).report();
        assert!(report.contains("2 errors"), "{refused}: {report}");
    }
}

#[test]
fn a_number_is_no_path() {
    for (key, what) in [
        ("tenants_dir = 5", "it is a number, and should be a text"),
        ("ledger.path = 5", "it is a number, and should be a text"),
        (
            "ledger.path = true",
            "it is true or false, and should be a text",
        ),
        ("api.ca_file = 5.5", "it is a number, and should be a text"),
    ] {
        let report = Fixture::new(&format!("{key}\n{APP}{TENANT}")).report();
        let name = key.split(' ').next().expect("a key");
        assert!(
            report.contains("one error")
                && report.contains(&format!("incidentd.toml:1: {name} = "))
                && report.contains(what),
            "{report}"
        );
    }
    let name = "app.client_secret_env = 5";
    let own = Fixture::new(&format!("{APP}{TENANT}{name}")).report();
    assert!(own.contains("it is a number"), "{own}");
    // All values of the environment are texts.
    let folder = Fixture::new(&format!("{APP}{TENANT}"))
        .with_file(
            "5/fabrikam.toml",
            "[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"",
        )
        .with_env("INCIDENTD__TENANTS_DIR", "5");
    assert_eq!(folder.valid().tenants.len(), 2);
}

#[test]
fn names_of_the_endpoints_are_a_list_or_a_text_with_commas() {
    let hosts = |fixture: Fixture| {
        let hosts = fixture.valid().http.hosts;
        hosts.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(hosts(with("")), Vec::<String>::new());
    assert_eq!(hosts(with("[http]\nhosts = []")), Vec::<String>::new());
    let named = [
        "incidentd",
        "soc.example.com",
        "incident_d.monitoring.svc.cluster.local.",
    ];
    let list = with(&format!("[http]\nhosts = {named:?}"));
    let expected = [
        "incidentd",
        "soc.example.com",
        "incident_d.monitoring.svc.cluster.local",
    ];
    let text = with("").with_env(
        "INCIDENTD__HTTP__HOSTS",
        "incidentd, SOC.example.com,incident_d.monitoring.svc.cluster.local.",
    );
    for hosts in [hosts(list), hosts(text)] {
        assert_eq!(hosts, expected);
    }

    for (wrong, told) in [
        ("[\"http://incidentd\"]", "no host name"),
        ("[\"incidentd:9464\"]", "\"incidentd:9464\" is no host name"),
        ("[\"*\"]", "\"*\" is no host name"),
        ("[\"a..b\"]", "is no host name"),
        ("[\"good\", \"\"]", "is no host name"),
        ("[9464]", "a list of texts"),
        ("9464", "a list of texts"),
    ] {
        let report = with(&format!("[http]\nhosts = {wrong}")).report();
        assert!(
            report.contains("http.hosts") && report.contains(told),
            "{wrong}: {report}"
        );
    }
}

#[test]
fn the_endpoints_may_listen_on_all_of_ipv6() {
    let listen = |address: &str| {
        with(&format!("[http]\nlisten = {address:?}"))
            .valid()
            .http
            .listen
    };
    for address in ["[::]:9464", "[::1]:0", "[fd00::7]:9464", "0.0.0.0:9464"] {
        assert_eq!(listen(address).to_string(), address);
    }
    let report = with("[http]\nlisten = \"::9464\"").report();
    assert!(
        report.contains("[::]:9464"),
        "the remedy shows how: {report}"
    );
}

#[test]
fn a_socket_has_a_path_that_the_system_takes() {
    let with_path = |length: usize| {
        let path = format!("/run/{}", "x".repeat(length - 5));
        with(&format!("[http]\nsocket = {path:?}"))
    };
    with_path(107).valid();
    let report = with_path(108).report();
    assert!(report.contains("too many for a Unix socket"), "{report}");
    let deep = format!("[http]\nsocket = \"/run/{}/s\"", "x".repeat(92));
    let report = with(&deep).report();
    assert!(report.contains("in a folder of at most 96"), "{report}");
}
