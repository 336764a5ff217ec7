//! What a good configuration means: the smallest one, the complete example, and what defaults fill in.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir::addressing::{AdvertisedPorts, Brokers};
use weir::config::{Auth, Config, LogFormat, LogLevel, Runtime, Sasl};
use weir::policy::PolicySnapshot;

/// As DESIGN's "Configuration" writes it.
const SMALLEST: &str = r#"store: { path: ./weir-data, durability: flushed }
control: { bind: "127.0.0.1:9280" }     # API, console, /metrics
policy: policy.yaml                     # optional; without it: whoever is let in may do all, metadata is recorded
clusters:
  - name: main
    bootstrap: ["127.0.0.1:19092"]      # tls and sasl below it say how Weir logs in
listeners:
  - name: main
    cluster: main
    bind: "127.0.0.1:9292"              # what clients get as bootstrap address
    brokers: "127.0.0.1:9300-9399"      # a port per broker: 9300 + node id
    auth: [anonymous]                   # or any of: weir_token, jwt, scram, mtls
"#;

fn write(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("weir.yaml");
    fs::write(&file, text).unwrap();
    file
}

fn load(folder: &Path, text: &str) -> Config {
    Config::load(&write(folder, text)).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_smallest_configuration_works_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let config = load(folder.path(), SMALLEST);
    assert_eq!(config.runtime, Runtime::Auto);
    assert_eq!(config.shards, std::thread::available_parallelism().unwrap().get());
    assert!(!config.node.is_empty());
    assert_eq!(config.store.path, folder.path().join("weir-data"));
    assert_eq!(config.store.retention_days, 30);
    assert_eq!(config.store.journal_bytes, 64 << 20);
    assert_eq!(config.control.bind.to_string(), "127.0.0.1:9280");
    assert!(config.control.tls.is_none() && config.control.roles.is_empty(), "nobody may use the API");
    assert_eq!(config.control.socket, folder.path().join("weir-data/weir.sock"));
    assert_eq!((config.log.format, config.log.level), (LogFormat::Text, LogLevel::Info));
    assert_eq!(config.drain, Duration::from_secs(10));
    assert_eq!(config.clusters[0].bootstrap[0].to_string(), "127.0.0.1:19092");
    assert!(config.clusters[0].sasl.is_none());
    let listener = &config.listeners[0];
    assert_eq!(listener.bind.to_string(), "127.0.0.1:9292");
    assert_eq!(listener.advertised.host.to_string(), "127.0.0.1");
    assert_eq!(listener.advertised.ports, AdvertisedPorts::PerBroker(9300));
    assert_eq!(listener.auth, [Auth::Anonymous]);
    assert!(!listener.allow_security_changes);
    assert_eq!(config.cluster_of(listener).unwrap().name, "main");
}

#[test]
fn a_broker_s_port_is_the_base_plus_its_node_id_and_never_beyond_the_range() {
    let folder = tempfile::tempdir().unwrap();
    let Brokers::Ports(brokers) = load(folder.path(), SMALLEST).listeners[0].brokers else { panic!("no ports") };
    assert_eq!(brokers.port(0), Some(9300));
    assert_eq!(brokers.port(99), Some(9399));
    assert_eq!(brokers.port(100), None);
    assert_eq!(brokers.port(-1), None);
    assert_eq!(brokers.port(i32::MAX), None);
}

#[test]
fn the_complete_example_loads_and_says_the_defaults() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/weir.yaml");
    let example = Config::load(&example).unwrap_or_else(|problems| panic!("{problems}"));
    let folder = tempfile::tempdir().unwrap();
    let smallest = load(folder.path(), SMALLEST);
    assert_eq!(example.limits, smallest.limits);
    assert_eq!(example.drain, smallest.drain);
    assert_eq!(example.log, smallest.log);
    assert_eq!(example.runtime, smallest.runtime);
    assert_eq!(example.store.retention_days, smallest.store.retention_days);
    assert_eq!(example.store.journal_bytes, smallest.store.journal_bytes);
    assert_eq!(example.control.socket.file_name(), smallest.control.socket.file_name());
    assert_eq!(example.listeners[0].advertised, smallest.listeners[0].advertised);
}

#[test]
fn a_policy_file_that_is_not_there_is_noted_and_means_no_rules() {
    let folder = tempfile::tempdir().unwrap();
    let config = load(folder.path(), SMALLEST);
    assert!(config.policy.missing);
    assert_eq!(config.policy.path, Some(folder.path().join("policy.yaml")));
    assert_eq!(*config.policy.snapshot, PolicySnapshot::default());
}

#[test]
fn a_policy_file_is_known_by_the_hash_of_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), "recording: [{ mode: metadata }]\n").unwrap();
    let one = load(folder.path(), SMALLEST).policy;
    assert!(!one.missing);
    fs::write(folder.path().join("policy.yaml"), "# nothing yet\n").unwrap();
    let other = load(folder.path(), SMALLEST).policy;
    assert_ne!(one.snapshot.hash, [0; 32]);
    assert_ne!(other.snapshot.hash, [0; 32]);
    assert_ne!(one.snapshot.hash, other.snapshot.hash);
}

fn with_password(password: &str) -> String {
    let sasl = format!("    sasl: {{ mechanism: plain, username: weir, password: {password} }}\nlisteners:");
    SMALLEST.replace("listeners:", &sasl)
}

#[test]
fn a_secret_comes_from_its_file_without_the_line_s_end() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "sesame with spaces \r\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).unwrap();
    let config = load(folder.path(), &with_password("{ file: ./secret }"));
    let Some(Sasl::Plain { username, password }) = &config.clusters[0].sasl else { panic!("no sasl") };
    assert_eq!(username, "weir");
    assert_eq!(password.expose(), "sesame with spaces ");
}

#[test]
fn a_secret_comes_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let config = load(folder.path(), &with_password("{ env: CARGO_MANIFEST_DIR }"));
    let Some(Sasl::Plain { password, .. }) = &config.clusters[0].sasl else { panic!("no sasl") };
    assert_eq!(password.expose(), env!("CARGO_MANIFEST_DIR"));
}

#[test]
fn a_secret_is_in_no_debug_output() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "open-sesame").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let config = load(folder.path(), &with_password("{ file: secret }"));
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("username: \"weir\""));
    assert!(!shown.contains("sesame"));
}

#[test]
fn listeners_may_share_port_numbers_on_different_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let second = r#"  - name: second
    cluster: main
    bind: "127.0.0.2:9292"
    brokers: "127.0.0.2:9300-9399"
    auth: [weir_token]
  - name: third
    cluster: main
    bind: "[::1]:9292"
    brokers: "[::1]:9300-9399"
    auth: [weir_token, anonymous]
"#;
    let config = load(folder.path(), &format!("{SMALLEST}{second}"));
    assert_eq!(config.listeners.len(), 3);
    assert_eq!(config.listeners[2].advertised.host.to_string(), "::1");
}
