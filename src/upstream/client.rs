//! A small Kafka client of our own, for what Weir itself asks a cluster. Never used on a shard.
//!
//! Invariants: every call is bounded in time and in the size of its answer; one request is in flight at a time.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, Request, StrBytes};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::cluster::Endpoint;
use super::credential::Credential;
use super::login::{Login, LoginError, LoginStep};
use crate::limits;
use crate::tls::{ClientTls, Peer, explain_io, is_at_fault};
use crate::wire::kafka::walk::{Visitor, Walker};

/// What went wrong between Weir's own client and a broker.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No connection.
    #[error("cannot connect to broker {address}: {source}")]
    Connect {
        /// The broker.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No TLS.
    #[error("TLS handshake with broker {host} at {address} failed: {why}")]
    Tls {
        /// The broker.
        address: SocketAddr,
        /// The name that it had to prove.
        host: String,
        /// Why.
        why: String,
    },
    /// The connection broke.
    #[error("the connection to broker {address} broke: {}", explain_io(source, Peer::Broker))]
    Broken {
        /// The broker.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("broker {address} did not answer within {seconds} s")]
    Silent {
        /// The broker.
        address: SocketAddr,
        /// How long was waited.
        seconds: u64,
    },
    /// The credential did not answer in time.
    #[error("broker {address} waits for Weir's own login: the credential had no answer within {seconds} s")]
    Waiting {
        /// The broker.
        address: SocketAddr,
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that cannot be read.
    #[error("broker {address} sent an answer that cannot be read ({what})")]
    Malformed {
        /// The broker.
        address: SocketAddr,
        /// Which.
        what: &'static str,
    },
    /// The login failed.
    #[error("broker {address}: {source}")]
    Login {
        /// The broker.
        address: SocketAddr,
        /// Why.
        source: LoginError,
    },
}

/// Wants to know of a walk only whether it goes well.
pub(super) struct Nothing;
impl Visitor for Nothing {}

/// What plaintext and TLS have in common.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// A logged-in connection to one broker.
pub struct Client {
    stream: Box<dyn Transport>,
    address: SocketAddr,
    wait: Duration,
    correlation_id: i32,
}

impl Client {
    /// Connects and logs in; each step takes at most `wait`.
    pub async fn connect(
        endpoint: &Endpoint,
        tls: Option<&ClientTls>,
        credential: Option<&dyn Credential>,
        wait: Duration,
    ) -> Result<Self, ClientError> {
        let address = endpoint.address;
        let silent = || ClientError::Silent { address, seconds: wait.as_secs() };
        let stream = timeout(wait, TcpStream::connect(address))
            .await
            .map_err(|_| silent())?
            .map_err(|source| ClientError::Connect { address, source })?;
        let stream: Box<dyn Transport> = match tls {
            None => Box::new(stream),
            Some(tls) => timeout(wait, secure(stream, endpoint, tls))
                .await
                .map_err(|_| silent())?
                .inspect_err(|_| tls.count_failure())?,
        };
        let mut client = Client { stream, address, wait, correlation_id: 0 };
        let mut login = Login::new(credential, 0);
        let mut answer: Option<Bytes> = None;
        loop {
            let step = timeout(wait, login.next(answer.as_deref()))
                .await
                .map_err(|_| ClientError::Waiting { address, seconds: wait.as_secs() })?;
            let step = step.map_err(|source| ClientError::Login { address, source })?;
            match step {
                LoginStep::Send(frame) => answer = Some(client.exchange(&frame).await?),
                LoginStep::Done(_) => return Ok(client),
            }
        }
    }

    /// Sends a request at `version` and decodes its answer.
    pub async fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, ClientError> {
        let malformed = |what| ClientError::Malformed { address: self.address, what };
        let api = ApiKey::try_from(R::KEY).map_err(|()| malformed("api key"))?;
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("weir")));
        let mut buffer = BytesMut::new();
        buffer.put_i32(0);
        header.encode(&mut buffer, api.request_header_version(version)).map_err(|_| malformed("request header"))?;
        request.encode(&mut buffer, version).map_err(|_| malformed("request"))?;
        let length = i32::try_from(buffer.len() - 4).map_err(|_| malformed("request length"))?;
        buffer[..4].copy_from_slice(&length.to_be_bytes());
        let mut answer = self.exchange(&buffer).await?;
        let malformed = |what| ClientError::Malformed { address: self.address, what };
        let header = ResponseHeader::decode(&mut answer, api.response_header_version(version))
            .map_err(|_| malformed("response header"))?;
        if header.correlation_id != self.correlation_id {
            return Err(malformed("correlation id"));
        }
        // The codec allocates by the counts it reads; a walk has to find them lawful first.
        let mut walker = Walker::response(R::KEY, version, answer.len() as u64).ok_or_else(|| malformed("layout"))?;
        walker.feed(&answer, &mut Nothing).and_then(|()| walker.finish()).map_err(|_| malformed("response"))?;
        R::Response::decode(&mut answer, version).map_err(|_| malformed("response"))
    }

    async fn send(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await
    }

    async fn exchange(&mut self, frame: &[u8]) -> Result<Bytes, ClientError> {
        let (address, wait) = (self.address, self.wait);
        let answered = timeout(wait, async {
            if let Err(error) = self.send(frame).await {
                // With TLS, a broker that hangs up has said why before.
                let told = self.stream.read(&mut [0]).await;
                return Err(told.err().filter(is_at_fault).unwrap_or(error));
            }
            let mut prefix = [0u8; 4];
            self.stream.read_exact(&mut prefix).await?;
            let length = (&prefix[..]).get_i32();
            let length = usize::try_from(length).ok().filter(|l| *l <= limits::CLIENT_ANSWER_BYTES_MAX);
            let Some(length) = length else { return Ok(None) };
            let mut answer = vec![0u8; length];
            self.stream.read_exact(&mut answer).await?;
            Ok(Some(Bytes::from(answer)))
        });
        match answered.await {
            Err(_) => Err(ClientError::Silent { address, seconds: wait.as_secs() }),
            Ok(Err(source)) => Err(ClientError::Broken { address, source }),
            Ok(Ok(None)) => Err(ClientError::Malformed { address, what: "length" }),
            Ok(Ok(Some(answer))) => Ok(answer),
        }
    }
}

async fn secure(stream: TcpStream, endpoint: &Endpoint, tls: &ClientTls) -> Result<Box<dyn Transport>, ClientError> {
    let failed = |why| ClientError::Tls { address: endpoint.address, host: endpoint.host.to_string(), why };
    let name = ServerName::try_from(endpoint.host.to_string())
        .map_err(|_| failed("it is no name that a certificate can prove".to_owned()))?;
    let shaken = TlsConnector::from(tls.current()).connect(name, stream).await;
    Ok(Box::new(shaken.map_err(|e| failed(explain_io(&e, Peer::Broker)))?))
}
