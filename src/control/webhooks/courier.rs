//! Delivers notices to one receiver, in order, each until it has arrived or is given up.
//!
//! Invariants:
//! - The cursor goes past a notice only once it has arrived or lies among the dead letters; a process that dies in between
//!   delivers it again. At least once, never out of order but for what is redelivered by hand.
//! - Nothing here waits for another receiver.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::rows::{Cursor, DeadLetter, WebhookRows, cursor_change};
use super::schedule::Schedule;
use super::target::{Failure, Outcome, Target};
use crate::control::asked;
use crate::control::notices::{Notice, Outbox};
use crate::control::tokens::now_ns;
use crate::limits::WEBHOOK_BATCH;
use crate::recorder::{AccessChange, RecorderError};

/// Until a store that fails is tried again.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How long an attempt under way may take once the gateway stops: what is cut off is delivered once more after the start.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// How a webhook is doing, for those who ask.
pub(super) struct State {
    now: Mutex<Standing>,
    enabled: Notify,
}

/// See [`State`].
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub(super) cursor: Cursor,
    /// When the notice that is being delivered came to be, ns since the Unix epoch.
    pub(super) head_ns: Option<u64>,
    /// What failed last, until something arrives.
    pub(super) trouble: Option<String>,
    /// The receiver wants nothing any more.
    pub(super) disabled: bool,
    /// When something arrived last, ns since the Unix epoch.
    pub(super) delivered_ns: Option<u64>,
    pub(super) dead: usize,
}

impl State {
    pub(super) fn new(cursor: Cursor, dead: usize) -> Self {
        let now = Mutex::new(Standing { cursor, dead, ..Standing::default() });
        Self { now, enabled: Notify::new() }
    }

    pub(super) fn now(&self) -> Standing {
        self.change().clone()
    }

    pub(super) fn change(&self) -> MutexGuard<'_, Standing> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It wants notices again.
    pub(super) fn enable(&self) {
        self.change().disabled = false;
        self.enabled.notify_waiters();
    }
}

/// See the head of this file.
pub(super) struct Courier {
    pub(super) target: Arc<Target>,
    pub(super) state: Arc<State>,
    pub(super) outbox: Outbox,
    pub(super) rows: WebhookRows,
    pub(super) schedule: Schedule,
    pub(super) stopped: watch::Receiver<bool>,
}

/// The gateway stops.
struct Stopped;

impl Courier {
    /// Delivers until the gateway stops.
    pub(super) async fn run(mut self) {
        let mut settled = self.outbox.settled();
        let mut stopped = self.stopped.clone();
        loop {
            let Ok(()) = self.deliver_all().await else { return };
            let cursor = self.state.now().cursor.seq;
            tokio::select! {
                more = settled.wait_for(|settled| *settled > cursor) => if more.is_err() { return },
                () = asked(&mut stopped) => return,
            }
        }
    }

    /// Delivers all that can be read now.
    async fn deliver_all(&mut self) -> Result<(), Stopped> {
        loop {
            let cursor = self.state.now().cursor.seq;
            // Looked at before the rows are: what is settled while they are read may be among none of them.
            let settled = *self.outbox.settled().borrow();
            let batch = match self.outbox.after(cursor, WEBHOOK_BATCH) {
                Ok(batch) => batch,
                Err(error) => {
                    self.store_failed(&error).await?;
                    continue;
                }
            };
            let Some((last, _)) = batch.last() else {
                // Numbers whose writes failed are nothing to wait for.
                self.state.change().cursor.seq = settled.max(cursor);
                return Ok(());
            };
            let last = *last;
            for (seq, notice) in batch {
                match notice {
                    Ok(notice) if self.target.wants(notice.kind) => self.deliver(&notice).await?,
                    Ok(_) => {}
                    Err(error) => {
                        let webhook = &self.target.options.name;
                        tracing::error!(webhook, seq, "a notice cannot be read and is passed over: {error}");
                    }
                }
            }
            if self.state.now().cursor.seq < last {
                // A webhook that is to be told of more later is not told what it was not to be told of.
                self.done(last, Vec::new()).await?;
            }
        }
    }

    /// Delivers one notice, or gives it up.
    async fn deliver(&mut self, notice: &Notice) -> Result<(), Stopped> {
        self.state.change().head_ns = Some(notice.at_ns);
        loop {
            let begun_ns = now_ns();
            match self.attempt(notice).await? {
                Outcome::Delivered => {
                    self.arrived();
                    break self.done(notice.seq, Vec::new()).await?;
                }
                Outcome::Gone => self.gone().await?,
                Outcome::Failed(failure) => match self.failed(notice, &failure, begun_ns).await? {
                    Some(pause) => self.wait(pause).await?,
                    None => break self.give_up(notice, failure).await?,
                },
            }
        }
        self.state.change().head_ns = None;
        Ok(())
    }

    async fn attempt(&mut self, notice: &Notice) -> Result<Outcome, Stopped> {
        let mut stopped = self.stopped.clone();
        let too_late = async {
            asked(&mut stopped).await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! {
            attempted = self.target.attempt(notice) => Ok(attempted.outcome),
            () = too_late => Err(Stopped),
        }
    }

    fn arrived(&self) {
        let mut state = self.state.change();
        state.delivered_ns = Some(now_ns());
        if let Some(trouble) = state.trouble.take() {
            tracing::info!(webhook = self.target.options.name, "a webhook works again, which before {trouble}");
        }
    }

    /// Counts a failure; how long to wait, none where it was the last attempt.
    async fn failed(&mut self, notice: &Notice, failure: &Failure, begun_ns: u64) -> Result<Option<Duration>, Stopped> {
        let cursor = {
            let mut state = self.state.change();
            let cursor = &mut state.cursor;
            cursor.since_ns = if cursor.attempts == 0 { begun_ns } else { cursor.since_ns };
            cursor.attempts = cursor.attempts.saturating_add(1);
            let cursor = *cursor;
            if state.trouble.as_ref() != Some(&failure.what) {
                let (webhook, host) = (&self.target.options.name, &self.target.host);
                tracing::warn!(
                    webhook,
                    host,
                    notice = notice.id,
                    "a webhook's receiver {}; trying again",
                    failure.what
                );
            }
            state.trouble = Some(failure.what.clone());
            cursor
        };
        self.write(vec![cursor_change(&self.target.options.name, cursor)]).await?;
        let since = Duration::from_nanos(now_ns().saturating_sub(cursor.since_ns));
        Ok(self.schedule.pause(failure, cursor.attempts, since))
    }

    /// Puts a notice among the dead letters.
    async fn give_up(&mut self, notice: &Notice, failure: Failure) -> Result<(), Stopped> {
        let attempts = self.state.now().cursor.attempts;
        let webhook = self.target.options.name.clone();
        let letter = DeadLetter { webhook, notice: notice.clone(), reason: failure.what, attempts, at_ns: now_ns() };
        let (changes, lost) = loop {
            match self.rows.bury(&letter) {
                Ok(buried) => break buried,
                Err(error) => self.store_failed(&error).await?,
            }
        };
        tracing::error!(
            webhook = letter.webhook,
            host = self.target.host,
            notice = notice.id,
            kind = notice.kind.name(),
            attempts,
            "a notice was given up, its receiver {}; `weir webhook redeliver` tries again",
            letter.reason
        );
        if lost > 0 {
            tracing::error!(webhook = letter.webhook, "{lost} older dead letters had to go, as there are too many");
            super::count_lost(&letter.webhook, lost as u64);
        }
        self.done(notice.seq, changes).await?;
        // Whoever reads the count finds the letter.
        self.state.change().dead += 1 - lost.min(1);
        Ok(())
    }

    /// Moves the cursor past `seq`, together with `changes`.
    async fn done(&mut self, seq: u64, mut changes: Vec<AccessChange>) -> Result<(), Stopped> {
        let cursor = Cursor { seq, ..Cursor::default() };
        changes.push(cursor_change(&self.target.options.name, cursor));
        self.write(changes).await?;
        self.state.change().cursor = cursor;
        Ok(())
    }

    /// The receiver wants nothing any more: waits until somebody says that it does.
    async fn gone(&mut self) -> Result<(), Stopped> {
        let webhook = &self.target.options.name;
        tracing::error!(
            webhook,
            host = self.target.host,
            "a webhook's receiver answered 410 Gone and is told nothing any more; remove the webhook, or once the receiver \
             is back, run `weir webhook test {webhook}` or restart the gateway"
        );
        let enabled = self.state.enabled.notified();
        tokio::pin!(enabled);
        enabled.as_mut().enable();
        {
            let mut state = self.state.change();
            state.disabled = true;
            state.trouble = Some("answered 410 Gone".to_owned());
        }
        tokio::select! {
            () = enabled => Ok(()),
            () = asked(&mut self.stopped) => Err(Stopped),
        }
    }

    /// Writes until it is written.
    async fn write(&mut self, changes: Vec<AccessChange>) -> Result<(), Stopped> {
        while let Err(error) = self.rows.write(changes.clone()) {
            self.store_failed(&error).await?;
        }
        Ok(())
    }

    async fn store_failed(&mut self, error: &RecorderError) -> Result<(), Stopped> {
        tracing::error!(webhook = self.target.options.name, %error, "a webhook waits for the store");
        self.wait(STORE_PAUSE).await
    }

    async fn wait(&mut self, pause: Duration) -> Result<(), Stopped> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = asked(&mut self.stopped) => Err(Stopped),
        }
    }
}
