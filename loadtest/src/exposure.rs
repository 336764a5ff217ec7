//! Whether bytes that a client got name a broker's own address.

use std::collections::BTreeSet;

use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;

use crate::admin::text;
use crate::kafka::Cluster;
use crate::wire::Connection;
use crate::{Failure, Result};

/// `ConfigResource.Type.BROKER`.
const BROKER_CONFIGS: i8 = 4;

/// Every port that the brokers listen on, the controller's included.
pub fn ports(cluster: &Cluster) -> Result<BTreeSet<u16>> {
    let mut ports: BTreeSet<u16> = cluster.addresses().iter().map(|(_, address)| address.port()).collect();
    let resource = DescribeConfigsResource::default()
        .with_resource_type(BROKER_CONFIGS)
        .with_resource_name(text("1"))
        .with_configuration_keys(Some(vec![text("listeners")]));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = Connection::open(cluster.address(1)?)?.call(4, &request)?;
    let listeners = answer.results.first().and_then(|result| result.configs.first()?.value.clone());
    let listeners = listeners.ok_or_else(|| Failure::new("broker 1 does not tell its listeners"))?;
    ports.extend(listeners.split(',').filter_map(|l| l.rsplit_once(':')?.1.parse::<u16>().ok()));
    if ports.len() > cluster.addresses().len() {
        return Ok(ports);
    }
    Err(Failure::new(format!("no controller among the listeners {listeners}")))
}

/// The ports that these bytes name, as text, as a number of four bytes, or as one of two right behind the host.
pub fn named(bytes: &[u8], ports: &BTreeSet<u16>) -> Vec<u16> {
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    let is_named = |port: &&u16| {
        let short = [&b"127.0.0.1"[..], &port.to_be_bytes()].concat();
        holds(port.to_string().as_bytes()) || holds(&i32::from(**port).to_be_bytes()) || holds(&short)
    };
    ports.iter().filter(is_named).copied().collect()
}
