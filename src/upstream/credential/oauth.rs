//! OAUTHBEARER (RFC 7628, KIP-255): a token of an identity provider, got by the client credentials grant (RFC 6749, 4.4).
//!
//! The upkeep fetches the first token at start and the next one when 75 to 85 % of a token's life have passed. While none
//! is to be had it tries again after 1 s, 2 s, … 30 s; the last good token serves until it expires. A broker that refuses
//! a token has the next one fetched early: the provider may have changed its keys.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD as BASE64, URL_SAFE_NO_PAD as BASE64_URL};
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::super::http::{self, HttpError};
use super::super::jitter;
use super::{Answer, Answering, Conversation, Credential, CredentialError, Upkeep};

/// Between two attempts that fail: the shortest and the longest pause.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// After a token came, how long a broker's refusal does not lead to a new one.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// How long a token is taken to live whose answer does not say and which is no JWT.
const LIFETIME_UNSAID: Duration = Duration::from_secs(300);

/// Whatever a provider says, its token is looked at again after a day.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 3600);

/// Where tokens come from and what is sent with them.
#[derive(Clone)]
pub struct OauthOptions {
    /// The provider's token endpoint.
    pub token_endpoint: String,
    /// The client Weir is registered as.
    pub client_id: String,
    /// Its secret; shared, so that there is one copy of it.
    pub client_secret: Arc<Zeroizing<String>>,
    /// What the token should be good for.
    pub scope: Option<String>,
    /// Whom the token should be for.
    pub audience: Option<String>,
    /// Further parameters of the token request.
    pub parameters: Vec<(String, String)>,
    /// SASL extensions (KIP-342), sent to the broker beside the token.
    pub extensions: Vec<(String, String)>,
    /// Certificates of the endpoint's authority; the system's where none is named.
    pub ca: Option<PathBuf>,
}

impl OauthOptions {
    /// Whether a text repeats the secret, plain or in a form in which it is sent or would be shown.
    fn is_secret_in(&self, text: &str) -> bool {
        let (id, secret) = (form_encoded(&self.client_id), form_encoded(&self.client_secret));
        let basic = Zeroizing::new(format!("{}:{}", id.as_str(), secret.as_str()));
        let base64 = |plain: &str| Zeroizing::new(BASE64.encode(plain));
        let base64_url = |plain: &str| Zeroizing::new(BASE64_URL.encode(plain));
        let plain = self.client_secret.as_str();
        text.contains(plain)
            || text.to_ascii_lowercase().contains(Zeroizing::new(secret.to_ascii_lowercase()).as_str())
            || [basic.as_str(), plain]
                .iter()
                .any(|said| text.contains(base64(said).as_str()) || text.contains(base64_url(said).as_str()))
    }
}

impl fmt::Debug for OauthOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAUTHBEARER({:?} at {:?}, …)", self.client_id, self.token_endpoint)
    }
}

/// A token, and how long it is good for.
pub struct OauthToken {
    text: Zeroizing<String>,
    /// From when it was fetched.
    pub lifetime: Duration,
}

impl fmt::Debug for OauthToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OauthToken(… for {:?})", self.lifetime)
    }
}

/// Fetches one token, for who wants to know whether that works; the error says why not, without a secret.
pub async fn fetch_token(options: &OauthOptions) -> Result<OauthToken, String> {
    let endpoint = Endpoint { client: http::client(options.ca.as_deref()).map_err(|e| e.to_string())?, options };
    endpoint.fetch().await
}

/// What the upkeep has to show.
#[derive(Default)]
struct Held {
    token: Option<Arc<Bearer>>,
    /// Why the last attempt brought none.
    trouble: Option<String>,
}

struct Bearer {
    /// The message that shows the token to a broker.
    message: Zeroizing<Vec<u8>>,
    expires: Instant,
}

/// A credential whose token the upkeep renews.
pub(super) struct Oauth {
    held: watch::Receiver<Held>,
    refused: Arc<Notify>,
}

/// Makes the credential and what fetches its tokens.
pub(super) fn open(cluster: &str, options: OauthOptions) -> Result<(Oauth, Upkeep), HttpError> {
    let client = http::client(options.ca.as_deref())?;
    let (shown, held) = watch::channel(Held::default());
    let refused = Arc::new(Notify::new());
    let (cluster, told) = (cluster.to_owned(), refused.clone());
    let upkeep = async move {
        let endpoint = Endpoint { client, options: &options };
        keep(&cluster, &endpoint, shown, &told).await;
    };
    Ok((Oauth { held, refused }, Box::pin(upkeep)))
}

impl Credential for Oauth {
    fn mechanism(&self) -> &'static str {
        "OAUTHBEARER"
    }

    fn begin(&self) -> Box<dyn Conversation> {
        Box::new(Talk { held: self.held.clone(), refused: self.refused.clone(), said: 0 })
    }
}

struct Talk {
    held: watch::Receiver<Held>,
    refused: Arc<Notify>,
    said: u8,
}

impl Talk {
    /// The token of now; waits for the first one, and not for one that failed to come.
    async fn bearer(&mut self) -> Result<Arc<Bearer>, CredentialError> {
        loop {
            {
                let held = self.held.borrow_and_update();
                if let Some(token) = held.token.as_ref().filter(|t| Instant::now() < t.expires) {
                    return Ok(token.clone());
                }
                if let Some(trouble) = &held.trouble {
                    return Err(CredentialError::Token(trouble.clone()));
                }
            }
            self.held.changed().await.map_err(|_| CredentialError::Gone)?;
        }
    }
}

impl Conversation for Talk {
    fn answer<'a>(&'a mut self, challenge: Option<&'a [u8]>) -> Answering<'a> {
        Box::pin(async move {
            self.said += 1;
            match (self.said, challenge) {
                (1, None) => Ok(Answer::Send(self.bearer().await?.message.clone())),
                (2, Some([])) => Ok(Answer::Done),
                (2, Some(_)) => {
                    // RFC 7628, 3.2.3: the error is acknowledged with one byte, and then told by the protocol.
                    self.refused.notify_one();
                    Ok(Answer::Send(Zeroizing::new(vec![1])))
                }
                _ => Err(CredentialError::OutOfTurn),
            }
        })
    }
}

/// The client's first message of RFC 7628, 3.1, with the extensions of KIP-342.
fn bearer_message(token: &str, extensions: &[(String, String)]) -> Zeroizing<Vec<u8>> {
    const PARTS: [&str; 2] = ["n,,\u{1}auth=Bearer ", "\u{1}"];
    let of_extensions: usize = extensions.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let mut message = Zeroizing::new(Vec::with_capacity(PARTS[0].len() + token.len() + 2 + of_extensions));
    message.extend_from_slice(PARTS[0].as_bytes());
    message.extend_from_slice(token.as_bytes());
    for (key, value) in extensions {
        message.extend_from_slice(format!("\u{1}{key}={value}").as_bytes());
    }
    message.extend_from_slice(PARTS[1].as_bytes());
    message.extend_from_slice(PARTS[1].as_bytes());
    message
}

/// Fetches tokens until the credential is gone.
async fn keep(cluster: &str, endpoint: &Endpoint<'_>, shown: watch::Sender<Held>, refused: &Notify) {
    let mut failures = 0;
    loop {
        let fetched = endpoint.fetch().await;
        count(cluster, &fetched);
        let pause = match fetched {
            Ok(token) => {
                failures = 0;
                let message = bearer_message(&token.text, &endpoint.options.extensions);
                let bearer = Bearer { message, expires: Instant::now() + token.lifetime };
                shown.send_replace(Held { token: Some(Arc::new(bearer)), trouble: None });
                jitter::between(token.lifetime.mul_f64(0.75), token.lifetime.mul_f64(0.85)).max(RETRY_MIN)
            }
            Err(trouble) => {
                failures += 1;
                if shown.borrow().trouble.as_ref() != Some(&trouble) {
                    tracing::warn!(cluster, "no new token for Weir's own login: {trouble}");
                }
                shown.send_modify(|held| held.trouble = Some(trouble));
                retry_after(failures)
            }
        };
        tokio::select! {
            () = shown.closed() => return,
            () = sleep(pause) => {}
            () = async { sleep(REFUSED_PAUSE).await; refused.notified().await } => {}
        }
    }
}

fn retry_after(failures: u32) -> Duration {
    let pause = RETRY_MIN.saturating_mul(1 << (failures - 1).min(5)).min(RETRY_MAX);
    jitter::between(pause.mul_f64(0.75), pause)
}

fn count(cluster: &str, fetched: &Result<OauthToken, String>) {
    let outcome = if fetched.is_ok() { "fetched" } else { "failed" };
    metrics::counter!("weir_upstream_tokens_total", "cluster" => cluster.to_owned(), "outcome" => outcome).increment(1);
    if let Ok(token) = fetched {
        let expires = SystemTime::now() + token.lifetime;
        let at = expires.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        metrics::gauge!("weir_upstream_token_expires_seconds", "cluster" => cluster.to_owned()).set(at);
        tracing::debug!(cluster, lifetime = ?token.lifetime, "a token for Weir's own login was fetched");
    }
}

/// What a token endpoint answers (RFC 6749, 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<u64>,
}

/// What it answers when it does not (RFC 6749, 5.2).
#[derive(Deserialize)]
struct Denied {
    error: String,
    error_description: Option<String>,
}

struct Endpoint<'a> {
    client: reqwest::Client,
    options: &'a OauthOptions,
}

impl Endpoint<'_> {
    async fn fetch(&self) -> Result<OauthToken, String> {
        let options = self.options;
        let endpoint = &options.token_endpoint;
        let unreachable = |e| format!("the token endpoint {endpoint} does not answer: {}", http::reason(e));
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(options.scope.as_deref().map(|scope| ("scope", scope)));
        form.extend(options.audience.as_deref().map(|audience| ("audience", audience)));
        form.extend(options.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        // RFC 6749, 2.3.1: both are form-encoded before they become the two halves of HTTP Basic.
        let (id, secret) = (form_encoded(&options.client_id), form_encoded(&options.client_secret));
        let request = self.client.post(endpoint).basic_auth(id.as_str(), Some(secret.as_str())).form(&form);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = http::body(answer).await.map_err(unreachable)?;
        let body = body.ok_or_else(|| format!("the token endpoint {endpoint} answers with too many bytes"))?;
        if status != StatusCode::OK {
            return Err(self.denied(status, &body));
        }
        let granted: Granted = serde_json::from_slice(&body)
            .map_err(|_| format!("the token endpoint {endpoint} answers with something that is no OAuth token"))?;
        let text = Zeroizing::new(granted.access_token);
        // RFC 6750, 2.1; what is no such token could end the message it is sent in.
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("the token endpoint {endpoint} answers with a token that is no bearer token"));
        }
        let said = granted.expires_in.map(Duration::from_secs);
        let lifetime = said.or_else(|| jwt_lifetime(&text)).unwrap_or(LIFETIME_UNSAID).min(LIFETIME_MAX);
        if lifetime.is_zero() {
            return Err(format!("the token endpoint {endpoint} answers with a token that has expired already"));
        }
        Ok(OauthToken { text, lifetime })
    }

    /// In the provider's words, unless they repeat the secret.
    fn denied(&self, status: StatusCode, body: &[u8]) -> String {
        let endpoint = &self.options.token_endpoint;
        let remedy = match status {
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; check `client_id`, `client_secret` and `scope` of the cluster's `sasl` section"
            }
            StatusCode::NOT_FOUND => "; check `token_endpoint` of the cluster's `sasl` section",
            _ => "",
        };
        let words = match serde_json::from_slice::<Denied>(body) {
            Ok(Denied { error, error_description }) => {
                let words = [Some(error), error_description].into_iter().flatten().collect::<Vec<_>>().join(": ");
                let printable: String = words.chars().filter(|c| !c.is_control()).collect();
                // Before it is cut, which could leave a part of the secret.
                if self.options.is_secret_in(&printable) {
                    String::new()
                } else {
                    format!(" ({})", printable.chars().take(200).collect::<String>())
                }
            }
            Err(_) => String::new(),
        };
        format!("the token endpoint {endpoint} refuses Weir with HTTP status {}{words}{remedy}", status.as_u16())
    }
}

/// How long a JWT has to live by its own account (RFC 7519, `exp`). It is not verified: that is the broker's to do.
fn jwt_lifetime(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let payload = token.split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&BASE64_URL.decode(payload).ok()?).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let left = claims.exp - now.as_secs_f64();
    Some(Duration::try_from_secs_f64(left).unwrap_or_default())
}

/// `application/x-www-form-urlencoded` (RFC 6749, appendix B).
fn form_encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'*' => encoded.push(char::from(byte)),
            b' ' => encoded.push('+'),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                encoded.push('%');
                encoded.push(char::from(HEX[usize::from(byte >> 4)]));
                encoded.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_providers_words_are_not_shown_where_they_repeat_the_secret_in_any_form() {
        let options = OauthOptions {
            token_endpoint: "https://idp/token".to_owned(),
            client_id: "weir".to_owned(),
            client_secret: Arc::new(Zeroizing::new("s3cret/+ of weir".to_owned())),
            scope: None,
            audience: None,
            parameters: Vec::new(),
            extensions: Vec::new(),
            ca: None,
        };
        let endpoint = Endpoint { client: http::client(None).unwrap(), options: &options };
        let told = |words: &str| {
            let body = serde_json::json!({"error": "invalid_client", "error_description": words}).to_string();
            endpoint.denied(StatusCode::UNAUTHORIZED, body.as_bytes())
        };
        let forms = [
            "s3cret/+ of weir",
            "s3cret%2F%2B+of+weir",
            "s3cret%2f%2b+of+weir",
            "czNjcmV0Lysgb2Ygd2Vpcg==",
            "d2VpcjpzM2NyZXQlMkYlMkIrb2Yrd2Vpcg==",
        ];
        for form in forms {
            assert!(told("no such client").contains("invalid_client: no such client"));
            assert!(!told(&format!("got {form}, sorry")).contains("sorry"), "{form}");
            // Where the cut to 200 characters falls into it.
            let cut = told(&format!("{}{form}", "x".repeat(180)));
            assert!(!cut.contains(&form[..3]), "{cut}");
        }
    }
}
