//! The cost of a large fleet.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::Shell;

/// The processor time for checking `tenants`, per tenant in microseconds. Each has its own secret and its own warning:
/// all users can read the secret.
fn per_tenant(tenants: u32) -> f64 {
    let shell = Shell::new();
    let mut main = String::new();
    for n in 0..tenants {
        let secret = format!("secrets/{n}");
        shell.write(&secret, &format!("secret~{n}"));
        let path = shell.folder.path().join(&secret);
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("the mode");
        write!(
            main,
            "[[tenants]]\nid = \"00000000-0000-4000-8000-{n:012}\"\nname = \"tenant-{n}\"\n\
             app.client_id = \"0f0f0f0f-0000-4000-8000-{n:012}\"\napp.client_secret_file = {secret:?}\n"
        )
        .expect("a text");
    }
    // An id of zeros is a placeholder.
    let main = main.replace(
        "00000000-0000-4000-8000-000000000000",
        "11111111-0000-4000-8000-000000000000",
    );
    shell.write("incidentd.toml", &main);
    // The times of the shell's own processes: `times` prints them in minutes and seconds.
    let script = "\"$0\" check --offline --config \"$1\" >&2 && times";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_incidentd")])
        .arg(shell.folder.path().join("incidentd.toml"))
        .env_clear()
        .output()
        .expect("sh runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let times = String::from_utf8_lossy(&output.stdout).into_owned();
    let children = times.lines().nth(1).expect("the children's times");
    let seconds = |time: &str| {
        let (minutes, seconds) = time.trim_end_matches('s').split_once('m').expect("a time");
        let number = |text: &str| text.replace(',', ".").parse::<f64>().expect("a number");
        number(minutes) * 60.0 + number(seconds)
    };
    let all: f64 = children.split_whitespace().map(seconds).sum();
    all * 1e6 / f64::from(tenants)
}

#[test]
fn ten_thousand_tenants_with_secrets_of_their_own_cost_no_more_each_than_five_hundred_do() {
    let (few, many) = (per_tenant(500), per_tenant(10_000));
    println!("{few:.0} us a tenant of 500, {many:.0} us a tenant of 10,000");
    assert!(
        many < few * 4.0 + 100.0,
        "{few:.0} us a tenant of 500, {many:.0} us a tenant of 10,000"
    );
}
