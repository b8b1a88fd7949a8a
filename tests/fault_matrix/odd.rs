//! Errors with a misleading status, and answers that something on the way has changed: as users have published them,
//! and as RFC 9110 allows them.

use incidentd::core::health::failure::Health::{
    self, Forbidden, Misconfigured, Throttled, Unreachable,
};

use super::api::error;
use super::row::Asked::{
    self, Defender, DefenderLink, DefenderOne, Graph, GraphLink, TokenV1, TokenV2,
};
use super::row::Pace::{self, After, NewToken, Slow, Transient};
use super::row::Row;
use super::wire::Answer;

const BOTH: [Asked; 2] = [Defender, Graph];
const PASSING: (Health, Pace) = (Unreachable, Transient);
const SERVICE: &[&str] = &["nothing to do unless it lasts", "service health"];
/// `{"access_token":{"nbf":{"essential":true,"value":"1746725820"}}}`
const CHALLENGE: &str = "Bearer realm=\"\", authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
                         error_description=\"Continuous access evaluation resulted in challenge with result: \
                         InteractionRequired and code: LocationConditionEvaluationSatisfied\", \
                         error=\"insufficient_claims\", \
                         claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZX19fQ==\"";

pub fn rows() -> Vec<Row> {
    [
        codes(),
        texts(),
        keys(),
        claims(),
        throttled(),
        encodings(),
        proxies(),
    ]
    .concat()
}

/// A code that means a 5xx, in a 4xx.
fn codes() -> Vec<Row> {
    let mut rows = Vec::new();
    for (status, code) in [
        (400, "serviceNotAvailable"),
        (400, "ServiceUnavailable"),
        (400, "SERVICENOTAVAILABLE"),
        (400, "service_unavailable"),
        (400, "generalException"),
        (400, "InternalServerError"),
        (400, "timeout"),
        (400, "UnknownError"),
        (400, "backendFailure"),
        (401, "serviceNotAvailable"),
        (403, "generalException"),
        (403, "UnknownError"),
        (404, "ServiceUnavailable"),
        (404, "UnknownError"),
        (405, "UnknownError"),
        (409, "UnknownError"),
        (410, "UnspecifiedError"),
        (412, "RequestTimeout"),
        (421, "MisdirectedRequest"),
        (422, "UnknownError"),
        (423, "Locked"),
        (423, "TemporarilyUnavailable"),
        (425, "TooEarly"),
    ] {
        for asked in BOTH {
            let answer = error(asked, status, code, "");
            rows.push(Row::fails(
                asked,
                format!("{status} {code}"),
                answer,
                PASSING,
                SERVICE,
            ));
        }
    }
    for asked in [DefenderLink, DefenderOne, GraphLink] {
        let answer = error(asked, 400, "serviceNotAvailable", "");
        rows.push(Row::fails(
            asked,
            "400 serviceNotAvailable",
            answer,
            PASSING,
            SERVICE,
        ));
    }
    for asked in BOTH {
        rows.push(Row::fails(
            asked,
            "403 UnknownError, as long as it lasts",
            error(asked, 403, "UnknownError", ""),
            PASSING,
            &["a permission may be missing", "incidentd consent"],
        ));
    }
    for status in [421, 423, 425] {
        for asked in [Defender, Graph, TokenV1, TokenV2] {
            let label = format!("{status}, empty");
            rows.push(Row::fails(
                asked,
                label,
                Answer::empty(status),
                PASSING,
                &["nothing to do unless it lasts"],
            ));
        }
    }
    let nested = "{\"error\":{\"code\":\"BadRequest\",\"message\":\"\",\"innerError\":{\"code\":\"InternalServerError\"}}}";
    rows.push(Row::fails(
        Graph,
        "400 BadRequest, within it InternalServerError",
        Answer::json(400, nested),
        PASSING,
        SERVICE,
    ));
    let named = error(Defender, 400, "serviceNotAvailable", "").with("retry-after", "20");
    rows.push(Row::fails(
        Defender,
        "400 serviceNotAvailable, Retry-After: 20",
        named,
        (Unreachable, After(20)),
        SERVICE,
    ));
    rows
}

/// The same in words.
fn texts() -> Vec<Row> {
    let mut rows = Vec::new();
    for (status, text) in [
        (400, "The service is temporarily unavailable."),
        (400, "Service Unavailable"),
        (401, "The server is too busy. Please try again later."),
    ] {
        for asked in BOTH {
            let answer = error(asked, status, "BadRequest", text);
            rows.push(Row::fails(
                asked,
                format!("{status}: {text}"),
                answer,
                PASSING,
                SERVICE,
            ));
        }
    }
    for (asked, code) in [
        (TokenV2, "Temporarily_Unavailable"),
        (TokenV1, "SERVER_ERROR"),
        (TokenV2, "serviceUnavailable"),
    ] {
        let body = format!("{{\"error\":\"{code}\",\"error_description\":\"Words.\"}}");
        let answer = Answer::json(400, body);
        rows.push(Row::fails(
            asked,
            format!("400 {code}"),
            answer,
            PASSING,
            SERVICE,
        ));
    }
    let body = "{\"error\":\"invalid_request\",\"error_description\":\"AADSTS9999999: The service is temporarily unavailable.\"}";
    rows.push(Row::fails(
        TokenV2,
        "400 invalid_request: temporarily unavailable",
        Answer::json(400, body),
        PASSING,
        SERVICE,
    ));
    rows
}

/// The API can't verify tokens: a new token is tried once, and then only time helps.
fn keys() -> Vec<Row> {
    let (state, remedy) = (
        (Unreachable, NewToken),
        &["nothing to do unless it lasts", "api.scope"],
    );
    let description =
        "Bearer error=\"invalid_token\", error_description=\"The signature key was not found\"";
    let mut rows = Vec::new();
    for asked in BOTH {
        let invalid = error(
            asked,
            401,
            "InvalidAuthenticationToken",
            "Signing key is invalid.",
        );
        rows.extend([
            Row::fails(asked, "401: Signing key is invalid", invalid, state, remedy),
            Row::fails(
                asked,
                "401, empty; head: signature key not found",
                Answer::empty(401).with("www-authenticate", description),
                state,
                remedy,
            ),
            Row::fails(
                asked,
                "401 UnknownError",
                error(asked, 401, "UnknownError", ""),
                state,
                remedy,
            ),
        ]);
    }
    rows
}

/// A location condition in the tenant's Conditional Access (microsoftgraph/msgraph-sdk-powershell#3322).
fn claims() -> Vec<Row> {
    let policy: &[&str] = &["Conditional Access", "IP address"];
    let text = "Continuous access evaluation resulted in challenge with result: InteractionRequired and code: \
                LocationConditionEvaluationSatisfied";
    let mut rows = Vec::new();
    for asked in BOTH {
        let code = "InvalidAuthenticationToken";
        rows.extend([
            Row::fails(
                asked,
                "401, insufficient_claims",
                error(asked, 401, code, text).with("www-authenticate", CHALLENGE),
                (Forbidden, NewToken),
                policy,
            ),
            Row::fails(
                asked,
                "401, empty; head: insufficient_claims",
                Answer::empty(401).with("www-authenticate", CHALLENGE),
                (Forbidden, NewToken),
                policy,
            ),
            Row::fails(
                asked,
                "401: LocationConditionEvaluationSatisfied",
                error(asked, 401, code, text),
                (Forbidden, NewToken),
                policy,
            ),
            Row::fails(
                asked,
                "403, insufficient_claims",
                error(asked, 403, "Forbidden", "").with("www-authenticate", CHALLENGE),
                (Forbidden, Slow),
                policy,
            ),
        ]);
    }
    // The claims themselves, repeated in the message.
    let repeated = "Claims required: eyJhbGciOiJIUzI1NiJ9eyJhY2Nlc3NfdG9rZW4iOnt9fQ";
    rows.push(Row::fails(
        Graph,
        "401, insufficient_claims, repeated",
        error(Graph, 401, "InvalidAuthenticationToken", repeated)
            .with("www-authenticate", CHALLENGE),
        (Forbidden, NewToken),
        policy,
    ));
    rows
}

/// A quota's code with a status other than 429.
fn throttled() -> Vec<Row> {
    let waits: &[&str] = &["none: the daemon waits", "poll.requests_per_minute"];
    let mut rows = vec![
        Row::fails(
            Graph,
            "403 TooManyRequests, Retry-After: 9",
            error(Graph, 403, "TooManyRequests", "").with("retry-after", "9"),
            (Throttled, After(9)),
            waits,
        ),
        Row::fails(
            Graph,
            "400 activityLimitReached",
            error(Graph, 400, "activityLimitReached", ""),
            (Throttled, After(60)),
            waits,
        ),
        Row::fails(
            Defender,
            "429, Retry-After: 0",
            Answer::empty(429).with("retry-after", "0"),
            (Throttled, After(1)),
            waits,
        ),
        Row::fails(
            TokenV2,
            "509, empty",
            Answer::empty(509),
            (Throttled, After(60)),
            &["none: the daemon waits"],
        ),
    ];
    for (status, code) in [
        (400, "quotaLimitReached"),
        (403, "activityLimitReached"),
        (409, "activityLimitReached"),
        (503, "activityLimitReached"),
        (509, "activityLimitReached"),
        (509, "UnknownError"),
    ] {
        for asked in BOTH {
            let answer = error(asked, status, code, "").with("retry-after", "12");
            rows.push(Row::fails(
                asked,
                format!("{status} {code}, Retry-After: 12"),
                answer,
                (Throttled, After(12)),
                waits,
            ));
        }
    }
    rows
}

/// Encodings that were not requested.
fn encodings() -> Vec<Row> {
    let changes: &[&str] = &["proxy", "changes answers", "gzip only"];
    let encoded = |status, encoding| Answer::json(status, "...").with("content-encoding", encoding);
    let mut rows = Vec::new();
    for encoding in ["br", "zstd", "deflate", "gzip, gzip", "x-unheard-of"] {
        for asked in [Defender, Graph, GraphLink, DefenderOne, TokenV2] {
            let label = format!("200, content-encoding: {encoding}");
            rows.push(Row::fails(
                asked,
                label,
                encoded(200, encoding),
                PASSING,
                changes,
            ));
        }
    }
    rows.extend([
        Row::fails(Defender, "503 in br", encoded(503, "br"), PASSING, SERVICE),
        Row::fails(
            TokenV2,
            "429 in br, Retry-After: 30",
            encoded(429, "br").with("retry-after", "30"),
            (Throttled, After(30)),
            &["none: the daemon waits"],
        ),
    ]);
    rows
}

/// A proxy that requires a log-in other than user and password.
fn proxies() -> Vec<Row> {
    let mut rows = Vec::new();
    for offers in ["NTLM", "Negotiate", "Negotiate, NTLM", "Kerberos"] {
        for asked in [Graph, TokenV2] {
            let answer = Answer::html(407).with("proxy-authenticate", offers);
            rows.push(Row::fails(
                asked,
                format!("407 of a proxy: {offers}"),
                answer,
                (Misconfigured, Slow),
                &["only Basic works", "api.proxy"],
            ));
        }
    }
    rows
}
