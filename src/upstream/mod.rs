//! The brokers' side: where they are, what they speak, how Weir logs in.
//!
//! A [`Cluster`] is watched from a thread of its own ([`watch`]): shards read its [`View`] as an immutable snapshot and
//! tell it what they saw pass by ([`Tidings`]). Looking names up, probing versions and following brokers never happens on
//! a shard, nor does what is asked of a cluster before something is held ([`inquiry`]). The login ([`Login`]) is written without I/O, because shards and the watcher's own [`client`] both need it; what
//! it says is a [`Credential`]'s.

mod client;
mod cluster;
mod credential;
mod http;
mod inquiry;
mod jitter;
mod login;
mod watch;

pub use client::{Client, ClientError};
pub use cluster::{Broker, Cluster, ClusterOptions, Endpoint, Presence, Tidings, View};
pub use credential::{
    Answer, Conversation, Credential, CredentialError, CredentialOptions, OauthOptions, OauthToken, Upkeep, fetch_token,
};
pub use http::{HttpError, builder as http_builder, client as http_client, reason as http_reason};
pub use inquiry::{
    Answered, GroupFacts, Inquirer, PartitionFacts, Partitions, Place, Question, Readers, Setting, SettingsOf,
    TopicFacts, Trouble, Value,
};
pub use jitter::between as time_between;
pub use login::{Login, LoginError, LoginStep, Session};
pub use watch::{WatchError, Watcher, reach, unwatched};
