//! A receiver of webhooks: a real HTTP server that keeps what it hears, and answers as a test wants it to.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::read_request;
use crate::tls::Issued;
use crate::{During, Failure, Result, wait_for};

/// A request it heard.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When.
    pub at: Instant,
    /// Method, path and version.
    pub line: String,
    /// Header fields by their name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

impl Heard {
    /// A header's value, empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What it answers.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The status; 0 closes the connection without an answer.
    pub status: u16,
    /// Further header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// The body goes on without end.
    pub endless: bool,
    /// How long it takes to answer.
    pub after: Duration,
}

impl Answer {
    /// This status and nothing else.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

type Judge = dyn FnMut(&Heard) -> Answer + Send;

/// A running receiver; its threads end with the process.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    heard: Arc<Mutex<Vec<Heard>>>,
    judge: Arc<Mutex<Box<Judge>>>,
}

impl Receiver {
    /// Starts one that answers 200 to all.
    pub fn start() -> Result<Self> {
        Self::serve(None)
    }

    /// The same over TLS, with this certificate.
    pub fn start_tls(certificate: &Issued) -> Result<Self> {
        let chain = CertificateDer::pem_slice_iter(certificate.certificate.as_bytes());
        let chain = chain.collect::<std::result::Result<_, _>>().during("the receiver's certificate")?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).during("the receiver's key")?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .during("versions")?;
        let config = config.with_no_client_auth().with_single_cert(chain, key).during("the receiver's TLS")?;
        Self::serve(Some(Arc::new(config)))
    }

    fn serve(tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("bind a receiver")?;
        let receiver = Self {
            address: listener.local_addr().during("a receiver's address")?,
            scheme: if tls.is_some() { "https" } else { "http" },
            heard: Arc::default(),
            judge: Arc::new(Mutex::new(Box::new(|_: &Heard| Answer::status(200)))),
        };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serving, tls) = (serving.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serving.converse(stream),
                    Some(config) => {
                        let session = ServerConnection::new(config).during("a TLS session")?;
                        serving.converse(StreamOwned::new(session, stream))
                    }
                });
            }
        });
        Ok(receiver)
    }

    /// Answers this way from now on.
    pub fn answer(&self, judge: impl FnMut(&Heard) -> Answer + Send + 'static) {
        *lock(&self.judge) = Box::new(judge);
    }

    /// Its URL with this path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All it heard, in order.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.heard).clone()
    }

    /// The same once there are `count` of them.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Result<Vec<Heard>> {
        wait_for(&format!("{count} requests at a receiver"), limit, || {
            Ok(Some(self.heard()).filter(|heard| heard.len() >= count))
        })
        .map_err(|failure| failure.during(format!("{} came", self.heard().len())))
    }

    fn converse(&self, stream: impl Read + Write) -> Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(request) = read_request(&mut reader)? {
            let heard = Heard { at: Instant::now(), line: request.line, headers: request.headers, body: request.body };
            let answer = (lock(&self.judge))(&heard);
            lock(&self.heard).push(heard);
            std::thread::sleep(answer.after);
            if answer.status == 0 {
                return Ok(());
            }
            let headers: String = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let stream = reader.get_mut();
            let length = if answer.endless { 1 << 50 } else { answer.body.len() as u64 };
            write!(stream, "HTTP/1.1 {} x\r\n{headers}Content-Length: {length}\r\n\r\n{}", answer.status, answer.body)
                .during("answer")?;
            stream.flush().during("answer")?;
            if answer.endless {
                loop {
                    stream.write_all(&[b'x'; 4096]).during("answer without end")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("address", &self.address).finish_non_exhaustive()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Checks a request as the Standard Webhooks specification tells receivers to, with nothing of Weir's own: the signature of
/// `secret` (`whsec_…`) over id, timestamp and body, and that it is of these minutes.
pub fn verify(secret: &str, heard: &Heard) -> Result<()> {
    use base64::Engine;
    let encoded = secret.strip_prefix("whsec_").ok_or_else(|| Failure::new("no secret of Standard Webhooks"))?;
    let key = base64::engine::general_purpose::STANDARD.decode(encoded).during("the secret")?;
    let (id, timestamp) = (heard.header("webhook-id"), heard.header("webhook-timestamp"));
    let sent: u64 = timestamp.parse().during("webhook-timestamp")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).during("the clock")?.as_secs();
    if now.abs_diff(sent) > 300 {
        return Err(Failure::new(format!("sent at {sent}, which is {} s off", now.abs_diff(sent))));
    }
    let mac = hmac_sha256(&key, format!("{id}.{timestamp}.{}", heard.body).as_bytes());
    let expected = format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(mac));
    let signatures = heard.header("webhook-signature");
    if signatures.split(' ').any(|signature| signature == expected) {
        return Ok(());
    }
    Err(Failure::new(format!("{signatures} holds no {expected}")))
}

/// RFC 2104 by its own words, so that a fault of the library Weir signs with would show.
fn hmac_sha256(key: &[u8], text: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}
