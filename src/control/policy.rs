//! The policy, as operators handle it: whoever keeps it answers for it here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::{Action, Answer, Requester, Terms};
use crate::recorder::Queries;

/// Keeps the policy in force, and looks at others that are not.
pub trait PolicyReload: Send + Sync {
    /// Reads the policy file again and takes it over; returns when it is in force everywhere. The error says why the policy
    /// in force stays, a problem a line.
    fn reload(&self) -> Result<PolicyReloaded, String>;

    /// Puts other files in the place of the policy's and takes them over, if they are lawful and whoever wants it may; returns
    /// when they are in force everywhere. Nothing else changes the policy meanwhile.
    fn change(&self, change: PolicyChange<'_>) -> Result<PolicyReloaded, PolicyChangeError>;

    /// The policy in force.
    fn in_force(&self) -> PolicyInForce;

    /// What would be said of a policy of these files, without taking it over and without reading what they refer to.
    fn check(&self, files: Vec<PolicyFile>) -> PolicyChecked;

    /// Which rules decide over something, as `weir explain --json` says it. The error says what is wrong with the question.
    fn explain(&self, question: PolicyQuestion) -> Result<serde_json::Value, String>;

    /// What a policy of these files would do to what was recorded, as `weir simulate --json` says it.
    fn simulate(&self, trial: PolicyTrial, recording: Queries) -> Result<serde_json::Value, PolicyTrialError>;

    /// The cluster that is meant, where there may be only one; the error says which there are.
    fn cluster(&self, asked: Option<&str>) -> Result<String, String>;

    /// What has to be met before somebody does this through any listener of its cluster.
    fn terms(&self, requester: &Requester, action: &Action) -> Vec<Terms>;
}

/// A policy that is tried on what was recorded.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyTrial {
    /// All of its files.
    #[schema(min_items = 1, max_items = 1000)]
    pub files: Vec<PolicyFile>,
    /// From when on, ns since the Unix epoch; a week ago where it is not said.
    #[serde(default)]
    pub since_ns: Option<u64>,
    /// Until when; until now where it is not said.
    #[serde(default)]
    pub until_ns: Option<u64>,
    /// Only what this subject did.
    #[serde(default)]
    pub subject: Option<String>,
    /// Only what came through this listener.
    #[serde(default)]
    pub listener: Option<String>,
    /// At most this many ways of being denied, and of being held; 50 where it is not said. All are counted.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10_000)]
    pub limit: Option<u32>,
}

/// Why a policy cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum PolicyTrialError {
    /// It is wrong.
    #[error("the policy is wrong, and nothing was tried")]
    Wrong(Vec<PolicyProblem>),
    /// What is asked makes no sense.
    #[error("{0}")]
    Asked(String),
    /// The recording cannot be read.
    #[error("{0}")]
    Failed(String),
}

/// What somebody wants the policy to be.
pub struct PolicyChange<'a> {
    /// All of its files.
    pub files: Vec<PolicyFile>,
    /// Who.
    pub by: &'a Requester,
    /// Whether the policy in force is the one that they have seen.
    pub seen: &'a dyn Fn(&PolicyInForce) -> bool,
    /// Claims a grant of the change, or asks for one; only where rules hold it, and right before anything is written.
    pub ask: &'a dyn Fn(Action, Vec<Terms>) -> Answer,
}

/// Why the policy in force stays.
#[derive(Debug, thiserror::Error)]
pub enum PolicyChangeError {
    /// The configuration names none.
    #[error("the configuration names no policy file; add `policy: policy.yaml` to it and start the gateway anew")]
    NoFile,
    /// It is another than whoever changes it has seen.
    #[error("{0}")]
    NotSeen(String),
    /// Its files have names that they cannot have.
    #[error("{0}")]
    Names(String),
    /// It is wrong.
    #[error("the policy is wrong, the one in force stays")]
    Wrong(Vec<PolicyProblem>),
    /// Rules hold it, and more changes than a reviewer can be shown.
    #[error("rules hold this change, and it is too large to be shown to reviewers; make it in smaller steps")]
    TooLarge,
    /// Rules hold it, and there is no grant of it.
    #[error("rules hold this change")]
    Held(Answer),
    /// Its files cannot be written.
    #[error("{0}")]
    Unwritable(String),
    /// It was written, could not be taken over, and was put back.
    #[error("{0}\nthe policy's files are what they were before")]
    PutBack(String),
    /// It was written, could not be taken over, and could not be put back.
    #[error("{0}")]
    Broken(String),
}

/// What came of reading the policy file again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyReloaded {
    /// Whether the file says anything else than before.
    pub changed: bool,
    /// SHA-256 of the file in force, in hexadecimal.
    pub hash: String,
    /// Rules about access.
    pub access_rules: usize,
    /// Rules about approvals.
    pub approval_rules: usize,
    /// Rules about recording.
    pub recording_rules: usize,
    /// Rules about masking.
    pub masking_rules: usize,
    /// Shards that took it over.
    pub shards: usize,
    /// Connections that had to be closed since they passed on too long what the older policy let pass.
    pub connections_closed: usize,
    /// Until it was in force everywhere, ms.
    pub took_ms: u64,
}

/// The policy in force, with the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyInForce {
    /// SHA-256 in hexadecimal, as recordings name it; none without a policy file.
    pub hash: Option<String>,
    /// Rules about access.
    pub access_rules: usize,
    /// Rules about approvals.
    pub approval_rules: usize,
    /// Rules about recording.
    pub recording_rules: usize,
    /// Rules about masking.
    pub masking_rules: usize,
    /// What whoever wrote it should know, though it is lawful.
    pub warnings: Vec<String>,
    /// Its files, in the order in which their lists are joined.
    pub files: Vec<PolicyFile>,
}

/// A file of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Its name, without the folder.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// What it says. Secrets are not in it: a policy names where they are.
    pub text: String,
}

/// What is to be said of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyChecked {
    /// Whether it could be taken over.
    pub valid: bool,
    /// Everything that is wrong with it.
    pub problems: Vec<PolicyProblem>,
    /// What whoever wrote it should know, though it is lawful.
    pub warnings: Vec<String>,
}

/// One thing that is wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyProblem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// What was found and what was expected.
    pub reason: String,
}

/// What is asked about: what `weir explain` takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuestion {
    /// What they do: `fetch`, `produce`, an operation of access rules, such as `describe` or `alter_configs`, or one of approval
    /// rules, such as `delete_topics`.
    pub operation: String,
    /// The listener they come through; may be left out where there is one.
    #[serde(default)]
    pub listener: Option<String>,
    /// Who: the subject that logs in. Its groups are those of its active tokens, unless they are given.
    #[serde(default)]
    pub subject: Option<String>,
    /// The groups of whoever it is.
    #[serde(default)]
    pub groups: Option<Vec<String>>,
    /// Who vouches for them: `weir`, `certificate`, `anonymous` or an issuer's URL.
    #[serde(default)]
    pub issuer: Option<String>,
    /// What their client calls itself.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Where they connect from: an IP address.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub address: Option<std::net::IpAddr>,
    /// When, ns since the Unix epoch; now where it is not said.
    #[serde(default)]
    pub at_ns: Option<u64>,
    /// The topic.
    #[serde(default)]
    pub topic: Option<String>,
    /// The topic's partition; all of them where it is not said.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub partition: Option<i32>,
    /// The consumer group that they read for, or do something with.
    #[serde(default)]
    pub consumer_group: Option<String>,
    /// The transactional id that they write under, or do something with.
    #[serde(default)]
    pub transactional_id: Option<String>,
    /// They do something with the cluster.
    #[serde(default)]
    pub cluster: bool,
}
