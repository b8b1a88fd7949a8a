//! Request quotas of one app in one tenant, over sliding windows of the world's time (sections 1.1, 3.2 and 9).
//!
//! Refused requests count at Graph, which "continues to log resource usage while a client is being throttled" (section 3.2),
//! and not at the Defender API.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use uuid::Uuid;

use super::faults::{Api, Endpoint};
use super::time::SECOND;

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A kind of request with its own quota.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Method {
    List,
    Get,
    Graph,
}

impl Method {
    pub fn of(api: Api, endpoint: Endpoint) -> Self {
        match (api, endpoint) {
            (Api::Graph, _) => Self::Graph,
            (Api::Defender, Endpoint::List) => Self::List,
            (Api::Defender, _) => Self::Get,
        }
    }

    /// Numbers of requests, each with its window.
    fn limits(self) -> &'static [(usize, i64)] {
        match self {
            Self::List => &[(50, MINUTE), (1500, HOUR)],
            Self::Get => &[(100, MINUTE), (1500, HOUR)],
            Self::Graph => &[(150, MINUTE)],
        }
    }
}

#[derive(Default)]
pub(super) struct Quotas {
    taken: Mutex<HashMap<(Uuid, Uuid, Method), VecDeque<i64>>>,
}

impl Quotas {
    /// Counts a request of `app` in `tenant` at `now`. The error is the number of seconds until one is served again.
    pub fn take(&self, tenant: Uuid, app: Uuid, method: Method, now: i64) -> Result<(), i64> {
        let mut taken = self.taken.lock();
        let times = taken.entry((tenant, app, method)).or_default();
        let free_at = |times: &VecDeque<i64>| {
            let limits = method.limits().iter();
            let full = limits.filter_map(|(limit, window)| {
                let oldest = times.len().checked_sub(*limit)?;
                Some(times.get(oldest)? + window)
            });
            full.max().filter(|at| *at > now)
        };
        let refused = free_at(times).is_some();
        if !refused || method == Method::Graph {
            times.push_back(now);
            // No limit looks further back.
            while times.front().is_some_and(|at| now - at >= HOUR) {
                times.pop_front();
            }
        }
        match free_at(times) {
            Some(at) if refused => Err((at - now + SECOND - 1) / SECOND),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_minute_and_the_hour_slide() {
        let quotas = Quotas::default();
        let (tenant, app) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let take = |now| quotas.take(tenant, app, Method::List, now);
        for n in 0..50 {
            assert_eq!(
                take(n * SECOND / 10),
                Ok(()),
                "request {n} of the first minute"
            );
        }
        assert_eq!(take(5 * SECOND), Err(55), "the 51st within the minute");
        assert_eq!(
            quotas.take(tenant, app, Method::Get, 5 * SECOND),
            Ok(()),
            "get has its own"
        );
        assert_eq!(
            quotas.take(app, app, Method::List, 5 * SECOND),
            Ok(()),
            "so has each tenant"
        );
        assert_eq!(take(MINUTE - 1), Err(1));
        assert_eq!(take(MINUTE), Ok(()));
        let mut now = 2 * MINUTE;
        for _ in 51..1500 {
            assert_eq!(take(now), Ok(()), "at {} s", now / SECOND);
            now += 2 * SECOND;
        }
        let wait = (HOUR - now) / SECOND;
        assert_eq!(
            take(now),
            Err(wait),
            "the hour is full until its first request leaves it"
        );
        assert_eq!(take(HOUR), Ok(()));
    }

    #[test]
    fn graph_refuses_again_a_client_that_comes_back_too_early() {
        let take =
            |quotas: &Quotas, method, now| quotas.take(Uuid::nil(), Uuid::nil(), method, now);
        for (method, limit) in [(Method::Graph, 150), (Method::Get, 100)] {
            let quotas = Quotas::default();
            let pause = MINUTE / limit;
            for n in 0..limit {
                assert_eq!(take(&quotas, method, n * pause), Ok(()));
            }
            // A client that goes on four times as fast as the quota allows ...
            let times = (0..4 * limit).map(|n| MINUTE - 1 + n * pause / 4);
            let asked = times.map(|now| take(&quotas, method, now));
            let served = asked.filter(Result::is_ok).count();
            match method {
                Method::Graph => assert_eq!(served, 0, "is never served by Graph"),
                _ => assert!(served > 0, "is served by the Defender API"),
            }
            let now = 2 * MINUTE;
            if let Err(wait) = take(&quotas, method, now) {
                assert_eq!(
                    take(&quotas, method, now + wait * SECOND),
                    Ok(()),
                    "{method:?}"
                );
            }
        }
    }

    /// The documented quotas: that many requests within that many seconds.
    const DOCUMENTED: [(Method, &[(usize, i64)]); 3] = [
        (Method::List, &[(50, 60), (1500, 3600)]),
        (Method::Get, &[(100, 60), (1500, 3600)]),
        (Method::Graph, &[(150, 60)]),
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 30, ..ProptestConfig::default() })]

        #[test]
        fn no_window_holds_more_than_its_quota_and_the_stated_wait_is_enough(
            method in 0_usize..3,
            pauses in prop::collection::vec(0..5 * SECOND, 2500..4000),
        ) {
            let (method, limits) = DOCUMENTED[method];
            let quotas = Quotas::default();
            let take = |now| quotas.take(Uuid::nil(), Uuid::nil(), method, now);
            let mut taken: Vec<i64> = Vec::new();
            let mut now = 0;
            for pause in pauses {
                now += pause;
                let within = |seconds: i64| {
                    let recent = taken.iter().rev().take_while(|at| **at > now - seconds * SECOND);
                    recent.count()
                };
                let room = limits.iter().all(|(most, seconds)| within(*seconds) < *most);
                match take(now) {
                    Ok(()) => {
                        prop_assert!(room, "{method:?} at {now} was one too many");
                        taken.push(now);
                    }
                    Err(wait) => {
                        prop_assert!(!room, "{method:?} at {now} was refused for nothing");
                        if method == Method::Graph {
                            taken.push(now);
                        }
                        now += wait * SECOND;
                        prop_assert_eq!(take(now), Ok(()), "the stated wait was too short");
                        taken.push(now);
                    }
                }
            }
        }
    }
}
