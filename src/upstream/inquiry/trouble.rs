//! Why something that Weir asked a cluster has no answer.
//!
//! Invariant: no text names a broker's address or what a credential knows: requesters read it, too.

use std::time::Duration;

use kafka_protocol::ResponseError;
use thiserror::Error;

use crate::upstream::client::ClientError;
use crate::wire::kafka::api;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Trouble {
    /// The cluster was not reached yet.
    #[error("no broker of the cluster is known yet")]
    NoBroker,
    /// An answer names a broker that the view does not have.
    #[error("broker {0} is not known")]
    UnknownBroker(i32),
    /// No version in common.
    #[error("broker {node} serves no version of {} that Weir asks", api::name(*key))]
    NotServed {
        /// The broker.
        node: i32,
        /// The API.
        key: i16,
    },
    /// No connection, or one that broke.
    #[error("broker {0} cannot be reached")]
    Unreached(i32),
    /// The broker hangs.
    #[error("broker {node} did not answer within {} s", waited.as_secs())]
    Silent {
        /// The broker.
        node: i32,
        /// How long was waited.
        waited: Duration,
    },
    /// Weir's own login.
    #[error("broker {0} does not let Weir log in")]
    Login(i32),
    /// An answer that cannot be read.
    #[error("broker {0} sent an answer that cannot be read")]
    Malformed(i32),
    /// The answer is an error.
    #[error("{} was answered with {}", api::name(*key), name_of(*code))]
    Refused {
        /// The API.
        key: i16,
        /// Kafka's error code.
        code: i16,
    },
    /// No such topic.
    #[error("the topic does not exist")]
    NoTopic,
    /// No such partition.
    #[error("the topic has no partition {0}")]
    NoPartition(i32),
    /// A partition without a leader.
    #[error("partition {0} has no leader")]
    NoLeader(i32),
    /// The broker answers and leaves this out, as older ones do where Weir may not know.
    #[error("the broker does not tell, perhaps because Weir has no right to know")]
    Untold,
    /// All of it took too long.
    #[error("the cluster did not answer in time")]
    Late,
    /// Too much is asked already.
    #[error("the cluster is asked too much at once")]
    Busy,
}

fn name_of(code: i16) -> String {
    ResponseError::try_from_code(code).map_or_else(|| format!("error {code}"), |error| format!("{error:?}"))
}

impl Trouble {
    /// Of a request to this broker.
    pub(super) fn of(node: i32, error: &ClientError, waited: Duration) -> Trouble {
        match error {
            ClientError::Connect { .. } | ClientError::Broken { .. } | ClientError::Tls { .. } => {
                Trouble::Unreached(node)
            }
            ClientError::Silent { .. } => Trouble::Silent { node, waited },
            ClientError::Waiting { .. } | ClientError::Login { .. } => Trouble::Login(node),
            ClientError::Malformed { .. } => Trouble::Malformed(node),
        }
    }

    /// What an error code comes to.
    pub(super) fn refused<T>(key: i16, code: i16, answer: T) -> Result<T, Trouble> {
        if code == 0 { Ok(answer) } else { Err(Trouble::Refused { key, code }) }
    }

    /// Whether a second try, with leaders and coordinators looked up anew, may go better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Trouble::UnknownBroker(_) | Trouble::Unreached(_) | Trouble::Silent { .. } | Trouble::NoLeader(_) => true,
            Trouble::Refused { code, .. } => {
                ResponseError::try_from_code(*code).is_some_and(|error| error.is_retriable())
            }
            _ => false,
        }
    }
}
