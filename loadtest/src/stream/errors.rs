//! Which errors of a stock client are Kafka's own and passing, as one sees them without a gateway when brokers come and go.

use kafka_protocol::ResponseError;

/// One error as a client told it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Error {
    /// Which client.
    pub client: String,
    /// Where it was told: `client`, `delivery`, `consumer`, `log`.
    pub place: String,
    /// Its name in capitals, as Kafka or librdkafka has it.
    pub name: String,
    /// The client's words.
    pub text: String,
}

/// What librdkafka says of connections that end and requests that wait too long.
const LIBRDKAFKA: [&str; 4] = ["_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_TIMED_OUT_QUEUE"];

/// What a member of a group is told when the group moves on without it: it joins again.
const GROUPS: [&str; 6] = [
    "REBALANCE_IN_PROGRESS",
    "UNKNOWN_MEMBER_ID",
    "ILLEGAL_GENERATION",
    "FENCED_MEMBER_EPOCH",
    "STALE_MEMBER_EPOCH",
    "MEMBER_ID_REQUIRED",
];

/// Names from before Kafka renamed these: librdkafka, kafkajs and aiokafka have them.
const OLD_NAMES: [&str; 5] = [
    "NOT_LEADER_FOR_PARTITION",
    "GROUP_COORDINATOR_NOT_AVAILABLE",
    "NOT_COORDINATOR_FOR_GROUP",
    "GROUP_LOAD_IN_PROGRESS",
    "UNKNOWN_TOPIC_OR_PART",
];

impl Error {
    /// Whether a client may be told this while brokers fail. A record that was given up is never in order, nor is one
    /// that arrived corrupted, which Kafka counts as retriable.
    pub fn is_kafkas_own(&self) -> bool {
        self.place != "delivery" && (passes(&self.name) || self.is_overtaken())
    }

    /// Java keeps five batches on the way. When a partition's leader changes, a later one may reach the new leader before
    /// an earlier one that the old leader refused: it is out of order there, and sent again. Seen without a gateway, too.
    fn is_overtaken(&self) -> bool {
        self.place == "log" && self.name == "OUT_OF_ORDER_SEQUENCE_NUMBER" && self.text.contains(", retrying (")
    }
}

fn passes(name: &str) -> bool {
    let retriable = || all().any(|e| e.is_retriable() && upper(e) == name);
    let known = LIBRDKAFKA.contains(&name) || GROUPS.contains(&name) || OLD_NAMES.contains(&name);
    name != "CORRUPT_MESSAGE" && (known || retriable())
}

/// The lines of a client's report: place, name, words.
pub fn reported(client: &str, text: &str) -> Vec<Error> {
    text.lines().filter_map(|line| error_of(client, line)).collect()
}

fn error_of(client: &str, line: &str) -> Option<Error> {
    let mut parts = line.splitn(3, ' ');
    let (place, name, text) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Error { client: client.into(), place: place.into(), name: name.into(), text: text.into() })
}

/// Kafka's errors that a client's log names, and what librdkafka says of answers that it cannot read.
pub fn logged(client: &str, log: &str) -> Vec<Error> {
    let errors: Vec<String> = all().map(upper).collect();
    let told = |word: &str| errors.iter().any(|e| e == word) || word.starts_with("PROTO");
    let mut found = Vec::new();
    for line in log.lines() {
        let words = line.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        found.extend(words.filter(|word| told(word)).map(|word| Error {
            client: client.into(),
            place: "log".into(),
            name: word.into(),
            text: line.into(),
        }));
    }
    found
}

fn all() -> impl Iterator<Item = ResponseError> {
    (-1..200).filter_map(ResponseError::try_from_code).filter(|e| !matches!(e, ResponseError::Unknown(_)))
}

/// `NotLeaderOrFollower` as Kafka writes it.
fn upper(error: ResponseError) -> String {
    let mut name = String::new();
    for c in format!("{error:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_kafkas_own_and_what_tells_of_damage_is_not() {
        let names = |text: &str| reported("c", text).iter().map(Error::is_kafkas_own).collect::<Vec<_>>();
        assert_eq!(
            names("client _TRANSPORT x\nclient NOT_LEADER_OR_FOLLOWER x\nconsumer REQUEST_TIMED_OUT x"),
            [true; 3]
        );
        assert_eq!(names("client CORRUPT_MESSAGE x\nclient _BAD_MSG x\ndelivery _TIMED_OUT x"), [false; 3]);
        assert_eq!(
            names("consumer OFFSET_OUT_OF_RANGE x\nclient OUT_OF_ORDER_SEQUENCE_NUMBER x\nclient _AUTHENTICATION x"),
            [false; 3]
        );
    }

    #[test]
    fn kafkas_errors_are_found_in_a_log() {
        let log =
            "WARN Sender retrying (1 left). Error: NOT_LEADER_OR_FOLLOWER\nWARN PRODUCER_ID nothing\n%3|1|PROTOUFLOW|x";
        let found: Vec<_> = logged("c", log).iter().map(|e| (e.name.clone(), e.is_kafkas_own())).collect();
        let overtaken =
            "WARN Sender Got error produce response, retrying (9 attempts left). Error: OUT_OF_ORDER_SEQUENCE_NUMBER";
        assert!(logged("java", overtaken)[0].is_kafkas_own());
        assert!(!logged("java", &overtaken.replace(", retrying", ""))[0].is_kafkas_own());
        assert_eq!(found, [("NOT_LEADER_OR_FOLLOWER".to_owned(), true), ("PROTOUFLOW".to_owned(), false)]);
    }
}
