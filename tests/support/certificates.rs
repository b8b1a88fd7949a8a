//! Certificates of the keys in `keys`, which serve no other purpose. `openssl genrsa 2048` made the RSA keys.

#![allow(dead_code)]
#![allow(clippy::expect_used)]

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

/// Two RSA keys of 2048 bits.
pub const ONE: &str = include_str!("keys/one.pem");
pub const TWO: &str = include_str!("keys/two.pem");
/// The first one in PKCS #1, and with a passphrase.
pub const ONE_PKCS1: &str = include_str!("keys/one-pkcs1.pem");
pub const ENCRYPTED: &str = include_str!("keys/encrypted.pem");
/// Keys that Entra does not take.
pub const ELLIPTIC: &str = include_str!("keys/elliptic.pem");
pub const SHORT: &str = include_str!("keys/short.pem");

pub struct TestCertificate {
    pub pem: String,
    pub der: Vec<u8>,
}

/// A certificate of this key that is valid between these seconds since 1970.
pub fn certificate(key: &str, from: u64, until: u64) -> TestCertificate {
    let key = KeyPair::from_pem(key).expect("a key");
    let mut params = CertificateParams::default();
    let [from, until] = [from, until].map(|at| date_time_ymd(1970, 1, 1) + Duration::from_secs(at));
    (params.not_before, params.not_after) = (from, until);
    let made = params.self_signed(&key).expect("a certificate");
    TestCertificate {
        pem: made.pem(),
        der: made.der().to_vec(),
    }
}
