//! AADSTS numbers: what they mean for an app-only client, and what the operator should do. They only refine what the
//! HTTP status and `error` say.
//!
//! Source: "Microsoft Entra authentication and authorization error codes" and, for numbers that are not on that page,
//! the messages that Entra sends with them. They are written as Rust's numbers: search for `7_000_215`.

use std::time::Duration;

use super::super::credential::federated_token::OUT_OF_TIME;
use crate::core::health::failure::{Health, Reaction};
use Health::{Consent, Credential, Forbidden, Misconfigured, Throttled, Unreachable};

/// The pause after Entra has found a loop of requests: it keeps counting while requests go on.
const LOOP: Duration = Duration::from_secs(600);

/// The remedy when a Conditional Access policy stops the app, according to Entra or the API.
pub(in crate::microsoft) const CONDITIONAL_ACCESS: &str = "a Conditional Access policy of the tenant blocks the app: ask its administrator to allow this machine's outgoing IP \
     address, or to lift the app's risk";

/// One or more numbers with one meaning.
pub(super) struct CodeRow {
    codes: &'static [u64],
    pub(super) health: Health,
    pub(super) reaction: Reaction,
    /// `{place}` stands for the place of the proof. For [`Consent`] the consent link is appended.
    pub(super) hint: &'static str,
}

impl CodeRow {
    /// Sets a reaction other than that of the state.
    const fn with(mut self, reaction: Reaction) -> Self {
        self.reaction = reaction;
        self
    }
}

/// The row of a number; `None` when it is not known.
pub(super) fn look_up(code: u64) -> Option<&'static CodeRow> {
    TABLE.iter().find(|row| row.codes.contains(&code))
}

const fn row(codes: &'static [u64], health: Health, hint: &'static str) -> CodeRow {
    let reaction = match health {
        Unreachable => Reaction::Backoff,
        _ => Reaction::Slow,
    };
    CodeRow {
        codes,
        health,
        reaction,
        hint,
    }
}

static TABLE: &[CodeRow] = &[
    row(
        &[7_000_215, 70_002],
        Credential,
        "the client secret is wrong: put the secret's Value, not its ID, into {place}; a new secret takes some \
         minutes to be known everywhere",
    ),
    row(
        &[7_000_222],
        Credential,
        "the client secret has expired: make a new one in the app registration and put its Value into \
         {place} (every tenant that uses this secret is affected)",
    ),
    row(
        &[7_000_218],
        Misconfigured,
        "Entra saw no credential in the request: check what stands between here and Microsoft",
    ),
    row(
        &[700_016, 700_011],
        Consent,
        "the app is not known in this tenant: check the tenant's id, app.client_id and the cloud; if they are right",
    ),
    row(
        &[7_000_229],
        Consent,
        "the app was never consented in this tenant, or was removed",
    ),
    row(
        &[7_000_112, 70_001],
        Consent,
        "the app is disabled in this tenant: an administrator enables it under Enterprise applications; if it was removed",
    ),
    row(
        &[1_000_031],
        Consent,
        "the app can't be accessed in this tenant: ask its administrator; if a consent is missing",
    ),
    row(
        &[650_056, 650_057, 65_005],
        Consent,
        "the app registration does not list the permission, or the tenant has not consented to it",
    ),
    row(
        &[65_001, 65_004, 90_093, 90_094],
        Consent,
        "nobody has consented to the app in this tenant",
    ),
    row(
        &[90_099],
        Consent,
        "the app is not authorised in this tenant for partners' delegated administration: consent in Partner Center, or",
    ),
    row(
        &[500_011, 650_052],
        Forbidden,
        "the tenant has no Microsoft Defender XDR: it needs a licence that includes it, and someone must have opened \
         https://security.microsoft.com there once; if it has one, check api.scope and the cloud",
    ),
    row(
        &[500_014],
        Forbidden,
        "the API is disabled in the tenant: its Defender licence has ended, or an administrator has disabled the API under \
         Enterprise applications",
    ),
    row(
        &[650_054],
        Forbidden,
        "the API was removed from the tenant: its licence may have ended; check api.scope, too",
    ),
    row(
        &[53_003, 530_032, 50_131],
        Forbidden,
        CONDITIONAL_ACCESS,
    ),
    row(
        &[50_002, 500_021, 500_022, 500_212, 500_213],
        Forbidden,
        "tenant restrictions block the way to this tenant: ask who runs the proxy (header Restrict-Access-To-Tenants), or the \
         tenant's administrator (cross-tenant access settings), to allow it",
    ),
    row(
        &[5_000_224],
        Forbidden,
        "the tenant is blocked or being deleted: remove it from the configuration if the customer has left",
    ),
    row(
        &[90_002, 50_049, 900_023],
        Misconfigured,
        "there is no such tenant in this cloud: check the tenant's id and api.login_url",
    ),
    row(
        &[90_038, 900_382, 900_432],
        Misconfigured,
        "the tenant belongs to another national cloud: set api.cloud to it (an app registration of this cloud does not hold there)",
    ),
    row(
        &[50_194],
        Misconfigured,
        "the app registration is for its own tenant only: under Authentication, set its supported account types to any \
         organizational directory (multitenant), or give this tenant an app of its own (tenants.app.client_id)",
    ),
    row(
        &[901_002],
        Misconfigured,
        "this endpoint takes no resource parameter: set api.token_endpoint to \"v2\", and check api.login_url",
    ),
    row(
        &[50_001],
        Misconfigured,
        "the API that api.scope names is disabled or doesn't exist in this tenant: check api.scope and the cloud",
    ),
    row(
        &[1_002_012, 70_011, 700_022, 700_023, 28_002],
        Misconfigured,
        "api.scope must name exactly one API and end in /.default",
    ),
    row(
        &[900_144, 90_014, 9_002_313, 90_023],
        Misconfigured,
        "Entra found a parameter malformed or missing: check app.client_id, api.scope and api.token_endpoint",
    ),
    row(
        &[9_001_023, 90_124, 50_059, 50_128],
        Misconfigured,
        "Entra saw no tenant in the request: check the tenant's id and api.login_url (scheme and host only)",
    ),
    row(
        &[50_034, 50_053, 50_126, 50_076, 50_079],
        Misconfigured,
        "Entra took the request for a user's log-in: check api.login_url and app.client_id",
    ),
    row(
        &[70_043, 70_000, 70_003, 70_008, 700_082],
        Misconfigured,
        "Entra took the request for another kind of grant: check api.login_url and api.token_endpoint",
    ),
    row(
        &[700_025],
        Misconfigured,
        "the app registration is a public client, which may not prove itself: make it a confidential (web) client",
    ),
    row(
        &OUT_OF_TIME,
        Credential,
        "the token in {place} is outside its valid time: check that what issues it still renews it, and this machine's clock \
         (NTP)",
    )
    .with(Reaction::Backoff),
    row(
        &[700_027, 900_384, 50_006],
        Credential,
        "Entra can't verify the signature of the token in {place}: its issuer must sign with RS256 and publish its keys where \
         Entra can read them",
    ),
    row(
        &[5_002_730],
        Credential,
        "Entra can't verify the assertion with this key: use an RSA key of 2048 bits or more that can sign with PS256; the \
         issuer of the token in {place} must sign with RS256",
    ),
    row(
        &[1_000_502, 700_030],
        Credential,
        "the certificate is not accepted: check that it is registered with the app, valid today, and the one in use",
    ),
    row(
        &[50_012, 50_013, 50_027, 50_048],
        Credential,
        "the token in {place} is not valid as an assertion: check its audience and issuer, and this machine's clock (NTP)",
    ),
    row(
        &[70_021, 700_211, 700_212, 700_213],
        Credential,
        "no federated credential of the app registration matches the token in {place}: check issuer, subject and audience \
         letter by letter; a new one takes some minutes to be known everywhere",
    )
    .with(Reaction::Soon),
    row(
        &[700_229],
        Credential,
        "of Entra's own tokens, only those of an app (a managed identity) may stand in {place}, not a user's",
    ),
    row(
        &[50_196],
        Misconfigured,
        "Entra sees the same request too often: look for another program that uses the same app",
    )
    .with(Reaction::Wait(LOOP)),
    row(
        &[90_055],
        Throttled,
        "none: the daemon waits longer each time; if it happens often, something else asks for tokens of the same app",
    )
    .with(Reaction::Backoff),
    row(
        &[
            90_033, 90_024, 90_025, 90_006, 90_012, 50_033, 90_090, 90_091, 50_087, 70_012,
        ],
        Unreachable,
        "nothing to do unless it lasts: a passing fault of Entra's",
    ),
    row(
        &[90_036, 90_092, 50_000],
        Unreachable,
        "a fault inside Entra that does not pass by itself: open a ticket with Microsoft and give the trace id",
    )
    .with(Reaction::Slow),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_number_has_one_row_and_every_row_says_what_to_do() {
        let mut seen = HashSet::new();
        for row in TABLE {
            assert!(row.hint.len() > 20, "{:?} has no hint", row.codes);
            for code in row.codes {
                assert!(seen.insert(code), "{code} stands in two rows");
                assert_eq!(look_up(*code).map(|found| found.hint), Some(row.hint));
            }
        }
        assert!(look_up(1).is_none(), "an unknown number changes nothing");
    }

    /// The numbers in the project's notes on Entra, by their reaction.
    #[test]
    fn no_number_of_the_notes_is_missing() {
        let slow: &[u64] = &[
            7_000_215, 7_000_222, 70_002, 7_000_218, 700_016, 7_000_229, 700_011, 7_000_112,
            70_001, 1_000_031, 500_011, 50_001, 650_052, 650_054, 650_056, 650_057, 65_001, 90_094,
            90_099, 90_002, 90_038, 900_382, 900_432, 5_000_224, 50_034, 50_053, 50_126, 50_076,
            50_079, 53_003, 530_032, 1_002_012, 70_011, 700_022, 700_023, 28_002, 900_144, 90_014,
            9_002_313, 90_023, 9_001_023, 90_124, 50_059, 50_128, 700_027, 50_012, 50_013, 50_027,
            1_000_502, 700_030, 700_229, 700_025, 90_036, 50_000, 70_043, 70_000, 70_008, 700_082,
            500_014, 900_384, 65_005, 90_092, 901_002, 50_194, 5_002_730,
        ];
        let passing: &[u64] = &[
            90_033, 90_024, 90_006, 90_012, 50_033, 90_090, 50_087, 90_055, 90_091, 700_024,
        ];
        let spreading: &[u64] = &[70_021, 700_211, 700_212, 700_213];
        for (codes, reaction) in [
            (slow, Reaction::Slow),
            (passing, Reaction::Backoff),
            (spreading, Reaction::Soon),
            (&[50_196], Reaction::Wait(LOOP)),
        ] {
            for code in codes {
                let found = look_up(*code).map(|row| row.reaction);
                assert_eq!(found, Some(reaction), "{code}");
            }
        }
        assert_eq!(look_up(90_055).map(|row| row.health), Some(Throttled));
    }
}
