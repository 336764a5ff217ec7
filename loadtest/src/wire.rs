//! A raw Kafka connection: frames out, frames in, with `kafka-protocol` for those who want messages.
//!
//! What a well-behaved client library would never send is what the hazard tests need, so bytes, frames and messages can
//! be mixed on one connection. Every read has a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::{During, Failure, Result};

/// How long an answer may take.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// An answer larger than this is taken for garbage.
const FRAME_MAX: usize = 128 << 20;

#[derive(Debug)]
enum Link {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    fn socket(&self) -> &TcpStream {
        match self {
            Link::Plain(stream) => stream,
            Link::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.read(buffer),
            Link::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Link::Plain(stream) => stream.write(bytes),
            Link::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Link::Plain(stream) => stream.flush(),
            Link::Tls(stream) => stream.flush(),
        }
    }
}

/// A client connection under the test's full control.
#[derive(Debug)]
pub struct Connection {
    link: Link,
    peer: SocketAddr,
    client_id: String,
    correlation_id: i32,
}

impl Connection {
    /// Connects; nothing is sent.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let doing = format!("connect to {address}");
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).during(&doing)?;
        stream.set_nodelay(true).during(&doing)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT)).during(&doing)?;
        stream.set_write_timeout(Some(ANSWER_LIMIT)).during(&doing)?;
        Ok(Self { link: Link::Plain(stream), peer: address, client_id: "weir-test".to_owned(), correlation_id: 0 })
    }

    /// Connects with TLS, to what has to prove that it is `host`. The handshake comes with the first bytes.
    pub fn open_tls(address: SocketAddr, host: &str, config: Arc<ClientConfig>) -> Result<Self> {
        let plain = Self::open(address)?;
        let Link::Plain(stream) = plain.link else { return Ok(plain) };
        let name = ServerName::try_from(host.to_owned()).during("a server's name")?;
        let session = ClientConnection::new(config, name).during("TLS")?;
        Ok(Self { link: Link::Tls(Box::new(StreamOwned::new(session, stream))), ..plain })
    }

    /// The TLS session; none in plaintext.
    pub fn tls(&self) -> Option<&ClientConnection> {
        match &self.link {
            Link::Plain(_) => None,
            Link::Tls(stream) => Some(&stream.conn),
        }
    }

    /// The client id in the headers from now on.
    #[must_use]
    pub fn with_client_id(mut self, client_id: &str) -> Self {
        client_id.clone_into(&mut self.client_id);
        self
    }

    /// The socket, for half-closes, buffer sizes and time limits of the test's own.
    pub fn stream(&self) -> &TcpStream {
        self.link.socket()
    }

    /// The correlation id of the last request sent by [`Self::send`].
    pub fn correlation_id(&self) -> i32 {
        self.correlation_id
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.link.write_all(bytes).during(format!("send to {}", self.peer))
    }

    /// Sends one frame: the length, then `body`.
    pub fn send_frame(&mut self, body: &[u8]) -> Result<()> {
        self.send_bytes(&framed(body)?)
    }

    /// Sends a request without waiting for its answer, and gives its correlation id.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32> {
        self.correlation_id += 1;
        let frame = encode(&self.client_id, self.correlation_id, version, request)?;
        self.send_bytes(&frame)?;
        Ok(self.correlation_id)
    }

    /// The next frame without its length; none when the peer closed between frames.
    pub fn receive_frame(&mut self) -> Result<Option<Bytes>> {
        let doing = format!("receive from {}", self.peer);
        let mut length = [0; 4];
        if self.link.read(&mut length[..1]).during(&doing)? == 0 {
            return Ok(None);
        }
        self.link.read_exact(&mut length[1..]).during(&doing)?;
        let length = usize::try_from(i32::from_be_bytes(length)).during(&doing)?;
        if length > FRAME_MAX {
            return Err(Failure::new(format!("{doing}: a frame of {length} bytes")));
        }
        let mut body = vec![0; length];
        self.link.read_exact(&mut body).during(&doing)?;
        Ok(Some(Bytes::from(body)))
    }

    /// The answer to the oldest unanswered request, which must be `R` in `version` with this correlation id.
    pub fn receive<R: Request>(&mut self, version: i16, correlation_id: i32) -> Result<R::Response> {
        let frame = self.receive_frame()?;
        let frame = frame.ok_or_else(|| Failure::new(format!("{} closed instead of an answer", self.peer)))?;
        let (id, response) = decode::<R>(version, frame)?;
        if id != correlation_id {
            return Err(Failure::new(format!("{} answered {id}, {correlation_id} was next", self.peer)));
        }
        Ok(response)
    }

    /// One request and its answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        let id = self.send(version, request)?;
        self.receive::<R>(version, id)
    }

    /// SASL/PLAIN as current clients do it (SaslHandshake v1, SaslAuthenticate v2); the answer says whether it worked.
    pub fn login_plain(&mut self, user: &str, password: &str) -> Result<SaslAuthenticateResponse> {
        self.handshake(1, "PLAIN")?;
        self.authenticate(format!("\0{user}\0{password}").as_bytes())
    }

    /// SASL/OAUTHBEARER with `token`; a refusal is acknowledged (RFC 7628, 3.2.3), and the last answer given.
    pub fn login_bearer(&mut self, token: &str) -> Result<SaslAuthenticateResponse> {
        self.handshake(1, "OAUTHBEARER")?;
        let answer = self.authenticate(format!("n,,\x01auth=Bearer {token}\x01\x01").as_bytes())?;
        if answer.error_code == 0 && !answer.auth_bytes.is_empty() { self.authenticate(b"\x01") } else { Ok(answer) }
    }

    /// Agrees on a mechanism; an error of the server's is a failure.
    pub fn handshake(&mut self, version: i16, mechanism: &str) -> Result<()> {
        let mechanism = StrBytes::from_string(mechanism.to_owned());
        let answer = self.call(version, &SaslHandshakeRequest::default().with_mechanism(mechanism))?;
        match answer.error_code {
            0 => Ok(()),
            code => Err(Failure::new(format!("SaslHandshake: error {code}"))),
        }
    }

    /// One message of the mechanism agreed on, and its answer.
    pub fn authenticate(&mut self, message: &[u8]) -> Result<SaslAuthenticateResponse> {
        let message = Bytes::copy_from_slice(message);
        self.call(2, &SaslAuthenticateRequest::default().with_auth_bytes(message))
    }

    /// Whether the peer closes (or resets) within `limit` without sending another byte.
    pub fn closes_within(&mut self, limit: Duration) -> Result<bool> {
        self.stream().set_read_timeout(Some(limit)).during("set the read time limit")?;
        let read = self.link.read(&mut [0; 1]);
        self.stream().set_read_timeout(Some(ANSWER_LIMIT)).during("set the read time limit")?;
        match read {
            Ok(n) => Ok(n == 0),
            // With TLS, a close that nobody announced, or an alert instead of one.
            Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => Ok(true),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(true),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(e) => Err(e).during("wait for the close"),
        }
    }
}

/// `body` behind its length.
pub fn framed(body: &[u8]) -> Result<Bytes> {
    let length = i32::try_from(body.len()).during("a frame's length")?;
    Ok([&length.to_be_bytes()[..], body].concat().into())
}

/// A whole request frame, length included.
pub fn encode<R: Request>(client_id: &str, correlation_id: i32, version: i16, request: &R) -> Result<Bytes> {
    let doing = || format!("encode API {} v{version}", R::KEY);
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version)).during(doing())?;
    request.encode(&mut body, version).during(doing())?;
    framed(&body)
}

/// Correlation id and message of an answer to `R` in `version`; bytes left over are an error.
pub fn decode<R: Request>(version: i16, mut frame: Bytes) -> Result<(i32, R::Response)> {
    let doing = || format!("decode the answer to API {} v{version}", R::KEY);
    let key = ApiKey::try_from(R::KEY).map_err(|()| Failure::new(format!("API {} is unknown", R::KEY)))?;
    let header = ResponseHeader::decode(&mut frame, key.response_header_version(version)).during(doing())?;
    let response = R::Response::decode(&mut frame, version).during(doing())?;
    if frame.has_remaining() {
        return Err(Failure::new(format!("{}: {} bytes left over", doing(), frame.remaining())));
    }
    Ok((header.correlation_id, response))
}
