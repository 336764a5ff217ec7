//! `control`: where the control plane listens, who may use its API for what, and where people reach its page.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use super::listeners::issuer_names;
use super::ports::Ports;
use super::reader::{Reader, Section};
use super::yaml::Node;
use super::{Control, tls, value};
use crate::policy::{Role, RoleGroups, is_loopback};

const KEYS: &[&str] = &["bind", "url", "socket", "tls", "roles", "issuers"];

/// A link is this and the id of a request, and has to fit where webhooks put it.
const URL_BYTES_MAX: usize = 1024;

/// `sun_path` of unix(7) holds 108 bytes, the last of them zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The socket's name inside the store's folder, unless configured.
const SOCKET_NAME: &str = "weir.sock";

/// What other sections say.
pub(super) struct Known<'a> {
    pub(super) store: Option<&'a Path>,
    pub(super) issuers: &'a [String],
}

pub(super) fn read(root: &Section<'_>, reader: &mut Reader, known: &Known<'_>, ports: &mut Ports) -> Option<Control> {
    let node = root.needed(reader, "control", "`control: { bind: \"127.0.0.1:9280\" }`")?;
    let section = reader.section(node, "control", KEYS, &[])?;
    let bind = section.required(reader, "bind", "an IP address and a port, such as \"127.0.0.1:9280\"", value::bind);
    if let (Some(bind), Some(node)) = (bind, section.node("bind")) {
        ports.claim(node.at, section.path("bind"), bind.ip(), bind.port(), bind.port());
    }
    let socket = socket(&section, reader, known.store);
    let tls = tls::of_control(&section, reader);
    let roles = roles(&section, reader);
    let issuers = match section.node("issuers") {
        Some(node) if known.issuers.is_empty() => {
            let what = "there are no issuers to take JWTs of; expected the top level section `issuers`";
            reader.report(node.at, format!("{}: {what}", section.path("issuers")));
            None
        }
        Some(node) => issuer_names(node, &section.path("issuers"), reader, known.issuers),
        None => Some(known.issuers.to_vec()),
    };
    let said = section.or(reader, "url", None, |node| url(node).map(Some));
    let (bind, tls, roles) = (bind?, tls?, roles?);
    logins_stay_here(&section, reader, bind, tls.is_some())?;
    leads_somewhere(&section, reader, &roles)?;
    let url = said?.or_else(|| own_url(bind, tls.is_some()).filter(|_| !roles.is_empty()));
    Some(Control { bind, url, socket: socket?, tls, roles, issuers: issuers? })
}

/// Where people reach `bind`, as a browser writes it and without a slash at its end.
fn url(node: &Node) -> Result<String, String> {
    let expected = || {
        "where people reach `bind`, without `?` and `#`: a URL that begins with https:// (or http:// on this machine), \
         such as \"https://weir.example.com\""
            .to_owned()
    };
    let url = Url::parse(value::text(node).map_err(|_| expected())?).map_err(|_| expected())?;
    // What people log in with must not cross a network in the clear.
    let lawful = url.scheme() == "https" || url.scheme() == "http" && url.host_str().is_some_and(is_loopback);
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    let url = url.as_str().trim_end_matches('/').to_owned();
    if lawful && bare && url.len() <= URL_BYTES_MAX { Ok(url) } else { Err(expected()) }
}

/// Where `bind` is reached as it stands; a wildcard is no address that anybody could go to.
fn own_url(bind: SocketAddr, tls: bool) -> Option<String> {
    let scheme = if tls { "https" } else { "http" };
    let url = Url::parse(&format!("{scheme}://{bind}")).ok().filter(|_| !bind.ip().to_canonical().is_unspecified());
    url.map(|url| url.as_str().trim_end_matches('/').to_owned())
}

/// A link to a page that is not there helps nobody.
fn leads_somewhere(section: &Section<'_>, reader: &mut Reader, roles: &RoleGroups) -> Option<()> {
    let Some(node) = section.node("url").filter(|_| roles.is_empty()) else { return Some(()) };
    let what = "there is no page to reach, since nobody may use the API; expected `roles` beside it";
    reader.report(node.at, format!("{}: {what}", section.path("url")));
    None
}

/// What somebody logs in with must not cross a network in the clear.
fn logins_stay_here(section: &Section<'_>, reader: &mut Reader, bind: SocketAddr, tls: bool) -> Option<()> {
    match section.node("bind") {
        Some(node) if section.node("roles").is_some() && !tls && !bind.ip().to_canonical().is_loopback() => {
            let expected = "expected `tls` beside `roles`, or a loopback address such as \"127.0.0.1:9280\"";
            let what = "logins to the API would cross the network in the clear";
            reader.report(node.at, format!("{}: {what}; {expected}", section.path("bind")));
            None
        }
        _ => Some(()),
    }
}

fn roles(section: &Section<'_>, reader: &mut Reader) -> Option<RoleGroups> {
    let Some(node) = section.node("roles") else { return Some(RoleGroups::default()) };
    let names = Role::ALL.map(Role::name);
    let roles = reader.section(node, &section.path("roles"), &names, &[])?;
    let mut groups = |role: Role| {
        let Some(node) = roles.node(role.name()) else { return Some((role, Vec::new())) };
        let path = roles.path(role.name());
        let items = reader.list(node, &path, "names of groups")?;
        let names = items.iter().enumerate().map(|(index, item)| {
            reader.scalar(item, &format!("{path}[{index}]"), |node| value::text(node).map(str::to_owned))
        });
        // Collected before it is looked at, so that every mistake is told.
        let names: Vec<Option<String>> = names.collect();
        Some((role, names.into_iter().collect::<Option<Vec<_>>>()?))
    };
    let all: Vec<Option<_>> = Role::ALL.into_iter().map(&mut groups).collect();
    Some(RoleGroups::new(all.into_iter().collect::<Option<Vec<_>>>()?))
}

fn socket(section: &Section<'_>, reader: &mut Reader, store: Option<&Path>) -> Option<PathBuf> {
    let (at, path) = match section.node("socket") {
        Some(node) => {
            let text = reader.scalar(node, &section.path("socket"), |node| value::text(node).map(str::to_owned))?;
            (node.at, reader.resolve(&text))
        }
        None => (section.at, store?.join(SOCKET_NAME)),
    };
    let length = path.as_os_str().as_bytes().len();
    if length > SOCKET_PATH_BYTES_MAX {
        let expected = format!("expected at most {SOCKET_PATH_BYTES_MAX}: set `socket` to a shorter path");
        reader.report(at, format!("{}: found a path of {length} bytes; {expected}", section.path("socket")));
        return None;
    }
    Some(path)
}
