//! `clusters`: the Kafka clusters behind, and how Weir logs in to them.

use super::reader::{Reader, Section};
use super::yaml::Node;
use super::{Cluster, sasl, tls, value};

/// The clusters, and all names that listeners may refer to, also those of clusters with another mistake in them.
pub(super) struct Clusters {
    pub(super) names: Vec<String>,
    pub(super) read: Option<Vec<Cluster>>,
}

pub(super) fn read(root: &Section<'_>, reader: &mut Reader) -> Clusters {
    let mut names = Vec::new();
    let read = root
        .needed(reader, "clusters", "a list of clusters, at least one")
        .and_then(|node| reader.list(node, "clusters", "clusters"))
        .and_then(|items| {
            let all: Vec<_> = items.iter().enumerate().map(|(i, node)| cluster(node, i, reader, &mut names)).collect();
            all.into_iter().collect()
        });
    Clusters { names, read }
}

fn cluster(node: &Node, index: usize, reader: &mut Reader, names: &mut Vec<String>) -> Option<Cluster> {
    let path = format!("clusters[{index}]");
    let section = reader.section(node, &path, &["name", "bootstrap", "tls", "sasl"], &[])?;
    let name = section.required(reader, "name", "a name for listeners to refer to", value::name);
    unique(&section, reader, name.as_deref(), names);
    let bootstrap = bootstrap(&section, reader);
    let tls = tls::of_cluster(&section, reader);
    let sasl = match section.node("sasl") {
        None => Some(None),
        Some(node) => sasl::read(node, &section.path("sasl"), reader).map(Some),
    };
    Some(Cluster { name: name?, bootstrap: bootstrap?, tls: tls?, sasl: sasl? })
}

/// Notes the name of a section and reports it when it was taken before.
pub(super) fn unique(section: &Section<'_>, reader: &mut Reader, name: Option<&str>, names: &mut Vec<String>) {
    let (Some(name), Some(node)) = (name, section.node("name")) else {
        return;
    };
    if names.iter().any(|taken| taken == name) {
        reader
            .report(node.at, format!("{}: found `{name}` a second time; expected a unique name", section.path("name")));
    } else {
        names.push(name.to_owned());
    }
}

fn bootstrap(section: &Section<'_>, reader: &mut Reader) -> Option<Vec<super::HostPort>> {
    let node = section.needed(reader, "bootstrap", "a list of brokers, such as [\"127.0.0.1:9092\"]")?;
    let path = section.path("bootstrap");
    let items = reader.list(node, &path, "brokers, such as [\"127.0.0.1:9092\"]")?;
    let all: Vec<_> = items
        .iter()
        .enumerate()
        .map(|(i, item)| reader.scalar(item, &format!("{path}[{i}]"), value::host_port))
        .collect();
    all.into_iter().collect()
}
