//! The script that every client plays, step by step, and what a client tells of each.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Target;
use crate::{During, Failure, Result};

/// A record as a test compares it. Kafka's null is `None`, which is not the empty text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The key.
    pub key: Option<String>,
    /// The value; none is a tombstone.
    pub value: Option<String>,
    /// In order, names may repeat.
    pub headers: Vec<(String, Option<String>)>,
}

impl Record {
    pub(super) fn to_json(&self) -> Value {
        json!({ "key": self.key, "value": self.value, "headers": self.headers })
    }

    fn from_json(json: &Value) -> Result<Self> {
        let doing = || format!("a record read back: {json}");
        let text = |v: &Value| v.as_str().map(ToOwned::to_owned);
        let headers = json["headers"].as_array().ok_or_else(|| Failure::new(doing()))?.iter();
        let header = |pair: &Value| Some((text(&pair[0])?, text(&pair[1])));
        let headers = headers.map(|h| header(h).ok_or_else(|| Failure::new(doing()))).collect::<Result<_>>()?;
        Ok(Self { key: text(&json["key"]), value: text(&json["value"]), headers })
    }
}

/// The records to send, by codec.
pub type Script = BTreeMap<&'static str, Vec<Record>>;

/// A part of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Makes the topic.
    Create,
    /// Sends the records, each under its codec, every one acknowledged.
    Produce,
    /// Reads them all with a group, and commits.
    Consume,
    /// Reads them all, goes back to the start, and reads them all again.
    Seek,
    /// To a topic of its own: a transaction that is aborted, one that is committed; reads what is committed.
    Transaction,
    /// Deletes the first record of partition 0.
    DeleteRecords,
    /// How many partitions the topic has.
    DescribeTopic,
    /// Where the brokers are.
    DescribeCluster,
    /// The topic's `cleanup.policy`.
    DescribeConfigs,
    /// The group's state.
    DescribeGroup,
}

impl Step {
    /// The whole script, in its order.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Produce,
        Self::Consume,
        Self::Seek,
        Self::Transaction,
        Self::DeleteRecords,
        Self::DescribeTopic,
        Self::DescribeCluster,
        Self::DescribeConfigs,
        Self::DescribeGroup,
    ];
    /// What every client can, or it would be none.
    pub const BASIC: [Self; 3] = [Self::Create, Self::Produce, Self::Consume];

    /// What programs call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Seek => "seek",
            Self::Transaction => "transaction",
            Self::DeleteRecords => "delete_records",
            Self::DescribeTopic => "describe_topic",
            Self::DescribeCluster => "describe_cluster",
            Self::DescribeConfigs => "describe_configs",
            Self::DescribeGroup => "describe_group",
        }
    }
}

/// One client's play.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// Where, and as whom.
    pub target: &'a Target,
    /// What to play, in this order.
    pub steps: &'a [Step],
    /// The topic; transactions go to one of this name with `-transactions` behind it.
    pub topic: &'a str,
    /// How many partitions they get,
    pub partitions: u32,
    /// and how many replicas of each.
    pub replication: u16,
    /// The consumer group.
    pub group: &'a str,
    /// The records.
    pub script: &'a Script,
}

impl Scene<'_> {
    /// How many records there are in all.
    pub fn count(&self) -> usize {
        self.script.values().map(Vec::len).sum()
    }
}

/// What a client told of the steps that it played.
#[derive(Debug, Default)]
pub struct Played(BTreeMap<Step, Value>);

impl Played {
    /// Adds what a step told.
    pub fn add(&mut self, step: Step, outcome: Value) {
        self.0.insert(step, outcome);
    }

    /// Adds what somebody else told of further steps.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// From a program's lines, which have to tell of exactly these steps: none left out in silence.
    pub(super) fn from_lines(lines: &str, steps: &[Step]) -> Result<Self> {
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).during(format!("a step's line: {line}")))
            .collect::<Result<_>>()?;
        let told: Vec<&str> = lines.iter().filter_map(|line| line["step"].as_str()).collect();
        let asked: Vec<&str> = steps.iter().map(|step| step.name()).collect();
        if told != asked {
            return Err(Failure::new(format!("the program was asked to play {asked:?}, and told of {told:?}")));
        }
        Ok(Self(steps.iter().copied().zip(lines).collect()))
    }

    /// What a step told; fails where it was not played.
    pub fn outcome(&self, step: Step) -> Result<&Value> {
        self.0.get(&step).ok_or_else(|| Failure::new(format!("{} was not played", step.name())))
    }

    /// The records that a step read, in no particular order.
    pub fn records(&self, step: Step) -> Result<Vec<Record>> {
        let records = self.outcome(step)?["records"].as_array();
        let records = records.ok_or_else(|| Failure::new(format!("{} told of no records", step.name())))?;
        records.iter().map(Record::from_json).collect()
    }

    /// Every broker's address that any of the steps told.
    pub fn addresses(&self) -> Vec<&str> {
        self.0
            .values()
            .filter_map(|outcome| outcome["addresses"].as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }
}
