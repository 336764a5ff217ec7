//! What settings are, and what they would be.

use super::Survey;
use crate::policy::{ActionItem, ActionKind};
use crate::upstream::{Setting, SettingsOf, Trouble};

/// How a setting is written in an action.
const PREFIX: &str = "config ";

/// What would be done to a setting.
enum Change<'a> {
    Set(&'a str),
    Append(&'a str),
    Subtract(&'a str),
    Unset,
}

impl Change<'_> {
    /// A plain value stands for itself: `delete` is one only of the setting that can have it.
    fn of<'a>(name: &str, value: &'a str) -> (Change<'a>, bool) {
        match value.split_once(' ') {
            Some(("set", value)) => (Change::Set(value), false),
            Some(("append", value)) => (Change::Append(value), false),
            Some(("subtract", value)) => (Change::Subtract(value), false),
            None if value == "delete" && name == "cleanup.policy" => (Change::Set(value), false),
            None if value == "delete" => (Change::Unset, false),
            _ => (Change::Set(value), true),
        }
    }
}

impl Survey<'_> {
    /// Each setting from what it is to what it would be.
    pub(super) async fn alter_configs(&mut self) {
        for item in &self.action.items {
            let of = match (item.kind, item.name.parse()) {
                (ActionKind::Topic, _) => SettingsOf::Topic(&item.name),
                (ActionKind::Group, _) => SettingsOf::Group(&item.name),
                (ActionKind::Broker, Ok(node)) => SettingsOf::Broker(Some(node)),
                (ActionKind::Broker, Err(_)) => SettingsOf::Broker(None),
                _ => continue,
            };
            let about = if item.name.is_empty() { "all brokers" } else { &item.name };
            // Those that are not named go back to their default where the whole is replaced, so all are asked for.
            match self.inquirer.settings(of, &[]).await {
                Ok(settings) => self.changes(about, item, &settings),
                Err(Trouble::Refused { code: UNKNOWN_TOPIC, .. }) => self.tell(about, "exists", "it does not exist"),
                Err(trouble) => self.unknown(&format!("settings of {about} are"), trouble),
            }
        }
    }

    fn changes(&mut self, about: &str, item: &ActionItem, settings: &[Setting]) {
        let named: Vec<(&str, &str)> =
            item.parameters.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, &**value))).collect();
        for (name, value) in &named {
            let now = settings.iter().find(|setting| setting.name == *name);
            let (change, _) = Change::of(name, value);
            let from = now.map_or_else(|| "not set".to_owned(), shown);
            let to = match change {
                Change::Set(value) => value.to_owned(),
                Change::Append(value) => format!("with {value}"),
                Change::Subtract(value) => format!("without {value}"),
                Change::Unset => default_of(now),
            };
            self.tell(about, "setting", format!("{name}: {from} -> {to}"));
        }
        let replaces = !named.is_empty() && named.iter().all(|(name, value)| Change::of(name, value).1);
        let lost = settings.iter().filter(|s| replaces && s.is_set && named.iter().all(|(name, _)| s.name != *name));
        for setting in lost {
            self.tell(
                about,
                "setting",
                format!("{}: {} -> {}", setting.name, shown(setting), default_of(Some(setting))),
            );
        }
    }
}

/// Kafka's error for a topic that does not exist.
const UNKNOWN_TOPIC: i16 = 3;

fn shown(setting: &Setting) -> String {
    let value = match (&setting.value, setting.is_sensitive) {
        (_, true) => "(withheld)",
        (Some(value), _) if value.is_empty() => "(empty)",
        (Some(value), _) => value,
        (None, _) => "not set",
    };
    if setting.is_set { value.to_owned() } else { format!("{value} (default)") }
}

fn default_of(setting: Option<&Setting>) -> String {
    match setting.and_then(|setting| setting.default.as_ref()).filter(|default| !default.is_empty()) {
        Some(default) => format!("{default} (default)"),
        None => "its default".to_owned(),
    }
}
