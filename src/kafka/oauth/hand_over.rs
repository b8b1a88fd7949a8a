//! Hands tokens over to clients.
//!
//! rdkafka answers when librdkafka asks for a token, but knows no extensions, and answers only while somebody serves the client's
//! events. So librdkafka asks on a queue that nobody reads ([`SASL_QUEUE`]). Each client gets its token when it is made, and
//! the next ones with its statistics.

use std::cell::Cell;
use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::bindings::rd_kafka_oauthbearer_set_token;
use rdkafka::client::Client;
use rdkafka::types::{RDKafka, RDKafkaRespErr};
use secrecy::{ExposeSecret, SecretString};

use super::token::LogInToken;

/// librdkafka's property that keeps its questions for tokens apart from all other events.
pub(in crate::kafka) const SASL_QUEUE: &str = "enable_sasl_queue";

thread_local! {
    /// The client that is logged in on this thread.
    static AT_WORK: Cell<*mut RDKafka> = const { Cell::new(ptr::null_mut()) };
}

/// Logs a client in: its context finds it through [`ClientLogIn::find`].
pub(in crate::kafka) fn log_in<C: ClientContext>(client: &Client<C>) {
    AT_WORK.set(client.native_ptr());
    // The one method that leads from any client to its own events. rdkafka itself never calls it.
    let _ = client.context().generate_oauth_token(None);
    AT_WORK.set(ptr::null_mut());
}

/// The log-in of the client that its owner is the context of.
#[derive(Default)]
pub(in crate::kafka) struct ClientLogIn {
    /// Null until it is logged in.
    client: AtomicPtr<RDKafka>,
    /// The token that it has.
    given: Mutex<Option<SecretString>>,
}

impl ClientLogIn {
    /// Finds the client, when it is being logged in.
    pub(in crate::kafka) fn find(&self) {
        let client = AT_WORK.get();
        if !client.is_null() {
            self.client.store(client, Ordering::Release);
        }
    }

    /// Gives the client this token, if it has another one. To be called only while the client lives: by [`log_in`], or by one of
    /// its events.
    pub(in crate::kafka) fn renew(&self, token: &LogInToken) {
        let client = self.client.load(Ordering::Acquire);
        let mut given = self.given.lock();
        let has = given.as_ref().map(ExposeSecret::expose_secret);
        if client.is_null() || has == Some(token.value.expose_secret()) {
            return;
        }
        match set_token(client, token) {
            true => *given = Some(token.value.clone()),
            false => {
                tracing::debug!(target: "incidentd::kafka", "librdkafka does not accept a token");
            }
        }
    }
}

/// Whether librdkafka accepts the token: it does while the token has not expired.
#[allow(
    unsafe_code,
    reason = "rdkafka wraps this call only in its handler of events, and without extensions"
)]
fn set_token(client: *mut RDKafka, token: &LogInToken) -> bool {
    let value = CString::new(token.value.expose_secret());
    let (Ok(value), Ok(principal)) = (value, CString::new(token.client_id.as_str())) else {
        return false;
    };
    let extensions = token
        .extensions
        .iter()
        .flat_map(|(key, value)| [key, value]);
    let extensions = extensions.map(|text| CString::new(text.as_str()));
    let Ok(extensions) = extensions.collect::<Result<Vec<CString>, _>>() else {
        return false;
    };
    let mut extensions: Vec<*const c_char> = extensions.iter().map(|it| it.as_ptr()).collect();
    // SAFETY: the client lives, because it is being logged in or serves one of its events; each context belongs to one client.
    // librdkafka is thread-safe. All strings end with NUL, live until the call returns, and are copied; there is an even number of
    // extensions. Without room for a text of its own, librdkafka writes none: such a text may hold the token.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client,
            value.as_ptr(),
            token.end(),
            principal.as_ptr(),
            extensions.as_mut_ptr(),
            extensions.len(),
            ptr::null_mut(),
            0,
        )
    };
    code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}
