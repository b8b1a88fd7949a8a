//! Two secrets: one replaces the other without a failure.

use std::fs;

use super::*;
use crate::microsoft::tests::support::Log;

const OLD: &str = "OLD~CANARY/+=";
const NEW: &str = "NEW~CANARY/+=";

/// Two files, and an Entra that accepts only one secret and repeats the refused one.
struct Rotation {
    folder: tempfile::TempDir,
    server: Server,
    entra: Entra,
}

impl Rotation {
    async fn new(accepted: &'static str, refusal: (&'static str, u64)) -> Self {
        let server = Server::answering(move |request| {
            let secret = form_of(request).swap_remove(2).1;
            if secret == accepted {
                return json_answer("200 OK", token_body(json!(3599)));
            }
            let (error, code) = refusal;
            let said = format!("AADSTS{code}: {secret} is not {OLD} or {NEW}.");
            let body = json!({"error": error, "error_description": said, "error_codes": [code]});
            json_answer("401 Unauthorized", body.to_string())
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        fs::write(&first, format!("{OLD}\n")).unwrap();
        fs::write(&second, format!("{NEW}\n")).unwrap();
        let credential = Credential::Secret {
            current: SecretSource::File(first),
            next: Some(second),
        };
        let entra = entra_proving(&server.url, TokenEndpoint::V2, credential);
        Self {
            folder,
            server,
            entra,
        }
    }

    fn write(&self, name: &str, secret: &str) {
        fs::write(self.folder.path().join(name), secret).unwrap();
    }

    async fn failure(&self) -> Failure {
        let failure = self.entra.request().await.unwrap_err();
        assert_silent_about(&failure, &["CANARY", "%7E"]);
        failure
    }

    /// The secrets that were sent, in order.
    fn sent(&self) -> Vec<String> {
        let secret = |request: &String| form_of(request).swap_remove(2).1;
        self.server.requests().iter().map(secret).collect()
    }
}

const WRONG: (&str, u64) = ("invalid_client", 7_000_215);

#[tokio::test]
async fn the_second_secret_is_not_used_while_the_first_serves() {
    let rotation = Rotation::new(OLD, WRONG).await;
    for _ in 0..2 {
        rotation.entra.request().await.unwrap();
    }
    assert_eq!(rotation.sent(), [OLD, OLD]);
}

#[tokio::test]
async fn a_refused_first_secret_is_replaced_at_once_and_the_second_remembered() {
    // An unknown number: `error` decides.
    let rotation = Rotation::new(NEW, ("invalid_client", 1)).await;
    for _ in 0..3 {
        rotation.entra.request().await.unwrap();
    }
    assert_eq!(rotation.sent(), [OLD, NEW, NEW, NEW]);
}

#[tokio::test]
async fn the_first_file_serves_again_once_the_new_secret_is_moved_into_it() {
    let rotation = Rotation::new(NEW, WRONG).await;
    rotation.entra.request().await.unwrap();
    rotation.write("first", NEW);
    rotation.write("second", "not yet made");
    for _ in 0..2 {
        rotation.entra.request().await.unwrap();
    }
    assert_eq!(rotation.sent(), [OLD, NEW, "not yet made", NEW, NEW]);
}

#[tokio::test]
async fn a_file_that_is_gone_counts_as_a_refused_secret() {
    let rotation = Rotation::new(NEW, WRONG).await;
    fs::remove_file(rotation.folder.path().join("first")).unwrap();
    rotation.entra.request().await.unwrap();
    fs::remove_file(rotation.folder.path().join("second")).unwrap();
    let failure = rotation.failure().await;
    assert_eq!(failure.health, Health::Credential);
    assert!(
        failure.what.contains("both") && failure.what.contains("No such file"),
        "{failure:?}"
    );
    // Its path may be a secret in the wrong place, because the file did not exist when the configuration was read.
    let folder = rotation.folder.path().display().to_string();
    assert!(
        failure
            .what
            .contains("The second: the file of app.client_secret_next_file can't be read"),
        "{failure:?}"
    );
    assert_eq!(failure.what.matches(&folder).count(), 1, "{failure:?}");
    assert_eq!(rotation.sent(), [NEW]);
}

#[tokio::test]
async fn both_refused_is_one_failure_that_says_so() {
    let rotation = Rotation::new("neither", WRONG).await;
    let failure = rotation.failure().await;
    assert_eq!(
        (failure.health, failure.reaction, failure.status),
        (Health::Credential, Reaction::Slow, Some(401))
    );
    assert!(
        failure.what.starts_with("both client secrets are refused"),
        "{failure:?}"
    );
    assert_eq!(failure.what.matches("AADSTS7000215").count(), 2);
    assert!(
        failure.remedy.contains("app.client_secret_file"),
        "{failure:?}"
    );
    assert_eq!(rotation.sent(), [OLD, NEW]);
}

#[tokio::test]
async fn what_is_no_refusal_of_a_secret_does_not_cost_a_second_request() {
    let rotation = Rotation::new("neither", ("unauthorized_client", 700_016)).await;
    assert_eq!(rotation.failure().await.health, Health::Consent);
    assert_eq!(rotation.sent(), [OLD]);
}

#[tokio::test]
async fn two_files_with_one_secret_are_one_secret() {
    let rotation = Rotation::new(NEW, WRONG).await;
    rotation.write("first", "twice");
    rotation.write("second", "twice\n");
    let failure = rotation.entra.request().await.unwrap_err();
    assert!(!failure.what.contains("both"), "{failure:?}");
    assert_eq!(rotation.sent(), ["twice"]);
}

/// Entra also answers `invalid_client` if the tenant does not know the app.
#[tokio::test]
async fn a_missing_consent_is_not_blamed_on_the_secrets() {
    let rotation = Rotation::new("neither", ("invalid_client", 7_000_229)).await;
    let failure = rotation.failure().await;
    assert_eq!(failure.health, Health::Consent);
    assert!(!failure.what.contains("both"), "{failure:?}");
}

#[tokio::test]
async fn that_only_the_second_serves_is_warned_of_once() {
    let log = Log::default();
    let to = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(move || to.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    // A log line that another test's thread reached first, without a subscriber, stays disabled until this call.
    let other = Rotation::new(NEW, WRONG).await;
    other.entra.request().await.unwrap();
    tracing::callsite::rebuild_interest_cache();
    log.0.lock().clear();
    let rotation = Rotation::new(NEW, WRONG).await;
    for _ in 0..3 {
        rotation.entra.request().await.unwrap();
    }
    let text = String::from_utf8(log.0.lock().clone()).unwrap();
    assert_eq!(
        text.matches("the first of two secrets is refused").count(),
        1,
        "{text}"
    );
    assert!(text.contains("app.client_secret_next_file"), "{text}");
    assert!(!text.contains("CANARY"), "{text}");
}
