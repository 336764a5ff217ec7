//! Certificates replaced under a running gateway: new connections see the new ones, old ones go on.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use loadtest::tls::{Authority, Files, client_config, replace};
use loadtest::wait_for;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use rustls::ClientConfig;

use crate::hazards_support::{self, METADATA, PRODUCE, RUNTIMES, SOON, batch, create_topic, no_topics, produce};
use crate::world::{HOST, TLS13, client_ca, connect_to_broker, listener_tls, log_says, server_certificate, world};

fn before(runtime: &str, auth: &str, files: &Files, more: &str) -> Gateway {
    let [upstream, _] = world().cluster.tls_bootstraps();
    let mut options = Options::new(upstream).runtime(runtime).auth(&[auth]);
    options.cluster.push(format!("tls: {{ ca: {} }}", world().ca.display()));
    options.listener.push(listener_tls(files, more));
    hazards_support::gateway(options)
}

fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    client_config(&authority.pem(), None, TLS13).unwrap()
}

fn works(gateway: &Gateway, config: &Arc<ClientConfig>) -> bool {
    let connection = Connection::open_tls(gateway.address(), HOST, config.clone());
    connection.and_then(|mut connection| connection.call(METADATA, &no_topics())).is_ok()
}

/// Waits until new connections are shown what `config` trusts.
fn comes_to_work(gateway: &Gateway, config: &Arc<ClientConfig>) {
    let came = wait_for("the new certificate", SOON, || Ok(works(gateway, config).then_some(())));
    came.unwrap_or_else(|e| panic!("{e}; the log:\n{}", gateway.log()));
}

struct StopsWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_certificate_is_replaced_while_a_producer_goes_on() {
    for runtime in RUNTIMES {
        let folder = world().folder(&format!("reload-{runtime}"));
        let files = server_certificate(&world().authority).write(&folder, "server").unwrap();
        let gateway = before(runtime, "anonymous", &files, "");
        let topic = format!("reload-{runtime}");
        create_topic(world().cluster.address(1).unwrap(), &topic);
        let mut producer = connect_to_broker(&gateway, &trusting(&world().authority));
        let (stop, produced) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let answer = producer.call(PRODUCE, &produce(&topic, -1, batch(5, 2000))).unwrap();
                    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
                    produced.fetch_add(1, Ordering::Relaxed);
                }
            });
            // Also when what follows fails, or the producer would go on for ever.
            let _stop = StopsWhenDropped(&stop);
            let next = Authority::new("next").unwrap();
            server_certificate(&next).write(&folder, "server").unwrap();
            comes_to_work(&gateway, &trusting(&next));
            assert!(!works(&gateway, &trusting(&world().authority)));
            let so_far = produced.load(Ordering::Relaxed);
            wait_for("more to be produced", SOON, || Ok((produced.load(Ordering::Relaxed) > so_far + 5).then_some(())))
                .unwrap();
        });
        log_says(&gateway, &["certificates reloaded", "listener"]);
    }
}

#[test]
fn a_pair_of_which_one_half_is_written_is_not_used() {
    let folder = world().folder("half");
    let files = server_certificate(&world().authority).write(&folder, "server").unwrap();
    let gateway = before("epoll", "anonymous", &files, "");
    let next = Authority::new("next").unwrap();
    let replacing = server_certificate(&next);
    replace(&files.certificate, &replacing.certificate).unwrap();
    log_says(&gateway, &["certificates have changed and are not usable", "does not belong to the certificate"]);
    assert!(works(&gateway, &trusting(&world().authority)));
    replace(&files.key, &replacing.key).unwrap();
    comes_to_work(&gateway, &trusting(&next));
    let expiry = gateway.metrics().unwrap().sum("weir_certificate_expiry_seconds", &[("owner", "listener")]).unwrap();
    assert!(expiry > 1.7e9, "{expiry}");
}

#[test]
fn files_behind_a_link_that_is_swapped_are_followed() {
    let folder = world().folder("linked");
    let write = |name: &str, authority: &Authority| {
        let inner = folder.join(name);
        fs::create_dir_all(&inner).unwrap();
        server_certificate(authority).write(&inner, "server").unwrap();
        // As Kubernetes does it: a link beside, moved over the one in use.
        symlink(&inner, folder.join("fresh")).unwrap();
        fs::rename(folder.join("fresh"), folder.join("data")).unwrap();
    };
    write("first", &world().authority);
    let path = |ending: &str| folder.join(format!("data/server.{ending}"));
    let files = Files { certificate: path("crt"), key: path("key"), both: path("pem") };
    let gateway = before("epoll", "anonymous", &files, "");
    assert!(works(&gateway, &trusting(&world().authority)));
    let next = Authority::new("next").unwrap();
    write("second", &next);
    comes_to_work(&gateway, &trusting(&next));
}

#[test]
fn an_authority_that_is_taken_away_refuses_new_connections_and_leaves_old_ones() {
    let ca = world().folder("authorities").join("clients.pem");
    replace(&ca, &world().authority.pem()).unwrap();
    let gateway = before("io_uring", "mtls", &world().weir, &client_ca(&ca));
    let alice = client_config(&world().authority.pem(), Some(&world().person("alice")), TLS13).unwrap();
    let mut old = Connection::open_tls(gateway.address(), HOST, alice.clone()).unwrap();
    old.call(METADATA, &no_topics()).unwrap();
    replace(&ca, &world().stranger.pem()).unwrap();
    wait_for("alice to be refused", SOON, || Ok((!works(&gateway, &alice)).then_some(()))).unwrap();
    old.call(METADATA, &no_topics()).unwrap();
}

#[test]
fn a_clusters_authority_is_replaced_for_new_connections() {
    let ca = world().folder("authorities").join("brokers.pem");
    replace(&ca, &world().authority.pem()).unwrap();
    for runtime in RUNTIMES {
        replace(&ca, &world().authority.pem()).unwrap();
        let [upstream, _] = world().cluster.tls_bootstraps();
        let mut options = Options::new(upstream).runtime(runtime);
        options.cluster.push(format!("tls: {{ ca: {} }}", ca.display()));
        let gateway = hazards_support::gateway(options);
        let mut old = Connection::open(gateway.address()).unwrap();
        old.call(METADATA, &no_topics()).unwrap();
        replace(&ca, &world().stranger.pem()).unwrap();
        log_says(&gateway, &["certificates reloaded", "cluster"]);
        // A client's own connection to a broker is refused by name, and the log says whose doing it is.
        let mut new = Connection::open(gateway.address()).unwrap();
        assert!(new.call(METADATA, &no_topics()).is_err());
        let what = "upstream: cannot reach cluster main";
        log_says(
            &gateway,
            &[what, "TLS handshake with localhost failed", "comes from no authority that is trusted here"],
        );
        old.call(METADATA, &no_topics()).unwrap();
    }
}
