//! Dresses recorded frames as the TCP connections they came over, for programs that read captures.
//!
//! Addresses and ports are those of the client and of the door it came through; everything else of Ethernet, IP and TCP
//! is made up: nothing of it was recorded, and under TLS the wire looked different.
//!
//! Invariants:
//! - A connection's streams are contiguous: every byte of a frame has its place, zeros and a comment on the packet where it
//!   was withheld or lost.
//! - Times never step back within the file.

use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{PacketBuilder, TcpOptionElement};

use super::pcapng::Writer;
use crate::addressing::Brokers;
use crate::cli::error::CliError;
use crate::config::Config;
use crate::event::piece::{Way, Withheld};
use crate::recorder::{CapturedFrame, Stretch};

/// Payload of a packet: what an IPv4 packet of 64 KiB leaves behind two headers of 20 bytes.
const SEGMENT_BYTES: usize = u16::MAX as usize - 40;

/// Addresses of the link, from the range that anybody may use.
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// The greatest window scale there is (RFC 7323): no stretch of a stream is ever beyond the window.
const WINDOW_SCALE: u8 = 14;

/// Kafka's customary port, where the configuration no longer has the door.
const PORT_DEFAULT: u16 = 9092;

/// Connection of shard of boot.
pub(super) type ConnectionKey = (u32, u16, u64);

/// The address of the door that a connection came through, as the configuration has it now.
pub(super) fn door(config: &Config, listener: &str, broker: Option<i32>) -> SocketAddr {
    let found = config.listeners.iter().find(|known| known.name == listener);
    let bound = found.map(|known| match (&known.brokers, broker) {
        (Brokers::Ports(ports), Some(node)) => SocketAddr::new(ports.host, ports.port(node).unwrap_or(PORT_DEFAULT)),
        (Brokers::Sni { .. }, _) | (_, None) => known.bind,
    });
    bound.unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT_DEFAULT))
}

/// A capture file of connections.
pub(super) struct Capture<'a, W> {
    writer: Writer<'a, W>,
    flows: HashMap<ConnectionKey, Flow>,
    last_ns: u64,
}

/// A TCP connection.
struct Flow {
    /// Client and door.
    ends: [SocketAddr; 2],
    /// The next sequence number of each.
    next: [u32; 2],
    opened_ns: u64,
    /// Its handshake is in the file.
    begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Syn,
    Push,
    Fin,
    Ack,
}

impl<'a, W: Write> Capture<'a, W> {
    pub(super) fn new(writer: Writer<'a, W>) -> Self {
        Capture { writer, flows: HashMap::new(), last_ns: 0 }
    }

    /// A connection was opened. It stands in the file from its first frame on.
    pub(super) fn open(&mut self, connection: ConnectionKey, at_ns: u64, peer: &str, door: SocketAddr) {
        let client = peer.parse().unwrap_or_else(|_| nobody(connection));
        self.flows.insert(connection, Flow::new(client, door, at_ns));
    }

    /// A connection was closed, by either side.
    pub(super) fn close(&mut self, connection: ConnectionKey, at_ns: u64) -> Result<(), CliError> {
        let Some(mut flow) = self.flows.remove(&connection).filter(|flow| flow.begun) else { return Ok(()) };
        for (way, flag) in [(Way::Request, Flag::Fin), (Way::Response, Flag::Fin), (Way::Request, Flag::Ack)] {
            self.packet(&mut flow, way, at_ns, flag, &[], None)?;
        }
        Ok(())
    }

    /// A frame, or a part of one.
    pub(super) fn frame(&mut self, frame: CapturedFrame) -> Result<(), CliError> {
        let connection = (frame.boot, frame.shard, frame.connection.0);
        let flow = self.flows.remove(&connection);
        let mut flow = flow.unwrap_or_else(|| {
            let door = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT_DEFAULT);
            Flow::new(nobody(connection), door, frame.at_ns)
        });
        if !flow.begun {
            flow.begun = true;
            let at_ns = flow.opened_ns.min(frame.at_ns);
            for (way, flag) in [(Way::Request, Flag::Syn), (Way::Response, Flag::Syn), (Way::Request, Flag::Ack)] {
                self.packet(&mut flow, way, at_ns, flag, &[], None)?;
            }
        }
        let mut comment = comment(&frame);
        for segment in frame.bytes.chunks(SEGMENT_BYTES) {
            self.packet(&mut flow, frame.way, frame.at_ns, Flag::Push, segment, comment.take().as_deref())?;
        }
        self.flows.insert(connection, flow);
        Ok(())
    }

    fn packet(
        &mut self,
        flow: &mut Flow,
        way: Way,
        at_ns: u64,
        flag: Flag,
        payload: &[u8],
        comment: Option<&str>,
    ) -> Result<(), CliError> {
        self.last_ns = self.last_ns.max(at_ns);
        let packet = flow.packet(way, flag, payload)?;
        Ok(self.writer.packet(self.last_ns, &packet, comment)?)
    }
}

impl Flow {
    fn new(client: SocketAddr, door: SocketAddr, opened_ns: u64) -> Self {
        // A client of IPv4 on a socket of IPv6 is shown as what it is; a wildcard has no address to show.
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let host = door.ip().to_canonical();
        let host = match (client.ip(), host) {
            (IpAddr::V4(_), IpAddr::V4(ip)) if !ip.is_unspecified() => host,
            (IpAddr::V6(_), IpAddr::V6(ip)) if !ip.is_unspecified() => host,
            (IpAddr::V4(_), _) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            (IpAddr::V6(_), _) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        };
        Flow { ends: [client, SocketAddr::new(host, door.port())], next: [0, 0], opened_ns, begun: false }
    }

    /// The next packet of one side; its sequence moves on.
    fn packet(&mut self, way: Way, flag: Flag, payload: &[u8]) -> Result<Vec<u8>, CliError> {
        let (from, to) = match way {
            Way::Request => (0, 1),
            Way::Response => (1, 0),
        };
        let link = PacketBuilder::ethernet2(MACS[from], MACS[to]);
        let network = match (self.ends[from].ip(), self.ends[to].ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => link.ipv4(source.octets(), destination.octets(), 64),
            (source, destination) => link.ipv6(v6(source), v6(destination), 64),
        };
        let (source, destination) = (self.ends[from].port(), self.ends[to].port());
        let mut segment = network.tcp(source, destination, self.next[from], u16::MAX);
        if flag == Flag::Syn {
            segment = segment.syn().options(&[TcpOptionElement::WindowScale(WINDOW_SCALE)]).map_err(built)?;
        }
        if flag != Flag::Syn || way == Way::Response {
            segment = segment.ack(self.next[to]);
        }
        segment = match flag {
            Flag::Push => segment.psh(),
            Flag::Fin => segment.fin(),
            Flag::Syn | Flag::Ack => segment,
        };
        let counts = payload.len() as u32 + u32::from(matches!(flag, Flag::Syn | Flag::Fin));
        self.next[from] = self.next[from].wrapping_add(counts);
        let mut packet = Vec::with_capacity(segment.size(payload.len()));
        segment.write(&mut packet, payload).map_err(built)?;
        Ok(packet)
    }
}

fn built(error: impl std::fmt::Display) -> CliError {
    CliError::Unsuitable(format!("a packet cannot be made: {error}"))
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// A client of whom only the number is known, from the range for documentation (RFC 5737).
fn nobody(connection: ConnectionKey) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), (connection.2 as u16).max(1))
}

/// What is not there of a frame.
fn comment(frame: &CapturedFrame) -> Option<String> {
    let mut stretches: Vec<&Stretch> = frame.withheld.iter().chain(&frame.lost).collect();
    stretches.sort_by_key(|stretch| stretch.at);
    let told: Vec<String> = stretches.iter().map(|stretch| told(stretch)).collect();
    (!told.is_empty()).then(|| format!("exchange {}: zeros for {}", frame.ordinal, told.join("; ")))
}

fn told(stretch: &Stretch) -> String {
    let why = match stretch.why {
        Some(Withheld::Secret) => "withheld, a secret",
        Some(Withheld::NotAsked) => "withheld, no rule asks to record them",
        None => "lost, the recording could not keep up",
    };
    format!("{} bytes from byte {} of the frame ({why})", stretch.bytes, stretch.at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    fn parsed(flow: &mut Flow, way: Way, flag: Flag, payload: &[u8]) -> (u32, u32, usize) {
        let packet = flow.packet(way, flag, payload).unwrap();
        let sliced = SlicedPacket::from_ethernet(&packet).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("{packet:?}") };
        let checksum = match sliced.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                assert_eq!(header.calc_header_checksum(), header.header_checksum);
                tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap()
            }
            NetSlice::Ipv6(ip) => tcp.to_header().calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()).unwrap(),
            NetSlice::Arp(_) => panic!("{packet:?}"),
        };
        assert_eq!(checksum, tcp.checksum());
        (tcp.sequence_number(), tcp.acknowledgment_number(), tcp.payload().len())
    }

    #[test]
    fn sequence_numbers_follow_each_other_on_ipv4_and_ipv6() {
        for (client, door) in [("10.0.0.7:50000", "0.0.0.0:9292"), ("[fd00::7]:50000", "[::]:9292")] {
            let mut flow = Flow::new(client.parse().unwrap(), door.parse().unwrap(), 0);
            assert_eq!(parsed(&mut flow, Way::Request, Flag::Syn, &[]), (0, 0, 0));
            assert_eq!(parsed(&mut flow, Way::Response, Flag::Syn, &[]), (0, 1, 0));
            assert_eq!(parsed(&mut flow, Way::Request, Flag::Ack, &[]), (1, 1, 0));
            assert_eq!(parsed(&mut flow, Way::Request, Flag::Push, &[7; SEGMENT_BYTES]), (1, 1, SEGMENT_BYTES));
            assert_eq!(parsed(&mut flow, Way::Response, Flag::Push, b"abc"), (1, 1 + SEGMENT_BYTES as u32, 3));
            assert_eq!(parsed(&mut flow, Way::Request, Flag::Fin, &[]), (1 + SEGMENT_BYTES as u32, 4, 0));
            assert_eq!(parsed(&mut flow, Way::Response, Flag::Fin, &[]), (4, 2 + SEGMENT_BYTES as u32, 0));
        }
    }

    #[test]
    fn a_client_of_ipv4_on_a_socket_of_ipv6_is_shown_as_what_it_is() {
        let flow = Flow::new("[::ffff:10.0.0.7]:50000".parse().unwrap(), "[::]:9292".parse().unwrap(), 0);
        assert_eq!(flow.ends.map(|end| end.to_string()), ["10.0.0.7:50000", "127.0.0.1:9292"]);
    }
}
