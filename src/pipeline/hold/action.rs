//! A request's own words as what a reviewer sees: things with names, and parameters.
//!
//! Invariants:
//! - Each field of the request is in the action, by the name Kafka has for it, but for how long the client is ready to wait and
//!   who it is within its group.
//! - Passwords, and settings that may hold one, are shown as withheld; their bytes are given apart, for the digest.
//! - Two requests that a broker would not do alike do not read alike: a text is told from what is not there, and what stands
//!   within a structure from the structure.

use zeroize::Zeroizing;

use crate::policy::{ActionItem, ActionKind, Parameter, WITHHELD};
use crate::wire::kafka::layout::{Field, Group, Role};
use crate::wire::kafka::values::{Datum, Structure};

/// Bytes of secrets, each behind what it belongs to.
pub(super) type Withheld = Vec<Zeroizing<Vec<u8>>>;

/// Words in the names of settings whose values are not shown.
const SECRETIVE: &[&str] = &["password", "secret", "jaas", "credential", "token", "keystore.key", "certificate.chain"];

/// `ConfigResource.Type.BROKER_LOGGER`.
const BROKER_LOGGERS: i64 = 8;

/// Fields that say nothing of what is done.
fn is_aside(field: &Field) -> bool {
    let aside = ["CommittedLeaderEpoch", "CommittedMetadata", "RetentionTimeMs", "MemberId", "GroupInstanceId"];
    matches!(field.role, Some(Role::TimeoutMs | Role::ValidateOnly | Role::Generation | Role::ProducerId))
        || aside.contains(&field.name)
}

/// One element of a request: a topic, a group, a resource, a user.
pub(super) fn item(kind: ActionKind, name: &str, said: &Structure, withheld: &mut Withheld) -> ActionItem {
    let names = [Role::Topic, Role::TopicId, Role::GroupId, Role::ResourceName, Role::ResourceType, Role::User];
    let of_the_item = |field: &Field| field.role.is_some_and(|role| names.contains(&role));
    let mut own = Withheld::new();
    let mut parameters = parameters(said, &of_the_item, kind == ActionKind::Broker, &mut own);
    match said.number(Role::ResourceType) {
        Some(BROKER_LOGGERS) => parameters.push(("of".to_owned(), "its loggers".to_owned())),
        Some(number) if kind == ActionKind::Cluster => {
            parameters.push(("resource_type".to_owned(), number.to_string()))
        }
        _ => {}
    }
    withheld.extend(own.iter().enumerate().map(|(at, secret)| belonging(kind, name, &parameters, at, secret)));
    ActionItem { kind, name: name.to_owned(), parameters }
}

/// A secret behind what it is a secret of: two that change places are others.
fn belonging(kind: ActionKind, name: &str, parameters: &[Parameter], at: usize, secret: &[u8]) -> Zeroizing<Vec<u8>> {
    let of = format!("{kind} {name} {parameters:?} {at}");
    let mut bytes = Zeroizing::new(Vec::with_capacity(8 + of.len() + secret.len()));
    bytes.extend_from_slice(&(of.len() as u64).to_be_bytes());
    bytes.extend_from_slice(of.as_bytes());
    bytes.extend_from_slice(secret);
    bytes
}

/// Everything at the top of a request but what it names.
pub(super) fn of_all(said: &Structure, named: &dyn Fn(&Field) -> bool, withheld: &mut Withheld) -> Vec<Parameter> {
    parameters(said, named, false, withheld)
}

fn parameters(
    said: &Structure,
    named: &dyn Fn(&Field) -> bool,
    of_a_broker: bool,
    withheld: &mut Withheld,
) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for (field, datum) in said.fields.iter().filter(|(field, _)| !named(field) && !is_aside(field)) {
        match (datum, field.group) {
            (Datum::List(items), Some(Group::Config)) => {
                parameters.extend(items.iter().filter_map(|item| config(item, of_a_broker, withheld)));
            }
            (Datum::List(items), Some(Group::Partition)) => {
                parameters.extend(items.iter().filter_map(|item| partition(item, withheld)));
            }
            (datum, _) => parameters.push((snake_case(field.name), text(datum, withheld))),
        }
    }
    if said.unknown > 0 {
        parameters.push(("unknown_tagged_fields".to_owned(), said.unknown.to_string()));
    }
    parameters
}

/// `config retention.ms` and what becomes of it.
fn config(item: &Datum, of_a_broker: bool, withheld: &mut Withheld) -> Option<Parameter> {
    let Datum::Structure(said) = item else { return None };
    let name = said.text(Role::ConfigName).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let secretive = of_a_broker && SECRETIVE.iter().any(|word| lower.contains(word));
    let value = match said.get(Role::ConfigValue) {
        Some(Datum::Text(value)) if secretive => {
            withheld.push(Zeroizing::new(value.clone().into_bytes()));
            WITHHELD.to_owned()
        }
        Some(value) => text(value, withheld),
        None => "null".to_owned(),
    };
    // IncrementalAlterConfigs' operations (KIP-339).
    let how = said.fields.iter().find(|(field, _)| field.name == "ConfigOperation").map(|(_, how)| how);
    let value = match how {
        None => value,
        Some(Datum::Int(0)) => format!("set {value}"),
        Some(Datum::Int(1)) => "delete".to_owned(),
        Some(Datum::Int(2)) => format!("append {value}"),
        Some(Datum::Int(3)) => format!("subtract {value}"),
        Some(other) => format!("operation {} {value}", text(other, withheld)),
    };
    Some((format!("config {name}"), value))
}

/// `partition 3` and what else is said of it.
fn partition(item: &Datum, withheld: &mut Withheld) -> Option<Parameter> {
    let Datum::Structure(said) = item else { return None };
    let index = said.number(Role::Partition).unwrap_or(-1);
    let is_index = |field: &Field| field.role == Some(Role::Partition);
    let rest = parameters(said, &is_index, false, withheld);
    let rest = rest.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    Some((format!("partition {index}"), rest))
}

fn text(datum: &Datum, withheld: &mut Withheld) -> String {
    match datum {
        Datum::Null => "null".to_owned(),
        Datum::Bool(on) => on.to_string(),
        Datum::Int(number) => number.to_string(),
        Datum::Float(number) => number.to_string(),
        Datum::Text(text) if text == "null" || text.starts_with('"') => format!("{text:?}"),
        Datum::Text(text) => text.clone(),
        Datum::Id(id) => uuid::Uuid::from_bytes(*id).to_string(),
        Datum::Secret(secret) => {
            withheld.push(secret.clone());
            WITHHELD.to_owned()
        }
        Datum::Bytes(count) => format!("{count} bytes"),
        Datum::List(items) => {
            let items: Vec<String> = items.iter().map(|item| within(item, withheld)).collect();
            format!("[{}]", items.join(", "))
        }
        Datum::Structure(said) => {
            let inner = said.fields.iter().filter(|(field, _)| !is_aside(field));
            let inner = inner.map(|(field, datum)| format!("{}={}", snake_case(field.name), within(datum, withheld)));
            let mut words: Vec<String> = inner.collect();
            if said.unknown > 0 {
                words.push(format!("unknown_tagged_fields={}", said.unknown));
            }
            words.join(" ")
        }
    }
}

/// A value among others: quoted, unless it can be nothing but one word.
fn within(datum: &Datum, withheld: &mut Withheld) -> String {
    let is_word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "._-:/+".contains(c));
    match datum {
        Datum::Text(text) if text.is_empty() || text == "null" || !is_word(text) => format!("{text:?}"),
        Datum::Structure(_) => format!("({})", text(datum, withheld)),
        _ => text(datum, withheld),
    }
}

/// `NumPartitions` as `num_partitions`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
