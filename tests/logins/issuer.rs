//! An identity provider that can be ill in every way a real one will not be on demand: it answers discovery and keys over
//! HTTP, and signs what a test wants.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use loadtest::ports::Block;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

/// How it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Health {
    Well,
    /// Every answer is this status.
    Status(u16),
    /// Every answer is this.
    Says(&'static str),
    /// Discovery is well, but its keys are this.
    KeysSay(&'static str),
    /// Answers take this long.
    Slow(Duration),
    /// Discovery names this one instead.
    PosesAs(&'static str),
}

struct State {
    health: Health,
    signer: Signer,
    /// How often keys were asked for.
    asked: usize,
}

struct Signer {
    id: String,
    key: EncodingKey,
}

impl Signer {
    fn new(id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self { id: id.to_owned(), key: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap() }
    }

    fn public(&self) -> Value {
        let mut key = serde_json::to_value(Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap()).unwrap();
        key["kid"] = json!(self.id);
        key["use"] = json!("sig");
        key
    }
}

/// The provider; it lives as long as the process, once it is up.
pub struct Issuer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _ports: Block,
}

impl Issuer {
    /// One that does not listen yet.
    pub fn down() -> Self {
        let mut ports = Block::claim().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.take().unwrap()));
        let state = State { health: Health::Well, signer: Signer::new("key-1"), asked: 0 };
        Self { address, state: Arc::new(Mutex::new(state)), _ports: ports }
    }

    pub fn up() -> Self {
        let issuer = Self::down();
        issuer.listen();
        issuer
    }

    pub fn listen(&self) {
        let listener = TcpListener::bind(self.address).unwrap();
        let (state, address) = (self.state.clone(), self.address);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = state.clone();
                std::thread::spawn(move || answer(stream.unwrap(), &state, address));
            }
        });
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A line of `weir.yaml` that trusts it under the name `double`.
    pub fn yaml(&self, more: &str) -> String {
        format!("issuers: [{{ name: double, issuer: \"{}\", audience: [kafka]{more} }}]", self.url())
    }

    pub fn falls(&self, health: Health) {
        self.state.lock().unwrap().health = health;
    }

    /// Signs with another key from now on, the only one it then shows.
    pub fn rotate(&self, id: &str) {
        self.state.lock().unwrap().signer = Signer::new(id);
    }

    pub fn asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    /// A token of `subject`, good for that long.
    pub fn token(&self, subject: &str, lives: Duration) -> String {
        self.sign(&self.claims(subject, lives))
    }

    pub fn claims(&self, subject: &str, lives: Duration) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let until = (now + lives).as_secs_f64();
        json!({
            "iss": self.url(), "sub": subject, "aud": ["kafka"], "exp": until, "iat": now.as_secs(), "groups": ["dev"],
        })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let state = self.state.lock().unwrap();
        sign(&state.signer, claims)
    }

    /// Signed with a key that it never shows.
    pub fn forge(&self, key_id: &str, claims: &Value) -> String {
        sign(&Signer::new(key_id), claims)
    }
}

fn sign(signer: &Signer, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(signer.id.clone());
    jsonwebtoken::encode(&header, claims, &signer.key).unwrap()
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, address: SocketAddr) {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    let (health, keys) = {
        let mut state = state.lock().unwrap();
        let asks_for_keys = request.starts_with(b"GET /keys ");
        state.asked += usize::from(asks_for_keys);
        (state.health.clone(), asks_for_keys.then(|| json!({ "keys": [state.signer.public()] })))
    };
    let discovery = |issuer: String| json!({ "issuer": issuer, "jwks_uri": format!("http://{address}/keys") });
    let well = || keys.clone().unwrap_or_else(|| discovery(format!("http://{address}"))).to_string();
    let (status, body) = match &health {
        Health::Well => (200, well()),
        Health::Status(status) => (*status, String::new()),
        Health::Says(body) => (200, (*body).to_owned()),
        Health::KeysSay(body) => (200, if keys.is_some() { (*body).to_owned() } else { well() }),
        Health::Slow(time) => {
            sleep(*time);
            (200, well())
        }
        Health::PosesAs(other) => (200, discovery((*other).to_owned()).to_string()),
    };
    let length = body.len();
    // Whoever asked may be gone by now.
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Whatever\r\nLocation: http://{address}/keys\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
}
