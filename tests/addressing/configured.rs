//! What the configuration says of addresses, what `weir check` and `weir doctor` say of it.

use std::fs;
use std::path::Path;

use loadtest::weir::{Gateway, Options};
use weir::addressing::{AdvertisedPorts, Brokers};
use weir::config::{Config, Listener};

use crate::world::{cluster, listener_tls, pki};

const FILE: &str = "store: { path: ./data }
control: { bind: \"127.0.0.1:9280\" }
clusters:
  - { name: main, bootstrap: [\"127.0.0.1:19092\"] }
listeners:
  - name: main
    cluster: main
    bind: \"127.0.0.1:9292\"
    auth: [anonymous]
";

fn load(dir: &Path, listener: &[&str]) -> Result<Listener, Vec<String>> {
    let lines: String = listener.iter().map(|line| format!("    {line}\n")).collect();
    let file = dir.join("weir.yaml");
    fs::write(&file, format!("{FILE}{lines}")).unwrap();
    let shown = format!("{}/", dir.display());
    match Config::load(&file) {
        Ok(config) => Ok(config.listeners.into_iter().next().unwrap()),
        Err(problems) => Err(problems.0.iter().map(|p| p.to_string().replace(&shown, "")).collect()),
    }
}

#[test]
fn a_host_name_per_broker_needs_one_pattern_and_one_bootstrap_host() {
    let dir = tempfile::tempdir().unwrap();
    let tls = listener_tls(&pki().weir);
    let sni = r#"brokers: { sni: "b{node}.kafka.test" }"#;
    for (advertised, port) in [("kafka.test", 9292), ("kafka.test:443", 443), ("\"[::1]:443\"", 443)] {
        let advertised = format!("advertised: {advertised}");
        let listener = load(dir.path(), &[sni, &advertised, &tls]).unwrap();
        assert!(
            matches!(&listener.brokers, Brokers::Sni { bootstrap } if ["kafka.test", "::1"].contains(&&**bootstrap))
        );
        assert_eq!(listener.advertised.host.host(7), "b7.kafka.test");
        assert_eq!(listener.advertised.ports, AdvertisedPorts::Same(port));
        assert_eq!(listener.broker_addresses().count(), 0);
    }
}

#[test]
fn what_does_not_tell_brokers_apart_by_name_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let tls = listener_tls(&pki().weir);
    let (sni, advertised) = (r#"brokers: { sni: "b{node}.kafka.test" }"#, "advertised: kafka.test");
    let name = "expected a host name with `{node}` once, where the node id stands, with a dot and without `_`, since \
                clients say no others in a TLS handshake, such as \"b{node}.kafka.example.com\"";
    let bootstrap = "expected the host that clients have as bootstrap address, which stands for no broker";
    let pattern = |text: &str| format!("brokers: {{ sni: \"{text}\" }}");
    let cases = [
        (
            vec![sni, advertised],
            "10:14: listeners[0].brokers.sni: the server name is said in a TLS handshake; \
                                 expected `tls` on this listener"
                .to_owned(),
        ),
        (vec![sni, &tls], format!("listeners[0].advertised: missing; {bootstrap}, such as \"kafka.example.com\"")),
        (
            vec!["brokers: { snl: x }", advertised, &tls],
            "listeners[0].brokers.snl: unknown key; did you mean `sni`?".to_owned(),
        ),
        (
            vec![sni, "advertised: B12.kafka.test", &tls],
            format!("found `B12.kafka.test`; {bootstrap} of `brokers.sni`"),
        ),
        (vec![sni, "advertised: kafka", &tls], "clients say no such name in a TLS handshake".to_owned()),
        (vec![sni, "advertised: \"k{node}.test\"", &tls], bootstrap.to_owned()),
        (vec![sni, "advertised: \"kafka.test:1-9\"", &tls], format!("{bootstrap} of `brokers.sni`, and one port")),
    ];
    let patterns = [
        "kafka.test",
        "b{node}.{node}.test",
        "b{node}-.kafka.test",
        "10.0.0.{node}",
        "b{node}.test:9092",
        "b {node}.x",
        "kafka-{node}",
        "b_{node}.kafka.test",
        "kafka.{node}",
    ];
    let patterns =
        patterns.map(|text| (pattern(text), format!("listeners[0].brokers.sni: found `\"{text}\"`; {name}")));
    let patterns = patterns.iter().map(|(line, expected)| (vec![line.as_str(), advertised, &tls], expected.clone()));
    for (listener, expected) in cases.into_iter().chain(patterns) {
        let problems = load(dir.path(), &listener).unwrap_err();
        assert!(problems.iter().any(|p| p.contains(&expected)), "{problems:?}\nexpected {expected}");
    }
}

#[test]
fn what_clients_are_told_may_differ_from_what_is_listened_on_and_stands_for_one_broker_each() {
    let dir = tempfile::tempdir().unwrap();
    let brokers = "brokers: \"127.0.0.1:9300-9399\"";
    for (advertised, host, ports) in [
        ("gw.example.com", "gw.example.com", AdvertisedPorts::PerBroker(9300)),
        ("\"gw.example.com:19300-19399\"", "gw.example.com", AdvertisedPorts::PerBroker(19300)),
        ("\"weir-{node}.kafka.svc\"", "weir-5.kafka.svc", AdvertisedPorts::PerBroker(9300)),
        ("\"weir-{node}.kafka.svc:9092\"", "weir-5.kafka.svc", AdvertisedPorts::Same(9092)),
        ("\"10.0.0.{node}:9092\"", "10.0.0.5", AdvertisedPorts::Same(9092)),
        ("\"[::1]:19300-19399\"", "::1", AdvertisedPorts::PerBroker(19300)),
        ("\"[::1]\"", "::1", AdvertisedPorts::PerBroker(9300)),
    ] {
        let told = load(dir.path(), &[brokers, &format!("advertised: {advertised}")]).unwrap().advertised;
        assert_eq!((told.host.host(5).as_str(), told.ports), (host, ports), "{advertised}");
    }
    let count = "expected as many ports as `brokers` has, 100, or one and `{node}` in the host";
    let form = "expected a host name or IP address that clients reach";
    let brackets = "expected an IPv6 address in brackets";
    for (advertised, expected) in [
        ("gw.example.com:19300", count),
        ("gw.example.com:19300-19398", count),
        ("\"w{node}.x:19300-19301\"", count),
        ("gw.example.com:19399-19300", form),
        ("gw.example.com:0", form),
        ("\"gw.example.com:\"", form),
        ("\"[::]:19300-19399\"", form),
        ("0.0.0.0:19300-19399", form),
        ("\"w{node}.{node}.x\"", form),
        ("\"::1:19300-19399\"", brackets),
        ("\"2001:db8::5:9092\"", brackets),
        ("\"2001:db8::5\"", brackets),
    ] {
        let problems = load(dir.path(), &[brokers, &format!("advertised: {advertised}")]).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}\nexpected {expected}");
    }
}

/// Two listeners of two clusters.
fn load_two(dir: &Path, first: &[&str], second: &[&str], clusters: [&str; 2]) -> Result<Config, Vec<String>> {
    let listener = |name: &str, cluster: &str, port: u16, lines: &[&str]| {
        let bind = format!("bind: \"127.0.0.1:{port}\"");
        let bind = (!lines.iter().any(|line| line.starts_with("bind"))).then_some(bind.as_str());
        let lines: String = lines.iter().copied().chain(bind).map(|line| format!("    {line}\n")).collect();
        format!("  - name: {name}\n    cluster: {cluster}\n    auth: [anonymous]\n{lines}")
    };
    let text = format!(
        "store: {{ path: ./data }}\ncontrol: {{ bind: \"127.0.0.1:9280\" }}\nclusters:\n  \
         - {{ name: one, bootstrap: [\"127.0.0.1:19092\"] }}\n  - {{ name: two, bootstrap: [\"127.0.0.1:19093\"] }}\n\
         listeners:\n{}{}",
        listener("first", clusters[0], 9292, first),
        listener("second", clusters[1], 9293, second)
    );
    let file = dir.join("weir.yaml");
    fs::write(&file, text).unwrap();
    let shown = format!("{}/", dir.display());
    Config::load(&file).map_err(|problems| problems.0.iter().map(|p| p.to_string().replace(&shown, "")).collect())
}

#[test]
fn an_address_that_clients_are_told_leads_to_one_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let tls = listener_tls(&pki().weir);
    let (low, high) = (r#"brokers: "127.0.0.1:9300-9399""#, r#"brokers: "127.0.0.1:9400-9499""#);
    let (b, b1) = (r#"brokers: { sni: "b{node}.kafka.test" }"#, r#"brokers: { sni: "B1{node}.kafka.test" }"#);
    let c = r#"brokers: { sni: "c{node}.kafka.test" }"#;
    let same = "advertised: \"gw.test:19300-19399\"";
    let apart = ["one", "two"];
    let clash = |told: &str| {
        format!(
            "clients are told {told} of cluster `one`; expected a host or ports of its own, since an address leads to one \
             cluster"
        )
    };
    let nat = clash("gw.test, port 19350, as by listeners[0].advertised on line 11");
    let over = "advertised: \"GW.test:19350-19449\"";
    for (first, second, expected) in [
        (vec![low, same], vec![high, over], nat.replace("gw.test", "GW.test")),
        (
            vec![low, "advertised: \"w{node}.test:9092\""],
            vec![high, "advertised: \"w{node}.test:9092\""],
            clash("w0.test, port 9092, as by listeners[0].advertised on line 11"),
        ),
        (
            vec![low],
            vec![high, "advertised: \"127.0.0.1:9300-9399\""],
            clash("127.0.0.1, port 9300, as by listeners[0].brokers on line 10"),
        ),
        (
            vec![b, "advertised: one.test:443", &tls],
            vec![b1, "advertised: two.test:443", &tls],
            clash("B10.kafka.test, port 443, as by listeners[0].advertised on line 11"),
        ),
        (
            vec![b, "advertised: one.test:443", &tls],
            vec![c, "advertised: One.test:443", &tls],
            clash("One.test, port 443, as by listeners[0].advertised on line 11"),
        ),
    ] {
        let problems = load_two(dir.path(), &first, &second, apart).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains(&expected), "{problems:?}\nexpected {expected}");
        assert!(problems[0].contains(": listeners[1].advertised: "), "{problems:?}");
        // Of one cluster it does not matter which of them a client comes to.
        load_two(dir.path(), &first, &second, ["two", "two"]).unwrap();
    }
    for (first, second) in [
        (vec![low, same], vec![high, "advertised: \"gw.test:19400-19499\""]),
        (vec![low, same], vec![high, "advertised: \"gw2.test:19300-19399\""]),
        (vec![b, "advertised: one.test:443", &tls], vec![c, "advertised: two.test:443", &tls]),
        (vec![b, "advertised: one.test:443", &tls], vec![b, "advertised: one.test:444", &tls]),
    ] {
        load_two(dir.path(), &first, &second, apart).unwrap();
    }
}

#[test]
fn listeners_whose_brokers_have_names_need_a_port_each() {
    let dir = tempfile::tempdir().unwrap();
    let tls = listener_tls(&pki().weir);
    let named = |name: &str, port: u16| {
        [
            format!("brokers: {{ sni: \"{name}{{node}}.kafka.test\" }}"),
            format!("advertised: {name}.test"),
            tls.clone(),
            format!("bind: \"127.0.0.1:{port}\""),
        ]
    };
    let load = |ports: [u16; 2]| {
        let lines = [named("b", ports[0]), named("c", ports[1])];
        let [first, second] = lines.each_ref().map(|lines| lines.each_ref().map(String::as_str));
        load_two(dir.path(), &first, &second, ["one", "two"])
    };
    load([9293, 9294]).unwrap();
    let problems = load([9293, 9293]).unwrap_err();
    let expected = "listeners[1].bind: port 9293 clashes with listeners[0].bind on line 13; expected a port of its own, \
                    since host names tell brokers apart, not listeners";
    assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
}

#[test]
fn a_certificate_that_is_not_for_what_clients_are_told_is_told_of_by_check_start_and_doctor() {
    let narrow = pki().certificate("narrow", &["kafka.test", "b1.kafka.test"]);
    let foreign = pki().certificate("foreign", &["kafka.example.com"]);
    let missing = [
        (&pki().weir, vec![], vec![]),
        (&narrow, vec![], vec!["b2.kafka.test"]),
        (&foreign, vec!["kafka.test", "b{node}.kafka.test"], vec!["b1.kafka.test", "b2.kafka.test", "kafka.test"]),
    ];
    for (files, told, found) in missing {
        let mut options = Options::new(cluster().bootstrap());
        options.brokers = Some(r#"{ sni: "b{node}.kafka.test" }"#.to_owned());
        options.listener = vec!["advertised: kafka.test".to_owned(), listener_tls(files)];
        let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
        let checked = gateway.weir(&["check"]).unwrap().stdout;
        let lines = checked.lines().filter(|line| line.contains("the certificate is not for")).count();
        assert_eq!(lines, told.len(), "{checked}");
        // Ends with the worst of what it found.
        let doctor = match gateway.weir(&["doctor", "--json"]) {
            Ok(output) => output.stdout,
            Err(failure) => failure.to_string(),
        };
        let hosts = doctor.lines().find(|line| line.contains("certificate_hosts")).expect(&doctor);
        let expected = match found.is_empty() {
            true => "the certificate is for every host that clients are told (3)".to_owned(),
            false => format!("the certificate is not for {}", found.join(", ")),
        };
        assert!(hosts.contains(&expected), "{hosts}");
        gateway.start_again().unwrap();
        for host in told {
            assert!(checked.contains(&format!("listener main: the certificate is not for {host};")), "{checked}");
            assert!(gateway.log().contains(&format!("the certificate is not for {host}:")), "{}", gateway.log());
        }
    }
}
