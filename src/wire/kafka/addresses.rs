//! Brokers' own addresses in responses, replaced by those under which clients reach them through Weir.
//!
//! Where addresses lie is known from the layouts alone (`broker`, `coordinator` and `endpoint` in `messages.txt`) and,
//! for DescribeConfigs, from the names of a broker's configurations.
//!
//! Invariants:
//! - No address of a broker passes that [`Outward`] has not given: a broker that it does not know is left out, or made
//!   unavailable where it cannot be left out.
//! - Everything but addresses (and the counts and sizes around them) passes byte for byte.

use super::edit::{Edits, pad, padding};
use super::layout::{Element, Group, Role};
use super::walk::{Fault, Malformed, Span, TaggedField, Value, Visitor, Walker};

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
const DESCRIBE_CONFIGS: i16 = 32;
const DESCRIBE_QUORUM: i16 = 55;
const DESCRIBE_CLUSTER: i16 = 60;
const SHARE_FETCH: i16 = 78;
const SHARE_ACKNOWLEDGE: i16 = 79;

/// The error for a coordinator that cannot be reached through Weir (yet): clients ask again.
const COORDINATOR_NOT_AVAILABLE: i64 = 15;

/// `ConfigResource.Type.BROKER`.
pub const BROKER_CONFIGS: i64 = 4;

/// The configuration that holds what a broker tells clients.
const ADVERTISED_LISTENERS: &str = "advertised.listeners";

/// Other configurations with addresses of brokers, controllers or ZooKeeper, also of versions before 4.0.
const ADDRESS_CONFIGS: [&str; 7] = [
    "listeners",
    "controller.quorum.voters",
    "zookeeper.connect",
    "host.name",
    "port",
    "advertised.host.name",
    "advertised.port",
];

/// How clients reach brokers.
pub trait Outward {
    /// The host and port under which clients reach this broker, whose own address is given too; none for a broker that
    /// they cannot reach through Weir.
    fn outward(&mut self, node: i32, host: &str, port: i32) -> Option<(String, u16)>;
}

/// Where a response names brokers' addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: it passes as it is.
    Nowhere,
    /// Only behind [`Walker::tail_at`]: what lies before may be relayed, the tail goes through [`rewrite_tail`].
    Tail,
    /// Anywhere: all of it must be gathered for [`rewrite`].
    Anywhere,
}

/// Where the response of an API names brokers' addresses.
pub fn place(api_key: i16, version: i16) -> Place {
    match (api_key, version) {
        (FETCH, 16..) | (SHARE_FETCH, _) => Place::Tail,
        (PRODUCE, 10..) | (DESCRIBE_QUORUM, 2..) => Place::Anywhere,
        (METADATA | FIND_COORDINATOR | DESCRIBE_CONFIGS | DESCRIBE_CLUSTER | SHARE_ACKNOWLEDGE, _) => Place::Anywhere,
        _ => Place::Nowhere,
    }
}

/// A whole response body with outward addresses; none when nothing in it changes.
pub fn rewrite(
    api_key: i16,
    version: i16,
    body: &[u8],
    outward: &mut dyn Outward,
) -> Result<Option<Vec<u8>>, Malformed> {
    if place(api_key, version) == Place::Nowhere {
        return Ok(None);
    }
    let Some(mut walker) = Walker::response(api_key, version, body.len() as u64) else {
        return Ok(None);
    };
    let addresses = collect(&mut walker, api_key == DESCRIBE_CONFIGS, body, outward)?;
    Ok((!addresses.edits.is_empty()).then(|| addresses.edits.splice(body)))
}

/// What follows [`Walker::tail_at`], with outward addresses and of the same length; none when nothing in it changes.
///
/// What got shorter is filled up with a tagged field that no client knows. What got longer, or cannot be filled up,
/// goes without its addresses: they are a hint (KIP-951), without which clients ask Metadata.
pub fn rewrite_tail(
    api_key: i16,
    version: i16,
    tail: &[u8],
    outward: &mut dyn Outward,
) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(mut walker) = Walker::response_tail(api_key, version, tail.len() as u64) else {
        return Ok(None);
    };
    let Addresses { edits, tagged, whole_array, .. } = collect(&mut walker, false, tail, outward)?;
    if edits.is_empty() {
        return Ok(None);
    }
    // the tail's own tagged section: behind the array, or the first thing where the array is in it
    let array = whole_array.filter(|_| tagged.is_empty());
    let tags_at = |edited: &[u8]| array.map_or(0, |array| edited.len() - (tail.len() - array.end as usize));
    let edited = edits.splice(tail);
    let at = tags_at(&edited);
    if let Some(fitting) = pad(edited, at, tail.len()) {
        return Ok(Some(fitting));
    }
    let mut without = Edits::new(true);
    for field in tagged {
        let span = Span { start: field.start, end: field.end };
        without.replace(span, padding(span.len() as usize).unwrap_or_default());
    }
    if let Some(array) = array {
        without.replace(array, vec![1]);
    }
    let without = without.splice(tail);
    let at = tags_at(&without);
    pad(without, at, tail.len()).map(Some).ok_or_else(|| walker.malformed(Fault::BytesLeft))
}

fn collect<'a>(
    walker: &mut Walker,
    configs: bool,
    body: &[u8],
    outward: &'a mut dyn Outward,
) -> Result<Addresses<'a>, Malformed> {
    let mut addresses = Addresses::new(Edits::new(walker.is_flexible()), configs, outward);
    walker.feed(body, &mut addresses)?;
    walker.finish()?;
    // FindCoordinator before version 4 answers for one coordinator, in no structure of its own
    addresses.end_coordinator();
    addresses.counts();
    Ok(addresses)
}

/// Collects the edits that a response needs.
struct Addresses<'a> {
    outward: &'a mut dyn Outward,
    edits: Edits,
    tagged: Vec<TaggedField>,
    /// From the count of the outermost array of brokers to its end.
    whole_array: Option<Span>,
    /// Arrays from which elements may have been left out: of brokers and, within, of their endpoints.
    arrays: Vec<Counted>,
    node: Option<i32>,
    host: Option<(String, Span)>,
    port: Option<(i32, Span)>,
    error: Option<(i64, Span)>,
    /// Where the current broker and the current endpoint began.
    broker: Begun,
    endpoint: Begun,
    /// Present while a response of DescribeConfigs is walked.
    configs: Option<Configs>,
}

/// An array's count.
struct Counted {
    of: Group,
    span: Span,
    count: u32,
    dropped: u32,
}

/// What had been collected when an element began, to go back to when it is left out.
#[derive(Default, Clone, Copy)]
struct Begun {
    at: u64,
    edits: usize,
    arrays: usize,
}

/// Where in a DescribeConfigs response the walk is.
#[derive(Default)]
struct Configs {
    of_brokers: bool,
    /// The broker that the configurations belong to; none for the default of all.
    node: Option<i32>,
    config: String,
    in_synonym: bool,
    synonym: String,
}

impl<'a> Addresses<'a> {
    fn new(edits: Edits, configs: bool, outward: &'a mut dyn Outward) -> Self {
        Addresses {
            outward,
            edits,
            tagged: Vec::new(),
            whole_array: None,
            arrays: Vec::new(),
            node: None,
            host: None,
            port: None,
            error: None,
            broker: Begun::default(),
            endpoint: Begun::default(),
            configs: configs.then(Configs::default),
        }
    }

    fn begun(&self, at: u64) -> Begun {
        Begun { at, edits: self.edits.mark(), arrays: self.arrays.len() }
    }

    /// Ends an address: replaces it by the outward one. False when there is none.
    fn end_address(&mut self) -> bool {
        let (host, port) = (self.host.take(), self.port.take());
        let Some((host, host_at)) = host.filter(|(host, _)| !host.is_empty()) else {
            return true;
        };
        let (Some(node), Some((port, port_at))) = (self.node, port) else {
            return false;
        };
        let Some((outward_host, outward_port)) = self.outward.outward(node, &host, port) else {
            return false;
        };
        if outward_host != host {
            self.edits.text(host_at, Some(&outward_host));
        }
        if i32::from(outward_port) != port {
            self.edits.int(port_at, i64::from(outward_port));
        }
        true
    }

    /// Leaves out an element of the innermost array of its kind.
    fn leave_out(&mut self, of: Group, from: Begun, to: u64) {
        self.edits.take_back(from.edits);
        self.arrays.truncate(from.arrays);
        self.edits.replace(Span { start: from.at, end: to }, Vec::new());
        if let Some(array) = self.arrays.iter_mut().rev().find(|array| array.of == of) {
            array.dropped += 1;
        }
    }

    fn end_coordinator(&mut self) {
        let (host, port) = (self.host.as_ref().map(|(_, span)| *span), self.port.map(|(_, span)| span));
        let error = self.error.take();
        if self.end_address() {
            return;
        }
        if let (Some(host), Some(port)) = (host, port) {
            self.edits.text(host, Some(""));
            self.edits.int(port, -1);
        }
        if let Some((0, span)) = error {
            self.edits.int(span, COORDINATOR_NOT_AVAILABLE);
        }
    }

    fn counts(&mut self) {
        for array in self.arrays.drain(..).filter(|array| array.dropped > 0) {
            self.edits.count(array.span, array.count - array.dropped);
        }
    }

    fn config_value(&mut self, value: Option<&str>, span: Span) {
        let Some(configs) = self.configs.as_ref().filter(|configs| configs.of_brokers) else {
            return;
        };
        let synonym = configs.in_synonym.then_some(configs.synonym.as_str());
        let mut names = [Some(configs.config.as_str()), synonym].into_iter().flatten();
        let Some(value) = value else { return };
        if names.clone().any(|name| name == ADVERTISED_LISTENERS) {
            let outward = configs.node.and_then(|node| advertised(value, node, self.outward));
            if outward.as_deref() != Some(value) {
                self.edits.text(span, outward.as_deref());
            }
        } else if names.any(|name| ADDRESS_CONFIGS.contains(&name) || name.ends_with("bootstrap.servers")) {
            self.edits.text(span, None);
        }
    }
}

/// The first listener that has an outward address, with that address: `PLAINTEXT://gateway:9300`.
fn advertised(listeners: &str, node: i32, outward: &mut dyn Outward) -> Option<String> {
    listeners.split(',').find_map(|listener| {
        let (name, address) = listener.trim().split_once("://")?;
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let (host, port) = outward.outward(node, host, port.parse().ok()?)?;
        Some(if host.contains(':') { format!("{name}://[{host}]:{port}") } else { format!("{name}://{host}:{port}") })
    })
}

impl Visitor for Addresses<'_> {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        match (role, value) {
            (Role::NodeId, Value::Int(node)) => self.node = i32::try_from(node).ok(),
            (Role::Host, Value::Text(host)) => self.host = Some((host.unwrap_or_default().to_owned(), span)),
            (Role::Port, Value::Int(port)) => self.port = i32::try_from(port).ok().map(|port| (port, span)),
            (Role::ErrorCode, Value::Int(code)) => self.error = Some((code, span)),
            (Role::ConfigValue, Value::Text(value)) => self.config_value(value, span),
            _ => {}
        }
        let Some(configs) = &mut self.configs else {
            return;
        };
        match (role, value) {
            (Role::ResourceType, Value::Int(of)) => configs.of_brokers = of == BROKER_CONFIGS,
            (Role::ResourceName, Value::Text(name)) => configs.node = name.and_then(|name| name.parse().ok()),
            (Role::ConfigName, Value::Text(name)) => {
                let place = if configs.in_synonym { &mut configs.synonym } else { &mut configs.config };
                place.clear();
                place.push_str(name.unwrap_or_default());
            }
            _ => {}
        }
    }

    fn array(&mut self, of: Element, count: Option<u32>, span: Span) {
        let Element::Group(of @ (Group::Broker | Group::Endpoint)) = of else {
            return;
        };
        if of == Group::Broker {
            self.whole_array = Some(span);
        }
        self.arrays.push(Counted { of, span, count: count.unwrap_or(0), dropped: 0 });
    }

    fn open(&mut self, group: Group, at: u64) {
        match group {
            Group::Broker => (self.broker, self.node) = (self.begun(at), None),
            Group::Endpoint => self.endpoint = self.begun(at),
            Group::Coordinator => (self.node, self.error) = (None, None),
            Group::Synonym => self.configs.iter_mut().for_each(|configs| configs.in_synonym = true),
            _ => {}
        }
    }

    fn close(&mut self, group: Group, at: u64) {
        match group {
            Group::Broker => {
                if let Some(array) = &mut self.whole_array {
                    array.end = at;
                }
                if !self.end_address() {
                    self.leave_out(group, self.broker, at);
                }
            }
            Group::Endpoint if !self.end_address() => self.leave_out(group, self.endpoint, at),
            Group::Coordinator => self.end_coordinator(),
            Group::Synonym => self.configs.iter_mut().for_each(|configs| configs.in_synonym = false),
            _ => {}
        }
    }

    fn tagged(&mut self, field: TaggedField) {
        self.edits.tagged(field);
        self.tagged.push(field);
    }
}

#[cfg(test)]
mod tests;
