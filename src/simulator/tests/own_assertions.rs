//! Assertions that an app signs with the key of its certificate. The client here signs with ring alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::certificates::{ONE, TWO, certificate};
use super::*;

const NOW: i64 = START / SECOND;
const DAY: i64 = 86_400;

/// A certificate of the first key, valid between these days from now.
fn der(from: i64, until: i64) -> Vec<u8> {
    let at = |days: i64| (NOW + days * DAY).cast_unsigned();
    certificate(ONE, at(from), at(until)).der
}

/// An assertion before it is signed, and what it is signed with.
struct Draft {
    header: Value,
    claims: Value,
    key: &'static str,
    padding: &'static dyn RsaEncoding,
}

impl Draft {
    fn signed(&self) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&self.header), encode(&self.claims));
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let key = KeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(
            self.padding,
            &SystemRandom::new(),
            text.as_bytes(),
            &mut signature,
        )
        .unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A simulator whose app has one certificate.
async fn registered(der: &[u8], pss: bool) -> Bench {
    let bench = Bench::plain().await;
    let certificate = RegisteredCertificate {
        der: der.to_vec(),
        pss,
    };
    let register = |tenant: &mut Tenant| tenant.certificates.push(certificate);
    bench.world.administer(bench.tenant, register).unwrap();
    bench
}

impl Bench {
    /// As it is documented, for this certificate.
    fn draft(&self, der: &[u8]) -> Draft {
        let app = Tenant::CLIENT_ID;
        Draft {
            header: json!({"alg": "PS256", "typ": "JWT", "x5t#S256": URL_SAFE_NO_PAD.encode(digest(&SHA256, der))}),
            claims: json!({
                "aud": format!("{}/{}/oauth2/v2.0/token", self.sim.url(), self.tenant),
                "iss": app, "sub": app, "jti": Uuid::new_v4(), "nbf": NOW, "exp": NOW + 300,
            }),
            key: ONE,
            padding: &RSA_PSS_SHA256,
        }
    }

    /// The AADSTS number of the refusal; null for a token.
    pub(super) async fn tries(&self, assertion: &str) -> Value {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let mut fields = self.fields();
        set(&mut fields, "client_secret", None);
        set(&mut fields, "client_assertion_type", Some(kind));
        set(&mut fields, "client_assertion", Some(assertion));
        let path = format!("{}/oauth2/v2.0/token", self.tenant);
        let (status, body) = self.post_form(&path, &fields).await;
        assert_eq!(status == 200, body["error_codes"].is_null(), "{body}");
        body["error_codes"][0].clone()
    }
}

#[tokio::test]
async fn an_assertion_as_documented_is_taken_once() {
    let der = der(-1, 1);
    let bench = registered(&der, true).await;
    let draft = bench.draft(&der);
    assert_eq!(bench.tries(&draft.signed()).await, Value::Null);
    // Its id was used, although the signature is another one.
    assert_eq!(bench.tries(&draft.signed()).await, 50027);
    assert_eq!(bench.tries(&bench.draft(&der).signed()).await, Value::Null);
}

#[tokio::test]
async fn a_key_without_pss_is_verified_with_rs256_and_the_sha_1_thumbprint() {
    let der = der(-1, 1);
    let bench = registered(&der, false).await;
    assert_eq!(bench.tries(&bench.draft(&der).signed()).await, 5002730);
    let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &der));
    let draft = Draft {
        header: json!({"alg": "RS256", "typ": "JWT", "x5t": thumbprint}),
        padding: &RSA_PKCS1_SHA256,
        ..bench.draft(&der)
    };
    assert_eq!(bench.tries(&draft.signed()).await, Value::Null);
}

#[tokio::test]
async fn whatever_differs_is_refused() {
    let der = der(-1, 1);
    let bench = registered(&der, true).await;
    type Change = fn(&mut Draft);
    let cases: [(Change, u64); 14] = [
        (|draft| draft.key = TWO, 700027),
        (|draft| draft.padding = &RSA_PKCS1_SHA256, 700027),
        (|draft| draft.header["x5t#S256"] = json!("AAAA"), 700027),
        (|draft| draft.header["typ"] = json!("jwt"), 50027),
        (|draft| draft.header["alg"] = json!("HS256"), 50027),
        (|draft| draft.header["x5t"] = json!("AAAA"), 50027),
        (|draft| draft.claims["sub"] = json!("another"), 50027),
        (
            |draft| draft.claims["aud"] = json!("https://login.microsoftonline.com/common"),
            50027,
        ),
        (|draft| draft.claims["jti"] = json!(""), 50027),
        (|draft| draft.claims["jti"] = json!(null), 50027),
        (|draft| draft.claims["nbf"] = json!(null), 50027),
        (|draft| draft.claims["exp"] = json!(null), 50027),
        (|draft| draft.claims["nbf"] = json!(NOW + 60), 700024),
        (|draft| draft.claims["exp"] = json!(NOW), 700024),
    ];
    for (change, code) in cases {
        let mut draft = bench.draft(&der);
        change(&mut draft);
        let assertion = draft.signed();
        assert_eq!(
            bench.tries(&assertion).await,
            code,
            "{} {}",
            draft.header,
            draft.claims
        );
    }
    let good = bench.draft(&der).signed();
    let (text, _) = good.rsplit_once('.').unwrap();
    assert_eq!(bench.tries(&format!("{text}.AAAA")).await, 700027);
}

#[tokio::test]
async fn a_certificate_counts_only_while_it_is_valid() {
    for (from, until, code) in [(-2, -1, 1000502), (1, 2, 1000502)] {
        let der = der(from, until);
        let bench = registered(&der, true).await;
        assert_eq!(bench.tries(&bench.draft(&der).signed()).await, code);
    }
}
