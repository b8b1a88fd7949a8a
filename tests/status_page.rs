//! The status page of a running daemon: as HTML, with 10,000 tenants, and in a real Chromium.

use std::path::Path;
use std::time::Duration;

use incidentd::simulator::Tenant;
use tokio::time::Instant;
use uuid::Uuid;

use crate::support::browser::{Browser, Screen};
use crate::support::daemon::Daemon;
use crate::support::setup::{Setup, unique};
use crate::support::{tell, until};

mod looks;

/// An address without a listener.
const NOBODY: &str = "127.0.0.1:1";

/// More than the daemon needs to begin with this many tenants, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A daemon with `tenants`, none of which it can reach.
async fn daemon(tenants: Vec<Tenant>) -> (Setup, Daemon) {
    let setup = Setup::at(
        &format!("http://{NOBODY}"),
        tenants,
        NOBODY,
        &unique("page"),
    )
    .text("poll.schedule", "every 1h");
    let config = setup.write();
    let daemon = Daemon::start_with(&config, &["--output", "stdout"], &[]).await;
    (setup, daemon)
}

fn named(n: u32, name: &str) -> Tenant {
    Tenant::new(Uuid::from_u128(u128::from(n)), name)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tenants_are_a_hundred_pages_and_each_is_found() {
    let name = |n: u32| format!("customer {n:05}");
    let tenants = (1..=10_000).map(|n| named(n, &name(n))).collect();
    let (_setup, mut daemon) = daemon(tenants).await;
    until("tenants fail", PATIENCE, async || {
        daemon.get("/").await.1.contains("unreachable")
    })
    .await;
    let last = Uuid::from_u128(10_000);
    for (what, path, rows) in [
        ("first page", "/".to_owned(), 100),
        ("last page", "/?page=100".to_owned(), 100),
        ("search by name", "/?q=CUSTOMER+0999".to_owned(), 10),
        ("search by id", format!("/?q={last}"), 1),
        ("a tenant", format!("/tenants/{last}"), 0),
        ("the JSON of all", "/api/status".to_owned(), 0),
    ] {
        let began = Instant::now();
        let (code, html) = daemon.get(&path).await;
        let took = began.elapsed();
        assert_eq!(code, 200, "{path}: {html}");
        assert_eq!(html.matches("scope=\"row\"").count(), rows, "{path}");
        tell(format_args!(
            "10,000 tenants, {what}: {} KiB, answered after {took:?}",
            html.len() / 1024
        ));
        if path.starts_with("/?") {
            assert!(html.len() < 512 << 10, "{path}: {} bytes", html.len());
        }
    }
    let (_, html) = daemon.get("/?page=100").await;
    assert!(html.contains("Page 100 of 100"), "{html}");
    let memory = daemon.peak_memory() >> 20;
    tell(format_args!("10,000 tenants: peak memory {memory} MiB"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_and_searches_are_texts() {
    let hostile = "</title><script>alert(1)</script><b onclick='x'>";
    let (_setup, mut daemon) = daemon(vec![named(1, hostile)]).await;
    let id = Uuid::from_u128(1);
    let search = "/?q=%3C/title%3E%3Cscript%3Ealert(1)%3C/script%3E%22%20onfocus=%22x";
    for path in ["/", search, &format!("/tenants/{id}")] {
        let (code, html) = daemon.get(path).await;
        assert_eq!(code, 200, "{html}");
        for word in ["<script", "<b onclick", "\" onfocus", "' onfocus"] {
            assert!(!html.contains(word), "{word} in {html}");
        }
        assert!(html.contains("&#60;script&#62;"), "{html}");
    }
    let long = format!("/?q={}", "%F0%9F%98%80".repeat(1000));
    assert_eq!(daemon.get(&long).await.0, 200);
    assert_eq!(daemon.get("/?q=%FF%FE").await.0, 200, "no UTF-8");
    assert_eq!(daemon.get("/?q=a&q=b").await.0, 400);
    daemon.stop().await;
}
