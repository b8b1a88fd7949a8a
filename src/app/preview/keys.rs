//! The keys whose values differ between two configurations. Values are compared and never shown.
//!
//! Without `..` in the patterns, as for [`same_tokens`](crate::app::fleet): a new setting does not compile until it has its key
//! here.

use crate::settings::{
    ApiSettings, AppSettings, KafkaSettings, PollSettings, Settings, TenantSettings,
};

/// Those of a tenant, its own and those that it shares with others.
pub fn of_tenant(was: &TenantSettings, is: &TenantSettings) -> Vec<&'static str> {
    let TenantSettings {
        id: _,
        name,
        app,
        api,
        poll,
        topic,
        alerts_topic,
        format,
    } = was;
    let own = [
        ("name", *name != is.name),
        ("kafka.topic", *topic != is.topic),
        ("kafka.alerts_topic", *alerts_topic != is.alerts_topic),
        ("kafka.format", *format != is.format),
    ];
    let mut keys = differing(own);
    keys.extend(differing(of_app(app, &is.app)));
    keys.extend(differing(of_api(api, &is.api)));
    keys.extend(differing(of_poll(poll, &is.poll)));
    keys
}

/// Those that all tenants' records depend on.
pub fn of_all_records(was: &Settings, is: &Settings) -> Vec<&'static str> {
    let KafkaSettings {
        connection: _,
        status_topic,
        dead_letter_topic,
        files: _,
    } = &was.kafka;
    let (status, dead) = (&is.kafka.status_topic, &is.kafka.dead_letter_topic);
    differing([
        ("kafka.status_topic", status_topic != status),
        ("kafka.dead_letter_topic", dead_letter_topic != dead),
    ])
}

fn of_app(was: &AppSettings, is: &AppSettings) -> [(&'static str, bool); 3] {
    let AppSettings {
        client_id,
        credential,
        not_after,
    } = was;
    [
        ("app.client_id", *client_id != is.client_id),
        ("app (its credential)", *credential != is.credential),
        ("app.credential_not_after", *not_after != is.not_after),
    ]
}

fn of_api(was: &ApiSettings, is: &ApiSettings) -> [(&'static str, bool); 9] {
    let ApiSettings {
        source,
        base_url,
        login_url,
        scope,
        token_endpoint,
        proxy,
        ca_file,
        request_timeout,
        max_response,
    } = was;
    [
        ("api.source", *source != is.source),
        ("api.base_url", *base_url != is.base_url),
        ("api.login_url", *login_url != is.login_url),
        ("api.scope", *scope != is.scope),
        ("api.token_endpoint", *token_endpoint != is.token_endpoint),
        ("api.proxy", *proxy != is.proxy),
        ("api.ca_file", *ca_file != is.ca_file),
        (
            "poll.request_timeout",
            *request_timeout != is.request_timeout,
        ),
        ("poll.max_response", *max_response != is.max_response),
    ]
}

fn of_poll(was: &PollSettings, is: &PollSettings) -> [(&'static str, bool); 7] {
    let PollSettings {
        schedule,
        lookback,
        overlap,
        reconcile_every,
        reconcile_window,
        requests_per_minute,
        deduplicate,
    } = was;
    let budget = *requests_per_minute != is.requests_per_minute;
    [
        ("poll.schedule", *schedule != is.schedule),
        ("poll.lookback", *lookback != is.lookback),
        ("poll.overlap", *overlap != is.overlap),
        (
            "poll.reconcile_every",
            *reconcile_every != is.reconcile_every,
        ),
        (
            "poll.reconcile_window",
            *reconcile_window != is.reconcile_window,
        ),
        ("poll.requests_per_minute", budget),
        ("poll.deduplicate", *deduplicate != is.deduplicate),
    ]
}

fn differing<const N: usize>(keys: [(&'static str, bool); N]) -> Vec<&'static str> {
    let differing = keys.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}
