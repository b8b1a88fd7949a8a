//! Notifies systemd (`Type=notify-reload`): ready, reloading, stopping, a status in words, and the watchdog.
//!
//! Without systemd (`NOTIFY_SOCKET` is not set) nothing is sent and nothing fails. A message that can't be sent is lost, with
//! a line at debug.
//!
//! Source: sd_notify(3), systemd.service(5) on `Type=notify-reload` and `WatchdogSec`.

use std::time::Duration;

use sd_notify::{NotifyState, notify, watchdog_enabled};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::core::health::failure::one_line;

/// The most characters that `systemctl status` shows well.
const MOST: usize = 300;
/// How often the status in words is checked. It is sent when it has changed.
const LOOK: Duration = Duration::from_secs(5);

/// The daemon has started, or has finished a reload; `status` says which.
pub fn ready(status: &str) {
    let status = one_line(status, MOST);
    send(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// A reload begins. [`ready`] must follow, whether it succeeds or not.
pub fn reloading() {
    // Without the time at which it began, systemd does not accept the message as the answer to its request.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "could not notify systemd of the reload"),
    }
}

/// The daemon stops.
pub fn stopping() {
    send(&[
        NotifyState::Stopping,
        NotifyState::Status("stopping: sweeps at work come to rest"),
    ]);
}

/// Sends `status` whenever it changes, and feeds the watchdog while `live` returns `Ok`, until `stop`.
pub async fn report(
    status: impl Fn() -> String,
    live: impl Fn() -> Result<(), String>,
    stop: CancellationToken,
) {
    let watchdog = watchdog_enabled();
    // Twice in each of its periods, as systemd advises.
    let pace = watchdog.map_or(LOOK, |period| LOOK.min(period / 2));
    let mut look = interval(pace.max(Duration::from_millis(10)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut dead) = (String::new(), None);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let now = one_line(&status(), MOST);
        if now != sent {
            send(&[NotifyState::Status(&now)]);
            sent = now;
        }
        let verdict = live();
        if let (Err(why), None) = (&verdict, &dead) {
            tracing::error!(error = why, "the daemon hangs");
        }
        if verdict.is_ok() && watchdog.is_some() {
            send(&[NotifyState::Watchdog]);
        }
        dead = verdict.err();
    }
}

fn send(message: &[NotifyState<'_>]) {
    if let Err(error) = notify(message) {
        tracing::debug!(%error, "could not notify systemd");
    }
}
