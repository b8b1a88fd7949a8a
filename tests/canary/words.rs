//! The secrets: one for each place where an operator stores one.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

pub use crate::support::search::{KAFKA, RIGHT, WRONG};

/// The second of two client secrets.
pub const NEXT: &str = "canary/next+4&5=6%42~never.seen'single'";
/// The password of a proxy, and so part of its log-in.
pub const PROXY: &str = "canary/proxy+1&2=3%44~never.seen";
/// A token of another issuer, which Entra refuses.
pub const ASSERTION: &str =
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJub2JvZHkifQ.canary-assertion_never-seen";
/// A token that only the parrot issues. It can't be read, which is not an error.
pub const TOKEN: &str = "eyJhbGciOiJub25lIn0.never-read.canary-token_never-seen";
/// An unused private key; the certificate below belongs to it.
pub const KEY: &str = "MC4CAQAwBQYDK2VwBCIEIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
pub const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBQjCB9aADAgECAhQs9excRTsrL1yQPRq12PL7Qus79DAFBgMrZXAwFjEUMBIG
A1UEAwwLY2FuYXJ5LWZyZWUwIBcNMjYxMTI3MTMyNDAzWhgPMjEyNjExMDMxMzI0
MDNaMBYxFDASBgNVBAMMC2NhbmFyeS1mcmVlMCowBQYDK2VwAyEA6kpsY+KcUgq+
9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iyjUzBRMB0GA1UdDgQWBBRMXs5AI6A0HuKs
/8xNFxVKhU8C5TAfBgNVHSMEGDAWgBRMXs5AI6A0HuKs/8xNFxVKhU8C5TAPBgNV
HRMBAf8EBTADAQH/MAUGAytlcANBACKi97P8PKVurRAF1ehUVthCGHuoIdfojDyX
pDHcKvNkQy3boJVDlUPGS9f4p9bLEivSjiwyr5iYBwseIC23PgA=
-----END CERTIFICATE-----
";

/// The private key in the form of a file.
pub fn key_pem() -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n")
}

/// The address of a proxy: `http://user:password@host:port`.
pub fn proxy(address: &str) -> String {
    format!("http://user:{}@{address}", in_url(PROXY))
}

/// A word in the form that a URL has before the host.
pub fn in_url(word: &str) -> String {
    url::form_urlencoded::byte_serialize(word.as_bytes()).collect()
}

/// The log-in in the form that a proxy receives.
pub fn login() -> String {
    BASE64_STANDARD.encode(format!("user:{PROXY}"))
}
