//! Stock clients change their bootstrap address and nothing else. Every family plays one script before three brokers: what
//! it reads through Weir is what it sent, keys, headers, nulls and codecs included; what it committed, aborted and deleted is
//! so on the brokers; it learns no address but Weir's and speaks no older version than it knows; and the recording says who
//! did it and how much it was. On both runtimes; in plaintext and over TLS; anonymous, by PLAIN and by SCRAM.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod play;
mod recorded;
mod stored;
mod table;

use std::sync::OnceLock;

use kafka_protocol::messages::ApiKey;
use loadtest::clients::{CODECS, ClientTls, JavaTools, Login, Scene, Step, Target};
use loadtest::kafka::{self, Cluster};
use loadtest::scratch::Scratch;
use loadtest::tls::{A_DAY, Authority, replace};
use loadtest::weir::{Gateway, Options};

use crate::play::{perform, plays_the_whole_script, side_by_side};
use crate::recorded::{recorded, spoken};
use crate::table::{RECORDS_PER_CODEC, Row};

/// Three brokers; they go with the process.
fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(3, kafka::Options::default()).unwrap())
}

#[test]
fn every_client_plays_the_whole_script_with_a_token_and_anonymously_on_both_runtimes() {
    for (runtime, named) in common::RUNTIMES.into_iter().flat_map(|runtime| [(runtime, true), (runtime, false)]) {
        let auth = if named { "weir_token" } else { "anonymous" };
        let gateway =
            common::gateway_before(cluster(), Options::new(cluster().bootstrap()).runtime(runtime).auth(&[auth]));
        side_by_side(|row| {
            let name = format!("{}-{auth}-{runtime}", row.client.name());
            let target = if named {
                Target::with_token(gateway.bootstrap(), &name, gateway.token(&name, "e2e,stock-clients").unwrap())
            } else {
                Target::anonymous(gateway.bootstrap(), &name)
            };
            plays_the_whole_script(cluster(), row, &gateway, &target, &name);
            if named {
                is_recorded(row, &gateway, &name);
            }
        });
    }
}

#[test]
fn every_client_logs_in_by_scram_over_tls_on_both_runtimes() {
    let dir = Scratch::new("weir-e2e-tls-").unwrap();
    let authority = Authority::new("weir test").unwrap();
    let ca = dir.path().join("ca.pem");
    replace(&ca, &authority.pem()).unwrap();
    let certificate = authority.issue(&[("CN", "weir")], &["127.0.0.1", "localhost"], A_DAY).unwrap();
    let files = certificate.write(dir.path(), "weir").unwrap();
    for (runtime, mechanism) in common::RUNTIMES.into_iter().zip(["SCRAM-SHA-256", "SCRAM-SHA-512"]) {
        let mut options = Options::new(cluster().bootstrap()).runtime(runtime).auth(&["scram", "weir_token"]);
        let (certificate, key) = (files.certificate.display(), files.key.display());
        options.listener.push(format!("tls: {{ certificate: {certificate}, key: {key} }}"));
        let gateway = common::gateway(options);
        side_by_side(|row| {
            let name = format!("{}-tls-{runtime}", row.client.name());
            let token = gateway.token(&name, "e2e").unwrap();
            let tls = ClientTls { ca: ca.clone(), identity: None, version: None };
            let scram = Login::Scram { mechanism, token: token.clone() };
            let mut target = Target::with_login(gateway.bootstrap(), &name, scram).over_tls(tls.clone());
            if row.cannot_scram() {
                is_refused(row, &target);
                target = Target::with_token(gateway.bootstrap(), &name, token).over_tls(tls);
            }
            perform(cluster(), row, &target, &name, &Step::BASIC);
            let sent = (CODECS.len() * RECORDS_PER_CODEC) as u64;
            recorded(&gateway, &name, &name, ApiKey::Produce, |written| written == sent);
        });
    }
}

/// What the table says of a client's logins is so.
fn is_refused(row: &Row, target: &Target) {
    let (script, steps, name) = (row.script(), &[Step::DescribeCluster], row.client.name());
    let scene = Scene { target, steps, topic: name, partitions: 1, replication: 1, group: name, script: &script };
    let words = row.client.perform(&scene).unwrap_err().to_string();
    assert!(words.to_lowercase().contains("authentication"), "{name}: {words}");
}

#[test]
fn perf_tools_run_on_both_runtimes() {
    const RECORDS: u64 = 20_000;
    let cluster = cluster();
    for runtime in common::RUNTIMES {
        let gateway = common::gateway(Options::new(cluster.bootstrap()).runtime(runtime).auth(&["weir_token"]));
        let token = gateway.token("perf", "load").unwrap();
        let tools = JavaTools::new(&Target::with_token(gateway.bootstrap(), "perf", token)).unwrap();
        let topic = format!("perf-{runtime}");
        tools.create_topic(&topic, 3).unwrap();
        let produced = tools.producer_perf(&topic, RECORDS, 500, &["batch.size=65536", "linger.ms=5"]).unwrap();
        assert!(produced.starts_with(&format!("{RECORDS} records sent")), "{runtime}: {produced}");
        let consumed = tools.consumer_perf(&topic, &topic, RECORDS).unwrap();
        let read: u64 = consumed.split(", ").nth(4).and_then(|n| n.parse().ok()).expect(&consumed);
        assert_eq!(read, RECORDS, "{runtime}: {consumed}");
        recorded(&gateway, "perf", &topic, ApiKey::Produce, |written| written == RECORDS);
    }
}

fn is_recorded(row: &Row, gateway: &Gateway, name: &str) {
    let sent = (CODECS.len() * RECORDS_PER_CODEC) as u64;
    recorded(gateway, name, name, ApiKey::Produce, |written| written == sent);
    // Batches are fetched whole, and a client may fetch what it does not hand on any more.
    recorded(gateway, name, name, ApiKey::Fetch, |read| read >= sent);
    // kcat comes from the system's packages, and may be newer than the table.
    let (spoken, speaks) = (spoken(gateway, name).unwrap(), row.speaks);
    assert!(
        spoken.0 >= speaks.0 && spoken.1 >= speaks.1,
        "{name}: speaks Produce and Fetch {spoken:?}, knows {speaks:?}"
    );
}
