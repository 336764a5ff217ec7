//! Webhooks: others are told of what the outbox holds, on a thread of its own, a task each receiver.
//!
//! `courier` delivers to one receiver through its `target`; `schedule` says when it tries again; `render` makes of a notice
//! what a receiver reads, `sign` signs it; `guard` keeps them from leading inwards; `rows` is what they keep in the store;
//! `keeper` counts and clears away; `desk` answers the commands.
//!
//! Invariants:
//! - Each receiver is told of each notice it wants at least once and in order, whenever the process dies, or the notice lies
//!   among its dead letters, or it was removed after [`NOTICE_KEPT`](crate::limits::NOTICE_KEPT), which is told and counted.
//! - A receiver that is slow, dead or hostile delays no other one, nor anything else of the gateway.
//! - No URL, key or body of theirs is in a log, an error, a metric or a `Debug` text.

mod courier;
mod desk;
mod guard;
mod keeper;
mod render;
mod rows;
mod schedule;
mod sign;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::asked;
use super::notices::Outbox;
use crate::recorder::AccessStore;
use courier::{Courier, State};
use keeper::Keeper;
use rows::{Cursor, WebhookRows, cursor_change};
use schedule::Schedule;
use target::Target;

pub(super) use desk::routes;
pub use desk::{DeadLetterView, Tried, WebhookDesk, WebhookView};
pub use render::WebhookFormat;
pub use sign::SigningKey;
pub use target::{WebhookError, WebhookOptions};

/// The running webhooks; they stop when this is dropped. To be dropped before the store is given up.
pub struct Webhooks {
    desk: WebhookDesk,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Webhooks {
    /// Starts delivering what `outbox`, which lies in `store`, holds, on a thread named `weir-webhooks`; waits for no answer.
    /// One that is new is told of what comes from now on.
    pub fn start(
        options: Vec<WebhookOptions>,
        outbox: Outbox,
        store: AccessStore,
        node: &str,
    ) -> Result<Webhooks, WebhookError> {
        Self::start_on(Schedule::default(), options, outbox, store, node)
    }

    fn start_on(
        schedule: Schedule,
        options: Vec<WebhookOptions>,
        outbox: Outbox,
        store: AccessStore,
        node: &str,
    ) -> Result<Webhooks, WebhookError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(WebhookError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let rows = WebhookRows::new(store);
        let (mut couriers, mut desks) = (Vec::new(), Vec::new());
        for options in options {
            let cursor = take_up(&options.name, &outbox, &rows)?;
            let state = Arc::new(State::new(cursor, rows.dead_of(&options.name)?.len()));
            let target = Arc::new(Target::new(options, node)?);
            desks.push((Arc::clone(&target), Arc::clone(&state)));
            let (outbox, rows, stopped) = (outbox.clone(), rows.clone(), stopped.clone());
            couriers.push(Courier { target, state, outbox, rows, schedule, stopped });
        }
        let states = desks.iter().map(|(target, state)| (target.options.name.clone(), Arc::clone(state))).collect();
        let keeper = Keeper { outbox: outbox.clone(), rows: rows.clone(), states };
        let desk = WebhookDesk::new(runtime.handle().clone(), desks, outbox, rows);
        let work = move || {
            runtime.block_on(work(couriers, keeper, stopped));
            // A name that is being looked up is not waited for.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("weir-webhooks".to_owned()).spawn(work);
        Ok(Webhooks { desk, stop, thread: Some(thread.map_err(WebhookError::Thread)?) })
    }

    /// Answers for them.
    pub fn desk(&self) -> WebhookDesk {
        self.desk.clone()
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the webhooks' thread ended with a fault of its own");
        }
    }
}

/// Ends when a stop was asked for and all couriers have ended.
async fn work(couriers: Vec<Courier>, keeper: Keeper, mut stopped: watch::Receiver<bool>) {
    let mut running = tokio::task::JoinSet::new();
    for courier in couriers {
        running.spawn(courier.run());
    }
    let keeper = tokio::spawn(keeper.run());
    asked(&mut stopped).await;
    while running.join_next().await.is_some() {}
    keeper.abort();
}

/// Where a webhook goes on.
fn take_up(name: &str, outbox: &Outbox, rows: &WebhookRows) -> Result<Cursor, WebhookError> {
    let newest = *outbox.settled().borrow();
    match rows.cursor(name)? {
        Some(cursor) if cursor.seq <= newest => Ok(cursor),
        found => {
            if found.is_some() {
                tracing::error!(
                    webhook = name,
                    "a webhook's cursor lies behind the newest notice: was the store put back?"
                );
            }
            let cursor = Cursor { seq: newest, ..Cursor::default() };
            rows.write(vec![cursor_change(name, cursor)])?;
            Ok(cursor)
        }
    }
}

fn count_lost(webhook: &str, notices: u64) {
    metrics::counter!("weir_webhook_lost_total", "webhook" => webhook.to_owned()).increment(notices);
}
