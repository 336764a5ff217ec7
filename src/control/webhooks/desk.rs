//! What `weir webhook` asks: how webhooks are doing, a test, the dead letters and their redelivery.
//!
//! Questions come on the control plane's thread; whatever talks to a receiver runs on the webhooks'.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State as From};
use axum::response::Json;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::courier::State;
use super::rows::{DeadLetter, WebhookRows, dead_change, unbury};
use super::target::{Attempted, Outcome, Target};
use crate::control::api::{Served, blocking};
use crate::control::notices::{Notice, NoticeKind, Outbox};
use crate::control::problem::Problem;
use crate::control::tokens::now_ns;
use crate::recorder::{RecorderError, Rfc3339};

/// Answers for the running webhooks.
#[derive(Clone)]
pub struct WebhookDesk(Arc<Desk>);

struct Desk {
    runtime: Handle,
    webhooks: Vec<(Arc<Target>, Arc<State>)>,
    outbox: Outbox,
    rows: WebhookRows,
}

/// How a webhook is doing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebhookView {
    /// Its name.
    pub name: String,
    /// How its receiver is spoken to.
    pub format: String,
    /// The receiver's host; the URL is a secret.
    pub host: String,
    /// What it is told of.
    pub events: Vec<String>,
    /// `up_to_date`, `delivering`, `retrying` or `disabled`.
    pub state: String,
    /// Notices it has not got to, those it does not want included.
    pub behind: u64,
    /// How old the notice is that is being delivered, s; 0 where there is none.
    pub lag_seconds: u64,
    /// Attempts at it that failed.
    pub attempts: u32,
    /// What failed last, until something arrives.
    pub trouble: Option<String>,
    /// When something arrived last, since the gateway started; RFC 3339 in UTC.
    pub delivered: Option<String>,
    /// The same in ns since the Unix epoch.
    pub delivered_ns: Option<u64>,
    /// Notices it gave up.
    pub dead_letters: u64,
}

/// A notice that a webhook gave up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetterView {
    /// The notice's id.
    pub id: String,
    /// The webhook that gave it up.
    pub webhook: String,
    /// What it is about.
    pub kind: String,
    /// The access request it is about.
    pub request: Option<String>,
    /// When it came to be, RFC 3339 in UTC.
    pub at: String,
    /// The same in ns since the Unix epoch.
    pub at_ns: u64,
    /// When it was given up, or last tried by hand.
    pub given_up: String,
    /// The same in ns since the Unix epoch.
    pub given_up_ns: u64,
    /// Attempts in all.
    pub attempts: u32,
    /// What came of the last one.
    pub reason: String,
}

/// What came of telling a receiver something by hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tried {
    /// The notice's id: `webhook-id`, and the event's `id`.
    pub id: String,
    /// The webhook.
    pub webhook: String,
    /// How its receiver is spoken to.
    pub format: String,
    /// The receiver's host.
    pub host: String,
    /// `delivered`, `gone`, `refused`, `failed` or `unreachable`.
    pub outcome: String,
    /// Why it did not arrive.
    pub detail: Option<String>,
    /// The answer's status.
    pub status: Option<u16>,
    /// How long it took, ms.
    pub took_ms: u64,
    /// The answer's beginning.
    pub answer: Option<String>,
}

/// The routes of the local socket.
pub(in crate::control) fn routes(desk: WebhookDesk) -> Router<Served> {
    Router::new()
        .route("/api/v1/webhooks", get(list))
        .route("/api/v1/webhooks/{name}/test", post(test))
        .route("/api/v1/dead-letters", get(dead))
        .route("/api/v1/dead-letters/{id}/redeliver", post(redeliver))
        .with_state(desk)
}

async fn list(From(desk): From<WebhookDesk>) -> Json<serde_json::Value> {
    Json(json!({ "webhooks": desk.list() }))
}

async fn test(From(desk): From<WebhookDesk>, Path(name): Path<String>) -> Result<Json<Tried>, Problem> {
    desk.test(&name).await.map(Json)
}

async fn dead(From(desk): From<WebhookDesk>) -> Result<Json<serde_json::Value>, Problem> {
    let letters = blocking(move || Ok(desk.dead()?)).await?;
    Ok(Json(json!({ "dead_letters": letters })))
}

async fn redeliver(From(desk): From<WebhookDesk>, Path(id): Path<String>) -> Result<Json<serde_json::Value>, Problem> {
    Ok(Json(json!({ "tried": desk.redeliver(&id).await? })))
}

impl WebhookDesk {
    pub(super) fn new(
        runtime: Handle,
        webhooks: Vec<(Arc<Target>, Arc<State>)>,
        outbox: Outbox,
        rows: WebhookRows,
    ) -> Self {
        Self(Arc::new(Desk { runtime, webhooks, outbox, rows }))
    }

    fn find(&self, name: &str) -> Option<(Arc<Target>, Arc<State>)> {
        self.0.webhooks.iter().find(|(target, _)| target.options.name == name).cloned()
    }

    /// How all are doing, as configured.
    pub(super) fn list(&self) -> Vec<WebhookView> {
        let newest = *self.0.outbox.settled().borrow();
        self.0.webhooks.iter().map(|(target, state)| view(target, state, newest)).collect()
    }

    /// All dead letters, each webhook's oldest first.
    pub(super) fn dead(&self) -> Result<Vec<DeadLetterView>, RecorderError> {
        Ok(self.0.rows.all_dead()?.iter().map(DeadLetterView::of).collect())
    }

    /// Sends a test event; a webhook that was disabled and takes it is told of things again.
    pub(super) async fn test(&self, name: &str) -> Result<Tried, Problem> {
        let found = self.find(name);
        let (target, state) = found.ok_or_else(|| {
            Problem::not_found(format!("no webhook is named {name:?}; `weir webhook list` shows those there are"))
        })?;
        let notice = Notice {
            seq: 0,
            id: Uuid::now_v7().to_string(),
            at_ns: now_ns(),
            kind: NoticeKind::Test,
            data: json!({ "message": "a test by `weir webhook test`; nothing has happened" }),
        };
        let tried = self.attempt(target, notice).await?;
        if tried.outcome == "delivered" {
            state.enable();
        }
        Ok(tried)
    }

    /// Tells the receiver once, on the webhooks' thread.
    async fn attempt(&self, target: Arc<Target>, notice: Notice) -> Result<Tried, Problem> {
        let attempt = async move {
            let attempted = target.attempt(&notice).await;
            Tried::of(&target, &notice, attempted)
        };
        let done = self.0.runtime.spawn(attempt).await;
        done.map_err(|_| Problem::internal("the gateway is stopping"))
    }

    /// Tries the dead letters of this notice once each, one webhook after the other.
    pub(super) async fn redeliver(&self, id: &str) -> Result<Vec<Tried>, Problem> {
        let desk = self.clone();
        let letters = blocking(move || Ok(desk.0.rows.all_dead()?)).await?;
        let letters: Vec<DeadLetter> = letters.into_iter().filter(|letter| letter.notice.id == id).collect();
        if letters.is_empty() {
            let what = format!("no dead letter has the id {id:?}; `weir webhook dead` shows those there are");
            return Err(Problem::not_found(what));
        }
        let mut all = Vec::with_capacity(letters.len());
        for mut letter in letters {
            let Some((target, state)) = self.find(&letter.webhook) else {
                let name = &letter.webhook;
                let what = format!("the webhook {name:?} that gave it up is not configured any more");
                return Err(Problem::unprocessable(what));
            };
            let tried = self.attempt(target, letter.notice.clone()).await?;
            let arrived = tried.outcome == "delivered";
            letter.attempts = letter.attempts.saturating_add(1);
            letter.at_ns = now_ns();
            letter.reason.clone_from(tried.detail.as_ref().unwrap_or(&tried.outcome));
            let change = if arrived { unbury(&letter) } else { dead_change(&letter) };
            let desk = self.clone();
            blocking(move || Ok(desk.0.rows.write(vec![change])?)).await?;
            if arrived {
                let mut now = state.change();
                now.dead = now.dead.saturating_sub(1);
            }
            all.push(tried);
        }
        Ok(all)
    }
}

impl fmt::Debug for WebhookDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookDesk").finish_non_exhaustive()
    }
}

fn view(target: &Target, state: &State, newest: u64) -> WebhookView {
    let now = state.now();
    let behind = newest.saturating_sub(now.cursor.seq);
    let doing = match now {
        _ if now.disabled => "disabled",
        _ if now.cursor.attempts > 0 => "retrying",
        _ if now.head_ns.is_some() => "delivering",
        _ => "up_to_date",
    };
    WebhookView {
        name: target.options.name.clone(),
        format: target.options.format.name().to_owned(),
        host: target.host.clone(),
        events: target.options.events.iter().map(|kind| kind.name().to_owned()).collect(),
        state: doing.to_owned(),
        behind,
        lag_seconds: now.head_ns.map_or(0, |at_ns| now_ns().saturating_sub(at_ns) / 1_000_000_000),
        attempts: now.cursor.attempts,
        trouble: now.trouble,
        delivered: now.delivered_ns.map(|ns| Rfc3339(ns).to_string()),
        delivered_ns: now.delivered_ns,
        dead_letters: now.dead as u64,
    }
}

impl DeadLetterView {
    fn of(letter: &DeadLetter) -> Self {
        let notice = &letter.notice;
        Self {
            id: notice.id.clone(),
            webhook: letter.webhook.clone(),
            kind: notice.kind.name().to_owned(),
            request: notice.data["request"]["id"].as_str().map(str::to_owned),
            at: Rfc3339(notice.at_ns).to_string(),
            at_ns: notice.at_ns,
            given_up: Rfc3339(letter.at_ns).to_string(),
            given_up_ns: letter.at_ns,
            attempts: letter.attempts,
            reason: letter.reason.clone(),
        }
    }
}

impl Tried {
    fn of(target: &Target, notice: &Notice, attempted: Attempted) -> Self {
        let (outcome, detail) = match attempted.outcome {
            Outcome::Delivered => ("delivered", None),
            Outcome::Gone => ("gone", Some("answered 410 Gone: it wants nothing any more".to_owned())),
            Outcome::Failed(failure) => (failure.class.name(), Some(failure.what)),
        };
        Self {
            id: notice.id.clone(),
            webhook: target.options.name.clone(),
            format: target.options.format.name().to_owned(),
            host: target.host.clone(),
            outcome: outcome.to_owned(),
            detail,
            status: attempted.status,
            took_ms: u64::try_from(attempted.took.as_millis()).unwrap_or(u64::MAX),
            answer: attempted.said,
        }
    }
}
