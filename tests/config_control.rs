//! `control`: who may use the API is read, and refused where logins would cross a network in the clear; where people reach
//! its page is read, or known from where it is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use loadtest::tls::{A_DAY, Authority};
use weir::config::{Config, Problems};
use weir::policy::{Mechanism, Principal, Role, Roles};

/// A good file; the line numbers below are what problems must name.
const GOOD: &str = r#"node: n1
store:
  path: ./data
control:
  bind: "127.0.0.1:9280"
clusters:
  - name: main
    bootstrap: ["127.0.0.1:19092"]
listeners:
  - name: main
    cluster: main
    bind: "127.0.0.1:9292"
    brokers: "127.0.0.1:9300-9399"
    auth: [weir_token]
"#;

const BIND: &str = "  bind: \"127.0.0.1:9280\"";

fn load(folder: &Path, text: &str) -> Result<Config, Problems> {
    let file = folder.join("weir.yaml");
    fs::write(&file, text).unwrap();
    Config::load(&file)
}

fn check(cases: &[(&str, &[&str])]) {
    let folder = tempfile::tempdir().unwrap();
    for (control, expected) in cases {
        let problems = load(folder.path(), &GOOD.replace(BIND, control)).expect_err(control).to_string();
        let prefix = format!("{}/", folder.path().display());
        let found: Vec<String> = problems.lines().map(|line| line.replace(&prefix, "")).collect();
        assert_eq!(found, *expected, "{control}");
    }
}

#[test]
fn roles_belong_to_groups() {
    let folder = tempfile::tempdir().unwrap();
    let text = GOOD.replace(BIND, &format!("{BIND}\n  roles: {{ viewer: [staff, sre], admin: [sre] }}"));
    let control = load(folder.path(), &text).unwrap().control;
    let of = |group: &str| {
        let (issuer, subject, mechanism) = ("weir".to_owned(), "ann".to_owned(), Mechanism::PlainToken);
        control.roles.of(&Principal {
            issuer,
            subject,
            groups: vec![group.to_owned()],
            mechanism,
            minted_by: None,
            scopes: None,
        })
    };
    assert_eq!(
        [of("sre"), of("staff"), of("dev")],
        [Roles::of(&[Role::Viewer, Role::Admin]), Roles::of(&[Role::Viewer]), Roles::NONE,]
    );
}

#[test]
fn an_address_beyond_loopback_stays_lawful_for_monitoring() {
    let folder = tempfile::tempdir().unwrap();
    let control = load(folder.path(), &GOOD.replace("127.0.0.1:9280", "0.0.0.0:9280")).unwrap().control;
    assert!(control.tls.is_none() && control.roles.is_empty());
}

#[test]
fn the_page_is_where_the_url_says_or_where_the_address_is() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("weir test").unwrap();
    let files = authority.issue(&[("CN", "weir")], &["localhost"], A_DAY).unwrap().write(folder.path(), "api").unwrap();
    let tls = format!("tls: {{ certificate: {}, key: {} }}", files.certificate.display(), files.key.display());
    let roles = "roles: { reviewer: [sre] }";
    let url = |bind: &str, more: &[&str]| {
        let control = format!("  bind: \"{bind}\"\n  {}\n", more.join("\n  "));
        load(folder.path(), &GOOD.replace(BIND, &control)).unwrap().control.url
    };
    for (bind, more, expected) in [
        ("127.0.0.1:9280", &[][..], None),
        ("127.0.0.1:9280", &[roles], Some("http://127.0.0.1:9280")),
        ("[::1]:80", &[roles], Some("http://[::1]")),
        ("10.1.2.3:9280", &[roles, &tls], Some("https://10.1.2.3:9280")),
        ("0.0.0.0:9280", &[roles, &tls], None),
        ("[::]:9280", &[roles, &tls], None),
        ("0.0.0.0:9280", &[roles, &tls, "url: https://weir.example.com"], Some("https://weir.example.com")),
        (
            "127.0.0.1:9280",
            &[roles, "url: \"https://Weir.example.com:443/ops/\""],
            Some("https://weir.example.com/ops"),
        ),
        ("127.0.0.1:9280", &[roles, "url: \"http://localhost:8080/\""], Some("http://localhost:8080")),
    ] {
        assert_eq!(url(bind, more).as_deref(), expected, "{bind} {more:?}");
    }
}

#[test]
fn a_url_that_nobody_could_log_in_at_is_refused() {
    let expected = "expected where people reach `bind`, without `?` and `#`: a URL that begins with https:// (or http:// on \
                    this machine), such as \"https://weir.example.com\"";
    for wrong in [
        "http://weir.example.com",
        "ftp://weir.example.com",
        "weir.example.com",
        "https://",
        "https://weir.example.com/?a=b",
        "https://weir.example.com/#top",
        "https://ann@weir.example.com",
        "https://ann:secret@weir.example.com",
    ] {
        let control = format!("{BIND}\n  roles: {{ reviewer: [sre] }}\n  url: \"{wrong}\"");
        let shown = if wrong.contains('@') { "a URL with a login in it".to_owned() } else { format!("`\"{wrong}\"`") };
        check(&[(&control, &[&format!("weir.yaml:7:8: control.url: found {shown}; {expected}")])]);
    }
    let nobody = "weir.yaml:6:8: control.url: there is no page to reach, since nobody may use the API; expected `roles` \
                  beside it";
    check(&[(&format!("{BIND}\n  url: \"https://weir.example.com\""), &[nobody])]);
}

#[test]
fn who_may_use_the_api_is_checked() {
    let open = |more: &str| format!("  bind: \"0.0.0.0:9280\"\n{more}");
    let with = |more: &str| format!("{BIND}\n{more}");
    check(&[
        (
            &open("  roles: { admin: [sre] }"),
            &[
                "weir.yaml:5:9: control.bind: logins to the API would cross the network in the clear; expected `tls` beside \
               `roles`, or a loopback address such as \"127.0.0.1:9280\"",
            ],
        ),
        (
            &with("  roles: { admins: [sre], viewer: [], auditor: x }"),
            &[
                "weir.yaml:6:12: control.roles.admins: unknown key; did you mean `admin`?",
                "weir.yaml:6:35: control.roles.viewer: found an empty list; expected a list of names of groups, at least one",
                "weir.yaml:6:48: control.roles.auditor: found `x`; expected a list of names of groups",
            ],
        ),
        (
            &with("  issuers: [corp]"),
            &[
                "weir.yaml:6:12: control.issuers: there are no issuers to take JWTs of; expected the top level section `issuers`",
            ],
        ),
        (
            &with("  tls: { certificate: ./none.pem }"),
            &["weir.yaml:6:8: control.tls.key: missing; expected a PEM file with the certificate's private key"],
        ),
    ]);
}
