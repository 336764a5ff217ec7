//! `tls` of listeners and clusters: what is taken, and what `weir check` says of files that do not fit.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use loadtest::tls::{A_DAY, Authority, replace};
use weir::config::{Auth, Config};
use weir::tls::ClientCertificates;

const FILE: &str = "store: { path: ./data }
control: { bind: \"127.0.0.1:9280\" }
clusters:
  - name: main
    bootstrap: [\"kafka-1:9093\"]
    tls: CLUSTER
listeners:
  - name: main
    cluster: main
    bind: \"127.0.0.1:9292\"
    brokers: \"127.0.0.1:9300-9399\"
    auth: AUTH
    tls: LISTENER
";

const SERVER: &str = "certificate: server.crt, key: server.key";
const CLUSTER: &str = "{ ca: ca.pem }";

struct Case<'a> {
    cluster: &'a str,
    auth: &'a str,
    listener: &'a str,
}

/// A folder with an authority, a server's certificate, and files that are wrong each in its way.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority").unwrap();
    let path = |name: &str| dir.path().join(name);
    replace(&path("ca.pem"), &authority.pem()).unwrap();
    replace(&path("empty.pem"), "nothing here\n").unwrap();
    let server = authority.issue(&[("CN", "weir")], &["localhost"], A_DAY).unwrap();
    server.write(dir.path(), "server").unwrap();
    authority.issue(&[("CN", "other")], &["localhost"], A_DAY).unwrap().write(dir.path(), "other").unwrap();
    let old = authority.issue(&[("CN", "old")], &["localhost"], Duration::ZERO).unwrap();
    old.write(dir.path(), "old").unwrap();
    replace(&path("open.key"), &server.key).unwrap();
    fs::set_permissions(path("open.key"), fs::Permissions::from_mode(0o644)).unwrap();
    replace(&path("locked.key"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")
        .unwrap();
    dir
}

fn load(dir: &Path, case: &Case<'_>) -> Result<Config, Vec<String>> {
    let text = FILE
        .replace("CLUSTER", case.cluster)
        .replace("AUTH", case.auth)
        .replace("LISTENER", &format!("{{ {} }}", case.listener));
    let file = dir.join("weir.yaml");
    fs::write(&file, text).unwrap();
    let shown = format!("{}/", dir.display());
    Config::load(&file).map_err(|problems| problems.0.iter().map(|p| p.to_string().replace(&shown, "")).collect())
}

/// The one problem of a listener's `tls`.
fn of_listener(dir: &Path, auth: &str, listener: &str) -> String {
    let problems = load(dir, &Case { cluster: CLUSTER, auth, listener }).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().next().unwrap()
}

fn of_cluster(dir: &Path, cluster: &str) -> String {
    let problems = load(dir, &Case { cluster, auth: "[anonymous]", listener: SERVER }).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn everything_there_is_to_set() {
    let dir = folder();
    let listener = format!(
        "{SERVER}, client_ca: ca.pem, principal_mapping: [\"RULE:^CN=([^,]+).*$/$1/L\", DEFAULT], \
         groups: organizational_unit, min_version: \"1.3\""
    );
    let cluster = "{ ca: ca.pem, certificate: other.crt, key: other.key, verify_host: false }";
    let config = load(dir.path(), &Case { cluster, auth: "[mtls, weir_token]", listener: &listener }).unwrap();
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(config.listeners[0].auth, [Auth::Mtls, Auth::WeirToken]);
    assert_eq!(tls.files.clients, ClientCertificates::Optional { ca: dir.path().join("ca.pem") });
    assert_eq!((tls.files.tls13_only, tls.units_are_groups), (true, true));
    assert_eq!(tls.mapping.name("CN=Alice,O=x").as_deref(), Some("alice"));
    let cluster = config.clusters[0].tls.as_ref().unwrap();
    assert_eq!((cluster.verify_host, cluster.identity.is_some()), (false, true));
}

#[test]
fn a_certificate_is_asked_for_where_nothing_else_can_tell_who_a_client_is() {
    let dir = folder();
    let listener = format!("{SERVER}, client_ca: ca.pem");
    let config = load(dir.path(), &Case { cluster: CLUSTER, auth: "[mtls]", listener: &listener }).unwrap();
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.files.clients, ClientCertificates::Required { ca: dir.path().join("ca.pem") });
    assert!(!tls.files.tls13_only);
}

#[test]
fn files_that_do_not_fit_are_named_where_they_stand() {
    let dir = folder();
    let cases = [
        (
            "certificate: server.crt, key: other.key",
            "13:42: listeners[0].tls.key: the key in other.key does not belong to the certificate in server.crt",
        ),
        (
            "certificate: old.crt, key: old.key",
            "13:25: listeners[0].tls.certificate: the certificate of CN=old in old.crt expired at ",
        ),
        (
            "certificate: empty.pem, key: server.key",
            "13:25: listeners[0].tls.certificate: file empty.pem holds no certificate in PEM form",
        ),
        (
            "certificate: none.pem, key: server.key",
            "13:25: listeners[0].tls.certificate: file none.pem cannot be read: ",
        ),
        (
            "certificate: server.crt, key: server.crt",
            "13:42: listeners[0].tls.key: file server.crt holds no private key in PEM form",
        ),
        (
            "certificate: server.crt, key: open.key",
            "13:42: listeners[0].tls.key: file open.key has mode 0644, too open for a private key; run `chmod 600 open.key`",
        ),
        (
            "certificate: server.crt, key: locked.key",
            "13:42: listeners[0].tls.key: file locked.key holds a key that is encrypted with a password; store it without one",
        ),
        (
            "certificate: server.crt",
            "13:10: listeners[0].tls.key: missing; expected a PEM file with the certificate's private key",
        ),
        (
            "certificate: server.crt, key: server.key, min_version: \"1.1\"",
            "listeners[0].tls.min_version: found `\"1.1\"`; expected `1.2` or `1.3`",
        ),
    ];
    for (listener, expected) in cases {
        let problem = of_listener(dir.path(), "[anonymous]", listener);
        assert!(problem.contains(expected), "{problem}\nexpected {expected}");
    }
}

#[test]
fn certificates_of_clients_and_authorities_go_together() {
    let dir = folder();
    let problem = of_listener(dir.path(), "[mtls]", SERVER);
    assert!(
        problem.contains("listeners[0].tls.client_ca: missing; expected a PEM file with the authorities"),
        "{problem}"
    );
    let problem = of_listener(dir.path(), "[anonymous]", &format!("{SERVER}, client_ca: ca.pem"));
    assert!(problem.contains("listeners[0].tls.client_ca: clients are not asked for certificates"), "{problem}");
    let problem = of_listener(dir.path(), "[mtls]", &format!("{SERVER}, client_ca: empty.pem"));
    assert!(
        problem.contains("listeners[0].tls.client_ca: file empty.pem holds no certificate in PEM form"),
        "{problem}"
    );
    let file = dir.path().join("weir.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let without: String = text.lines().filter(|l| !l.contains("server.crt")).map(|l| format!("{l}\n")).collect();
    fs::write(&file, without).unwrap();
    let problems = Config::load(&file).unwrap_err().to_string();
    assert!(
        problems.contains("listeners[0].tls: missing; expected `certificate`, `key` and `client_ca`"),
        "{problems}"
    );
}

#[test]
fn a_rule_that_cannot_be_honoured_is_named_by_its_place() {
    let dir = folder();
    let listener = format!("{SERVER}, client_ca: ca.pem, principal_mapping: [DEFAULT, \"RULE:(?=a)/b/\"]");
    let problem = of_listener(dir.path(), "[mtls]", &listener);
    assert!(
        problem.contains("listeners[0].tls.principal_mapping[1]: the pattern cannot be used: look-around"),
        "{problem}"
    );
}

#[test]
fn a_cluster_trusts_a_file_that_holds_something_and_shows_a_whole_identity() {
    let dir = folder();
    for (cluster, expected) in [
        ("{ ca: empty.pem }", "6:16: clusters[0].tls.ca: file empty.pem holds no certificate in PEM form"),
        (
            "{ ca: ca.pem, certificate: other.crt }",
            "6:10: clusters[0].tls.key: missing; expected a PEM file, since `certificate` is set",
        ),
        (
            "{ ca: ca.pem, certificate: other.crt, key: server.key }",
            "clusters[0].tls.key: the key in server.key does not belong",
        ),
        (
            "{ ca: ca.pem, verify_hosts: false }",
            "clusters[0].tls.verify_hosts: unknown key; did you mean `verify_host`?",
        ),
    ] {
        let problem = of_cluster(dir.path(), cluster);
        assert!(problem.contains(expected), "{problem}\nexpected {expected}");
    }
}
