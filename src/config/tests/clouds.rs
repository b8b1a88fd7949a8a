//! Source and cloud: what follows from them, and what a tenant with another choice inherits.

use super::{Fixture, only, with};
use crate::settings::{ApiSettings, Settings, SourceKind};

/// An `[api]` with the keys `shared`, and a tenant with the keys `own`.
fn api(shared: &str, own: &str) -> Fixture {
    let fixture = with(&format!("[api]\n{shared}"));
    let own: String = own.lines().map(|key| format!("api.{key}\n")).collect();
    let tenant = format!("[[tenants]]\nid = \"22222222-2222-2222-2222-222222222222\"\n{own}");
    fixture
        .with_file("more/own.toml", tenant)
        .with_env("INCIDENTD__TENANTS_DIR", "more")
}

/// The settings of the second tenant; the first has no own keys.
fn own(settings: &Settings) -> &ApiSettings {
    &settings.tenants[1].api
}

fn place(api: &ApiSettings) -> (&str, &str, &str) {
    (
        api.base_url.as_str(),
        api.login_url.as_str(),
        api.scope.as_str(),
    )
}

const GRAPH: (&str, &str, &str) = (
    "https://graph.microsoft.com/",
    "https://login.microsoftonline.com/",
    "https://graph.microsoft.com/.default",
);

const DEFENDER: (&str, &str, &str) = (
    "https://api.security.microsoft.com/",
    "https://login.microsoftonline.com/",
    "https://api.security.microsoft.com/.default",
);

#[test]
fn a_source_and_a_cloud_choose_the_three_addresses_wherever_each_is_set() {
    let government = (
        "https://graph.microsoft.us/",
        "https://login.microsoftonline.us/",
        "https://graph.microsoft.us/.default",
    );
    let gcc = (
        "https://api-gcc.security.microsoft.us/",
        "https://login.microsoftonline.com/",
        "https://api-gcc.security.microsoft.us/.default",
    );
    for (shared, tenant, expected) in [
        ("", "", GRAPH),
        ("", "source = \"graph\"", GRAPH),
        ("source = \"defender\"", "source = \"graph\"", GRAPH),
        ("", "source = \"defender\"", DEFENDER),
        ("source = \"defender\"", "", DEFENDER),
        ("cloud = \"gcc-high\"", "", government),
        ("", "cloud = \"gcc-high\"", government),
        ("source = \"defender\"", "cloud = \"gcc\"", gcc),
        ("cloud = \"gcc\"", "source = \"defender\"", gcc),
        ("cloud = \"gcc\"", "source = \"graph\"", GRAPH),
        (
            "source = \"graph\"\ncloud = \"gcc\"",
            "source = \"defender\"",
            gcc,
        ),
        ("cloud = \"gcc-high\"", "source = \"graph\"", government),
        ("source = \"graph\"", "cloud = \"gcc-high\"", government),
        ("", "source = \"graph\"\ncloud = \"gcc-high\"", government),
        ("source = \"graph\"\ncloud = \"gcc-high\"", "", government),
    ] {
        let settings = api(shared, tenant).valid();
        assert_eq!(place(own(&settings)), expected, "{shared} and {tenant}");
    }
}

const NEAR: &str = "base_url = \"https://near.example.net\"\nlogin_url = \"https://login.example.net\"\nscope = \"https://near/.default\"";

#[test]
fn what_was_set_for_one_api_is_not_inherited_by_another() {
    let near = (
        "https://near.example.net/",
        "https://login.example.net/",
        "https://near/.default",
    );
    for (tenant, expected) in [
        ("token_endpoint = \"v1\"", near),
        // The same choice, repeated, is not another choice.
        ("cloud = \"commercial\"\nsource = \"defender\"", near),
        (
            "source = \"graph\"",
            (GRAPH.0, "https://login.example.net/", GRAPH.2),
        ),
        (
            "source = \"graph\"\nbase_url = \"https://graph.example.net\"",
            (
                "https://graph.example.net/",
                "https://login.example.net/",
                GRAPH.2,
            ),
        ),
        (
            "cloud = \"dod\"",
            (
                "https://api-gov.security.microsoft.us/",
                "https://login.microsoftonline.us/",
                "https://api-gov.security.microsoft.us/.default",
            ),
        ),
        (
            "cloud = \"dod\"\nsource = \"graph\"\nlogin_url = \"https://own.example.net\"",
            (
                "https://dod-graph.microsoft.us/",
                "https://own.example.net/",
                "https://dod-graph.microsoft.us/.default",
            ),
        ),
    ] {
        let shared = format!("source = \"defender\"\n{NEAR}");
        let settings = api(&shared, tenant).valid();
        assert_eq!(place(own(&settings)), expected, "{tenant}");
        assert_eq!(place(&settings.tenants[0].api), near, "{tenant}");
    }
}

#[test]
fn china_has_graph_with_a_warning_and_no_defender() {
    // The cloud has only one source, which need not be named.
    for source in ["\n", "source = \"graph\""] {
        let settings = with(&format!("[api]\n{source}\ncloud = \"china\"")).valid();
        assert_eq!(
            place(&only(&settings).api),
            (
                "https://microsoftgraph.chinacloudapi.cn/",
                "https://login.chinacloudapi.cn/",
                "https://microsoftgraph.chinacloudapi.cn/.default"
            )
        );
        assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
        let warned = &settings.warnings[0];
        assert!(
            warned.contains(": api.cloud: Microsoft's list of clouds"),
            "{warned}"
        );
    }
    for (shared, tenant, key) in [
        (
            "source = \"defender\"\ncloud = \"china\"",
            "",
            "api.cloud = \"china\"",
        ),
        (
            "source = \"defender\"",
            "cloud = \"china\"",
            "api.cloud = \"china\"",
        ),
        (
            "",
            "source = \"defender\"\ncloud = \"china\"",
            "api.cloud = \"china\"",
        ),
        (
            "cloud = \"china\"",
            "source = \"defender\"",
            "api.source = \"defender\"",
        ),
        (
            "source = \"graph\"\ncloud = \"china\"",
            "source = \"defender\"",
            "api.source = \"defender\"",
        ),
    ] {
        let report = api(shared, tenant).report();
        assert!(
            report.contains("one error") && report.contains(key),
            "{report}"
        );
        assert!(report.contains("set source = \"graph\""), "{report}");
    }
}

#[test]
fn an_undocumented_audience_is_warned_of_where_it_is_chosen() {
    let warnings = |shared: &str, own: &str| api(shared, own).valid().warnings;
    let gcc = "source = \"graph\"\ncloud = \"gcc\"";
    assert_eq!(warnings(gcc, ""), Vec::<String>::new());
    let by_source = warnings(gcc, "source = \"defender\"");
    assert!(
        by_source.len() == 1
            && by_source[0]
                .contains("tenants[0].api.source: Microsoft documents no token audience"),
        "{by_source:?}"
    );
    let set = "source = \"defender\"\nscope = \"https://x/.default\"";
    assert_eq!(warnings(gcc, set), Vec::<String>::new());
}

#[test]
fn the_request_budget_follows_the_source_unless_it_is_set() {
    let budgets = |settings: &Settings| {
        let budget = |n: usize| settings.tenants[n].poll.requests_per_minute;
        (budget(0), budget(1))
    };
    for (shared, own, expected) in [
        ("", "source = \"defender\"", (75, 25)),
        ("source = \"defender\"", "source = \"graph\"", (25, 75)),
        ("source = \"defender\"", "", (25, 25)),
        ("source = \"graph\"", "", (75, 75)),
        ("", "", (75, 75)),
    ] {
        let settings = api(shared, own).valid();
        assert_eq!(budgets(&settings), expected, "{shared} and {own}");
        assert_eq!(settings.warnings, Vec::<String>::new());
    }
    let set = |n: u32, shared: &str, own: &str| {
        api(&format!("{shared}\n[poll]\nrequests_per_minute = {n}"), own).valid()
    };
    let settings = set(10, "", "source = \"defender\"");
    assert_eq!(budgets(&settings), (10, 10));
    // Enough for one source and too much for the other.
    let settings = set(60, "source = \"graph\"", "source = \"defender\"");
    assert_eq!(budgets(&settings), (60, 60));
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(
        settings.warnings[0].contains(
            "60 requests a minute can break Microsoft's limit of 50 a minute and 1500 an hour"
        ),
        "{:?}",
        settings.warnings
    );
    let settings = set(76, "source = \"graph\"", "");
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(
        settings.warnings[0].contains("limit of 150 a minute"),
        "{:?}",
        settings.warnings
    );
    let source = &settings.tenants[0].api.source;
    assert_eq!(*source, SourceKind::Graph);
}
