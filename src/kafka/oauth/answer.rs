//! What the answer of a token endpoint means (RFC 6749, sections 5.1 and 5.2).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::Value;

use super::token::{LogInToken, Moment};
use super::unreachable;
use crate::core::health::failure::{Failure, Health, Reaction, one_line};
use crate::kafka::scrub::Scrubber;
use crate::settings::oauth::OauthSettings;

/// A broker takes half a MiB at a log-in (`sasl.server.max.receive.size`), and tokens are a few KB.
const MOST_TOKEN: usize = 64 << 10;
const SHORTEST_LIFE: f64 = 1.0;
/// No token is kept for longer.
const LONGEST_LIFE: f64 = 24.0 * 3600.0;
const MOST_TEXT: usize = 300;

/// An answer, and what is known of its question.
pub(super) struct GrantAnswer<'a> {
    pub(super) settings: &'a OauthSettings,
    pub(super) status: u16,
    pub(super) body: &'a [u8],
    /// When it was asked for.
    pub(super) asked: Moment,
}

impl GrantAnswer<'_> {
    /// # Errors
    /// It holds no token.
    pub(super) fn token(&self, scrubber: &Scrubber) -> Result<LogInToken, Failure> {
        let members: Value = serde_json::from_slice(self.body).unwrap_or_default();
        match self.status {
            200 => self.given(&members),
            _ => Err(self.refused(&members, scrubber)),
        }
    }

    fn given(&self, members: &Value) -> Result<LogInToken, Failure> {
        let token = members.get("access_token").and_then(Value::as_str);
        let is_token = |token: &&str| {
            !token.is_empty()
                && token.len() <= MOST_TOKEN
                && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let Some(token) = token.filter(is_token) else {
            return Err(to_mend(
                format!("{} answered with something that is no token", self.host()),
                "check sasl.oauthbearer.token.endpoint.url under [kafka.properties]",
            ));
        };
        let stated = members.get("expires_in").and_then(seconds);
        // Only without it does the local clock count.
        let life =
            stated.or_else(|| Some(seconds(claims(token)?.get("exp")?)? - self.asked.unix()));
        match life {
            Some(life) if life >= SHORTEST_LIFE => Ok(LogInToken::new(
                SecretString::from(token),
                self.settings,
                Duration::from_secs_f64(life.min(LONGEST_LIFE)),
                self.asked,
            )),
            Some(_) => Err(to_mend(
                format!("the token for Kafka of {} has expired already", self.host()),
                "check this machine's clock, and the life of tokens at the identity provider",
            )),
            None => Err(to_mend(
                format!(
                    "{} does not say how long its token for Kafka lives",
                    self.host()
                ),
                "let the identity provider send expires_in, or a JWT with the claim exp",
            )),
        }
    }

    fn refused(&self, members: &Value, scrubber: &Scrubber) -> Failure {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let error = text("error").unwrap_or_default();
        let said = [text("error"), text("error_description")];
        let said: Vec<&str> = said.into_iter().flatten().collect();
        // Cleaned before it is cut: half a secret would not be found.
        let said = one_line(&scrubber.clean(&said.join(": ")), MOST_TEXT);
        let said = match said.is_empty() {
            true => String::new(),
            false => format!(": {said}"),
        };
        let what = format!(
            "{} gives no token for Kafka ({}){said}",
            self.host(),
            self.status
        );
        if matches!(self.status, 408 | 429 | 500..) {
            return unreachable(
                what,
                "usually passes by itself; if not, look at the identity provider",
            );
        }
        to_mend(
            what,
            match error {
                "invalid_client" | "unauthorized_client" => {
                    "check sasl.oauthbearer.client.id and its secret under [kafka.properties] against the client at the identity \
                     provider; a secret in a variable needs a restart"
                }
                "invalid_scope" => {
                    "check sasl.oauthbearer.scope under [kafka.properties], for Azure Event Hubs \
                     https://NAMESPACE.servicebus.windows.net/.default"
                }
                _ => {
                    "check sasl.oauthbearer.token.endpoint.url, client.id, client.secret and scope under [kafka.properties]"
                }
            },
        )
    }

    fn host(&self) -> &str {
        self.settings.endpoint.host_str().unwrap_or_default()
    }
}

pub(super) fn to_mend(what: String, remedy: impl Into<String>) -> Failure {
    Failure::new(Health::Misconfigured, Reaction::Slow, what, remedy)
}

/// A number of seconds, which may be written as text.
fn seconds(value: &Value) -> Option<f64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    seconds.filter(|seconds| seconds.is_finite())
}

/// What a signed token (JWT) says. The brokers verify it.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?.trim_end_matches('=');
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::oauth::scrubber;
    use crate::settings::oauth::OauthSecret;
    use proptest::prelude::*;
    use serde_json::json;

    fn settings() -> OauthSettings {
        OauthSettings {
            endpoint: "https://idp.example/token".parse().unwrap(),
            client_id: "incidentd".to_owned(),
            secret: OauthSecret::Value("unused".into()),
            scope: None,
            extensions: [].into(),
            authorities: None,
        }
    }

    fn read(status: u16, body: &[u8]) -> Result<LogInToken, Failure> {
        let answer = GrantAnswer {
            settings: &settings(),
            status,
            body,
            asked: Moment::now(),
        };
        answer.token(&scrubber(&[
            "s3cret+of the client",
            "s3cret%2Bof%20the%20client",
        ]))
    }

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn a_life_is_what_the_answer_says_and_only_without_it_what_the_token_says() {
        let soon = jwt(&json!({"exp": Moment::now().unix() + 300.0}));
        let past = jwt(&json!({"exp": 1000}));
        for (body, life) in [
            (
                json!({"access_token": "opaque", "expires_in": 3600}),
                3600.0,
            ),
            (json!({"access_token": "opaque", "expires_in": "20"}), 20.0),
            (json!({"access_token": past, "expires_in": 60}), 60.0),
            (json!({"access_token": soon}), 300.0),
            (
                json!({"access_token": "opaque", "expires_in": 1e300}),
                LONGEST_LIFE,
            ),
        ] {
            let left = read(200, body.to_string().as_bytes()).unwrap().left();
            assert!((left.as_secs_f64() - life).abs() < 1.5, "{body}: {left:?}");
        }
        for (body, said) in [
            (json!({"access_token": "opaque"}), "does not say how long"),
            (
                json!({"access_token": "opaque", "expires_in": null}),
                "does not say how long",
            ),
            (json!({"access_token": past}), "has expired already"),
            (
                json!({"access_token": "opaque", "expires_in": -1}),
                "has expired already",
            ),
            (json!({"access_token": "", "expires_in": 60}), "no token"),
            (
                json!({"access_token": "two words", "expires_in": 60}),
                "no token",
            ),
            (
                json!({"access_token": "x".repeat(MOST_TOKEN + 1), "expires_in": 60}),
                "no token",
            ),
            (json!({"token": "x"}), "no token"),
            (json!([]), "no token"),
        ] {
            let failure = read(200, body.to_string().as_bytes()).err().unwrap();
            assert!(failure.what.contains(said), "{failure:?}");
            assert_eq!(failure.health, Health::Misconfigured);
        }
    }

    #[test]
    fn a_refusal_says_what_to_check_and_never_the_secret() {
        let description =
            "AADSTS7000215: s3cret+of the client and s3cret%2Bof%20the%20client\r\nTrace";
        for (status, error, remedy) in [
            (
                401,
                "invalid_client",
                "sasl.oauthbearer.client.id and its secret",
            ),
            (
                400,
                "unauthorized_client",
                "sasl.oauthbearer.client.id and its secret",
            ),
            (400, "invalid_scope", "sasl.oauthbearer.scope"),
            (404, "", "token.endpoint.url"),
            (302, "", "token.endpoint.url"),
            (429, "", "passes by itself"),
            (503, "invalid_client", "passes by itself"),
        ] {
            let body = json!({"error": error, "error_description": description});
            let failure = read(status, body.to_string().as_bytes()).err().unwrap();
            assert!(failure.remedy.contains(remedy), "{status}: {failure:?}");
            assert!(
                failure.what.contains("AADSTS7000215: [value of"),
                "{failure:?}"
            );
            assert!(!failure.what.contains("of the client and"), "{failure:?}");
            assert!(!failure.what.contains("s3cret"), "{failure:?}");
            assert!(failure.what.contains(&status.to_string()), "{failure:?}");
        }
        let page = read(502, b"<html>").err().unwrap();
        assert_eq!(page.what, "idp.example gives no token for Kafka (502)");
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it(status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(status, &body);
        }

        #[test]
        fn no_number_breaks_it(life in any::<f64>(), exp in any::<f64>()) {
            let body = json!({"access_token": jwt(&json!({"exp": exp})), "expires_in": life});
            let _ = read(200, body.to_string().as_bytes());
            let body = json!({"access_token": jwt(&json!({"exp": exp}))});
            let _ = read(200, body.to_string().as_bytes());
        }
    }
}
