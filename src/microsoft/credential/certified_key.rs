//! A certificate and its private key, from PEM files. The configuration checks them with this, and so does every use.
//!
//! Invariant: nothing of a key is in an error or in a `Debug` text.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use x509_cert::der::Decode;

use crate::core::health::validity::Validity;
use crate::core::time::ticks::Ticks;

/// Why a certificate and its key can't be used. Reads as what a file does: "holds no certificate".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    NoCertificate,
    BadCertificate,
    NotYetValid(Ticks),
    Expired(Ticks),
    NoKey,
    EncryptedKey,
    NotRsa,
    KeyLength,
    BadKey,
    OtherKey,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCertificate => "holds no certificate in PEM form",
            Self::BadCertificate => "holds a certificate that can't be read",
            Self::NotYetValid(from) => {
                return write!(f, "holds a certificate that is not valid before {from}");
            }
            Self::Expired(at) => return write!(f, "holds a certificate that expired at {at}"),
            Self::NoKey => "holds no private key in PEM form",
            Self::EncryptedKey => "holds a private key that is encrypted",
            Self::NotRsa => "holds a private key that is not an RSA key",
            Self::KeyLength => "holds an RSA key that does not have 2048 to 4096 bits",
            Self::BadKey => "holds a private key that can't be read",
            Self::OtherKey => "holds a private key that does not belong to the certificate",
        })
    }
}

impl CertificateError {
    /// Whether it is about the file of the key, and not about that of the certificate.
    pub fn is_of_key(self) -> bool {
        !matches!(
            self,
            Self::NoCertificate | Self::BadCertificate | Self::NotYetValid(_) | Self::Expired(_)
        )
    }

    /// What to do; `{place}` stands for the file.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoCertificate | Self::BadCertificate => {
                "put the certificate that is registered with the app (Certificates & secrets) into {place}, as PEM"
            }
            Self::NotYetValid(_) => {
                "wait until then, or check this machine's clock (NTP); if it is the wrong certificate, put a valid one into {place}"
            }
            Self::Expired(_) => {
                "make a new certificate, register it with the app (Certificates & secrets), then put it into {place} and its \
                 private key beside it"
            }
            Self::NoKey | Self::BadKey => {
                "put the private key of the certificate into {place}, as PEM"
            }
            Self::EncryptedKey => {
                "put the key without its passphrase into {place}, a file that only incidentd's user can read: openssl pkey -in \
                 ENCRYPTED -out PLAIN"
            }
            Self::NotRsa | Self::KeyLength => {
                "Entra takes RSA only: make a certificate with an RSA key of 2048 bits or more, register it with the app, and \
                 put its key into {place}"
            }
            Self::OtherKey => {
                "put the private key of the certificate into {place}, or the certificate of this key beside it"
            }
        }
    }
}

/// How an assertion is signed. Each way has its own thumbprint of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// RSA-PSS with SHA-256, as documented.
    Ps256,
    /// RSA with PKCS #1 padding, for keys whose registration Entra can't use with PSS.
    Rs256,
}

/// A certificate, and the private key that belongs to it.
pub(in crate::microsoft) struct CertifiedKey {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    validity: Validity,
}

impl CertifiedKey {
    /// Reads PEM texts, which may be the same. Of several certificates (a chain) that of the key is taken.
    ///
    /// # Errors
    /// There is no certificate or no key, or they can't be used together.
    pub(in crate::microsoft) fn read(
        certificates: &[u8],
        key: &[u8],
    ) -> Result<Self, CertificateError> {
        let certificates = CertificateDer::pem_slice_iter(certificates);
        let certificates: Vec<CertificateDer<'static>> = certificates
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::BadCertificate)?;
        if certificates.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let key = read_key(key)?;
        for certificate in certificates {
            let parsed = x509_cert::Certificate::from_der(&certificate)
                .map_err(|_| CertificateError::BadCertificate)?;
            let parsed = parsed.tbs_certificate();
            let public = &parsed.subject_public_key_info().subject_public_key;
            if public.as_bytes() == Some(key.public().as_ref()) {
                let [from, until] = [parsed.validity().not_before, parsed.validity().not_after]
                    .map(|time| Ticks(0).plus(time.to_unix_duration()));
                return Ok(Self {
                    key,
                    certificate,
                    validity: Validity {
                        from: Some(from),
                        until,
                    },
                });
            }
        }
        Err(CertificateError::OtherKey)
    }

    pub(in crate::microsoft) fn validity(&self) -> Validity {
        self.validity
    }

    /// # Errors
    /// The certificate has expired by `now`, or is not valid yet.
    pub(in crate::microsoft) fn valid_at(&self, now: Ticks) -> Result<(), CertificateError> {
        match self.validity {
            Validity { until, .. } if now >= until => Err(CertificateError::Expired(until)),
            Validity {
                from: Some(from), ..
            } if now < from => Err(CertificateError::NotYetValid(from)),
            _ => Ok(()),
        }
    }

    /// A signed token with these claims ("Microsoft identity platform application authentication certificate credentials").
    ///
    /// # Errors
    /// The system has no randomness, or the key can't sign.
    pub(super) fn sign(
        &self,
        claims: &Value,
        signature: Signature,
    ) -> Result<String, ring::error::Unspecified> {
        let thumbprint = |algorithm| {
            let thumbprint = digest(algorithm, &self.certificate);
            URL_SAFE_NO_PAD.encode(thumbprint)
        };
        let header = match signature {
            Signature::Ps256 => {
                json!({"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(&SHA256)})
            }
            Signature::Rs256 => {
                json!({"alg": "RS256", "typ": "JWT", "x5t": thumbprint(&SHA1_FOR_LEGACY_USE_ONLY)})
            }
        };
        let [header, claims] =
            [&header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let text = format!("{header}.{claims}");
        let mut signed = vec![0; self.key.public().modulus_len()];
        let padding: &dyn ring::signature::RsaEncoding = match signature {
            Signature::Ps256 => &RSA_PSS_SHA256,
            Signature::Rs256 => &RSA_PKCS1_SHA256,
        };
        let random = SystemRandom::new();
        self.key
            .sign(padding, &random, text.as_bytes(), &mut signed)?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signed)))
    }
}

fn read_key(pem: &[u8]) -> Result<KeyPair, CertificateError> {
    let key = match PrivateKeyDer::from_pem_slice(pem) {
        // Of PKCS #8, and of OpenSSL's own form.
        _ if contains(pem, b"ENCRYPTED") => return Err(CertificateError::EncryptedKey),
        Err(rustls::pki_types::pem::Error::NoItemsFound) => return Err(CertificateError::NoKey),
        Err(_) => return Err(CertificateError::BadKey),
        Ok(key) => key,
    };
    let pair = match &key {
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(CertificateError::NotRsa),
    };
    pair.map_err(|error| match error.to_string().as_str() {
        "WrongAlgorithm" => CertificateError::NotRsa,
        "TooSmall" | "TooLarge" => CertificateError::KeyLength,
        _ => CertificateError::BadKey,
    })
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

#[cfg(test)]
mod tests;
