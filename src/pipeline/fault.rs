//! Why a connection has to end, and whose doing it was.

use thiserror::Error;

use crate::event::CloseReason;
use crate::wire::kafka::correlation::Surprise;
use crate::wire::kafka::frame::FrameError;
use crate::wire::kafka::walk::Malformed;

/// A reason to end one connection. The text goes to the log; it never holds a byte of a frame's content.
#[derive(Debug, Error)]
pub enum Fault {
    /// The client sent what is no Kafka frame.
    #[error("client: {0}")]
    ClientFrame(FrameError),
    /// The client sent a request whose body does not follow its API's layout.
    #[error("client: {0}")]
    ClientBody(Malformed),
    /// The client asked for what may not be forwarded and has no error answer.
    #[error("client: {0}")]
    Refused(String),
    /// The client is not, or no longer, who it has to be.
    #[error("client: {0}")]
    Authentication(String),
    /// TLS with the client failed.
    #[error("client: {0}")]
    ClientTls(String),
    /// A limit was reached.
    #[error("client: {0}")]
    Limit(String),
    /// An answer is beyond a limit.
    #[error("upstream: {0}")]
    AnswerLimit(String),
    /// The broker sent what is no Kafka frame.
    #[error("upstream: {0}")]
    UpstreamFrame(FrameError),
    /// The broker's answer, whose addresses have to be rewritten, does not follow its API's layout.
    #[error("upstream: {0}")]
    UpstreamBody(Malformed),
    /// The broker's answer is to nothing that was asked.
    #[error("upstream: {0}")]
    Surprise(Surprise),
    /// TLS with the broker failed.
    #[error("upstream: {0}")]
    UpstreamTls(String),
    /// The broker closed before it had answered.
    #[error("upstream: the broker closed the connection with {in_flight} requests unanswered")]
    UpstreamClosed {
        /// How many.
        in_flight: usize,
    },
    /// The broker cannot be reached or does not let Weir in.
    #[error("upstream: {0}")]
    Unreachable(String),
}

impl Fault {
    /// How the recording names it.
    pub fn close_reason(&self) -> CloseReason {
        match self {
            Fault::ClientFrame(_) | Fault::ClientBody(_) | Fault::ClientTls(_) => CloseReason::Malformed,
            Fault::Refused(_) => CloseReason::Refused,
            Fault::Authentication(_) => CloseReason::Authentication,
            Fault::Limit(_) | Fault::AnswerLimit(_) => CloseReason::Limit,
            Fault::UpstreamFrame(_)
            | Fault::UpstreamBody(_)
            | Fault::UpstreamTls(_)
            | Fault::Surprise(_)
            | Fault::UpstreamClosed { .. } => CloseReason::Upstream,
            Fault::Unreachable(_) => CloseReason::UpstreamUnreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::pipeline::drive;
    use crate::wire::kafka::api::{self, key};

    #[test]
    fn an_answer_beyond_a_limit_is_the_brokers_doing() {
        // Found by fuzzing: a Fetch of version 18 whose frame is said to go on for 600 MiB behind its records.
        let whole = b"\x27\0\0\xe4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0";
        let fetch = api::lookup(key::FETCH).map(|api| (api, 18));
        let passed = drive::way_back(whole, fetch.as_slice(), 7, None);
        let told = passed.fault.unwrap_or_default();
        assert!(told.starts_with("upstream: an answer has") && told.ends_with("bytes behind its records"), "{told}");
    }
}
