use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

use super::*;
use crate::microsoft::jwt;
use crate::microsoft::tests::certificates::{
    ELLIPTIC, ENCRYPTED, ONE, ONE_PKCS1, SHORT, TWO, certificate,
};

const FROM: u64 = 1_700_000_000;
const UNTIL: u64 = 1_800_000_000;

fn read(certificates: &str, key: &str) -> Result<CertifiedKey, CertificateError> {
    CertifiedKey::read(certificates.as_bytes(), key.as_bytes())
}

fn refused(certificates: &str, key: &str) -> CertificateError {
    read(certificates, key).err().expect("it is refused")
}

fn at(seconds: u64) -> Ticks {
    Ticks::from_unix_seconds(seconds.cast_signed())
}

#[test]
fn a_key_is_read_in_both_forms_and_beside_its_certificate() {
    let pem = certificate(ONE, FROM, UNTIL).pem;
    let both = format!("{ONE}\n{pem}");
    for (certificates, key) in [(&*pem, ONE), (&*pem, ONE_PKCS1), (&*both, &*both)] {
        let read = read(certificates, key).expect("it is good");
        let (from, until) = (Some(at(FROM)), at(UNTIL));
        assert_eq!(read.validity(), Validity { from, until });
    }
}

#[test]
fn of_a_chain_the_certificate_of_the_key_is_taken() {
    let (own, issuer) = (certificate(ONE, FROM, UNTIL), certificate(TWO, 0, UNTIL));
    for chain in [
        format!("{}{}", own.pem, issuer.pem),
        format!("{}{}", issuer.pem, own.pem),
    ] {
        let read = read(&chain, ONE).expect("its certificate is there");
        assert_eq!(read.certificate.as_ref(), own.der);
    }
}

#[test]
fn what_can_t_be_used_says_which_file_is_wrong_and_why() {
    use CertificateError as E;
    let pem = certificate(ONE, FROM, UNTIL).pem;
    let cut = &pem[..pem.len() - 40];
    let spoilt = pem.replacen("MII", "MIJ", 1);
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let sec1 = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for (certificates, key, expected) in [
        ("", ONE, E::NoCertificate),
        (ONE, ONE, E::NoCertificate),
        (cut, ONE, E::BadCertificate),
        (&*spoilt, ONE, E::BadCertificate),
        (&*pem, "", E::NoKey),
        (&*pem, &*pem, E::NoKey),
        (&*pem, ENCRYPTED, E::EncryptedKey),
        (&*pem, old, E::EncryptedKey),
        (&*pem, ELLIPTIC, E::NotRsa),
        (&*pem, sec1, E::NotRsa),
        (&*pem, SHORT, E::KeyLength),
        (&*pem, broken, E::BadKey),
        (&*pem, TWO, E::OtherKey),
    ] {
        let error = refused(certificates, key);
        assert_eq!(error, expected);
        assert!(error.remedy().contains("{place}"), "{error}");
        let of_certificate = matches!(expected, E::NoCertificate | E::BadCertificate);
        assert_eq!(error.is_of_key(), !of_certificate, "{error}");
    }
    let elliptic = certificate(ELLIPTIC, FROM, UNTIL).pem;
    assert_eq!(refused(&elliptic, ELLIPTIC), E::NotRsa);
}

#[test]
fn a_certificate_is_good_from_its_first_second_to_its_last() {
    let key = read(&certificate(ONE, FROM, UNTIL).pem, ONE).expect("it is good");
    let (early, late) = (
        CertificateError::NotYetValid(at(FROM)),
        CertificateError::Expired(at(UNTIL)),
    );
    for (now, expected) in [
        (FROM - 1, Err(early)),
        (FROM, Ok(())),
        (UNTIL - 1, Ok(())),
        (UNTIL, Err(late)),
    ] {
        assert_eq!(key.valid_at(at(now)), expected);
    }
    assert!(!late.is_of_key() && !early.is_of_key());
    assert_eq!(
        late.to_string(),
        "holds a certificate that expired at 2027-01-15T08:00:00Z"
    );
}

#[test]
fn both_signatures_hold_and_name_the_certificate_by_its_thumbprint() {
    let made = certificate(ONE, FROM, UNTIL);
    let key = read(&made.pem, ONE).expect("it is good");
    let claims = json!({"aud": "x", "exp": 1});
    let pss: &dyn VerificationAlgorithm = &RSA_PSS_2048_8192_SHA256;
    for (signature, alg, name, by, verifies) in [
        (Signature::Ps256, "PS256", "x5t#S256", &SHA256, pss),
        (
            Signature::Rs256,
            "RS256",
            "x5t",
            &SHA1_FOR_LEGACY_USE_ONLY,
            &RSA_PKCS1_2048_8192_SHA256,
        ),
    ] {
        let token = key.sign(&claims, signature).expect("it signs");
        assert_eq!(jwt::claims(&token).map(Value::Object), Some(claims.clone()));
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
        let (text, signed) = token.rsplit_once('.').expect("three parts");
        let header = decode(text.split('.').next().expect("a header"));
        let header: Value = serde_json::from_slice(&header).expect("JSON");
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(by, &made.der));
        assert_eq!(header, json!({"alg": alg, "typ": "JWT", name: thumbprint}));
        let public = UnparsedPublicKey::new(verifies, key.key.public());
        let verified = public.verify(text.as_bytes(), &decode(signed));
        assert!(verified.is_ok(), "{alg}");
    }
}
