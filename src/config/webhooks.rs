//! `webhooks`: who else is told of requests, decisions and grants, and how.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use zeroize::Zeroizing;

use super::clusters::unique;
use super::reader::{Reader, Section, found, keys};
use super::yaml::{Data, Node};
use super::{Secret, Webhook, WebhookEvent, WebhookFormat, sasl, secret, value};
use crate::policy::{confined, is_loopback};

const KEYS: &[&str] = &["name", "url", "format", "events", "secret", "allow_private", "ca"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    CloudEvents,
    Slack,
    PagerDuty,
}

const FORMATS: &[(&str, Format)] =
    &[("cloudevents", Format::CloudEvents), ("slack", Format::Slack), ("pagerduty", Format::PagerDuty)];

const EVENTS: &[(&str, WebhookEvent)] = &[
    ("request.created", WebhookEvent::RequestCreated),
    ("request.decided", WebhookEvent::RequestDecided),
    ("grant.used", WebhookEvent::GrantUsed),
    ("grant.revoked", WebhookEvent::GrantRevoked),
    ("break_glass", WebhookEvent::BreakGlass),
];

/// Where PagerDuty takes events, but for its European service region.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// A key of Standard Webhooks, bytes.
const SIGNING_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Keys that sign at the same time: the new one, the old one, and one more by mistake.
const SIGNING_KEYS_MAX: usize = 4;

/// A key that signs events: zeroized when the last clone goes, shown by nothing.
#[derive(Clone)]
pub struct SigningKey(Arc<Zeroizing<Vec<u8>>>);

impl SigningKey {
    /// Its bytes, shared: a copy would be one more to wipe.
    pub fn share(&self) -> Arc<Zeroizing<Vec<u8>>> {
        self.0.clone()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

pub(super) fn read(root: &Section<'_>, reader: &mut Reader) -> Option<Vec<Webhook>> {
    let Some(node) = root.node("webhooks") else { return Some(Vec::new()) };
    let mut names = Vec::new();
    let items = reader.list(node, "webhooks", "webhooks")?;
    let all: Vec<Option<Webhook>> = items
        .iter()
        .enumerate()
        .map(|(index, item)| webhook(item, &format!("webhooks[{index}]"), reader, &mut names))
        .collect();
    all.into_iter().collect()
}

fn webhook(node: &Node, path: &str, reader: &mut Reader, names: &mut Vec<String>) -> Option<Webhook> {
    let section = reader.section(node, path, KEYS, &[])?;
    let name = section.required(reader, "name", "a name for logs, metrics and commands", value::name);
    unique(&section, reader, name.as_deref(), names);
    let words: Vec<&str> = FORMATS.iter().map(|(word, _)| *word).collect();
    let format = section.required(reader, "format", &keys(&words), value::one_of(FORMATS));
    let allow_private = section.or(reader, "allow_private", false, value::boolean);
    let url = url(&section, reader, format, allow_private);
    let format = format.and_then(|format| {
        let spoken = spoken(&section, reader, format);
        let events = events(&section, reader, format);
        Some((spoken?, events?))
    });
    let ca = sasl::ca(&section, reader);
    let (format, events) = format?;
    Some(Webhook { name: name?, url: url?, format, events, allow_private: allow_private?, ca: ca? })
}

/// The URL, which may be the secret itself: found wrong, it is not shown.
fn url(
    section: &Section<'_>,
    reader: &mut Reader,
    format: Option<Format>,
    allow_private: Option<bool>,
) -> Option<Secret> {
    let path = section.path("url");
    let expected = "the receiver's URL, or `{ env: NAME }` or `{ file: PATH }` where it is a secret";
    let (at, text) = match section.node("url") {
        None if format == Some(Format::PagerDuty) => return Some(Secret::new(Zeroizing::new(PAGERDUTY.to_owned()))),
        None => {
            section.needed(reader, "url", expected);
            return None;
        }
        Some(node) if matches!(node.data, Data::Mapping(_)) => (node.at, secret::read(node, &path, reader)?),
        Some(node) if format == Some(Format::Slack) => {
            let what = "a Slack URL lets whoever has it post: expected `{ env: NAME }` or `{ file: PATH }`";
            reader.report(node.at, format!("{path}: {what}; secrets do not belong in this file"));
            return None;
        }
        Some(node) => {
            let Ok(text) = value::text(node) else {
                reader.report(node.at, format!("{path}: found {}; expected {expected}", found(node)));
                return None;
            };
            (node.at, Secret::new(Zeroizing::new(text.to_owned())))
        }
    };
    match unlawful(text.expose(), allow_private != Some(false)) {
        None => Some(text),
        Some(what) => {
            reader.report(at, format!("{path}: {what}"));
            None
        }
    }
}

/// What keeps a URL from being a webhook's; never the URL.
fn unlawful(text: &str, allow_private: bool) -> Option<String> {
    let Ok(url) = Url::parse(text.trim()) else {
        return Some("this is no URL, which begins with https:// and a host".to_owned());
    };
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let host = url.host_str().unwrap_or_default().to_owned();
    let here = is_loopback(&host);
    let scheme = url.scheme().to_owned();
    // The one copy of what may be a secret goes, too.
    drop(Zeroizing::new(String::from(url)));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&host).parse::<IpAddr>();
    let class = address.ok().and_then(confined).or_else(|| here.then_some("loopback"));
    match scheme.as_str() {
        _ if text.trim() != text => Some("there is white space around the URL".to_owned()),
        _ if !bare => Some("found a user name, a password or a fragment in the URL; expected none".to_owned()),
        _ if class.is_some() && !allow_private => {
            let class = class.unwrap_or_default();
            Some(format!("{host} is {class}; expected a host of the internet, or `allow_private: true`"))
        }
        "https" => None,
        "http" if here => None,
        _ => Some(
            "expected a URL that begins with https:// (http:// only to this machine, with `allow_private: true`)"
                .to_owned(),
        ),
    }
}

/// The format with its secrets.
fn spoken(section: &Section<'_>, reader: &mut Reader, format: Format) -> Option<WebhookFormat> {
    match format {
        Format::CloudEvents => signing_keys(section, reader).map(|keys| WebhookFormat::CloudEvents { keys }),
        Format::Slack => match section.node("secret") {
            None => Some(WebhookFormat::Slack),
            Some(node) => {
                let path = section.path("secret");
                reader.report(node.at, format!("{path}: Slack knows none; the secret is the URL"));
                None
            }
        },
        Format::PagerDuty => {
            let expected = "the integration's routing key as `{ env: NAME }` or `{ file: PATH }`";
            let node = section.needed(reader, "secret", expected)?;
            let routing_key = secret::read(node, &section.path("secret"), reader)?;
            if !routing_key.expose().bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                let what = "this is no routing key, which is 32 letters and digits";
                reader.report(node.at, format!("{}: {what}", section.path("secret")));
                return None;
            }
            Some(WebhookFormat::PagerDuty { routing_key })
        }
    }
}

/// One key, or a list of them while they change.
fn signing_keys(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<SigningKey>> {
    let expected = "`{ env: NAME }` or `{ file: PATH }` that holds `whsec_…`, or a list of them while keys change";
    let node = section.needed(reader, "secret", expected)?;
    let path = section.path("secret");
    let Data::List(items) = &node.data else { return signing_key(node, &path, reader).map(|key| vec![key]) };
    if items.is_empty() || items.len() > SIGNING_KEYS_MAX {
        let count = items.len();
        reader.report(node.at, format!("{path}: found {count} secrets; expected from 1 to {SIGNING_KEYS_MAX}"));
        return None;
    }
    let all: Vec<Option<SigningKey>> =
        items.iter().enumerate().map(|(index, item)| signing_key(item, &format!("{path}[{index}]"), reader)).collect();
    all.into_iter().collect()
}

fn signing_key(node: &Node, path: &str, reader: &mut Reader) -> Option<SigningKey> {
    let text = secret::read(node, path, reader)?;
    let encoded = text.expose().strip_prefix("whsec_");
    // Room for all of it at once: growing would leave copies behind.
    let mut key = Zeroizing::new(vec![0; text.expose().len()]);
    let length = encoded.and_then(|encoded| STANDARD.decode_slice(encoded, &mut key).ok());
    match length.filter(|length| SIGNING_KEY_BYTES.contains(length)) {
        Some(length) => {
            key.truncate(length);
            Some(SigningKey(Arc::new(key)))
        }
        None => {
            let (least, most) = (SIGNING_KEY_BYTES.start(), SIGNING_KEY_BYTES.end());
            let what = format!(
                "this is no secret of Standard Webhooks, which is `whsec_` and {least} to {most} bytes in base64"
            );
            reader.report(node.at, format!("{path}: {what}; `echo whsec_$(openssl rand -base64 32)` makes one"));
            None
        }
    }
}

fn events(section: &Section<'_>, reader: &mut Reader, format: Format) -> Option<Vec<WebhookEvent>> {
    let possible: Vec<(&str, WebhookEvent)> = EVENTS
        .iter()
        .filter(|(_, event)| {
            let quiet = matches!(event, WebhookEvent::GrantUsed | WebhookEvent::GrantRevoked);
            !(format == Format::PagerDuty && quiet)
        })
        .copied()
        .collect();
    let Some(node) = section.node("events") else { return Some(possible.iter().map(|(_, event)| *event).collect()) };
    let path = section.path("events");
    let words: Vec<&str> = possible.iter().map(|(word, _)| *word).collect();
    let items = reader.list(node, &path, &keys(&words))?;
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let known = value::text(item).ok().and_then(|word| possible.iter().find(|(name, _)| *name == word));
        match known {
            Some((_, event)) if all.contains(&Some(*event)) => {
                reader.report(item.at, format!("{path}[{index}]: found {} a second time; expected once", found(item)));
            }
            Some((_, event)) => all.push(Some(*event)),
            None => {
                let what = format!("{path}[{index}]: found {}; expected {}", found(item), keys(&words));
                reader.report(item.at, what);
                all.push(None);
            }
        }
    }
    all.into_iter().collect()
}
