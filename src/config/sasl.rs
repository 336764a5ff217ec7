//! `clusters[].sasl`: how Weir logs in to a cluster.

use std::path::PathBuf;

use super::reader::{Reader, Section, found, keys};
use super::yaml::{Data, Node};
use super::{Oauth, Sasl, Secret, secret, value};
use crate::limits;
use crate::policy::is_loopback;
use crate::scram::Hash;
use crate::tls;

#[derive(Clone, Copy)]
enum Mechanism {
    Plain,
    Scram(Hash),
    Oauthbearer,
}

const MECHANISMS: &[(&str, Mechanism)] = &[
    ("plain", Mechanism::Plain),
    ("scram-sha-256", Mechanism::Scram(Hash::Sha256)),
    ("scram-sha-512", Mechanism::Scram(Hash::Sha512)),
    ("oauthbearer", Mechanism::Oauthbearer),
];

const OF_PASSWORDS: &[&str] = &["mechanism", "username", "password"];

const OF_TOKENS: &[&str] = &[
    "mechanism",
    "token_endpoint",
    "client_id",
    "client_secret",
    "scope",
    "audience",
    "parameters",
    "extensions",
    "ca",
    "allow_http",
];

/// What the token request says already; a parameter of that name would contradict it.
const PARAMETERS_TAKEN: &[&str] = &["grant_type", "client_id", "client_secret", "scope", "audience"];

/// Further parameters and extensions: a handful each in practice.
const PAIRS_MAX: usize = 32;

pub(super) fn read(node: &Node, path: &str, reader: &mut Reader) -> Option<Sasl> {
    // The mechanism decides which keys there are, so it is looked at before they are.
    let mechanism = match &node.data {
        Data::Mapping(entries) => entries.iter().find(|(key, _)| key.name == "mechanism").map(|(_, value)| value),
        _ => None,
    };
    let word = mechanism.and_then(|node| value::text(node).ok()).unwrap_or_default().to_ascii_lowercase();
    let known = MECHANISMS.iter().find(|(name, _)| *name == word).map(|(_, mechanism)| *mechanism);
    let of_mechanism = if matches!(known, Some(Mechanism::Oauthbearer)) { OF_TOKENS } else { OF_PASSWORDS };
    let Some(known) = known else {
        let names: Vec<&str> = MECHANISMS.iter().map(|(name, _)| *name).collect();
        match mechanism {
            Some(node) => {
                reader.report(node.at, format!("{path}.mechanism: found {}; expected {}", found(node), keys(&names)))
            }
            None => reader.report(node.at, format!("{path}.mechanism: missing; expected {}", keys(&names))),
        }
        return None;
    };
    let section = reader.section(node, path, of_mechanism, &[])?;
    match known {
        Mechanism::Oauthbearer => oauth(&section, reader).map(Sasl::Oauthbearer),
        Mechanism::Plain => {
            let (username, password) = login(&section, reader)?;
            Some(Sasl::Plain { username, password })
        }
        Mechanism::Scram(hash) => {
            let (username, password) = login(&section, reader)?;
            Some(Sasl::Scram { hash, username, password })
        }
    }
}

fn login(section: &Section<'_>, reader: &mut Reader) -> Option<(String, Secret)> {
    let username = section.required(reader, "username", "the user to log in as", |node| {
        let expected =
            format!("a user name of at most {} bytes without control characters", limits::SCRAM_USERNAME_MAX);
        let name = value::text(node).map_err(|_| expected.clone())?;
        let lawful = name.len() <= limits::SCRAM_USERNAME_MAX && !name.chars().any(char::is_control);
        if lawful { Ok(name.to_owned()) } else { Err(expected) }
    });
    let password = the_secret(section, reader, "password");
    Some((username?, password?))
}

fn the_secret(section: &Section<'_>, reader: &mut Reader, key: &str) -> Option<Secret> {
    let node = section.needed(reader, key, secret::EXPECTED)?;
    secret::read(node, &section.path(key), reader)
}

fn oauth(section: &Section<'_>, reader: &mut Reader) -> Option<Oauth> {
    let allow_http = section.or(reader, "allow_http", false, value::boolean);
    let token_endpoint = section.required(reader, "token_endpoint", ENDPOINT, |node| {
        endpoint(value::text(node).unwrap_or_default(), allow_http.unwrap_or(false))
    });
    let client_id = section.required(reader, "client_id", "the client Weir is registered as", line);
    let client_secret = the_secret(section, reader, "client_secret");
    let optional = |reader: &mut Reader, key: &str| section.or(reader, key, None, |node| line(node).map(Some));
    let scope = optional(reader, "scope");
    let audience = optional(reader, "audience");
    let parameters = pairs(section, reader, "parameters", |key, _| !PARAMETERS_TAKEN.contains(&key));
    let extensions = pairs(section, reader, "extensions", is_extension);
    let ca = ca(section, reader);
    allow_http?;
    Some(Oauth {
        token_endpoint: token_endpoint?,
        client_id: client_id?,
        client_secret: client_secret?,
        scope: scope?,
        audience: audience?,
        parameters: parameters?,
        extensions: extensions?,
        ca: ca?,
    })
}

const ENDPOINT: &str = "an https URL without user name and password, such as \"https://idp.example.com/oauth2/token\"";

/// A secret goes there, so the way has to be a private one.
fn endpoint(text: &str, allow_http: bool) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|_| ENDPOINT.to_owned())?;
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let host = url.host_str().filter(|_| bare).ok_or_else(|| ENDPOINT.to_owned())?;
    let is_here = is_loopback(host);
    match url.scheme() {
        "https" => Ok(url.into()),
        "http" if allow_http || is_here => Ok(url.into()),
        "http" => Err(format!("{ENDPOINT}: over http the client's secret could be read; `allow_http: true` allows it")),
        _ => Err(ENDPOINT.to_owned()),
    }
}

fn line(node: &Node) -> Result<String, String> {
    let text = value::text(node).unwrap_or_default();
    let lawful = (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control);
    if lawful { Ok(text.to_owned()) } else { Err("1 to 1024 bytes of text without control characters".to_owned()) }
}

/// KIP-342 and RFC 7628, 3.1: letters for a key, printable ASCII for a value; `auth` is the token's.
fn is_extension(key: &str, value: &str) -> bool {
    key != "auth" && key.bytes().all(|b| b.is_ascii_alphabetic()) && value.bytes().all(|b| matches!(b, 0x20..=0x7e))
}

/// A mapping of names that the configuration does not know to texts.
fn pairs(
    section: &Section<'_>,
    reader: &mut Reader,
    key: &str,
    is_lawful: impl Fn(&str, &str) -> bool,
) -> Option<Vec<(String, String)>> {
    let Some(node) = section.node(key) else { return Some(Vec::new()) };
    let path = section.path(key);
    let Data::Mapping(entries) = &node.data else {
        reader.report(node.at, format!("{path}: found {}; expected a mapping of names to texts", found(node)));
        return None;
    };
    if entries.len() > PAIRS_MAX {
        reader.report(node.at, format!("{path}: found {} names; expected at most {PAIRS_MAX}", entries.len()));
        return None;
    }
    let mut read: Option<Vec<(String, String)>> = Some(Vec::new());
    for (name, value) in entries {
        let text = reader.scalar(value, &format!("{path}.{}", name.name), line);
        let taken = read.iter().flatten().any(|(other, _)| *other == name.name);
        if taken || name.name.is_empty() || text.as_ref().is_some_and(|text| !is_lawful(&name.name, text)) {
            reader.report(name.at, format!("{path}.{}: this name or its value cannot be sent", name.name));
            read = None;
        }
        match (&mut read, text) {
            (Some(read), Some(text)) => read.push((name.name.clone(), text)),
            _ => read = None,
        }
    }
    read
}

/// A file with the certificates of whoever may vouch for a server.
pub(super) fn ca(section: &Section<'_>, reader: &mut Reader) -> Option<Option<PathBuf>> {
    let Some(node) = section.node("ca") else { return Some(None) };
    let path = section.path("ca");
    let file = reader.scalar(node, &path, |node| value::text(node).map(str::to_owned).map_err(|_| "a path".into()))?;
    let file = reader.resolve(&file);
    match tls::trusted(Some(&file)) {
        Ok(_) => Some(Some(file)),
        Err(error) => {
            reader.report(node.at, format!("{path}: {error}"));
            None
        }
    }
}
