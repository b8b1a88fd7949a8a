//! A client secret in Azure Key Vault.

use super::{Fixture, TENANT, only};
use crate::settings::Credential;

const VAULT: &str = "https://contoso.vault.azure.net/secrets/app";

fn app(keys: &str) -> Fixture {
    let client_id = "client_id = \"0f0f0f0f-0000-4000-8000-000000000001\"";
    Fixture::new(&format!("[app]\n{client_id}\n{keys}\n{TENANT}"))
}

#[test]
fn a_secret_of_a_vault_is_read_by_the_identity_beside_it() {
    for vault in [
        VAULT,
        "https://contoso.vault.azure.net/secrets/app/0123456789abcdef",
        "https://contoso.vault.usgovcloudapi.net/secrets/app",
        "https://contoso.vault.azure.cn/secrets/app",
        "http://127.0.0.1:8080/secrets/app",
    ] {
        let fixture = app(&format!(
            "key_vault_secret = \"{vault}\"\nmanaged_identity = \"system\""
        ));
        match &only(&fixture.valid()).app.credential {
            Credential::KeyVault { secret, identity } => {
                assert_eq!((secret.as_str(), identity.client_id), (vault, None));
            }
            other => panic!("{other:?}"),
        }
    }
    let alone = app(&format!("key_vault_secret = \"{VAULT}\"")).report();
    assert!(alone.contains("nothing says who may read it"), "{alone}");
    let secret = "client_secret_file = \"secret\"";
    let two = app(&format!(
        "key_vault_secret = \"{VAULT}\"\nmanaged_identity = \"system\"\n{secret}"
    ))
    .report();
    assert!(
        two.contains("one error") && two.contains("a secret in Key Vault stands"),
        "{two}"
    );
}

#[test]
fn the_identity_s_token_goes_to_a_vault_only() {
    for (vault, why) in [
        ("contoso", "it is not a URL"),
        (
            "http://contoso.vault.azure.net/secrets/app",
            "it is not in a key vault",
        ),
        (
            "https://contoso.example/secrets/app",
            "it is not in a key vault",
        ),
        (
            "https://vault.azure.net.example/secrets/app",
            "it is not in a key vault",
        ),
        (
            "https://contoso.vault.azure.net:8443/secrets/app",
            "it is not in a key vault",
        ),
        ("http://127.0.0.2/secrets/app", "it is not in a key vault"),
        (
            "https://contoso.vault.azure.net/",
            "it does not name a secret",
        ),
        (
            "https://contoso.vault.azure.net/keys/app",
            "it does not name a secret",
        ),
        (
            "https://contoso.vault.azure.net/secrets/",
            "it does not name a secret",
        ),
        (
            "https://contoso.vault.azure.net/secrets/a/b/c",
            "it does not name a secret",
        ),
        (
            "https://contoso.vault.azure.net/secrets/app?x",
            "it does not name a secret",
        ),
        (
            "https://user:canary@contoso.vault.azure.net/secrets/app",
            "it does not name a secret",
        ),
    ] {
        let report = app(&format!(
            "key_vault_secret = \"{vault}\"\nmanaged_identity = \"system\""
        ))
        .report();
        assert!(
            report.contains("one error") && report.contains(why),
            "{vault}: {report}"
        );
        assert!(!report.contains("canary"), "{report}");
    }
}
