//! `tls` of listeners and clusters: the files are named here, and read to see that they can be used.

use std::path::PathBuf;
use std::sync::Arc;

use super::reader::{Reader, Section, keys};
use super::yaml::Node;
use super::{Auth, ListenerTls, value};
use crate::policy::SubjectMapping;
use crate::tls::{ClientCertificates, ClientFiles, FileRole, ServerFiles, TlsError};

const LISTENER_KEYS: &[&str] = &["certificate", "key", "client_ca", "principal_mapping", "groups", "min_version"];
const CLUSTER_KEYS: &[&str] = &["ca", "certificate", "key", "verify_host"];

/// A listener's `tls`, given how its clients may say who they are. The outer none means that something is wrong.
pub(super) fn of_listener(
    listener: &Section<'_>,
    reader: &mut Reader,
    auth: Option<&[Auth]>,
) -> Option<Option<ListenerTls>> {
    let Some(node) = listener.node("tls") else {
        if auth.is_some_and(|auth| auth.contains(&Auth::Mtls)) {
            let expected = "expected `certificate`, `key` and `client_ca`, since `auth` says `mtls`";
            reader.report(listener.at, format!("{}: missing; {expected}", listener.path("tls")));
            return None;
        }
        return Some(None);
    };
    let section = reader.section(node, &listener.path("tls"), LISTENER_KEYS, &[])?;
    let certificate = file(&section, reader, "certificate", "a PEM file with the certificate and its chain");
    let key = file(&section, reader, "key", "a PEM file with the certificate's private key");
    let clients = clients(&section, reader, auth);
    let mapping = mapping(&section, reader);
    let units = match section.node("groups") {
        None => Some(false),
        Some(node) => reader.scalar(node, &section.path("groups"), value::one_of(&[("organizational_unit", true)])),
    };
    let tls13_only = section.or(reader, "min_version", false, value::one_of(&[("1.2", false), ("1.3", true)]));
    let files = ServerFiles { certificate: certificate?, key: key?, clients: clients?, tls13_only: tls13_only? };
    check(&section, reader, files.check(), "client_ca")?;
    Some(Some(ListenerTls { files, mapping: Arc::new(mapping?), units_are_groups: units? }))
}

/// The control plane's `tls`; the outer none means that something is wrong.
pub(super) fn of_control(control: &Section<'_>, reader: &mut Reader) -> Option<Option<ServerFiles>> {
    let Some(node) = control.node("tls") else { return Some(None) };
    let section = reader.section(node, &control.path("tls"), &["certificate", "key"], &[])?;
    let certificate = file(&section, reader, "certificate", "a PEM file with the certificate and its chain");
    let key = file(&section, reader, "key", "a PEM file with the certificate's private key");
    let (clients, tls13_only) = (ClientCertificates::Ignored, false);
    let files = ServerFiles { certificate: certificate?, key: key?, clients, tls13_only };
    check(&section, reader, files.check(), "certificate")?;
    Some(Some(files))
}

/// A cluster's `tls`; the outer none means that something is wrong.
pub(super) fn of_cluster(cluster: &Section<'_>, reader: &mut Reader) -> Option<Option<ClientFiles>> {
    let Some(node) = cluster.node("tls") else { return Some(None) };
    let section = reader.section(node, &cluster.path("tls"), CLUSTER_KEYS, &[])?;
    let ca = optional_file(&section, reader, "ca");
    let identity = match (section.node("certificate"), section.node("key")) {
        (None, None) => Some(None),
        _ => {
            let certificate = file(&section, reader, "certificate", "a PEM file, since `key` is set");
            let key = file(&section, reader, "key", "a PEM file, since `certificate` is set");
            certificate.zip(key).map(Some)
        }
    };
    let verify_host = section.or(reader, "verify_host", true, value::boolean);
    let files = ClientFiles { ca: ca?, identity: identity?, verify_host: verify_host? };
    check(&section, reader, files.check(), "ca")?;
    Some(Some(files))
}

/// What is asked of clients: a certificate is needed where nothing else can tell who they are.
fn clients(section: &Section<'_>, reader: &mut Reader, auth: Option<&[Auth]>) -> Option<ClientCertificates> {
    let ca = optional_file(section, reader, "client_ca")?;
    let auth = auth?;
    match (ca, auth.contains(&Auth::Mtls)) {
        (Some(ca), true) if auth.len() == 1 => Some(ClientCertificates::Required { ca }),
        (Some(ca), true) => Some(ClientCertificates::Optional { ca }),
        (None, false) => Some(ClientCertificates::Ignored),
        (None, true) => {
            let expected =
                "expected a PEM file with the authorities of clients' certificates, since `auth` says `mtls`";
            reader.report(section.at, format!("{}: missing; {expected}", section.path("client_ca")));
            None
        }
        (Some(_), false) => {
            let at = section.node("client_ca").map_or(section.at, |node| node.at);
            let expected = format!("expected {} in `auth` beside it", keys(&["mtls"]));
            reader.report(
                at,
                format!("{}: clients are not asked for certificates; {expected}", section.path("client_ca")),
            );
            None
        }
    }
}

fn mapping(section: &Section<'_>, reader: &mut Reader) -> Option<SubjectMapping> {
    let Some(node) = section.node("principal_mapping") else { return Some(SubjectMapping::default()) };
    let path = section.path("principal_mapping");
    let items = reader.list(node, &path, "rules, such as \"RULE:^CN=([^,]+).*$/$1/L\" or DEFAULT")?;
    let texts: Vec<&str> = items.iter().map(|item| value::text(item).unwrap_or_default()).collect();
    match SubjectMapping::parse(texts) {
        Ok(mapping) => Some(mapping),
        Err((index, error)) => {
            reader.report(items[index].at, format!("{path}[{index}]: {error}"));
            None
        }
    }
}

fn file(section: &Section<'_>, reader: &mut Reader, key: &str, expected: &str) -> Option<PathBuf> {
    let node = section.needed(reader, key, expected)?;
    path(node, &section.path(key), reader)
}

fn optional_file(section: &Section<'_>, reader: &mut Reader, key: &str) -> Option<Option<PathBuf>> {
    match section.node(key) {
        None => Some(None),
        Some(node) => path(node, &section.path(key), reader).map(Some),
    }
}

fn path(node: &Node, path: &str, reader: &mut Reader) -> Option<PathBuf> {
    let text =
        reader.scalar(node, path, |node| value::text(node).map(str::to_owned).map_err(|_| "a path".to_owned()))?;
    Some(reader.resolve(&text))
}

/// Reports what is wrong with the files, at the key that names the one to blame.
fn check(section: &Section<'_>, reader: &mut Reader, checked: Result<(), TlsError>, trust: &str) -> Option<()> {
    let Err(error) = checked else { return Some(()) };
    let key = match error.role {
        FileRole::Certificate => "certificate",
        FileRole::Key => "key",
        FileRole::Trust => trust,
    };
    let at = section.node(key).map_or(section.at, |node| node.at);
    reader.report(at, format!("{}: {error}", section.path(key)));
    None
}
