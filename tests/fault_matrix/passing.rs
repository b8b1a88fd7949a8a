//! Faults between the daemon and the incidents APIs that pass by themselves: quotas ("Microsoft Graph throttling
//! guidance"; the Defender API documents its 429 in a sentence), faults of the APIs, gateways and proxies on the way,
//! expired links.

use incidentd::core::health::failure::Health::{Misconfigured, Throttled, Unreachable};

use super::api::error;
use super::row::Asked::{self, Defender, DefenderLink, DefenderOne, ForeignLink, Graph, GraphLink};
use super::row::Pace::{After, NewToken, Slow, Transient};
use super::row::Row;
use super::wire::Answer;

const BOTH: [Asked; 2] = [Defender, Graph];
const QUOTA: &str = "Quota exceeded; retry in 38 seconds (exact text undocumented)";

pub fn rows() -> Vec<Row> {
    [throttled(), transient(), strangers(), links(), wire()].concat()
}

/// The daemon waits for a quota's pause as asked; the remedy is to do nothing.
fn throttled() -> Vec<Row> {
    let row = |asked, label: &str, answer, seconds| {
        Row::fails(
            asked,
            label,
            answer,
            (Throttled, After(seconds)),
            &["none: the daemon waits", "poll.requests_per_minute"],
        )
    };
    let quota = || error(Defender, 429, "TooManyRequests", QUOTA);
    let later = "Too many requests, please try again later.";
    let date = "Tue, 24 Nov 2026 08:12:31 GMT";
    let then = "Tue, 24 Nov 2026 08:14:01 GMT";
    vec![
        row(
            Defender,
            "429, Retry-After: 7, text says 38 s",
            quota().with("retry-after", "7"),
            7,
        ),
        row(
            Defender,
            "429, Retry-After: a date 90 s ahead",
            quota().with("date", date).with("retry-after", then),
            90,
        ),
        row(Defender, "429, text says 38 s", quota(), 38),
        row(
            Defender,
            "429, Retry-After: 7200",
            quota().with("retry-after", "7200"),
            3600,
        ),
        row(Defender, "429, empty", Answer::empty(429), 60),
        row(
            Defender,
            "429, plain text",
            Answer::new(429, "Too Many Requests"),
            60,
        ),
        row(
            Graph,
            "429 TooManyRequests, Retry-After: 12",
            error(Graph, 429, "TooManyRequests", later).with("retry-after", "12"),
            12,
        ),
        // No pause is documented for this. The quota is per minute, and requests within that minute count against it.
        row(
            Graph,
            "429 TooManyRequests",
            error(Graph, 429, "TooManyRequests", later),
            60,
        ),
    ]
}

fn transient() -> Vec<Row> {
    let passing = (Unreachable, Transient);
    let service: &[&str] = &["passes by itself", "service health"];
    let mut rows = Vec::new();
    for asked in BOTH {
        let internal = error(asked, 500, "InternalServerError", "");
        rows.extend([
            Row::fails(asked, "500 InternalServerError", internal, passing, service),
            Row::fails(asked, "502, HTML", Answer::html(502), passing, service),
            Row::fails(asked, "503, empty", Answer::empty(503), passing, service),
            Row::fails(asked, "504, HTML", Answer::html(504), passing, service),
            Row::fails(
                asked,
                "503, Retry-After: 120",
                Answer::empty(503).with("retry-after", "120"),
                (Unreachable, After(120)),
                service,
            ),
        ]);
    }
    rows.push(Row::fails(
        Defender,
        "408, empty",
        Answer::empty(408),
        passing,
        service,
    ));
    rows
}

/// Answers that are not the API's, and one of the API that is incomplete.
fn strangers() -> Vec<Row> {
    let passing = (Unreachable, Transient);
    let warning = "199 - \"Microsoft/WDATP/504/10000\"";
    let page = "{\"value\":[]}";
    let to_login = || Answer::empty(302).with("location", "https://login.contoso.example/?s=1");
    let mut rows = Vec::new();
    for asked in BOTH {
        rows.extend([
            Row::fails(
                asked,
                "200, a log-in page",
                Answer::html(200),
                passing,
                &["log-in page"],
            ),
            Row::fails(
                asked,
                "302 to a log-in page",
                to_login(),
                passing,
                &["log-in page", "login.contoso.example"],
            ),
        ]);
    }
    rows.extend([
        Row::fails(
            Defender,
            "204",
            Answer::empty(204),
            passing,
            &["no answer of the API"],
        ),
        Row::fails(
            Defender,
            "407 of a proxy",
            Answer::html(407).with("proxy-authenticate", "Basic"),
            (Misconfigured, Slow),
            &["the proxy's user and password", "api.proxy"],
        ),
        Row::serves(
            Graph,
            "206 Partial Content, a provider's Warning",
            Answer::json(206, page).with("warning", warning),
            Some("Microsoft/WDATP/504/10000"),
        ),
        Row::serves(
            Defender,
            "206 Partial Content",
            Answer::json(206, page),
            Some("206"),
        ),
        Row::serves(Defender, "200, a page", Answer::json(200, page), None),
    ]);
    rows
}

/// A link may have expired: the sweep continues without it. One incident may be gone: the others are not.
fn links() -> Vec<Row> {
    let goes_on = (Unreachable, Transient);
    let without: &[&str] = &["none: the nextLink", "goes on without it"];
    let not_found = |asked| error(asked, 404, "ResourceNotFound", "");
    vec![
        Row::fails(
            GraphLink,
            "400 BadRequest: skiptoken",
            error(Graph, 400, "BadRequest", "Skip token is expired."),
            goes_on,
            without,
        ),
        Row::fails(
            DefenderLink,
            "404 ResourceNotFound",
            not_found(Defender),
            goes_on,
            without,
        ),
        Row::fails(
            GraphLink,
            "410, empty",
            Answer::empty(410),
            goes_on,
            without,
        ),
        Row::fails(
            GraphLink,
            "401 InvalidAuthenticationToken",
            error(
                Graph,
                401,
                "InvalidAuthenticationToken",
                "Lifetime validation failed.",
            ),
            (Misconfigured, NewToken),
            &["api.scope"],
        ),
        Row::fails(
            DefenderOne,
            "404 ResourceNotFound",
            not_found(Defender),
            goes_on,
            &["none: the incident", "as the list shows it"],
        ),
        Row::fails(
            ForeignLink,
            "never asked: the token would go with it",
            Answer::json(200, "{\"value\":[]}"),
            (Misconfigured, Slow),
            &["api.base_url", "leads to its own host"],
        ),
    ]
}

fn wire() -> Vec<Row> {
    let passing = (Unreachable, Transient);
    let way: &[&str] = &["network", "proxy"];
    vec![
        Row::fails(
            Defender,
            "connection refused",
            Answer::Refused,
            passing,
            way,
        ),
        Row::fails(Defender, "connection reset", Answer::Reset, passing, way),
        Row::fails(Graph, "200, body cut", Answer::Cut, passing, way),
        Row::fails(
            Graph,
            "silence",
            Answer::Silence,
            passing,
            &["network", "poll.request_timeout"],
        ),
    ]
}
