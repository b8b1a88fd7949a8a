//! `token`: explains claims and permissions, and prints nothing that could serve as a token.

use crate::cli_check::command::{NOBODY, microsoft, run, tenants};
use crate::support::setup::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_explained_and_never_shown() {
    let simulator = microsoft(3).await;
    let ids = tenants(&simulator);
    let world = simulator.world();
    let roles = [
        "SecurityIncident.ReadWrite.All",
        "Machine.Isolate",
        "Odd.Read.All",
    ]
    .map(str::to_owned);
    world
        .administer(ids[1], |tenant| tenant.graph_roles = roles.to_vec())
        .unwrap();
    world
        .administer(ids[2], |tenant| tenant.graph_roles = Vec::new())
        .unwrap();
    let setup = Setup::new(&simulator, NOBODY, "none");

    let good = run(&setup, &["token", "customer-0001"]).await;
    assert_eq!(good.code, 0, "{}", good.all());
    good.says(&[
        "audience aud https://graph.microsoft.com (right: what api.scope asks for)",
        "(right: app.client_id)",
        "proved by appidacr a client secret (1)",
        "SecurityIncident.Read.All needed: read all incidents and their alerts",
    ]);
    let until = good
        .stdout
        .lines()
        .find(|line| line.contains("valid until"))
        .unwrap();
    assert!(until.contains("Z (in "), "{until}");

    let wide = run(&setup, &["token", &ids[1].to_string()]).await;
    assert_eq!(wide.code, 0);
    wide.says(&[
        "does, and allows more than is needed",
        "Machine.Isolate NOT NEEDED, AND POWERFUL: cut devices off from the network",
        "First give the app SecurityIncident.Read.All",
    ]);

    let bare = run(&setup, &["token", "customer-0003"]).await;
    assert_eq!(bare.code, 1);
    bare.says(&[
        "none: no administrator",
        "lacks the permission SecurityIncident.Read.All",
        "adminconsent?",
    ]);

    world
        .administer(ids[2], |tenant| tenant.secret = "another".into())
        .unwrap();
    let refused = run(&setup, &["token", "customer-0003"]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    refused.says(&[
        "no token for customer-0003 (credential)",
        "AADSTS7000215",
        "do:",
    ]);

    assert_eq!(
        simulator.journal().issued_tokens().len(),
        3,
        "there is something to search for"
    );
    for ended in [good, wide, bare, refused] {
        ended.is_silent(&simulator, &["another"]);
    }
    simulator.stop();
    let away = run(&setup, &["token", "customer-0001"]).await;
    assert_eq!(away.code, 75, "{}", away.all());
}
