//! A broker that misbehaves in ways no real one can be made to: an answer to nothing, a close within a frame, garbage.
//!
//! It knows as much of the protocol as Weir asks a cluster on its own account (ApiVersions, Metadata) and plays its
//! trick on other clients' requests only, so that the gateway in front of it comes up as ever.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, BrokerId, MetadataResponse, ResponseHeader};
use kafka_protocol::protocol::{Encodable, StrBytes};

use crate::{During, Failure, Result};

/// The client id of what Weir asks for itself.
const WEIR: &str = "weir";

/// The last versions that it serves of the two APIs.
const METADATA_MAX: i16 = 12;
const VERSIONS_MAX: i16 = 3;

/// A request that a client sent through the gateway.
#[derive(Debug)]
pub struct Asked {
    /// Its correlation id.
    pub correlation_id: i32,
    /// The client id of its header.
    pub client_id: String,
    /// All of it, without its length.
    pub frame: Bytes,
    /// The lawful answer, length included; to an API or version that this broker does not serve, nothing or a header alone.
    pub answer: Bytes,
}

/// What the broker does.
#[derive(Debug)]
pub enum Act {
    /// Sends these bytes, whatever they are, and goes on.
    Send(Bytes),
    /// Sends these bytes and closes the connection.
    SendAndClose(Bytes),
    /// Never answers.
    Ignore,
}

type Script = dyn Fn(&Asked) -> Act + Send + Sync;

/// A listening fake; its threads end with the process.
#[derive(Debug)]
pub struct FakeBroker {
    address: SocketAddr,
}

impl FakeBroker {
    /// Listens on a port and answers Weir lawfully, others as `script` says.
    pub fn start(port: u16, script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Result<Self> {
        Self::listen(port, true, script)
    }

    /// Listens on a port and answers everybody as `script` says, Weir as well.
    pub fn to_all(port: u16, script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Result<Self> {
        Self::listen(port, false, script)
    }

    /// Takes connections and never answers anybody.
    pub fn silent(port: u16) -> Result<Self> {
        Self::listen(port, false, |_| Act::Ignore)
    }

    fn listen(port: u16, serves_weir: bool, script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).during("bind the fake broker")?;
        let address = listener.local_addr().during("the fake broker's address")?;
        let script: Arc<Script> = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let script = script.clone();
                // A connection that fails has ended; that is what these tests are about.
                std::thread::spawn(move || serve(stream, address, serves_weir, &*script));
            }
        });
        Ok(Self { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(mut stream: TcpStream, address: SocketAddr, serves_weir: bool, script: &Script) -> Result<()> {
    loop {
        let frame = read_frame(&mut stream)?;
        let (key, version, correlation_id, client_id) =
            header(&frame).ok_or_else(|| Failure::new("a frame without one"))?;
        let answer = lawful_answer(key, version, correlation_id, address)?;
        let asked = Asked { correlation_id, client_id, frame, answer };
        let act = match asked.client_id.as_str() {
            WEIR if serves_weir => Act::Send(asked.answer),
            _ => script(&asked),
        };
        match act {
            Act::Send(bytes) => stream.write_all(&bytes).during("answer")?,
            Act::SendAndClose(bytes) => {
                stream.write_all(&bytes).during("answer")?;
                return stream.shutdown(Shutdown::Both).during("close");
            }
            Act::Ignore => {}
        }
    }
}

fn read_frame(stream: &mut TcpStream) -> Result<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).during("read a length")?;
    let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).during("a length")?];
    stream.read_exact(&mut frame).during("read a frame")?;
    Ok(frame.into())
}

/// The answer a real broker would give.
fn lawful_answer(key: i16, version: i16, correlation_id: i32, address: SocketAddr) -> Result<Bytes> {
    let Ok(api) = ApiKey::try_from(key) else { return Ok(Bytes::new()) };
    let mut body = BytesMut::new();
    body.put_i32(0);
    let answer_header = ResponseHeader::default().with_correlation_id(correlation_id);
    answer_header.encode(&mut body, api.response_header_version(version)).during("encode a header")?;
    match api {
        ApiKey::ApiVersions if (0..=VERSIONS_MAX).contains(&version) => versions().encode(&mut body, version),
        ApiKey::Metadata if (0..=METADATA_MAX).contains(&version) => metadata(address).encode(&mut body, version),
        _ => Ok(()),
    }
    .during("encode an answer")?;
    let length = i32::try_from(body.len() - 4).during("an answer's length")?;
    body[..4].copy_from_slice(&length.to_be_bytes());
    Ok(body.freeze())
}

/// API key, version, correlation id and client id: they stand alike in every header since version 1.
fn header(frame: &Bytes) -> Option<(i16, i16, i32, String)> {
    let mut rest = frame.clone();
    if rest.len() < 10 {
        return None;
    }
    let (key, version, correlation_id) = (rest.get_i16(), rest.get_i16(), rest.get_i32());
    // Null is no length, and no name.
    let length = usize::try_from(rest.get_i16()).unwrap_or(0);
    let client_id = String::from_utf8_lossy(rest.get(..length)?).into_owned();
    Some((key, version, correlation_id, client_id))
}

fn versions() -> ApiVersionsResponse {
    let served = [(ApiKey::Metadata, METADATA_MAX), (ApiKey::ApiVersions, VERSIONS_MAX)];
    let listed = served.map(|(api, max)| ApiVersion::default().with_api_key(api as i16).with_max_version(max));
    ApiVersionsResponse::default().with_api_keys(listed.to_vec())
}

fn metadata(address: SocketAddr) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(StrBytes::from_string(address.ip().to_string()))
        .with_port(i32::from(address.port()));
    MetadataResponse::default().with_brokers(vec![broker]).with_controller_id(BrokerId(1))
}
