//! Gives a token to a client that does not ask for it in time.
//!
//! rdkafka hands tokens over only while it serves a client's events. Nobody serves those of an administration client. Consumers
//! serve theirs when they are polled, which is after the first question that they ask.

use std::ffi::CString;
use std::ptr;

use rdkafka::ClientContext;
use rdkafka::bindings::rd_kafka_oauthbearer_set_token;
use rdkafka::client::Client;
use rdkafka::types::RDKafkaRespErr;
use secrecy::ExposeSecret;

use super::token::LogInToken;

/// Whether librdkafka accepts the token: it does while the token has not expired.
#[allow(
    unsafe_code,
    reason = "rdkafka wraps this call only in its handler of events; an administration client could not log in"
)]
pub(in crate::kafka) fn hand_over<C: ClientContext>(
    client: &Client<C>,
    token: &LogInToken,
) -> bool {
    let value = CString::new(token.value.expose_secret());
    let (Ok(value), Ok(principal)) = (value, CString::new(token.client_id.as_str())) else {
        return false;
    };
    // SAFETY: the client lives as long as the borrow, and librdkafka is thread-safe. Both strings end with NUL, live until the
    // call returns, and are copied. There are no extensions. Without room for a text of its own, librdkafka writes none: such a
    // text may hold the token.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.end(),
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            ptr::null_mut(),
            0,
        )
    };
    code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}
