//! Whom a certificate makes of a client, alone and beside other ways to log in.

use std::time::Duration;

use loadtest::wait_for;
use loadtest::weir::Gateway;
use loadtest::wire::Connection;

use crate::hazards_support::{METADATA, RUNTIMES, SOON, ends_saying, logged, no_topics};
use crate::world::{COMMON_NAME, TLS12, TLS13, client, connect, gateway, world};

fn works(connection: &mut Connection) -> bool {
    connection.call(METADATA, &no_topics()).is_ok_and(|answer| !answer.brokers.is_empty())
}

/// The mechanism under which the recording lists a session of `subject`.
fn mechanism(gateway: &Gateway, subject: &str) -> String {
    let sessions = || Ok(gateway.weir_json(&["sessions", "--identity", subject])?.into_iter().next());
    let session = wait_for(&format!("a session of {subject}"), SOON, sessions).unwrap();
    session["identity"]["mechanism"].as_str().unwrap().to_owned()
}

#[test]
fn without_rules_the_subject_is_the_name_as_java_writes_it() {
    let gateway = gateway("epoll", &["mtls"], "", &[]);
    let alice = world().person("Alice, Dr.");
    let mut connection = connect(&gateway, &client(Some(&alice), TLS12));
    assert!(works(&mut connection));
    assert_eq!(mechanism(&gateway, r"CN=Alice\, Dr.,OU=analysts,O=Weir"), "certificate");
}

#[test]
fn a_subject_that_no_rule_names_is_nobody_even_where_anybody_is_let_in() {
    let mapping = r#"principal_mapping: ["RULE:^CN=([^,]+),OU=operators,.*$/$1/"]"#;
    for runtime in RUNTIMES {
        let gateway = gateway(runtime, &["mtls", "anonymous"], mapping, &[]);
        let mut named = connect(&gateway, &client(Some(&world().person("alice")), TLS13));
        assert!(!works(&mut named));
        logged(&gateway, &named, "no rule of `principal_mapping` makes a name of the certificate's subject");
        assert!(works(&mut connect(&gateway, &client(None, TLS13))));
        assert_eq!(mechanism(&gateway, "anonymous"), "anonymous");
    }
}

#[test]
fn who_shows_no_certificate_has_to_log_in_where_that_is_offered_besides() {
    let gateway = gateway("epoll", &["mtls", "weir_token"], COMMON_NAME, &[]);
    let mut nobody = connect(&gateway, &client(None, TLS13));
    assert!(!works(&mut nobody));
    logged(&gateway, &nobody, "this listener asks for a login first");
    let token = gateway.token("bob", "ops").unwrap();
    let mut bob = connect(&gateway, &client(None, TLS13));
    assert_eq!(bob.login_plain("bob", &token.token).unwrap().error_code, 0);
    assert!(works(&mut bob));
}

#[test]
fn a_login_beside_a_certificate_has_to_be_the_same_subjects() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime, &["mtls", "weir_token"], COMMON_NAME, &[]);
        let (alice, token, other) =
            (world().person("alice"), gateway.token("alice", "ops").unwrap(), gateway.token("bob", "ops").unwrap());
        let mut both = connect(&gateway, &client(Some(&alice), TLS13));
        assert_eq!(both.login_plain("alice", &token.token).unwrap().error_code, 0);
        assert!(works(&mut both));
        assert_eq!(mechanism(&gateway, "alice"), "plain_token");
        let mut split = connect(&gateway, &client(Some(&alice), TLS13));
        assert_eq!(split.login_plain("bob", &other.token).unwrap().error_code, 58);
        logged(&gateway, &split, "they have to be the same");
    }
}

#[test]
fn a_connection_ends_with_its_certificate() {
    for runtime in RUNTIMES {
        let gateway = gateway(runtime, &["mtls"], COMMON_NAME, &[]);
        let lasts = Duration::from_secs(5);
        let brief = world().authority.issue(&[("OU", "x"), ("CN", "brief")], &[], lasts).unwrap();
        // The subject is `CN=brief,OU=x`.
        let mut connection = connect(&gateway, &client(Some(&brief), TLS13));
        assert!(works(&mut connection));
        ends_saying(&gateway, &mut connection, "the certificate of \"brief\" has expired");
    }
}
