//! The status page in a real Chromium: light, dark, on a phone, with the keyboard, and as a screen reader gets it.

use incidentd::simulator::{Options, Simulator};
use serde_json::Value;

use super::*;
use crate::support::SOON;

/// Texts that stand out too little from what is behind them (WCAG 2.2, 1.4.3: 4.5 to 1).
const FAINT: &str = r#"(() => {
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b; };
  const colour = text => text.match(/[\d.]+/g).map(Number);
  const behind = e => { for (; e; e = e.parentElement) { const c = colour(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = walk.nextNode();) {
    if (!n.data.trim()) continue;
    const e = n.parentElement, [a, b] = [light(colour(getComputedStyle(e).color).slice(0, 3)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) faint.push(ratio.toFixed(2) + ' ' + n.data.trim());
  }
  return faint;
})()"#;

/// Words that are cut over two lines, except ids and links, and how far the page is wider than the screen.
const BROKEN: &str = r#"(() => {
  const broken = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; n = walk.nextNode();) {
    if (n.parentElement.closest('code, .hidden, .skip')) continue;
    for (const word of n.data.matchAll(/[\p{L}\d]+/gu)) {
      if (/:\/\/\S*$/.test(n.data.slice(0, word.index))) continue;
      const range = document.createRange();
      range.setStart(n, word.index); range.setEnd(n, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(r => Math.round(r.top)));
      if (lines.size > 1) broken.push(word[0]);
    }
  }
  return [broken, document.scrollingElement.scrollWidth - innerWidth];
})()"#;

const FOCUS: &str = r#"(() => { const e = document.activeElement, s = getComputedStyle(e);
  return [e.tagName + ' ' + (e.textContent || e.name).trim(), s.outlineStyle, parseFloat(s.outlineWidth)]; })()"#;

/// Tenants in all kinds of states, some of which share a cause.
async fn fleet() -> (Simulator, Setup, Daemon) {
    let names = [
        "Bank für Sozialwirtschaft und Gemeindeentwicklung AG",
        "contoso",
        "fabrikam",
        "Müller & Söhne",
        "northwind",
        "tailspin toys",
        "wingtip",
        "adatum",
    ];
    let tenants = (1..).zip(names).map(|(n, name)| named(n, name));
    let options = Options {
        tenants: tenants.collect(),
        quotas: false,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.expect("a simulator");
    let world = simulator.world();
    let tenants = world.tenants();
    let administer =
        |n: usize, change: fn(&mut Tenant)| world.administer(tenants[n].id, change).unwrap();
    administer(0, |tenant| tenant.consented = false);
    administer(1, |tenant| tenant.licensed = false);
    for n in 2..5 {
        administer(n, |tenant| tenant.secret = "another".into());
    }
    for (n, tenant) in tenants[5..].iter().enumerate() {
        world.create(tenant.id, 3 + 4 * n).unwrap();
    }
    let setup = Setup::new(&simulator, NOBODY, &unique("looks"));
    let config = setup.write();
    let daemon = Daemon::start_with(&config, &["--output", "stdout"], &[]).await;
    until("each tenant's state is known", SOON, async || {
        let status = daemon.status().await;
        let tenants = status["tenants"].as_array().unwrap();
        tenants.iter().all(|tenant| tenant["state"] != "starting")
    })
    .await;
    (simulator, setup, daemon)
}

/// Where to write the pictures: `INCIDENTD_TEST_PICTURES`.
async fn picture(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("INCIDENTD_TEST_PICTURES") {
        browser.picture(&Path::new(&folder).join(name)).await;
    }
}

/// Looks at `path` on all screens.
async fn look(browser: &mut Browser, url: &str, name: &str) {
    for (width, height, dark) in [
        (1280, 1400, false),
        (1280, 1400, true),
        (1000, 1400, false),
        (420, 2600, false),
        (420, 2600, true),
    ] {
        let scheme = if dark { "dark" } else { "light" };
        let screen = Screen {
            width,
            height,
            dark,
        };
        browser.open(url, screen).await;
        let [broken, beyond] = list(browser.eval(BROKEN).await);
        assert_eq!(broken, Value::Array(vec![]), "words cut at {width} px");
        assert_eq!(beyond, 0, "the page is wider than {width} px");
        let faint = browser.eval(FAINT).await;
        assert_eq!(faint, Value::Array(vec![]), "{scheme}");
        picture(browser, &format!("{name}-{scheme}-{width}.png")).await;
    }
}

fn list<const N: usize>(value: Value) -> [Value; N] {
    let Value::Array(values) = value else {
        panic!("no list: {value}")
    };
    values.try_into().expect("as long as it should be")
}

/// `tests/chromium` runs this, and sets the variable.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run tests/chromium"]
async fn the_page_is_good_to_read_on_every_screen_and_without_a_mouse() {
    let program = std::env::var("INCIDENTD_TEST_CHROMIUM").expect("run this with tests/chromium");
    let (_simulator, _setup, mut daemon) = fleet().await;
    let url = |path: &str| format!("http://{}{path}", daemon.address());
    let mut browser = Browser::start(&program).await;
    look(&mut browser, &url("/?refresh=off"), "fleet").await;

    // On the phone the table looks like cards, and still is a table.
    let roles = browser.roles().await;
    let has = |role: &str, name: &str| roles.iter().any(|(r, n)| r == role && n.contains(name));
    for (role, name) in [
        ("banner", ""),
        ("main", ""),
        ("navigation", "Tenants by state"),
        ("search", ""),
        ("searchbox", "Name or id"),
        ("button", "Search"),
        ("table", "Tenants, worst first"),
        ("columnheader", "State"),
        ("rowheader", "contoso"),
        (
            "heading",
            "8 tenants: 3 credential, 1 consent, 1 forbidden, 3 ok",
        ),
        ("heading", "Alarm 1: 3 tenants"),
        ("image", "Published per hour in the last 24 hours"),
    ] {
        assert!(has(role, name), "no {role} {name:?} in {roles:#?}");
    }

    let mut focused = Vec::new();
    for _ in 0..20 {
        browser.press("Tab").await;
        let [what, style, width] = list(browser.eval(FOCUS).await);
        assert_ne!(style, "none", "{what} has the focus, and nobody sees it");
        assert!(width.as_f64() >= Some(2.0), "{what}: {width}");
        focused.push(what.as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(focused[0], "A Skip to the content");
    for element in ["INPUT q", "BUTTON Search"] {
        assert!(focused.iter().any(|it| it == element), "{focused:#?}");
    }

    let typed = "document.forms[0].q.value = 'Söhne'; document.forms[0].submit()";
    browser.eval(typed).await;
    until("the search is shown", SOON, async || {
        let shown = "document.querySelectorAll('[scope=row]').length + location.search";
        browser.eval(shown).await == "1?q=S%C3%B6hne&refresh=off"
    })
    .await;

    let id = Uuid::from_u128(1);
    look(
        &mut browser,
        &url(&format!("/tenants/{id}?refresh=off")),
        "tenant",
    )
    .await;
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    browser.close().await;
    daemon.stop().await;
}

/// `tests/chromium` runs this, too.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: run tests/chromium"]
async fn ten_thousand_tenants_are_laid_out_in_a_browser() {
    let program = std::env::var("INCIDENTD_TEST_CHROMIUM").expect("run this with tests/chromium");
    let tenants = (1..=10_000).map(|n| named(n, &format!("customer {n:05}")));
    let (_setup, mut daemon) = daemon(tenants.collect()).await;
    until("tenants fail", PATIENCE, async || {
        daemon.get("/").await.1.contains("unreachable")
    })
    .await;
    let mut browser = Browser::start(&program).await;
    let screen = Screen {
        width: 1280,
        height: 1400,
        dark: false,
    };
    let url = format!("http://{}/?page=50&refresh=off", daemon.address());
    let began = Instant::now();
    browser.open(&url, screen).await;
    tell(format_args!(
        "10,000 tenants in Chromium: loaded after {:?}",
        began.elapsed()
    ));
    let rows = "document.querySelectorAll('[scope=row]').length";
    assert_eq!(browser.eval(rows).await, 100);
    picture(&mut browser, "many-light-1280.png").await;
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    browser.close().await;
    daemon.stop().await;
}
