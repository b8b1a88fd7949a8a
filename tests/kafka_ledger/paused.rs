//! A tenant that an operator has paused moves to another replica, and stays paused there.

use super::*;
use crate::operator::{order, shown};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_tenant_stays_paused_in_the_replica_that_takes_it_over() {
    const TENANTS: u32 = 8;
    let simulator = simulator(TENANTS, Options::default()).await;
    let (world, journal) = (simulator.world(), simulator.journal());
    create_in_each(&world, 3);
    let mut replicas = Replicas::new(&simulator, 2, 4).await;
    replicas.setups = std::mem::take(&mut replicas.setups)
        .into_iter()
        .map(|setup| setup.text("http.socket", "control.sock"))
        .collect();
    let configs = [replicas.config(0), replicas.config(1)];
    let (mut one, mut other) = (
        replicas.spawn(0).ready().await,
        replicas.spawn(1).ready().await,
    );
    replicas.share_all(&[&one, &other]).await;
    replicas.complete(&journal).await;

    // A tenant of the first replica. The second names its partition.
    let mut name = None;
    for tenant in world.tenants() {
        let refused = order(&configs[1], &["pause", &tenant.name]).await;
        if refused.0 == 75 {
            assert!(refused.1.contains("belongs to partition"), "{}", refused.1);
            assert!(
                refused.1.contains("ask the other replicas"),
                "{}",
                refused.1
            );
            name = Some(tenant.name);
            break;
        }
        assert_eq!(refused.0, 0, "{}", refused.1);
        let resumed = order(&configs[1], &["resume", &tenant.name]).await;
        assert_eq!(resumed.0, 0, "{}", resumed.1);
    }
    let name = name.expect("each replica has some of the tenants");
    let (code, said) = order(&configs[0], &["pause", &name, "--reason", "it moves"]).await;
    assert_eq!(code, 0, "{said}");
    let since = shown(&one, &name).await["since"].clone();
    one.kill().await;
    create_in_each(&world, 3);
    until(
        "the other replica shows it",
        2 * SESSION + SOON,
        async || shown(&other, &name).await["state"] == "paused",
    )
    .await;
    let tenant = shown(&other, &name).await;
    assert_eq!(tenant["since"], since);
    assert!(tenant["error"].as_str().unwrap().contains("it moves"));
    assert_eq!(tenant["published"], 0);
    let (code, said) = order(&configs[1], &["resume", &name]).await;
    assert_eq!(code, 0, "{said}");
    replicas.complete(&journal).await;
    replicas.end(&journal, &mut [&mut other]).await;
}
