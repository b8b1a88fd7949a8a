//! Assertions that the app signs with the key of a registered certificate (section 4.4). The errors are those of section 4.3;
//! for what that section has no number, 50027 says what is wrong.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::super::jwt;
use super::super::tenant::{RegisteredCertificate, Tenant};
use super::super::time::{self, SECOND};
use super::{Receiver, TokenError, error};

/// The two headers that clients send.
#[derive(Deserialize)]
#[serde(tag = "alg", deny_unknown_fields)]
enum AssertionHeader {
    #[serde(rename = "PS256")]
    Pss {
        typ: String,
        #[serde(rename = "x5t#S256")]
        thumbprint: String,
    },
    #[serde(rename = "RS256")]
    Pkcs1 {
        typ: String,
        #[serde(rename = "x5t")]
        thumbprint: String,
    },
}

/// How an algorithm names a certificate, and verifies with its key.
struct SigningScheme {
    thumbprint: &'static Algorithm,
    verification: &'static dyn VerificationAlgorithm,
    pss: bool,
}

const PSS: SigningScheme = SigningScheme {
    thumbprint: &SHA256,
    verification: &RSA_PSS_2048_8192_SHA256,
    pss: true,
};
const PKCS1: SigningScheme = SigningScheme {
    thumbprint: &SHA1_FOR_LEGACY_USE_ONLY,
    verification: &RSA_PKCS1_2048_8192_SHA256,
    pss: false,
};

#[derive(Deserialize)]
struct AssertionClaims {
    aud: String,
    sub: String,
    jti: String,
    /// In seconds, as is `exp`.
    nbf: i64,
    exp: i64,
}

fn malformed(what: &str) -> TokenError {
    error(50027, [what])
}

/// `assertion` has the client as its issuer.
pub(super) fn check(
    tenant: &Tenant,
    client: &str,
    assertion: &str,
    receiver: &mut Receiver<'_>,
) -> Result<(), TokenError> {
    let (header, claims) = jwt::read(assertion).ok_or_else(|| malformed("not three parts"))?;
    let header = serde_json::from_value(header).map_err(|_| malformed("its header"))?;
    let claims = serde_json::from_value(claims).map_err(|_| malformed("a claim is missing"));
    let claims: AssertionClaims = claims?;
    verify(tenant, &header, assertion, receiver.now)?;
    if claims.sub != client {
        return Err(malformed("its subject is not its issuer"));
    }
    if claims.aud != receiver.audience {
        return Err(malformed("its audience is not the token endpoint"));
    }
    let [from, until] = [claims.nbf, claims.exp].map(|seconds| seconds.saturating_mul(SECOND));
    if receiver.now < from || receiver.now >= until {
        let times = [receiver.now, from, until].map(time::format);
        return Err(TokenError(700024, times.to_vec()));
    }
    if claims.jti.is_empty() || !receiver.taken.insert(claims.jti) {
        return Err(malformed("its id was used before"));
    }
    Ok(())
}

/// The signature must be that of a registered certificate's key.
fn verify(
    tenant: &Tenant,
    header: &AssertionHeader,
    assertion: &str,
    now: i64,
) -> Result<(), TokenError> {
    let (typ, thumbprint, scheme) = match header {
        AssertionHeader::Pss { typ, thumbprint } => (typ, thumbprint, PSS),
        AssertionHeader::Pkcs1 { typ, thumbprint } => (typ, thumbprint, PKCS1),
    };
    if typ != "JWT" {
        return Err(malformed("its type is not JWT"));
    }
    let named = |known: &&RegisteredCertificate| {
        URL_SAFE_NO_PAD.encode(digest(scheme.thumbprint, &known.der)) == *thumbprint
    };
    let registered = tenant.certificates.iter().find(named);
    let registered = registered.ok_or_else(|| error(700027, ["The key was not found."]))?;
    let unreadable = |_| error(700027, ["The certificate can't be read."]);
    let certificate = Certificate::from_der(&registered.der).map_err(unreadable)?;
    let certificate = certificate.tbs_certificate();
    let validity = certificate.validity();
    let [from, until] = [validity.not_before, validity.not_after].map(|at| {
        let seconds = at.to_unix_duration().as_secs();
        i64::try_from(seconds).unwrap_or(i64::MAX / SECOND) * SECOND
    });
    if now < from || now >= until {
        return Err(error(1000502, []));
    }
    if scheme.pss && !registered.pss {
        return Err(error(5002730, []));
    }
    let wrong = || error(700027, ["The signature is wrong."]);
    let (text, signature) = assertion.rsplit_once('.').ok_or_else(wrong)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| wrong())?;
    let key = &certificate.subject_public_key_info().subject_public_key;
    UnparsedPublicKey::new(scheme.verification, key.raw_bytes())
        .verify(text.as_bytes(), &signature)
        .map_err(|_| wrong())
}
