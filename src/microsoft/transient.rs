//! Words by which a service reports its own temporary fault, in answers of any status.
//!
//! Microsoft's front ends also send such errors with a 400 or a 401: `400 serviceNotAvailable` or
//! `401 Signing key is invalid` (msgraph-sdk-dotnet-core#222). If only the status counted, the tenant would show a
//! mistake that the operator can't fix, and would be retried too slowly.

/// Codes of a fault that passes by itself, in lower case and without separators.
///
/// "Microsoft Graph error responses and resource types", "Common Microsoft Defender XDR API error codes", RFC 6749 (5.2
/// and 4.1.2.1), and what users have published.
const CODES: [&str; 24] = [
    "backenderror",
    "backendfailure",
    "badgateway",
    "connectionfailure",
    "gatewaytimeout",
    "generalexception",
    "internalerror",
    "internalservererror",
    "internalserviceerror",
    "operationtimedout",
    "requesttimeout",
    "servererror",
    "serverbusy",
    "serverunavailable",
    "servicebusy",
    "serviceerror",
    "servicenotavailable",
    "servicetemporarilyunavailable",
    "serviceunavailable",
    "temporarilyunavailable",
    "timedout",
    "timeout",
    "transienterror",
    "transientfailure",
];

/// Codes that name no fault. They count as temporary if nothing else in the answer is more specific.
const VAGUE: [&str; 2] = ["unknownerror", "unspecifiederror"];

/// Codes of a 429. They also come with other statuses.
const THROTTLED: [&str; 9] = [
    "activitylimitreached",
    "applicationthrottled",
    "bandwidthlimitexceeded",
    "quotalimitreached",
    "ratelimitexceeded",
    "requestthrottled",
    "throttled",
    "throttledrequest",
    "toomanyrequests",
];

/// Phrases of a fault that passes by itself, in lower case.
const PHRASES: [&str; 19] = [
    "currently unavailable",
    "internal server error",
    "internal service error",
    "operation timed out",
    "request timed out",
    "retry later",
    "retry the request later",
    "server is busy",
    "server is too busy",
    "service is busy",
    "service is down",
    "service is not available",
    "service is unavailable",
    "service not available",
    "service unavailable",
    "temporarily unavailable",
    "transient error",
    "try again later",
    "try again in a few",
];

/// Phrases about a fault with the keys that verify tokens. The token may be valid: on 15 March 2021 all of Entra's
/// tokens were refused in this way for two hours.
const KEY_PHRASES: [&str; 5] = [
    "signature key was not found",
    "signing key is invalid",
    "signing key not found",
    "signing keys are unavailable",
    "unable to obtain signing key",
];

/// Whether the status alone says that too many requests were made: 429, and Graph's 509 Bandwidth Limit Exceeded ("Microsoft
/// Graph error responses and resource types").
pub(super) fn too_many(status: u16) -> bool {
    matches!(status, 429 | 509)
}

/// Whether the status alone says that a fault passes by itself: 408, 5xx, and what is about the connection or the moment
/// (421 Misdirected Request, 423 Locked, 425 Too Early).
pub(super) fn status(status: u16) -> bool {
    matches!(status, 408 | 421 | 423 | 425 | 500..=599)
}

/// Whether `code` names a fault that passes by itself.
pub(super) fn code(code: &str) -> bool {
    CODES.contains(&plain(code).as_str())
}

/// Whether `code` names nothing at all.
pub(super) fn vague(code: &str) -> bool {
    VAGUE.contains(&plain(code).as_str())
}

/// Whether `code` says that too many requests were made.
pub(super) fn throttled(code: &str) -> bool {
    THROTTLED.contains(&plain(code).as_str())
}

/// Whether `text` says that a fault passes by itself.
pub(super) fn text(text: &str) -> bool {
    holds(text, &PHRASES)
}

/// Whether `text` blames the keys that verify tokens.
pub(super) fn keys(text: &str) -> bool {
    holds(text, &KEY_PHRASES)
}

fn holds(text: &str, phrases: &[&str]) -> bool {
    let text = text.to_lowercase();
    phrases.iter().any(|phrase| text.contains(phrase))
}

/// A code in the spelling of the tables above: `Service_Unavailable` is `serviceunavailable`.
fn plain(code: &str) -> String {
    let letters = code.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_entry_of_the_tables_is_in_the_form_that_is_looked_up() {
        let codes = CODES.iter().chain(&VAGUE).chain(&THROTTLED);
        for entry in codes {
            assert_eq!(plain(entry), **entry, "this entry is never found");
        }
        for phrase in PHRASES.iter().chain(&KEY_PHRASES) {
            assert_eq!(phrase.to_lowercase(), **phrase, "never found");
        }
    }

    proptest! {
        #[test]
        fn neither_letter_case_nor_separators_of_a_code_count(
            at in 0..CODES.len(),
            upper in proptest::collection::vec(any::<bool>(), 40),
            separator in prop_oneof![Just(""), Just("_"), Just("-"), Just(" "), Just(".")],
        ) {
            let spelled: Vec<String> = CODES[at].chars().zip(upper).map(|(letter, upper)| match upper {
                true => letter.to_ascii_uppercase().to_string(),
                false => letter.to_string(),
            }).collect();
            let spelled = spelled.join(separator);
            prop_assert!(code(&spelled), "{spelled}");
        }
    }

    #[test]
    fn codes_that_an_operator_has_to_see_to_are_not_passing() {
        for lasting in [
            "BadRequest",
            "Unauthorized",
            "Forbidden",
            "NotFound",
            "InvalidAuthenticationToken",
            "DisabledFeature",
            "",
        ] {
            assert!(
                !code(lasting) && !vague(lasting) && !throttled(lasting),
                "{lasting}"
            );
        }
    }
}
