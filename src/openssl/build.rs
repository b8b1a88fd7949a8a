//! Says which OpenSSL the build takes, and what to install where there is none.

use std::process::Command;

const MISSING: &str = "OpenSSL's headers are missing. Debian and Ubuntu: apt install libssl-dev pkg-config. Fedora: dnf \
                       install openssl-devel pkgconf. Without them: cargo build --features vendored-openssl";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in [
        "OPENSSL_DIR",
        "OPENSSL_LIB_DIR",
        "OPENSSL_INCLUDE_DIR",
        "OPENSSL_NO_VENDOR",
        "PKG_CONFIG_PATH",
    ] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    match openssl() {
        Some(which) => println!("cargo::warning=OpenSSL: {which}"),
        None => println!("cargo::error={MISSING}"),
    }
}

/// As openssl-sys looks for it.
fn openssl() -> Option<String> {
    let set = |name: &str| std::env::var_os(name).is_some();
    if set("CARGO_FEATURE_VENDORED") && !set("OPENSSL_NO_VENDOR") {
        return Some("built from its source (feature vendored-openssl)".into());
    }
    if let Some(folder) =
        std::env::var_os("OPENSSL_DIR").or_else(|| std::env::var_os("OPENSSL_LIB_DIR"))
    {
        return Some(format!("from {}", folder.display()));
    }
    let asked = Command::new("pkg-config")
        .args(["--modversion", "openssl"])
        .output();
    let found = asked.ok().filter(|found| found.status.success())?;
    let version = String::from_utf8_lossy(&found.stdout);
    Some(format!("the system's {}", version.trim()))
}
