//! The top of `weir.yaml`: which sections there are, and what holds between them.

use super::clusters::Clusters;
use super::ports::Ports;
use super::reader::Reader;
use super::yaml::{Data, Node};
use super::{Config, clusters, control, issuers, limits, listeners, policy_file, process, store, webhooks};

const KEYS: &[&str] = &[
    "node",
    "runtime",
    "shards",
    "store",
    "control",
    "policy",
    "log",
    "drain",
    "limits",
    "issuers",
    "webhooks",
    "clusters",
    "listeners",
];

pub(super) fn read(tree: &Node, reader: &mut Reader) -> Option<Config> {
    if matches!(tree.data, Data::Null) {
        reader.report(tree.at, "the file is empty; expected `store`, `control`, `clusters` and `listeners`");
        return None;
    }
    let root = reader.section(tree, "", KEYS, &[])?;
    let mut ports = Ports::default();

    let node = process::node(&root, reader);
    let runtime = process::runtime(&root, reader);
    let shards = process::shards(&root, reader);
    let log = process::log(&root, reader);
    let drain = process::drain(&root, reader);
    let store = store::read(&root, reader);
    let store_path = store.as_ref().map(|store| store.path.as_path());
    let issuers = issuers::read(&root, reader);
    let webhooks = webhooks::read(&root, reader);
    let control =
        control::read(&root, reader, &control::Known { store: store_path, issuers: &issuers.names }, &mut ports);
    let limits = limits::read(&root, reader);
    let Clusters { names, read: clusters } = clusters::read(&root, reader);
    let known = listeners::Known { clusters: &names, issuers: &issuers.names };
    let listeners = listeners::read(&root, reader, &known, &mut ports);
    let listener_names: Vec<String> = listeners.iter().flatten().map(|listener| listener.name.clone()).collect();
    let policy = policy_file::read(&root, reader, &listener_names);
    ports.check(reader);

    Some(Config {
        file: reader.file().to_owned(),
        node: node?,
        runtime: runtime?,
        shards: shards?,
        store: store?,
        control: control?,
        policy: policy?,
        log: log?,
        drain: drain?,
        limits: limits?,
        issuers: issuers.read?,
        webhooks: webhooks?,
        clusters: clusters?,
        listeners: listeners?,
    })
}
