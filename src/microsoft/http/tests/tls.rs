//! Which certificates TLS trusts. The certificate below is for 127.0.0.1 and self-signed; its key is used only in this
//! file.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::*;
use crate::core::health::failure::Health;
use crate::microsoft::tests::support::{http_options, trusting};

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----
MIIBlzCCAT2gAwIBAgIUC98xubE0NHfEnxj8a0ndSSFTRbEwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOaW5jaWRlbnRkIHRlc3QwIBcNMjYxMTIzMDE0MDQyWhgPMjEy
NjEwMzAwMTQwNDJaMBkxFzAVBgNVBAMMDmluY2lkZW50ZCB0ZXN0MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAED2YJsfdf8Z75vPhjCYMj5ZRHaElDgQWh/vjPMTD5
f3vmfGMNeuxxLz84JXBNGJbcLtmoGGD6g71V987Cox1RPaNhMF8wHQYDVR0OBBYE
FB0ozPhfm6K76QcxFHZYLl/0j1L7MB8GA1UdIwQYMBaAFB0ozPhfm6K76QcxFHZY
Ll/0j1L7MA8GA1UdEQQIMAaHBH8AAAEwDAYDVR0TAQH/BAIwADAKBggqhkjOPQQD
AgNIADBFAiAWHJTGi/OUhKXec6lzFaOhgeWNfevQzds7YZ46k63ieAIhALM34BmK
XcTTXYmbd/bMfxW6T4/gWAal3HVAmsA2Y9B7
-----END CERTIFICATE-----
";
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQyGvC7ZkAOzc7Oyy5S//bCun0WvK7XlWslzQ8ZpQhSehRANCAAQPZgmx\
                   91/xnvm8+GMJgyPllEdoSUOBBaH++M8xMPl/e+Z8Yw167HEvPzglcE0Yltwu2agYYPqDvVX3zsKjHVE9";

/// An authority with a key on the curve P-521, a certificate for 127.0.0.1 that it has signed, and the key.
const AUTHORITY_P521: &str = "-----BEGIN CERTIFICATE-----
MIICDjCCAXCgAwIBAgIUPwI/kZvJca3uMKzORKw8qbjatTUwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNaW5zcGVjdGlvbiBDQTAgFw0yNjExMjkxNzA5NDRaGA8yMTI2
MTEwNTE3MDk0NFowGDEWMBQGA1UEAwwNaW5zcGVjdGlvbiBDQTCBmzAQBgcqhkjO
PQIBBgUrgQQAIwOBhgAEATrE+frzLD3Cc3MvDku/Azhenij6GkQg5uk0DnVaVorT
GCIaOllRwY+a2G7dwBHQosYi1UY4SpIq8f+SNw78eL9iANKn2/bW5xdw7nZgNYx9
cjbVjRlwtHbVXEnfF4OIsIulMDYZivrY0wUlg9WQmg7Tc1fs7ssWv4rgdKYG9ggu
AFjNo1MwUTAdBgNVHQ4EFgQUs3KFmcjqz5mk0yF4wSrv9yywoukwHwYDVR0jBBgw
FoAUs3KFmcjqz5mk0yF4wSrv9yywoukwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjO
PQQDAgOBiwAwgYcCQWnYdURujhFw8wWa4HaL+JkxqVBO195DYlBZpdZW2sR6z53O
WaiSEade815ogsPCku3sEu0YK3xeiTBnt+LUR2mUAkIBzxK8XvXfditMCbYd5spL
caCqboy38zU0vCARESQ7sBYlE38+rQ3Y6zbEek+IUB/2+KOpGP9tt9HwsOofi85J
2NE=
-----END CERTIFICATE-----
";
const SIGNED_P521: &str = "-----BEGIN CERTIFICATE-----
MIIB1zCCATmgAwIBAgIUSmgXZe3zuJ+1phIj5GbnjfrBSbUwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNaW5zcGVjdGlvbiBDQTAgFw0yNjExMjkxNzA5NDRaGA8yMTI2
MTEwNTE3MDk0NFowGTEXMBUGA1UEAwwOaW5jaWRlbnRkIHRlc3QwWTATBgcqhkjO
PQIBBggqhkjOPQMBBwNCAATx0wxwwJWIkHUI0/tgbhiBHcvamUWx036ObPaYRLm7
4aoMji/j1B0isai+B6xI4r4DdsQ07Kc5OlLT62pb8aeio14wXDAPBgNVHREECDAG
hwR/AAABMAkGA1UdEwQCMAAwHQYDVR0OBBYEFKFhQ1hTwuJUzzNdV89+k9ZeVnpc
MB8GA1UdIwQYMBaAFLNyhZnI6s+ZpNMheMEq7/cssKLpMAoGCCqGSM49BAMCA4GL
ADCBhwJBTn995ChG5XHdBZVAF8L+5s40PeG2CKptcGLtcINb22V3zbaTMnSVKtV4
3DXE2yDski0g1DAeOe2FjCbP/ZAPJnQCQgC3Nqje65VZlaCJemo2/3Ktr0k0SMM5
5wVTQUqvKwtxcbjuf6at1ZWkzAqNDDm2A4OkbT1DYO0ApzZxC8g0XhCrAg==
-----END CERTIFICATE-----
";
const KEY_P521: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYsT3/GIatcq5cUU7Z8hTPkNZrclSQo3CF6VmcX3YxqShRANCAATx\
                        0wxwwJWIkHUI0/tgbhiBHcvamUWx036ObPaYRLm74aoMji/j1B0isai+B6xI4r4DdsQ07Kc5OlLT62pb8aei";

/// Answers one connection over TLS, and then ends.
fn serve_once(certificate: &str, key: &str) -> Url {
    let key = PrivatePkcs8KeyDer::from(STANDARD.decode(key).unwrap());
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        let (mut socket, _) = listener.accept().unwrap();
        let mut stream = Stream::new(&mut connection, &mut socket);
        // A client that does not trust this certificate closes the connection, which its test checks.
        if stream.read(&mut [0; 4096]).is_ok() {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            let _ = stream.flush();
        }
    });
    Url::parse(&url).unwrap()
}

async fn get(options: ApiSettings) -> Result<Vec<u8>, Failure> {
    get_from(serve_once(CERTIFICATE, KEY), options).await
}

async fn get_from(url: Url, options: ApiSettings) -> Result<Vec<u8>, Failure> {
    let http = Clients::new()
        .reach(&url, "api.base_url", &options)
        .unwrap();
    http.send(http.client.get(url)).await?.body(10).await
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_and_the_remedy_names_the_ca_file() {
    let failure = get(http_options()).await.unwrap_err();
    assert_eq!(failure.health, Health::Unreachable);
    assert!(
        failure
            .what
            .contains("no trusted TLS connection to 127.0.0.1"),
        "{failure:?}"
    );
    assert!(failure.remedy.contains("api.ca_file"), "{failure:?}");
}

#[tokio::test]
async fn certificates_of_the_ca_file_are_trusted() {
    let mut options = http_options();
    options.ca_file = Some(trusting(CERTIFICATE));
    assert_eq!(get(options).await.unwrap(), b"ok");
}

#[tokio::test]
async fn a_key_of_a_kind_that_cannot_be_verified_is_named() {
    let mut options = http_options();
    options.ca_file = Some(trusting(AUTHORITY_P521));
    let failure = get_from(serve_once(SIGNED_P521, KEY_P521), options)
        .await
        .unwrap_err();
    assert_eq!(failure.health, Health::Unreachable);
    for part in ["P-521", "P-256", "RSA"] {
        assert!(failure.remedy.contains(part), "{failure:?}");
    }
    assert!(failure.what.contains("P-521"), "{failure:?}");
    assert!(!failure.remedy.contains("clock"), "{failure:?}");
}
