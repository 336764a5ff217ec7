//! `clusters[].sasl`: what each mechanism needs, and what a wrong section is told; no problem repeats a secret.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use weir::config::{Config, Sasl};
use weir::scram::Hash;

fn load(sasl: &str) -> Result<Sasl, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "open-sesame\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "store: {{ path: ./data }}\ncontrol: {{ bind: \"127.0.0.1:9280\" }}\n\
         clusters:\n  - name: main\n    bootstrap: [\"127.0.0.1:19092\"]\n    sasl: {sasl}\n\
         listeners:\n  - {{ name: main, cluster: main, bind: \"127.0.0.1:9292\", brokers: \"127.0.0.1:9300-9399\", \
         auth: [anonymous] }}\n"
    );
    let file = folder.path().join("weir.yaml");
    fs::write(&file, text).unwrap();
    let prefix = format!("{}/", folder.path().display());
    let config = Config::load(&file);
    config.map(|config| config.clusters[0].sasl.clone().unwrap()).map_err(|problems| {
        let problems = problems.to_string();
        assert!(!problems.contains("sesame"), "{problems}");
        problems.lines().map(|line| line.replace(&prefix, "").replace("clusters[0].sasl", "sasl")).collect()
    })
}

/// The problems of an OAUTHBEARER section with these keys besides the secret.
fn oauth(keys: &str) -> Result<Sasl, Vec<String>> {
    load(&format!("{{ mechanism: oauthbearer, client_secret: {{ file: secret }}, {keys} }}"))
}

#[test]
fn every_mechanism_loads() {
    for (mechanism, expected) in [("scram-sha-256", Hash::Sha256), ("SCRAM-SHA-512", Hash::Sha512)] {
        let sasl = load(&format!("{{ mechanism: {mechanism}, username: weir, password: {{ file: secret }} }}"));
        let Ok(Sasl::Scram { hash, username, password }) = sasl else { panic!("{sasl:?}") };
        assert_eq!((hash, username.as_str(), password.expose()), (expected, "weir", "open-sesame"));
    }
    let sasl = oauth(
        "token_endpoint: \"https://id.example.com/token\", client_id: weir, scope: kafka, audience: brokers, \
         parameters: { resource: \"a b\" }, extensions: { logicalCluster: lkc-1 }",
    );
    let Ok(Sasl::Oauthbearer(oauth)) = sasl else { panic!("{sasl:?}") };
    assert_eq!((oauth.token_endpoint.as_str(), oauth.client_id.as_str()), ("https://id.example.com/token", "weir"));
    assert_eq!(oauth.client_secret.expose(), "open-sesame");
    assert_eq!((oauth.scope.as_deref(), oauth.audience.as_deref()), (Some("kafka"), Some("brokers")));
    assert_eq!(oauth.parameters, [("resource".to_owned(), "a b".to_owned())]);
    assert_eq!(oauth.extensions, [("logicalCluster".to_owned(), "lkc-1".to_owned())]);
    assert!(!format!("{oauth:?}").contains("sesame"));
}

#[test]
fn a_mechanism_has_its_own_keys_and_no_other() {
    let mechanisms = "`plain`, `scram-sha-256`, `scram-sha-512` or `oauthbearer`";
    assert_eq!(
        load("{ mechanism: gssapi, username: weir }").unwrap_err(),
        [format!("weir.yaml:6:24: sasl.mechanism: found `gssapi`; expected {mechanisms}")]
    );
    assert_eq!(
        load("{ username: weir }").unwrap_err(),
        [format!("weir.yaml:6:11: sasl.mechanism: missing; expected {mechanisms}")]
    );
    let problems = load("{ mechanism: scram-sha-256, username: weir, client_id: weir }").unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[1].contains("sasl.client_id: unknown key"), "{problems:?}");
    assert!(problems[0].contains("sasl.password: missing; expected `{ env: NAME }`"), "{problems:?}");
    let problems = load("{ mechanism: oauthbearer, username: weir }").unwrap_err();
    for missing in ["token_endpoint", "client_id", "client_secret"] {
        let said = format!("sasl.{missing}: missing");
        assert!(problems.iter().any(|problem| problem.contains(&said)), "{problems:?}");
    }
}

#[test]
fn a_clients_secret_goes_over_https_or_stays_on_this_machine() {
    let endpoint = |url: &str, more: &str| oauth(&format!("token_endpoint: \"{url}\", client_id: weir{more}"));
    for url in ["http://127.0.0.1:8080/token", "http://[::1]:8080/token", "http://localhost/token"] {
        assert!(endpoint(url, "").is_ok(), "{url}");
    }
    assert!(endpoint("http://id.example.com/token", ", allow_http: true").is_ok());
    let problems = endpoint("http://id.example.com/token", "").unwrap_err();
    assert!(
        problems[0].ends_with("over http the client's secret could be read; `allow_http: true` allows it"),
        "{problems:?}"
    );
    for url in ["ftp://id.example.com/token", "https://weir:pw@id.example.com/", "id.example.com/token", "https://"] {
        let problems = endpoint(url, ", allow_http: true").unwrap_err();
        assert!(problems[0].contains("expected an https URL without user name and password"), "{url}: {problems:?}");
    }
}

#[test]
fn what_cannot_be_sent_is_told() {
    let with = |more: &str| {
        oauth(&format!("token_endpoint: \"https://id.example.com/\", client_id: weir, {more}")).unwrap_err()
    };
    for pair in ["{ auth: x }", "{ \"a-b\": x }", "{ a: \"\\u00e9\" }"] {
        let problems = with(&format!("extensions: {pair}"));
        assert!(problems[0].contains("this name or its value cannot be sent"), "{pair}: {problems:?}");
    }
    for taken in ["grant_type", "client_secret", "scope"] {
        let problems = with(&format!("parameters: {{ {taken}: x }}"));
        assert!(problems[0].contains(&format!("sasl.parameters.{taken}: this name")), "{problems:?}");
    }
    assert!(with("parameters: [a]")[0].contains("expected a mapping of names to texts"));
    assert!(with("scope: \"a\\nb\"")[0].contains("text without control characters"));
    assert!(with("ca: missing.pem")[0].contains("sasl.ca: "));
    assert!(with("ca: secret")[0].contains("holds no certificate in PEM form"));
}
