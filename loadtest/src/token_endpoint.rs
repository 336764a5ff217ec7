//! An OAuth token endpoint of a test's own: the client credentials grant, with unsigned JWTs that a broker's default
//! validator takes. What no provider would do on demand (refuse, forget its client, hand out a token that is over in a
//! second) is what tests of renewal need.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::http::read_request;
use crate::{During, Result};

/// What the endpoint is like; tests change it while it runs.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// How long its tokens live.
    pub lifetime: Duration,
    /// Whether it hands out tokens; else it answers 503.
    pub works: bool,
}

/// A request it was asked, as far as tests look at it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The client's id and secret as they stood in HTTP Basic.
    pub client: (String, String),
    /// The form, decoded as far as `+` and `%`.
    pub form: BTreeMap<String, String>,
    /// The token that it was given, if it was.
    pub token: Option<String>,
}

/// A running endpoint; its threads end with the process.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TokenEndpoint {
    /// Serves `client` (id and secret) with tokens of this life.
    pub fn start(client: (&str, &str), lifetime: Duration) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("bind the token endpoint")?;
        let address = listener.local_addr().during("the token endpoint's address")?;
        let endpoint = Self {
            address,
            behaviour: Arc::new(Mutex::new(Behaviour { lifetime, works: true })),
            asked: Arc::default(),
        };
        let (serving, client) = (endpoint.clone(), (client.0.to_owned(), client.1.to_owned()));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serving, client) = (serving.clone(), client.clone());
                std::thread::spawn(move || serving.serve(stream, &client));
            }
        });
        Ok(endpoint)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// Everything it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn serve(&self, stream: TcpStream, client: &(String, String)) -> Result<()> {
        let mut reader = BufReader::new(stream.try_clone().during("clone a stream")?);
        loop {
            let Some(request) = read_request(&mut reader)? else { return Ok(()) };
            let (status, answer) = self.answer(&request.headers, &request.body, client)?;
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", answer.len());
            write!(&stream, "{head}\r\n\r\n{answer}").during("answer a token request")?;
        }
    }

    fn answer(
        &self,
        headers: &BTreeMap<String, String>,
        body: &str,
        client: &(String, String),
    ) -> Result<(&'static str, String)> {
        let behaviour = self.behaviour.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let form: BTreeMap<String, String> =
            body.split('&').filter_map(|pair| pair.split_once('=')).map(decoded).collect();
        let basic = headers.get("authorization").and_then(|value| value.strip_prefix("Basic "));
        let basic = STANDARD.decode(basic.unwrap_or_default()).during("the client's credentials")?;
        let basic = String::from_utf8(basic).during("the client's credentials")?;
        let given = basic.split_once(':').map(decoded).unwrap_or_default();
        let is_grant = form.get("grant_type").is_some_and(|grant| grant == "client_credentials");
        let (status, token) = match () {
            () if !behaviour.works => ("503 Service Unavailable", None),
            () if given != *client => ("401 Unauthorized", None),
            () if !is_grant => ("400 Bad Request", None),
            () => ("200 OK", Some(unsigned_token(&given.0, behaviour.lifetime)?)),
        };
        let answer = match &token {
            Some(token) => {
                json!({ "access_token": token, "token_type": "Bearer", "expires_in": behaviour.lifetime.as_secs() })
            }
            None if status.starts_with("401") => {
                json!({ "error": "invalid_client", "error_description": "Invalid client or Invalid client credentials" })
            }
            None => json!({ "error": "temporarily_unavailable" }),
        };
        let mut asked = self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        asked.push(Asked { client: given, form, token });
        Ok((status, answer.to_string()))
    }
}

/// A JWT without a signature (RFC 7519, 6) for `subject`.
pub fn unsigned_token(subject: &str, lifetime: Duration) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).during("the clock")?;
    let claims = json!({ "sub": subject, "iat": now.as_secs_f64(), "exp": (now + lifetime).as_secs_f64() });
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    Ok(format!("{}.{}.", part(json!({ "alg": "none" })), part(claims)))
}

fn decoded((key, value): (&str, &str)) -> (String, String) {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            let escaped = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
                Some(byte) => {
                    bytes.push(byte);
                    rest = &after[2..];
                }
                None => {
                    bytes.push(*first);
                    rest = after;
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    (decode(key), decode(value))
}
