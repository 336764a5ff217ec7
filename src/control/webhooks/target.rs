//! A webhook's receiver: one attempt to tell it something, and what came of it.
//!
//! Invariants:
//! - The URL, keys and bodies are in no log, error or report; a receiver is named by its host.
//! - An attempt is bounded in time, its answer in size; no redirect is followed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};
use zeroize::Zeroizing;

use super::guard::Guard;
use super::render::{Message, WebhookFormat, render};
use super::schedule::retry_after;
use crate::control::notices::{Notice, NoticeKind};
use crate::control::tokens::now_ns;
use crate::limits::{WEBHOOK_ANSWER_BYTES_MAX, WEBHOOK_CONNECT_WAIT, WEBHOOK_WAIT};
use crate::upstream::{self, HttpError};

/// Characters of an answer that are shown.
const SHOWN_MAX: usize = 200;

/// A webhook as it is configured.
#[derive(Clone)]
pub struct WebhookOptions {
    /// Its name, unique.
    pub name: String,
    /// Where notices go; a secret, as receivers tell senders by it.
    pub url: Arc<Zeroizing<String>>,
    /// How the receiver is spoken to.
    pub format: WebhookFormat,
    /// What it is told of.
    pub events: Vec<NoticeKind>,
    /// It may lead to addresses that only machines nearby reach.
    pub allow_private: bool,
    /// Who may vouch for its server; none: whom the system trusts.
    pub ca: Option<PathBuf>,
}

/// A webhook that is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// HTTP cannot be set up for it.
    #[error("webhook {name}: HTTP cannot be set up: {why}")]
    Client {
        /// Which.
        name: String,
        /// Why.
        why: HttpError,
    },
    /// What it did not get yet cannot be read or written.
    #[error("webhooks' rows in the store cannot be read or written: {0}")]
    Store(#[from] crate::recorder::RecorderError),
    /// No thread, or no runtime on it.
    #[error("the webhooks' thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// A receiver.
pub(super) struct Target {
    pub(super) options: WebhookOptions,
    /// The receiver's host, all that is shown of the URL.
    pub(super) host: String,
    node: String,
    client: reqwest::Client,
}

/// What came of an attempt.
pub(super) struct Attempted {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    pub(super) status: Option<u16>,
    /// What it answered, as far as that may be shown.
    pub(super) said: Option<String>,
}

/// Whether a notice arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It did.
    Delivered,
    /// The receiver wants nothing any more (410).
    Gone,
    /// It did not.
    Failed(Failure),
}

/// Why a notice did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: Class,
    /// In words, for the operator.
    pub(super) what: String,
    pub(super) retry_after: Option<Duration>,
}

/// Whose doing a failure is, and so for how long trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The receiver does not want this notice: 3xx, and 4xx but for those that may pass.
    Refused,
    /// The receiver has a problem, or says that it has too much to do: 5xx, 408, 425, 429, no answer in time.
    Failing,
    /// There is no connection: the name, the address, TLS.
    Unreachable,
}

impl Class {
    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Refused => "refused",
            Class::Failing => "failed",
            Class::Unreachable => "unreachable",
        }
    }
}

impl Target {
    pub(super) fn new(options: WebhookOptions, node: &str) -> Result<Target, WebhookError> {
        let failed = |why| WebhookError::Client { name: options.name.clone(), why };
        let guard = Guard { allow_private: options.allow_private };
        let client = upstream::http_builder(options.ca.as_deref()).map_err(failed)?;
        let client = client
            .dns_resolver(Arc::new(guard))
            .connect_timeout(WEBHOOK_CONNECT_WAIT)
            .timeout(WEBHOOK_WAIT)
            .pool_max_idle_per_host(1)
            .build();
        let client = client.map_err(|why| failed(why.into()))?;
        let host = parse(&options.url).as_ref().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        Ok(Target { options, host, node: node.to_owned(), client })
    }

    pub(super) fn wants(&self, kind: NoticeKind) -> bool {
        self.options.events.contains(&kind)
    }

    /// Tells the receiver once.
    pub(super) async fn attempt(&self, notice: &Notice) -> Attempted {
        let begun = Instant::now();
        let messages = render(&self.options.format, &self.node, notice, now_ns() / 1_000_000_000);
        let (mut outcome, mut status, mut said) = (Outcome::Delivered, None, None);
        for message in messages {
            (outcome, status, said) = match self.send(message).await {
                Ok((outcome, code, text)) => (outcome, Some(code), text),
                Err(failure) => (Outcome::Failed(failure), None, None),
            };
            if outcome != Outcome::Delivered {
                break;
            }
        }
        let result = match &outcome {
            Outcome::Delivered => "delivered",
            Outcome::Gone => "gone",
            Outcome::Failed(failure) => failure.class.name(),
        };
        let labels = [("webhook", self.options.name.clone()), ("result", result.to_owned())];
        metrics::counter!("weir_webhook_deliveries_total", &labels).increment(1);
        Attempted { outcome, took: begun.elapsed(), status, said }
    }

    async fn send(&self, message: Message) -> Result<(Outcome, u16, Option<String>), Failure> {
        let unreachable = |what: String| Failure { class: Class::Unreachable, what, retry_after: None };
        let url = parse(&self.options.url).ok_or_else(|| unreachable("its URL is none".to_owned()))?;
        Guard { allow_private: self.options.allow_private }.check(&url).map_err(|e| unreachable(e.to_string()))?;
        let mut request = self.client.post(url).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let mut answer = request.send().await.map_err(failure)?;
        let status = answer.status();
        let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|value| retry_after(value, Timestamp::now()));
        let said = self.shown(&beginning(&mut answer).await);
        Ok((judge(status, wait), status.as_u16(), said))
    }

    /// An answer as text, unless it holds a secret: there are receivers that send back what they got.
    fn shown(&self, body: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(body);
        let url = parse(&self.options.url)?;
        let path = url.path().trim_matches('/');
        let routing_key = match &self.options.format {
            WebhookFormat::PagerDuty { routing_key } => Some(routing_key.as_str()),
            WebhookFormat::CloudEvents { .. } | WebhookFormat::Slack => None,
        };
        let secrets = [Some(path), url.query(), routing_key];
        if secrets.into_iter().flatten().any(|secret| !secret.is_empty() && text.contains(secret)) {
            return Some("(not shown: it repeats the URL or the key)".to_owned());
        }
        let shown: String = text.trim().chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
        (!shown.is_empty()).then_some(shown)
    }
}

/// The URL was checked with the configuration.
fn parse(url: &str) -> Option<Url> {
    Url::parse(url).ok()
}

/// The first bytes of an answer's body, as far as they come in time: what it says is for people only.
async fn beginning(answer: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < WEBHOOK_ANSWER_BYTES_MAX {
        let Ok(Some(piece)) = answer.chunk().await else { break };
        body.extend_from_slice(&piece);
    }
    body.truncate(WEBHOOK_ANSWER_BYTES_MAX);
    body
}

fn judge(status: StatusCode, retry_after: Option<Duration>) -> Outcome {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    let class = if status.is_server_error() || passing.contains(&status) { Class::Failing } else { Class::Refused };
    let what = match status {
        _ if status.is_success() => return Outcome::Delivered,
        StatusCode::GONE => return Outcome::Gone,
        _ if status.is_redirection() => format!("answered {}, and redirects are not followed", status.as_u16()),
        _ => format!("answered {}", status.as_u16()),
    };
    Outcome::Failed(Failure { class, what, retry_after })
}

fn failure(error: reqwest::Error) -> Failure {
    let (class, what) = if error.is_connect() {
        (Class::Unreachable, format!("cannot be reached: {}", upstream::http_reason(error)))
    } else if error.is_timeout() {
        (Class::Failing, format!("did not answer within {} s", WEBHOOK_WAIT.as_secs()))
    } else {
        (Class::Failing, format!("broke off: {}", upstream::http_reason(error)))
    };
    Failure { class, what, retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_whether_trying_again_makes_sense() {
        let class = |status: u16| match judge(StatusCode::from_u16(status).unwrap_or_default(), None) {
            Outcome::Delivered => "delivered",
            Outcome::Gone => "gone",
            Outcome::Failed(failure) => failure.class.name(),
        };
        for status in [200, 202, 204] {
            assert_eq!(class(status), "delivered");
        }
        for status in [301, 302, 308, 400, 401, 403, 404, 413, 422] {
            assert_eq!(class(status), "refused", "{status}");
        }
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(class(status), "failed", "{status}");
        }
        assert_eq!(class(410), "gone");
    }
}
