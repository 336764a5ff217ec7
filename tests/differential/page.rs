//! `docs/compatibility.md`: what becomes of every API and version, and which tests show it.
//!
//! It is made of the table, the layouts, the corpora and what a broker says it serves; nothing in it depends on how a
//! run goes.

use std::collections::BTreeMap;
use std::fmt::Write;

use kafka_protocol::messages::ApiVersionsRequest;
use loadtest::kafka::VERSION;
use loadtest::wire::Connection;
use weir::wire::kafka::api::{self, Api, Class, NONE, Versions, key};
use weir::wire::kafka::layout::{Direction, Field, Role};

use super::case::Case;
use super::sample::layout;
use super::trial;

/// Where the page is.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/compatibility.md");

/// The tests of this suite, by the letter that stands for each in the table. Naming the function keeps the name true.
macro_rules! tests {
    ($($letter:literal $test:ident $says:literal;)*) => {
        const TESTS: &[(char, &str, &str)] = &[$(($letter, stringify!($test), $says)),*];
        const _: &[fn()] = &[$(super::$test),*];
    };
}

tests! {
    'V' every_api_answers_through_weir_as_it_does_directly
        "a request that succeeds, or fails in the way it is meant to, written by hand: the same answer";
    'G' every_version_of_every_row_answers_as_the_broker_does_or_is_refused_before_it
        "requests made from the layouts, with nothing in them and with one of everything: the same answer; changes of \
         security are refused where the listener does not allow them";
    'H' what_no_client_should_send_gets_the_brokers_answer_or_none_and_never_reaches_it_against_the_rules
        "some 25 requests of each version with one thing wrong or odd in each: the broker's answer, a refusal or a \
         close; what was not let pass is not in the broker's request log";
    'B' what_is_passed_on_arrives_byte_for_byte_in_every_version_both_ways
        "what arrives at the broker is what the client sent, and back, where no address is in it";
    'O' what_is_not_in_the_table_and_what_only_brokers_say_is_refused_before_it_reaches_one
        "every version beside those served, and what only brokers say: refused or closed, whatever the listener allows, \
         and not in the broker's request log, nor at a broker that writes down all that reaches it";
}

/// What Weir answers itself, and the tests of it.
const HERE: &[(i16, &str)] = &[
    (key::SASL_HANDSHAKE, "`tests/logins`"),
    (key::API_VERSIONS, "`tests/refusals.rs`"),
    (key::SASL_AUTHENTICATE, "`tests/logins`"),
];

/// Whether an API is answered by Weir itself, as far as these tests know.
pub fn answered_here(key: i16) -> bool {
    HERE.iter().any(|(here, _)| *here == key)
}

/// What a broker answers without saying that it serves it: no request to it succeeds, so that there are generated ones
/// only.
pub const NOT_ADVERTISED: &[(i16, &str)] = &[
    (key::GET_TELEMETRY_SUBSCRIPTIONS, "brokers serve it where a metrics reporter of theirs takes telemetry"),
    (key::PUSH_TELEMETRY, "brokers serve it where a metrics reporter of theirs takes telemetry"),
];

/// The page.
pub fn text(corpus: &[Case]) -> String {
    let served = served_by_broker();
    let mut page = format!("{}\n", head());
    page.push_str("| key | API | broker | served | advertised | class | Weir | to note | tests |\n");
    page.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for row in api::TABLE {
        let advertised = Versions { min: row.advertised_min(), ..row.served };
        let advertised = match row.class {
            Class::Refused => "-".to_owned(),
            Class::Security => format!("{}, where allowed", range(advertised)),
            _ => range(advertised),
        };
        let cells = [
            row.key.to_string(),
            row.name.to_owned(),
            range(served.get(&row.key).copied().unwrap_or(NONE)),
            range(row.served),
            advertised,
            format!("{:?}", row.class).to_lowercase(),
            deed(row.class).to_owned(),
            notes(row),
            tests_of(row, corpus),
        ];
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
    page.push_str(&legend());
    page
}

fn head() -> String {
    format!(
        "# Compatibility\n\n\
         What becomes of every API of Kafka, version by version. This page is generated (`make compatibility`) from the \
         table of APIs,\nthe layouts of messages and the tests' own tables, and a test fails when it is stale.\n\n\
         *Broker* is what a broker of Apache Kafka {VERSION} serves to clients, *served* what Weir passes on or answers, \
         *advertised* what it\ntells clients in ApiVersions, cut down to what the cluster behind it serves. What is not \
         in this table, API or version, is never\nforwarded. `-` is none.\n"
    )
}

fn legend() -> String {
    let mut text = "\n## Tests\n\nAll of them are in `tests/differential`, on both runtimes, and run against a real \
                    broker, B against one that repeats what it got.\nA version in brackets is the only one that a letter stands for.\n\n\
                    | letter | test | what it shows |\n|---|---|---|\n"
        .to_owned();
    for (letter, test, says) in TESTS {
        let _ = writeln!(text, "| {letter} | `{test}` | {says} |");
    }
    text.push_str("\n## Stricter than a broker\n\nWhere a broker would have answered and Weir refuses or closes:\n\n");
    for (twist, why) in trial::STRICTER {
        let _ = writeln!(text, "- {}: {why}", words(&format!("{twist:?}")));
    }
    text
}

/// `NotUtf8` as `not utf8`.
fn words(name: &str) -> String {
    let spaced = name.chars().flat_map(|letter| {
        let space = letter.is_uppercase().then_some(' ');
        space.into_iter().chain(letter.to_lowercase())
    });
    spaced.collect::<String>().trim_start().to_owned()
}

fn served_by_broker() -> BTreeMap<i16, Versions> {
    let mut connection = Connection::open(super::arena::address()).unwrap();
    let answer = connection.call(0, &ApiVersionsRequest::default()).unwrap();
    assert!(answer.api_keys.len() > 50, "a broker of {VERSION} serves more: {answer:?}");
    let range = |min, max| Versions { min, max };
    answer.api_keys.iter().map(|api| (api.api_key, range(api.min_version, api.max_version))).collect()
}

fn range(versions: Versions) -> String {
    match versions {
        versions if versions.is_empty() => "-".to_owned(),
        Versions { min, max } if min == max => min.to_string(),
        Versions { min, max } => format!("{min}-{max}"),
    }
}

/// What Weir does with a class.
fn deed(class: Class) -> &'static str {
    match class {
        Class::Here => "answers itself",
        Class::Forward | Class::Risky => "passes on",
        Class::Rewrite => "passes on, replaces addresses in the answer",
        Class::Security => "refuses, passes on where `allow_security_changes`",
        Class::Refused => "refuses always",
    }
}

/// What a user may want to know of an API, from the table and the layouts.
fn notes(row: &Api) -> String {
    let mut notes = Vec::new();
    let left_out = match row.key {
        key::ADD_PARTITIONS_TO_TXN => Some("v4 and up is the batch that only brokers send"),
        key::INIT_PRODUCER_ID => Some("v6 is not stable in Kafka 4.3"),
        key::PRODUCE => Some("v0-2 are advertised as Kafka does (KAFKA-18659), and not served"),
        _ => None,
    };
    let not_advertised = NOT_ADVERTISED.iter().find(|(key, _)| *key == row.key).map(|(_, why)| *why);
    notes.extend(left_out.or(not_advertised).map(ToOwned::to_owned));
    if let Some(versions) = with_role(row, Direction::Response, Role::Host)
        && row.class == Class::Rewrite
    {
        notes.push(format!("addresses in v{}", range(versions)));
    }
    if with_role(row, Direction::Request, Role::ReplicaId).is_some() {
        notes.push("replica ids of brokers are refused".to_owned());
    }
    let of_brokers = match row.key {
        key::ALTER_CONFIGS => Some("settings of brokers as `security`"),
        key::INCREMENTAL_ALTER_CONFIGS => {
            Some("settings of brokers as `security`, but for how fast they copy replicas")
        }
        _ => None,
    };
    notes.extend(of_brokers.map(ToOwned::to_owned));
    if let Some(versions) = with_role(row, Direction::Request, Role::TopicId) {
        notes.push(format!("topics by id in v{}", range(versions)));
    }
    if row.changes {
        notes.push("noted before it is forwarded".to_owned());
    }
    notes.join("; ")
}

/// The versions served whose layout has a field of this role.
fn with_role(row: &Api, direction: Direction, role: Role) -> Option<Versions> {
    fn has(fields: &[Field], version: i16, role: Role) -> bool {
        fields
            .iter()
            .filter(|field| field.versions.contains(version))
            .any(|field| field.role == Some(role) || has(&field.fields, version, role))
    }
    let message = layout(row.key, direction)?;
    let mut versions = (row.served.min..=row.served.max).filter(|version| has(&message.fields, *version, role));
    let min = versions.next()?;
    Some(Versions { min, max: versions.next_back().unwrap_or(min) })
}

/// Letters of the tests that cover all versions served, with the versions where it is only some.
fn tests_of(row: &Api, corpus: &[Case]) -> String {
    if let Some((_, tests)) = HERE.iter().find(|(key, _)| *key == row.key) {
        return format!("{tests}, H");
    }
    let by_hand = corpus.iter().filter(|case| case.key == row.key).flat_map(|case| case.versions.clone()).collect();
    let generated: Vec<i16> = (row.served.min..=row.served.max).collect();
    let outside = if row.served.is_empty() { "O" } else { " O" };
    let covered = [('V', by_hand), ('G', generated.clone()), ('H', generated.clone()), ('B', generated)];
    let words = covered.into_iter().filter_map(|(letter, mut versions)| {
        versions.retain(|version| row.serves(*version));
        versions.sort_unstable();
        versions.dedup();
        let all = versions.len() == usize::try_from(row.served.max - row.served.min + 1).unwrap_or(0);
        match (versions.first(), versions.last()) {
            (Some(_), Some(_)) if all => Some(letter.to_string()),
            (Some(&min), Some(&max)) => Some(format!("{letter} (v{})", range(Versions { min, max }))),
            _ => None,
        }
    });
    words.collect::<Vec<String>>().join(" ") + outside
}
