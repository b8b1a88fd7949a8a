//! How to get a token for Kafka (SASL OAUTHBEARER), under the names that librdkafka has for it.
//!
//! incidentd gets the tokens itself, so these properties never reach librdkafka. They stay in [`super::KafkaConnection`], and are
//! read here twice: to report what is wrong with them, and to use them.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

const MECHANISMS: [&str; 2] = ["sasl.mechanism", "sasl.mechanisms"];
const METHOD: &str = "sasl.oauthbearer.method";
const GRANT: &str = "sasl.oauthbearer.grant.type";
const UNSECURED: &str = "enable.sasl.oauthbearer.unsecure.jwt";
pub(crate) const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
pub(crate) const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
pub(crate) const SECRET: &str = "sasl.oauthbearer.client.secret";
/// librdkafka has no such property.
pub(crate) const SECRET_FILE: &str = "sasl.oauthbearer.client.secret.file";
pub(crate) const SCOPE: &str = "sasl.oauthbearer.scope";
const EXTENSIONS: &str = "sasl.oauthbearer.extensions";
pub(crate) const AUTHORITIES: &str = "https.ca.location";
const KNOWN: [&str; 9] = [
    METHOD,
    GRANT,
    ENDPOINT,
    CLIENT_ID,
    SECRET,
    SECRET_FILE,
    SCOPE,
    EXTENSIONS,
    AUTHORITIES,
];

/// A client of an identity provider, for the grant `client_credentials`.
#[derive(Debug, Clone)]
pub(crate) struct OauthSettings {
    /// `https`, or `http` on loopback.
    pub endpoint: Url,
    pub client_id: String,
    pub secret: OauthSecret,
    pub scope: Option<String>,
    /// What Kafka gets beside each token: keys and values.
    pub extensions: Arc<[(String, String)]>,
    /// A PEM file of authorities to trust beside the system's.
    pub authorities: Option<PathBuf>,
}

#[derive(Debug, Clone)]
pub(crate) enum OauthSecret {
    Value(SecretString),
    /// Read again for each token.
    File(PathBuf),
}

/// What is wrong with a property, or with the lack of one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongProperty {
    /// A property that is given: the mechanism, when another is missing.
    pub name: String,
    pub what: String,
    pub remedy: &'static str,
    /// The secret is missing: it may be in the environment of the service alone.
    pub lacks_secret: bool,
}

/// Whether Kafka wants tokens of an identity provider.
pub(crate) fn is_wanted(properties: &[(String, SecretString)]) -> bool {
    mechanism(properties).is_some()
}

/// Whether incidentd takes this property instead of librdkafka, when Kafka wants tokens.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with("sasl.oauthbearer.") || name.starts_with("https.ca.")
}

/// The properties for librdkafka.
pub(crate) fn others(
    properties: &[(String, SecretString)],
) -> impl Iterator<Item = &(String, SecretString)> {
    let is_wanted = is_wanted(properties);
    properties
        .iter()
        .filter(move |(name, _)| !(is_wanted && is_own(name)))
}

/// The name under which the mechanism is given, if it is OAUTHBEARER.
fn mechanism(properties: &[(String, SecretString)]) -> Option<&str> {
    let mut named = properties
        .iter()
        .filter(|(name, _)| MECHANISMS.contains(&name.as_str()));
    let found = named.find(|(_, value)| value.expose_secret() == "OAUTHBEARER");
    found.map(|(name, _)| name.as_str())
}

/// `None`: Kafka wants no tokens.
///
/// # Errors
/// A property is missing, unknown or unusable.
pub(crate) fn read(
    properties: &[(String, SecretString)],
) -> Result<Option<OauthSettings>, Vec<WrongProperty>> {
    let Some(mechanism) = mechanism(properties) else {
        return Ok(None);
    };
    let mut reader = PropertyReader {
        properties,
        mechanism,
        wrong: Vec::new(),
    };
    reader.check_fixed();
    let endpoint = reader.endpoint();
    let client_id = reader.needed(
        CLIENT_ID,
        "set it to the id of incidentd's client at the identity provider (Entra: the app's Application (client) ID)",
    );
    let secret = reader.secret();
    let extensions = reader.extensions();
    match (endpoint, client_id, secret) {
        (Some(endpoint), Some(client_id), Some(secret)) if reader.wrong.is_empty() => {
            Ok(Some(OauthSettings {
                endpoint,
                client_id: client_id.to_owned(),
                secret,
                scope: reader.value(SCOPE).map(str::to_owned),
                extensions: extensions.into(),
                authorities: reader.value(AUTHORITIES).map(PathBuf::from),
            }))
        }
        _ => Err(reader.wrong),
    }
}

struct PropertyReader<'a> {
    properties: &'a [(String, SecretString)],
    mechanism: &'a str,
    wrong: Vec<WrongProperty>,
}

impl<'a> PropertyReader<'a> {
    /// An empty value counts as none: a variable can't be unset in every place that sets it.
    fn value(&self, name: &str) -> Option<&'a str> {
        let mut named = self.properties.iter().filter(|(given, _)| given == name);
        let value = named.next().map(|(_, value)| value.expose_secret().trim());
        value.filter(|value| !value.is_empty())
    }

    fn refuse(&mut self, name: &str, what: impl Into<String>, remedy: &'static str) {
        self.wrong.push(WrongProperty {
            name: name.to_owned(),
            what: what.into(),
            remedy,
            lacks_secret: false,
        });
    }

    fn needed(&mut self, name: &str, remedy: &'static str) -> Option<&'a str> {
        let value = self.value(name);
        if value.is_none() {
            let what = format!("OAUTHBEARER needs {name}, too");
            self.refuse(self.mechanism, what, remedy);
        }
        value
    }

    /// Refuses unknown names, and values other than the ones that incidentd can use.
    fn check_fixed(&mut self) {
        for (name, _) in self.properties {
            if is_own(name) && !KNOWN.contains(&name.as_str()) {
                self.refuse(
                    name,
                    "incidentd gets the tokens itself, and has no use for this property",
                    "remove it: there are sasl.oauthbearer.method, token.endpoint.url, client.id, client.secret, \
                     client.secret.file, scope, extensions and grant.type, and https.ca.location",
                );
            }
        }
        let method = "set it to \"oidc\": incidentd gets the tokens from the token endpoint of an identity provider";
        if self.needed(METHOD, method).is_some_and(|it| it != "oidc") {
            self.refuse(METHOD, "it is not \"oidc\"", method);
        }
        if self
            .value(GRANT)
            .is_some_and(|it| it != "client_credentials")
        {
            self.refuse(
                GRANT,
                "it is not \"client_credentials\"",
                "remove it: incidentd logs in with a client id and a client secret",
            );
        }
        let secured = |value: &str| matches!(value, "false" | "f" | "0");
        if self.value(UNSECURED).is_some_and(|it| !secured(it)) {
            self.refuse(
                UNSECURED,
                "librdkafka would make tokens that nobody has signed, instead of those of the identity provider",
                "remove it",
            );
        }
    }

    /// Plain http carries the secret and the token in the clear, so it is accepted on loopback only.
    fn endpoint(&mut self) -> Option<Url> {
        const REMEDY: &str = "give the identity provider's token endpoint, for Entra \
             https://login.microsoftonline.com/TENANT/oauth2/v2.0/token";
        let url = match Url::parse(self.needed(ENDPOINT, REMEDY)?) {
            Ok(url) => url,
            Err(error) => {
                self.refuse(ENDPOINT, format!("it is not a URL: {error}"), REMEDY);
                return None;
            }
        };
        let is_loopback = is_loopback(&url);
        let has_user = !url.username().is_empty() || url.password().is_some();
        let what = match url.scheme() {
            "http" if !is_loopback => {
                "plain http would carry the secret in the clear; it is accepted on loopback only"
            }
            "http" | "https" if has_user => "it holds a user or a password",
            "http" | "https" if url.fragment().is_some() => "it has a fragment",
            "http" | "https" => return Some(url),
            _ => "its scheme is not https",
        };
        self.refuse(ENDPOINT, what, REMEDY);
        None
    }

    /// Pairs with commas between. A key is of letters, and a value of visible characters and spaces (RFC 7628, section 3.1).
    fn extensions(&mut self) -> Vec<(String, String)> {
        const REMEDY: &str = "write it as \"logicalCluster=lkc-00000,identityPoolId=pool-0000\": keys of letters, each once, and not \
             \"auth\"; values of visible characters";
        let mut pairs = Vec::<(String, String)>::new();
        for (n, pair) in self
            .value(EXTENSIONS)
            .into_iter()
            .flat_map(|all| all.split(','))
            .enumerate()
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (key.trim(), value.trim());
            let what = if !pair.contains('=') {
                "has no equals sign"
            } else if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                "has a key that is not of letters alone"
            } else if key == "auth" {
                "has the key \"auth\", which is the token's own"
            } else if pairs.iter().any(|(known, _)| known == key) {
                "has a key that is given before"
            } else if !value
                .bytes()
                .all(|byte| matches!(byte, b' '..=b'~' | b'\t'))
            {
                "has a value with other than visible characters"
            } else {
                pairs.push((key.to_owned(), value.to_owned()));
                continue;
            };
            self.refuse(EXTENSIONS, format!("pair {} {what}", n + 1), REMEDY);
            return Vec::new();
        }
        pairs
    }

    fn secret(&mut self) -> Option<OauthSecret> {
        const REMEDY: &str = "put it into the variable INCIDENTD__KAFKA__PROPERTIES__SASL__OAUTHBEARER__CLIENT__SECRET of the \
             service, or name a file with it in sasl.oauthbearer.client.secret.file";
        match (self.value(SECRET), self.value(SECRET_FILE)) {
            (Some(_), Some(_)) => {
                let what = format!("{SECRET} is given, too");
                self.refuse(SECRET_FILE, what, "remove one of the two");
                None
            }
            (Some(value), None) => Some(OauthSecret::Value(value.into())),
            (None, Some(path)) => Some(OauthSecret::File(path.into())),
            (None, None) => {
                self.needed(SECRET, REMEDY);
                self.wrong.iter_mut().last()?.lacks_secret = true;
                None
            }
        }
    }
}

/// Whether the host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("sasl.mechanism", "OAUTHBEARER"),
        (METHOD, "oidc"),
        (ENDPOINT, "https://idp.example/token"),
        (CLIENT_ID, "incidentd"),
        (SECRET, "s3cret"),
    ];

    /// [`GOOD`] with these; an empty value takes one away.
    fn with(others: &[(&str, &str)]) -> Vec<(String, SecretString)> {
        let is_new = |name: &str| others.iter().all(|(other, _)| *other != name);
        let kept = GOOD.iter().filter(|(name, _)| is_new(name));
        let all = kept.chain(others).filter(|(_, value)| !value.is_empty());
        all.map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect()
    }

    #[test]
    fn good_properties_are_a_client_of_an_identity_provider() {
        let others = [
            ("sasl.mechanism", ""),
            ("sasl.mechanisms", "OAUTHBEARER"),
            (SECRET, ""),
            (SECRET_FILE, "/run/secret"),
            (SCOPE, "kafka"),
            (
                EXTENSIONS,
                "logicalCluster=lkc-1, identityPoolId = pool=2 x,empty=",
            ),
            (AUTHORITIES, "/ca.pem"),
            (GRANT, "client_credentials"),
            (UNSECURED, "false"),
        ];
        let settings = read(&with(&others)).unwrap().unwrap();
        assert_eq!(settings.endpoint.as_str(), "https://idp.example/token");
        assert_eq!(settings.client_id, "incidentd");
        assert!(matches!(settings.secret, OauthSecret::File(path) if path.ends_with("secret")));
        assert_eq!(settings.scope.as_deref(), Some("kafka"));
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let extensions = [
            pair("logicalCluster", "lkc-1"),
            pair("identityPoolId", "pool=2 x"),
            pair("empty", ""),
        ];
        assert_eq!(*settings.extensions, extensions);
        assert_eq!(settings.authorities, Some("/ca.pem".into()));
        for loopback in [
            "http://127.0.0.1:1/t",
            "http://[::1]:1/t",
            "http://localhost/t",
        ] {
            assert!(read(&with(&[(ENDPOINT, loopback)])).is_ok(), "{loopback}");
        }
    }

    #[test]
    fn other_mechanisms_want_no_token_whatever_else_is_given() {
        for mechanism in ["", "PLAIN", "oauthbearer"] {
            let properties = with(&[("sasl.mechanism", mechanism), ("sasl.oauthbearer.x", "1")]);
            assert!(matches!(read(&properties), Ok(None)), "{mechanism}");
            assert!(!is_wanted(&properties));
        }
    }

    #[test]
    fn each_mistake_names_the_property_and_what_to_do_and_no_value() {
        for (others, name, said) in [
            (
                &[(METHOD, "")][..],
                "sasl.mechanism",
                "needs sasl.oauthbearer.method",
            ),
            (&[(METHOD, "default")], METHOD, "not \"oidc\""),
            (
                &[(ENDPOINT, "")],
                "sasl.mechanism",
                "needs sasl.oauthbearer.token",
            ),
            (&[(ENDPOINT, "idp")], ENDPOINT, "not a URL"),
            (&[(ENDPOINT, "ftp://a/t")], ENDPOINT, "not https"),
            (
                &[(ENDPOINT, "http://idp.example/t")],
                ENDPOINT,
                "loopback only",
            ),
            (
                &[(ENDPOINT, "http://127.0.0.1.example/t")],
                ENDPOINT,
                "loopback only",
            ),
            (
                &[(ENDPOINT, "https://u:hunter2@a/t")],
                ENDPOINT,
                "a user or",
            ),
            (&[(ENDPOINT, "https://a/t#x")], ENDPOINT, "fragment"),
            (
                &[(CLIENT_ID, " ")],
                "sasl.mechanism",
                "needs sasl.oauthbearer.client.id",
            ),
            (
                &[(SECRET, "")],
                "sasl.mechanism",
                "needs sasl.oauthbearer.client.secret",
            ),
            (&[(SECRET_FILE, "/a")], SECRET_FILE, "is given, too"),
            (&[(GRANT, "urn:jwt-bearer")], GRANT, "client_credentials"),
            (&[(UNSECURED, "true")], UNSECURED, "nobody has signed"),
            (
                &[(EXTENSIONS, "a=b,hunter2")],
                EXTENSIONS,
                "pair 2 has no equals sign",
            ),
            (
                &[(EXTENSIONS, "a=b,")],
                EXTENSIONS,
                "pair 2 has no equals sign",
            ),
            (
                &[(EXTENSIONS, "=hunter2")],
                EXTENSIONS,
                "pair 1 has a key that is not",
            ),
            (
                &[(EXTENSIONS, "a-b=hunter2")],
                EXTENSIONS,
                "pair 1 has a key that is not",
            ),
            (
                &[(EXTENSIONS, "a1=hunter2")],
                EXTENSIONS,
                "pair 1 has a key that is not",
            ),
            (
                &[(EXTENSIONS, "auth=hunter2")],
                EXTENSIONS,
                "the token's own",
            ),
            (
                &[(EXTENSIONS, "a=1,b=2,a=hunter2")],
                EXTENSIONS,
                "pair 3 has a key that is given",
            ),
            (
                &[(EXTENSIONS, "a=hunter2\u{1}auth=x")],
                EXTENSIONS,
                "other than visible",
            ),
            (
                &[(EXTENSIONS, "a=hunter2\u{e9}")],
                EXTENSIONS,
                "other than visible",
            ),
            (
                &[("sasl.oauthbearer.config", "hunter2")],
                "sasl.oauthbearer.config",
                "no use",
            ),
            (&[("https.ca.pem", "hunter2")], "https.ca.pem", "no use"),
        ] {
            let wrong = read(&with(others)).unwrap_err();
            let [wrong] = &wrong[..] else {
                panic!("{others:?}: {wrong:?}");
            };
            assert_eq!(wrong.name, name, "{others:?}");
            assert_eq!(wrong.lacks_secret, said.ends_with("client.secret"));
            assert!(wrong.what.contains(said), "{others:?}: {wrong:?}");
            let text = format!("{wrong:?}");
            assert!(
                !text.contains("hunter2") && !text.contains("s3cret"),
                "{text}"
            );
        }
        let all = read(&with(&[(METHOD, ""), (CLIENT_ID, ""), (SECRET, "")]));
        assert_eq!(all.unwrap_err().len(), 3, "all mistakes at once");
    }
}
