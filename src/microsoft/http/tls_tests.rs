//! Whom TLS trusts. The certificate below names 127.0.0.1 and signs itself; its key is worth nothing outside this file.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::*;
use crate::core::failure::Health;
use crate::microsoft::testing::http_options;

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

/// Answers one connection over TLS, and ends with it.
fn serve_once() -> Url {
    let key = PrivatePkcs8KeyDer::from(STANDARD.decode(KEY).unwrap());
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
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
        // A client that doesn't trust this certificate goes away: that is its test's affair, not the server's.
        if stream.read(&mut [0; 4096]).is_ok() {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            let _ = stream.flush();
        }
    });
    Url::parse(&url).unwrap()
}

async fn get(options: HttpOptions) -> Result<Vec<u8>, Failure> {
    let url = serve_once();
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
    options.authorities = Some(CERTIFICATE.as_bytes().into());
    assert_eq!(get(options).await.unwrap(), b"ok");
}
