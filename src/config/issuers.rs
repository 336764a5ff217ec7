//! `issuers`: the identity providers whose JWTs clients may log in with.

use jsonwebtoken::Algorithm;
use reqwest::Url;

use super::clusters::unique;
use super::reader::{Reader, Section, found, keys};
use super::yaml::{Data, Node};
use super::{Issuer, access, sasl, value};
use crate::policy::{ALGORITHMS, ClaimPath, IssuerRules, Scope, ScopeMapping, is_loopback};

const KEYS: &[&str] = &[
    "name",
    "issuer",
    "jwks",
    "audience",
    "algorithms",
    "subject",
    "groups",
    "scopes",
    "clock_skew",
    "ca",
    "allow_http",
];

const SCOPE_KEYS: &[&str] = &["topics", "consumer_groups", "transactional_ids", "operations"];

const ALGORITHMS_BY_DEFAULT: &[Algorithm] = &[Algorithm::RS256, Algorithm::PS256, Algorithm::ES256];

const CLOCK_SKEW_BY_DEFAULT: std::time::Duration = std::time::Duration::from_secs(30);

/// The issuers, and the names that listeners may refer to, whether or not all of them could be read.
pub(super) struct Issuers {
    pub(super) names: Vec<String>,
    pub(super) read: Option<Vec<Issuer>>,
}

pub(super) fn read(root: &Section<'_>, reader: &mut Reader) -> Issuers {
    let mut names = Vec::new();
    let Some(node) = root.node("issuers") else { return Issuers { names, read: Some(Vec::new()) } };
    let Some(items) = reader.list(node, "issuers", "issuers") else { return Issuers { names, read: None } };
    let mut all: Vec<Option<Issuer>> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("issuers[{index}]");
        let issuer = issuer(item, &path, reader, &mut names);
        let url = issuer.as_ref().map(|issuer| issuer.rules.issuer.as_str());
        if url.is_some() && all.iter().flatten().any(|other| Some(other.rules.issuer.as_str()) == url) {
            reader.report(item.at, format!("{path}.issuer: found a second time; expected once, tokens name it"));
        }
        all.push(issuer);
    }
    Issuers { names, read: all.into_iter().collect() }
}

fn issuer(node: &Node, path: &str, reader: &mut Reader, names: &mut Vec<String>) -> Option<Issuer> {
    let section = reader.section(node, path, KEYS, &[])?;
    let name = section.required(reader, "name", "a name for listeners and logs", value::name);
    unique(&section, reader, name.as_deref(), names);
    let allow_http = section.or(reader, "allow_http", false, value::boolean);
    let expected = "the issuer's URL as its tokens say it in `iss`, such as \"https://id.example.com/realms/main\"";
    let issuer = section.required(reader, "issuer", expected, |node| url(node, allow_http != Some(false)));
    let jwks = section.or(reader, "jwks", None, |node| url(node, allow_http != Some(false)).map(Some));
    let audience = texts(&section, reader, "audience", "what its tokens have to say in `aud`, such as [\"kafka\"]");
    let algorithms = algorithms(&section, reader);
    let subject = section.or(reader, "subject", ClaimPath::new("sub"), claim);
    let groups = section.or(reader, "groups", ClaimPath::new("groups"), claim);
    let scopes = section.node("scopes").map(|node| scopes(node, &section.path("scopes"), reader));
    let clock_skew = section.or(reader, "clock_skew", CLOCK_SKEW_BY_DEFAULT, value::duration("0s", "5m"));
    let ca = sasl::ca(&section, reader);
    let (text, url) = issuer?;
    let rules = IssuerRules {
        name: name?,
        issuer: text,
        audience: audience?,
        algorithms: algorithms?,
        subject: subject?,
        groups: groups?,
        scopes: match scopes {
            None => None,
            Some(scopes) => Some(scopes?),
        },
        clock_skew_ns: u64::try_from(clock_skew?.as_nanos()).unwrap_or(u64::MAX),
    };
    Some(Issuer { rules, url, jwks: jwks?.map(|(_, url)| url), ca: ca?, allow_http: allow_http? })
}

/// A URL, as it is written and as it is read: what tokens say is compared with the former.
fn url(node: &Node, http: bool) -> Result<(String, Url), String> {
    let expected = || {
        match http {
            true => "a URL that begins with https:// or http://",
            false => "a URL that begins with https:// (or http:// on this machine, or with `allow_http: true`)",
        }
        .to_owned()
    };
    let text = value::text(node).map_err(|_| expected())?;
    let url = Url::parse(text).map_err(|_| expected())?;
    let lawful = url.scheme() == "https" || url.scheme() == "http" && (http || url.host_str().is_some_and(is_loopback));
    let plain = url.has_host() && url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if lawful && plain { Ok((text.to_owned(), url)) } else { Err(expected()) }
}

fn claim(node: &Node) -> Result<ClaimPath, String> {
    let expected = "the name of a claim, with dots into objects, such as `realm_access.roles`";
    let text = value::text(node).map_err(|_| expected.to_owned())?;
    if text.split('.').any(str::is_empty) { Err(expected.to_owned()) } else { Ok(ClaimPath::new(text)) }
}

/// Where scopes are, and what each of them is here.
fn scopes(node: &Node, path: &str, reader: &mut Reader) -> Option<ScopeMapping> {
    let section = reader.section(node, path, &["claim", "map"], &[])?;
    let claim = section.or(reader, "claim", ClaimPath::new("scope"), claim);
    let expected =
        "what each scope is here, such as { \"read:orders\": { topics: [\"orders.*\"], operations: [read] } }";
    let node = section.needed(reader, "map", expected)?;
    let path = section.path("map");
    let Data::Mapping(entries) = &node.data else {
        reader.report(node.at, format!("{path}: found {}; expected {expected}", found(node)));
        return None;
    };
    let mut map: Option<Vec<(String, Scope)>> = Some(Vec::new());
    for (index, (key, node)) in entries.iter().enumerate() {
        if entries[..index].iter().any(|(earlier, _)| earlier.name == key.name) {
            reader.report(key.at, format!("{path}: found `{}` a second time; expected once", key.name));
        }
        let scope = scope(node, &format!("{path}.{}", key.name), reader);
        map = map.zip(scope).map(|(mut map, scope)| {
            map.push((key.name.clone(), scope));
            map
        });
    }
    Some(ScopeMapping { claim: claim?, map: map? })
}

fn scope(node: &Node, path: &str, reader: &mut Reader) -> Option<Scope> {
    let section = reader.section(node, path, SCOPE_KEYS, &[])?;
    if SCOPE_KEYS.iter().all(|key| section.node(key).is_none()) {
        reader.report(node.at, format!("{path}: found nothing; expected one or more of {}", keys(SCOPE_KEYS)));
        return None;
    }
    let topics = access::topics(&section, reader);
    let consumer_groups = access::resource_names(&section, reader, "consumer_groups", "patterns of consumer groups");
    let ids = access::resource_names(&section, reader, "transactional_ids", "patterns of transactional ids");
    let operations = access::operations(&section, reader);
    Some(Scope { topics: topics?, consumer_groups: consumer_groups?, transactional_ids: ids?, operations: operations? })
}

/// A list of texts that must be there.
fn texts(section: &Section<'_>, reader: &mut Reader, key: &str, expected: &str) -> Option<Vec<String>> {
    let node = section.needed(reader, key, expected)?;
    let path = section.path(key);
    let items = reader.list(node, &path, expected)?;
    let text = |node: &Node| value::text(node).map(str::to_owned);
    let all: Vec<_> =
        items.iter().enumerate().map(|(i, item)| reader.scalar(item, &format!("{path}[{i}]"), text)).collect();
    all.into_iter().collect()
}

fn algorithms(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<Algorithm>> {
    let Some(node) = section.node("algorithms") else { return Some(ALGORITHMS_BY_DEFAULT.to_vec()) };
    let path = section.path("algorithms");
    let names: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).collect();
    let items = reader.list(node, &path, &keys(&names))?;
    let mut all = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let known = value::text(item).ok().and_then(|word| ALGORITHMS.iter().find(|(name, _)| *name == word));
        if known.is_none() {
            let expected = keys(&names);
            reader.report(item.at, format!("{path}[{index}]: found {}; expected {expected}", found(item)));
        }
        all.push(known.map(|(_, algorithm)| *algorithm));
    }
    all.into_iter().collect()
}
