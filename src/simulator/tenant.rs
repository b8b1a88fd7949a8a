//! A customer's directory, and what the app may do in it.

use serde_json::json;
use uuid::Uuid;

use super::jwt;
use super::time::SECOND;

/// A customer's directory, as its administrator set it up.
#[derive(Clone)]
pub struct Tenant {
    /// The directory's id.
    pub id: Uuid,
    /// As in the messages of Entra's errors.
    pub name: String,
    /// The one app that this directory knows.
    pub client_id: Uuid,
    /// The client secret that the app has.
    pub secret: String,
    /// Whether `secret` has expired.
    pub secret_expired: bool,
    /// The issuers whose tokens the app registration accepts in place of a secret.
    pub federated: Vec<FederatedCredential>,
    /// The certificates that are registered with the app.
    pub certificates: Vec<RegisteredCertificate>,
    /// Whether an administrator consented, so that the app has a service principal here.
    pub consented: bool,
    /// Application permissions of the Defender API granted to the app. Tokens issued earlier keep theirs.
    pub roles: Vec<String>,
    /// The same of Microsoft Graph, which is another resource with another consent.
    pub graph_roles: Vec<String>,
    /// Whether the tenant has Defender XDR.
    pub licensed: bool,
}

impl Tenant {
    /// The client id of the tenants made by [`Tenant::new`].
    pub const CLIENT_ID: Uuid = Uuid::from_u128(0x0000_1111_aaaa_2222_bbbb_3333_cccc_4444);
    /// Their secret, with all characters that a client must encode.
    pub const SECRET: &'static str = "q~8Q/+sim&ulated=%41secret.never_real";

    /// A tenant with all necessary consents to the app that such tenants share.
    pub fn new(id: Uuid, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            client_id: Self::CLIENT_ID,
            secret: Self::SECRET.to_owned(),
            secret_expired: false,
            federated: Vec::new(),
            certificates: Vec::new(),
            consented: true,
            roles: vec!["Incident.Read.All".to_owned()],
            graph_roles: vec!["SecurityIncident.Read.All".to_owned()],
            licensed: true,
        }
    }

    /// The `n`th of many such tenants.
    pub fn numbered(n: u32) -> Self {
        let id = Uuid::from_u128(0xaaaa_bbbb_0000_4ccc_8111_0000_0000_0000 | u128::from(n));
        Self::new(id, &format!("customer-{n:04}"))
    }
}

/// A certificate whose key proves the app (section 4.4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RegisteredCertificate {
    /// The certificate in DER.
    pub der: Vec<u8>,
    /// Whether Entra can verify PS256 with its key (section 9).
    pub pss: bool,
}

/// A federated identity credential: a client with a token of this issuer for this subject is the app (section 4.6).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FederatedCredential {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `sub` of its tokens.
    pub subject: String,
    /// The `aud` of its tokens.
    pub audience: String,
}

impl FederatedCredential {
    /// The audience of such tokens outside of national clouds.
    pub const AUDIENCE: &'static str = "api://AzureADTokenExchange";

    /// With [`Self::AUDIENCE`].
    pub fn new(issuer: &str, subject: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
            audience: Self::AUDIENCE.to_owned(),
        }
    }

    /// A token of the issuer that is valid from `from` until `until`, in ticks.
    pub fn assertion(&self, from: i64, until: i64) -> String {
        let claims = json!({
            "iss": self.issuer, "sub": self.subject, "aud": [self.audience], "iat": from / SECOND,
            "nbf": from / SECOND, "exp": until / SECOND,
        });
        jwt::join(claims.to_string().as_bytes(), b"not a signature")
    }
}
