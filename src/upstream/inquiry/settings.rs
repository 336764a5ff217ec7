//! What DescribeConfigs says of a topic, a group or a broker.

use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::protocol::StrBytes;

use super::links::Links;
use super::trouble::Trouble;
use crate::wire::kafka::api::{Versions, key};

const DESCRIBE_CONFIGS: Versions = Versions { min: 1, max: 4 };

/// Whose settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingsOf<'a> {
    /// A topic's.
    Topic(&'a str),
    /// A consumer, share or streams group's.
    Group(&'a str),
    /// A broker's, by node id; without one those that all brokers share.
    Broker(Option<i32>),
}

impl SettingsOf<'_> {
    /// The resource type, and the source of what was set on the resource itself (`ConfigResource.Type`,
    /// `DescribeConfigsResponse.ConfigSource` of Kafka).
    fn numbers(self) -> (i8, i8) {
        match self {
            SettingsOf::Topic(_) => (2, 1),
            SettingsOf::Group(_) => (32, 8),
            SettingsOf::Broker(Some(_)) => (4, 2),
            SettingsOf::Broker(None) => (4, 3),
        }
    }

    fn name(self) -> String {
        match self {
            SettingsOf::Topic(name) | SettingsOf::Group(name) => name.to_owned(),
            SettingsOf::Broker(node) => node.map(|node| node.to_string()).unwrap_or_default(),
        }
    }
}

/// A setting as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value; none where it has none, or nobody may see it.
    pub value: Option<String>,
    /// Nobody may see it.
    pub is_sensitive: bool,
    /// It was set here; else it holds by default.
    pub is_set: bool,
    /// What holds when it is not set here, where brokers tell it in the same unit.
    pub default: Option<String>,
}

/// These settings, or all where none is named; those that brokers do not know are left out.
pub(super) async fn describe(links: &Links, of: SettingsOf<'_>, names: &[&str]) -> Result<Vec<Setting>, Trouble> {
    let (kind, own) = of.numbers();
    let keys = names.iter().map(|name| StrBytes::from_string((*name).to_owned())).collect::<Vec<_>>();
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_string(of.name()))
        .with_configuration_keys((!keys.is_empty()).then_some(keys));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]).with_include_synonyms(true);
    let answer = match of {
        // Each broker knows its own only.
        SettingsOf::Broker(Some(node)) => links.call(node, &request, DESCRIBE_CONFIGS).await?,
        _ => links.call_any(&request, DESCRIBE_CONFIGS).await?,
    };
    let mut settings = Vec::new();
    for result in answer.results {
        Trouble::refused(key::DESCRIBE_CONFIGS, result.error_code, ())?;
        settings.extend(result.configs.into_iter().map(|setting| of_answer(setting, own)));
    }
    Ok(settings)
}

/// What a setting's name ends with: its unit, where it has one.
fn unit(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn of_answer(setting: DescribeConfigsResourceResult, own: i8) -> Setting {
    let text = |value: &Option<StrBytes>| value.as_ref().map(ToString::to_string);
    let is_set = setting.config_source == own;
    let default = match is_set {
        true => {
            let next = setting.synonyms.iter().find(|synonym| synonym.source != own && synonym.value.is_some());
            // A topic's `retention.ms` goes back to the broker's `log.retention.hours`, whose value is no milliseconds.
            next.filter(|next| unit(&next.name) == unit(&setting.name)).and_then(|next| text(&next.value))
        }
        false => text(&setting.value),
    };
    Setting {
        name: setting.name.to_string(),
        value: text(&setting.value),
        is_sensitive: setting.is_sensitive,
        is_set,
        default,
    }
}
