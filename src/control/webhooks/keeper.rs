//! What has to be done again and again for all webhooks: saying how far behind each is, and removing what nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::courier::State;
use super::rows::{WebhookRows, unbury};
use crate::control::notices::Outbox;
use crate::control::tokens::now_ns;
use crate::limits::{DEAD_LETTER_KEPT, NOTICE_KEPT, NOTICE_UPKEEP};
use crate::recorder::{AccessChange, RecorderError};

/// How often gauges are set.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    pub(super) outbox: Outbox,
    pub(super) rows: WebhookRows,
    /// Each webhook, by its name.
    pub(super) states: Vec<(String, Arc<State>)>,
}

impl Keeper {
    /// Works until it is dropped.
    pub(super) async fn run(self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut upkeep = Instant::now();
        loop {
            tick.tick().await;
            self.measure();
            if upkeep <= Instant::now() {
                upkeep = Instant::now() + NOTICE_UPKEEP;
                if let Err(error) = self.prune() {
                    tracing::error!(%error, "old notices cannot be removed");
                }
            }
        }
    }

    fn measure(&self) {
        for (name, state) in &self.states {
            let now = state.now();
            let lag = now.head_ns.map_or(0, |at_ns| now_ns().saturating_sub(at_ns));
            let labels = [("webhook", name.clone())];
            metrics::gauge!("weir_webhook_lag_seconds", &labels).set(lag as f64 / 1e9);
            metrics::gauge!("weir_webhook_dead_letters", &labels).set(now.dead as f64);
            metrics::gauge!("weir_webhook_disabled", &labels).set(f64::from(u8::from(now.disabled)));
        }
    }

    fn prune(&self) -> Result<(), RecorderError> {
        self.prune_at(now_ns())
    }

    /// Removes what is of no use at `now_ns`.
    pub(super) fn prune_at(&self, now_ns: u64) -> Result<(), RecorderError> {
        let cursors = self.states.iter().map(|(_, state)| state.now().cursor.seq);
        let delivered = cursors.min().unwrap_or(u64::MAX);
        let before = |kept: Duration| now_ns.saturating_sub(u64::try_from(kept.as_nanos()).unwrap_or(u64::MAX));
        if let Some(removed) = self.outbox.prune(delivered, before(NOTICE_KEPT))? {
            for (webhook, state) in &self.states {
                let missed = removed.saturating_sub(state.now().cursor.seq);
                if missed > 0 {
                    let days = NOTICE_KEPT.as_secs() / (24 * 60 * 60);
                    tracing::error!(webhook, "a webhook missed {missed} notices, removed after {days} days of waiting");
                    super::count_lost(webhook, missed);
                }
            }
        }
        let dead = self.rows.all_dead()?;
        let old: Vec<_> = dead.iter().filter(|letter| letter.at_ns < before(DEAD_LETTER_KEPT)).collect();
        let changes: Vec<AccessChange> = old.iter().map(|letter| unbury(letter)).collect();
        if !changes.is_empty() {
            tracing::info!("{} dead letters were removed, as they had been there for long", changes.len());
            self.rows.write(changes)?;
        }
        for (name, state) in &self.states {
            state.change().dead = self.rows.dead_of(name)?.len();
        }
        Ok(())
    }
}
