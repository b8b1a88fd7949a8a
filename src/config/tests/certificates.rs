//! A certificate in place of a secret, and the date at which a credential ends.

use super::super::library_checks::{LibraryChecks, WrongCertificate};
use super::super::{load, wrong};
use super::{APP, Fixture, TENANT};
use crate::core::time::ticks::Ticks;
use crate::settings::Credential;

const ID: &str = "[app]\nclient_id = \"0f0f0f0f-0000-4000-8000-000000000001\"\n";

/// An `[app]` with the keys `shared`, and a tenant with the keys `own`. The files `certificate` and `key` exist.
fn app(shared: &str, own: &str) -> Fixture {
    Fixture::new(&format!("{ID}{shared}\n{TENANT}{own}"))
        .with_file("certificate", "a certificate")
        .with_file("key", "its key")
        .with_mode("key", 0o600)
        .with_file("token", "head.payload.signature")
}

const CERTIFICATE: &str = "certificate_file = \"certificate\"\n";
const KEY: &str = "certificate_key_file = \"key\"\n";

/// The names of the certificate's and the key's file.
fn files(fixture: &Fixture) -> (String, String) {
    let settings = fixture.valid();
    let name = |path: &std::path::Path| path.file_name().unwrap().to_string_lossy().into_owned();
    match &super::only(&settings).app.credential {
        Credential::Certificate { certificate, key } => (name(certificate), name(key)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_key_is_in_its_own_file_or_beside_the_certificate() {
    let two = ("certificate".to_owned(), "key".to_owned());
    let both = format!("{CERTIFICATE}{KEY}");
    assert_eq!(files(&app(&both, "")), two);
    let alone = app("certificate_file = \"key\"", "");
    assert_eq!(files(&alone), ("key".to_owned(), "key".to_owned()));
    let own = "app.certificate_file = \"certificate\"\napp.certificate_key_file = \"key\"";
    let goes_before = app("client_secret_file = \"secret\"", own);
    assert_eq!(files(&goes_before), two);
}

#[test]
fn only_a_file_with_a_private_key_has_to_be_hidden_from_other_users() {
    let both = format!("{CERTIFICATE}{KEY}");
    let public = app(&both, "").with_mode("certificate", 0o644);
    assert_eq!(public.warnings(), Vec::<String>::new());
    for fixture in [
        app(&both, "").with_mode("key", 0o644),
        app("certificate_file = \"key\"", "").with_mode("key", 0o644),
    ] {
        let warnings = fixture.warnings();
        // The folder above may keep others out.
        assert!(
            warnings
                .iter()
                .all(|warning| warning.contains("chmod o= key")),
            "{warnings:?}"
        );
    }
}

#[test]
fn two_kinds_of_credential_are_an_error_that_names_both() {
    for (kinds, blamed, other) in [
        (
            "client_secret_file = \"secret\"\ncertificate_file = \"key\"",
            "certificate_file",
            "client_secret_file",
        ),
        (
            "client_secret_next_file = \"secret\"\ncertificate_key_file = \"key\"",
            "certificate_key_file",
            "client_secret_next_file",
        ),
        (
            "federated_token_file = \"token\"\ncertificate_file = \"key\"",
            "certificate_file",
            "federated_token_file",
        ),
        (
            "client_secret_file = \"secret\"\nfederated_token_file = \"token\"\ncertificate_file = \"key\"",
            "certificate_file",
            "client_secret_file",
        ),
    ] {
        let report = app(kinds, "").report();
        let remedy = format!("remove {other}, or {blamed}");
        assert!(
            report.contains("one error") && report.contains(&remedy),
            "{report}"
        );
        assert!(
            report.contains(&format!("app.{blamed}: {other} (")),
            "{report}"
        );
    }
}

#[test]
fn a_key_needs_its_certificate() {
    for (shared, own) in [
        (KEY, ""),
        (
            &format!("{CERTIFICATE}{KEY}"),
            "app.certificate_key_file = \"key\"",
        ),
    ] {
        let report = app(shared, own).report();
        assert!(report.contains("there is no certificate"), "{report}");
        assert!(
            report.contains("set certificate_file beside it"),
            "{report}"
        );
    }
}

#[test]
fn files_that_can_t_be_read_name_what_belongs_there() {
    for (keys, key, remedy) in [
        (
            KEY.to_owned() + "certificate_file = \"absent\"",
            "certificate_file",
            "a file that holds the certificate (PEM)",
        ),
        (
            CERTIFICATE.to_owned() + "certificate_key_file = \"absent\"",
            "certificate_key_file",
            "private key",
        ),
        (
            CERTIFICATE.to_owned() + "certificate_key_file = \"empty\"",
            "certificate_key_file",
            "write the certificate's private key (PEM) into it",
        ),
    ] {
        let report = app(&keys, "").with_file("empty", "\n").report();
        assert!(
            report.contains("one error")
                && report.contains(&format!("app.{key}: the file"))
                && report.contains(remedy),
            "{report}"
        );
    }
}

/// Refuses every certificate, or every key.
struct Refusing {
    key: bool,
}

impl LibraryChecks for Refusing {
    fn certificate(&self, certificate: &[u8], key: &[u8]) -> Result<(), WrongCertificate> {
        assert_eq!((certificate, key), (&b"a certificate"[..], &b"its key"[..]));
        Err(WrongCertificate {
            of_key: self.key,
            wrong: wrong("is of no use", "replace {place}"),
        })
    }
}

#[test]
fn what_the_library_finds_wrong_is_reported_at_the_key_of_the_file() {
    for key in [false, true] {
        let fixture = app(&format!("{CERTIFICATE}{KEY}"), "");
        let checks = Refusing { key };
        let errors = load(&fixture.main(), &fixture.environment, &checks).expect_err("refused");
        let (name, file) = match key {
            true => ("certificate_key_file", "key"),
            false => ("certificate_file", "certificate"),
        };
        let report = errors.to_string();
        assert!(
            report.contains(&format!("app.{name}: the file is of no use\n    replace /")),
            "{report}"
        );
        assert!(report.ends_with(&format!("/{file}")), "{report}");
    }
}

#[test]
fn the_end_of_a_credential_is_a_date_and_belongs_to_its_credential() {
    let at = |text: &str| Some(text.parse::<Ticks>().expect("an instant"));
    let day = "credential_not_after = \"2027-05-01\"\n";
    let secret = "client_secret_file = \"secret\"\n";
    let of = |shared: &str, own: &str| super::only(&app(shared, own).valid()).app.not_after;
    let shared = format!("{secret}{day}");
    assert_eq!(of(secret, ""), None);
    assert_eq!(of(&shared, ""), at("2027-05-01T00:00:00Z"));
    let instant = format!("{secret}credential_not_after = \"2027-05-01T12:30:00+02:00\"");
    assert_eq!(of(&instant, ""), at("2027-05-01T10:30:00Z"));
    // Another secret ends at another time.
    assert_eq!(of(&shared, "app.client_secret_file = \"secret\""), None);
    let own = format!("app.{secret}app.credential_not_after = \"2028-01-02\"");
    assert_eq!(of(&shared, &own), at("2028-01-02T00:00:00Z"));
    for text in ["2027", "soon", "01.05.2027", "2027-13-01", ""] {
        let report =
            Fixture::new(&format!("{APP}credential_not_after = \"{text}\"\n{TENANT}")).report();
        assert!(report.contains("it is not a date"), "{text}: {report}");
    }
}
