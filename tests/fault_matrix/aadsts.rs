//! Entra's numbers, as its "authentication and authorization error codes" explain them. Numbers that are not on that
//! page are taken from the messages that Entra sends with them. One row per number.

use incidentd::core::health::failure::Health::{
    self, Consent, Credential, Forbidden, Misconfigured, Throttled, Unreachable,
};
use serde_json::json;

use super::row::Asked::{self, TokenFederated, TokenV2};
use super::row::Pace::{self, After, Slow, Spreading, Transient};
use super::row::Row;
use super::wire::Answer;

/// Numbers with one meaning.
struct Meaning {
    asked: Asked,
    status: u16,
    error: &'static str,
    codes: &'static [u64],
    means: &'static str,
    state: Health,
    pace: Pace,
    remedy: &'static [&'static str],
}

pub fn rows() -> Vec<Row> {
    [
        secrets(),
        apps(),
        tenants(),
        requests(),
        assertions(),
        entra(),
    ]
    .iter()
    .flatten()
    .flat_map(Meaning::rows)
    .collect()
}

impl Meaning {
    fn rows(&self) -> impl Iterator<Item = Row> {
        self.codes.iter().map(|code| {
            Row::fails(
                self.asked,
                format!("{} AADSTS{code}: {}", self.status, self.means),
                self.answer(*code),
                (self.state, self.pace),
                self.remedy,
            )
        })
    }

    fn answer(&self, code: u64) -> Answer {
        let body = json!({
            "error": self.error,
            "error_description": format!("AADSTS{code}: {}.\r\nTrace ID: 0000aaaa-11bb-cccc-dd33-eeeeee333333\r\n\
                                          Correlation ID: aaaa0000-bb11-2222-33cc-444444dddddd\r\n\
                                          Timestamp: 2016-01-09 02:02:12Z", self.means),
            "error_codes": [code],
            "timestamp": "2016-01-09 02:02:12Z",
            "trace_id": "0000aaaa-11bb-cccc-dd33-eeeeee333333",
            "correlation_id": "aaaa0000-bb11-2222-33cc-444444dddddd",
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        });
        Answer::json(self.status, body.to_string())
    }

    /// With a credential of another issuer.
    fn federated(mut self) -> Self {
        self.asked = TokenFederated;
        self
    }

    fn paced(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

/// Most need an operator, so they are tried slowly.
fn meaning(
    (status, error): (u16, &'static str),
    codes: &'static [u64],
    means: &'static str,
    state: Health,
    remedy: &'static [&'static str],
) -> Meaning {
    Meaning {
        asked: TokenV2,
        status,
        error,
        codes,
        means,
        state,
        pace: Slow,
        remedy,
    }
}

const CLIENT: (u16, &str) = (401, "invalid_client");
const UNAUTHORIZED: (u16, &str) = (400, "unauthorized_client");
const REQUEST: (u16, &str) = (400, "invalid_request");
const GRANT: (u16, &str) = (400, "invalid_grant");
const SCOPE: (u16, &str) = (400, "invalid_scope");
const RESOURCE: (u16, &str) = (400, "invalid_resource");

fn secrets() -> Vec<Meaning> {
    vec![
        meaning(
            CLIENT,
            &[7_000_215, 70_002],
            "invalid client secret",
            Credential,
            &[
                "Value, not its ID",
                "app.client_secret_file",
                "some minutes",
            ],
        ),
        meaning(
            CLIENT,
            &[7_000_222],
            "secret expired",
            Credential,
            &[
                "expired",
                "make a new one",
                "every tenant that uses this secret",
            ],
        ),
        meaning(
            CLIENT,
            &[7_000_218],
            "no credential in the body",
            Misconfigured,
            &["no credential in the request"],
        ),
        meaning(
            CLIENT,
            &[700_025],
            "a public client with a credential",
            Misconfigured,
            &["app registration", "confidential"],
        ),
    ]
}

fn apps() -> Vec<Meaning> {
    vec![
        meaning(
            UNAUTHORIZED,
            &[700_016, 700_011],
            "app not in the directory",
            Consent,
            &["tenant's id", "app.client_id", "cloud"],
        ),
        meaning(
            CLIENT,
            &[7_000_229],
            "no service principal in the tenant",
            Consent,
            &["never consented"],
        ),
        meaning(
            UNAUTHORIZED,
            &[7_000_112, 70_001],
            "app disabled in the tenant",
            Consent,
            &["disabled", "enables it"],
        ),
        meaning(
            UNAUTHORIZED,
            &[1_000_031],
            "app can't be accessed now",
            Consent,
            &["ask its administrator"],
        ),
        meaning(
            RESOURCE,
            &[500_011],
            "resource principal not in the tenant",
            Forbidden,
            &[
                "licence",
                "opened https://security.microsoft.com",
                "api.scope",
                "cloud",
            ],
        ),
        meaning(
            RESOURCE,
            &[500_014],
            "the API's service principal is disabled: a subscription has lapsed",
            Forbidden,
            &["licence has ended", "Enterprise applications"],
        ),
        meaning(
            RESOURCE,
            &[50_001],
            "resource disabled or not there",
            Misconfigured,
            &["api.scope"],
        ),
        meaning(
            UNAUTHORIZED,
            &[650_052, 650_054],
            "service not subscribed, or removed",
            Forbidden,
            &["licence"],
        ),
        meaning(
            UNAUTHORIZED,
            &[650_056, 650_057, 65_005],
            "permission not listed",
            Consent,
            &["app registration", "does not list the permission"],
        ),
        meaning(
            GRANT,
            &[65_001, 65_004, 90_093, 90_094],
            "no consent",
            Consent,
            &["nobody has consented"],
        ),
        meaning(
            UNAUTHORIZED,
            &[90_099],
            "not authorised for partner administration",
            Consent,
            &["Partner Center"],
        ),
    ]
}

fn tenants() -> Vec<Meaning> {
    vec![
        meaning(
            REQUEST,
            &[90_002, 50_049, 900_023],
            "tenant not found",
            Misconfigured,
            &["tenant's id", "api.login_url"],
        ),
        meaning(
            REQUEST,
            &[90_038, 900_382, 900_432],
            "tenant of another national cloud",
            Misconfigured,
            &["api.cloud"],
        ),
        meaning(
            REQUEST,
            &[5_000_224],
            "tenant blocked or being deleted",
            Forbidden,
            &["remove it from the configuration"],
        ),
        meaning(
            GRANT,
            &[53_003, 530_032, 50_131],
            "blocked by Conditional Access",
            Forbidden,
            &["Conditional Access", "IP address", "risk"],
        ),
        meaning(
            REQUEST,
            &[50_002, 500_021, 500_022, 500_212, 500_213],
            "tenant restrictions",
            Forbidden,
            &["Restrict-Access-To-Tenants", "cross-tenant access"],
        ),
        meaning(
            REQUEST,
            &[50_194],
            "app not multi-tenant",
            Misconfigured,
            &[
                "supported account types",
                "multitenant",
                "tenants.app.client_id",
            ],
        ),
    ]
}

fn requests() -> Vec<Meaning> {
    vec![
        meaning(
            GRANT,
            &[50_034, 50_053, 50_126, 50_076, 50_079],
            "an error of user accounts",
            Misconfigured,
            &["a user's log-in"],
        ),
        meaning(
            SCOPE,
            &[1_002_012, 70_011, 700_022, 700_023, 28_002],
            "scope not <resource>/.default",
            Misconfigured,
            &["api.scope", "one API", "/.default"],
        ),
        meaning(
            REQUEST,
            &[900_144, 90_014, 9_002_313, 90_023],
            "a parameter malformed or missing",
            Misconfigured,
            &["parameter", "api.scope"],
        ),
        meaning(
            REQUEST,
            &[901_002],
            "parameter resource not supported",
            Misconfigured,
            &["api.token_endpoint", "v2"],
        ),
        meaning(
            REQUEST,
            &[9_001_023, 90_124, 50_059, 50_128],
            "no tenant in the request",
            Misconfigured,
            &["tenant's id", "api.login_url"],
        ),
        meaning(
            GRANT,
            &[70_043, 70_000, 70_003, 70_008, 700_082],
            "an error of refresh tokens",
            Misconfigured,
            &["another kind of grant"],
        ),
    ]
}

fn assertions() -> Vec<Meaning> {
    vec![
        meaning(
            CLIENT,
            &[700_024, 500_133],
            "assertion outside its valid time",
            Credential,
            &["app.federated_token_file", "renews it", "NTP"],
        )
        .paced(Transient),
        meaning(
            CLIENT,
            &[700_027, 900_384, 50_006],
            "assertion's signature not valid",
            Credential,
            &["app.federated_token_file", "signature", "keys"],
        ),
        meaning(
            CLIENT,
            &[50_012, 50_013, 50_027, 50_048],
            "assertion not valid",
            Credential,
            &["audience", "issuer", "clock"],
        ),
        meaning(
            CLIENT,
            &[5_002_730],
            "the key can't sign or verify so",
            Credential,
            &["RSA key", "PS256", "RS256"],
        ),
        meaning(
            CLIENT,
            &[1_000_502],
            "certificate outside its valid time",
            Credential,
            &["certificate", "valid today"],
        ),
        meaning(
            CLIENT,
            &[700_030],
            "certificate's subject not authorised",
            Credential,
            &["certificate", "registered with the app"],
        ),
        meaning(
            CLIENT,
            &[70_021, 700_211, 700_212, 700_213],
            "no matching federated credential",
            Credential,
            &[
                "issuer, subject and audience",
                "letter by letter",
                "some minutes",
            ],
        )
        .paced(Spreading),
        meaning(
            CLIENT,
            &[700_229],
            "not an app-only token",
            Credential,
            &["managed identity"],
        ),
    ]
    .into_iter()
    .map(Meaning::federated)
    .collect()
}

fn entra() -> Vec<Meaning> {
    vec![
        // Entra keeps counting while requests go on, so the pause must be at least 5 to 10 min.
        meaning(
            REQUEST,
            &[50_196],
            "loop detected",
            Misconfigured,
            &["same request too often", "another program"],
        )
        .paced(After(600)),
        meaning(
            REQUEST,
            &[90_055],
            "tenant throttled",
            Throttled,
            &["none: the daemon waits"],
        )
        .paced(Transient),
        meaning(
            REQUEST,
            &[
                90_033, 90_024, 90_025, 90_006, 90_012, 50_033, 90_090, 90_091, 50_087, 70_012,
            ],
            "a passing fault",
            Unreachable,
            &["passing", "nothing to do"],
        )
        .paced(Transient),
        meaning(
            REQUEST,
            &[90_036, 90_092, 50_000],
            "an internal fault, not retryable",
            Unreachable,
            &["ticket with Microsoft", "trace id"],
        ),
    ]
}
