//! Counts on a shard, published to the metrics registry once a second, so that an exchange costs no shared write.
//!
//! Invariant: no label has a client's choosing; APIs, listeners and outcomes are all bounded by Weir's own tables.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use hdrhistogram::Histogram;

use crate::event::Outcome;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::masking::plans::Counts;
use crate::wire::kafka::api;

/// A shard's counters since they were last published.
#[derive(Default)]
pub(super) struct Meter {
    apis: RefCell<BTreeMap<i16, ApiMeter>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    journal_full: Cell<u64>,
    tasks: Cell<i64>,
    connections: RefCell<BTreeMap<(String, Standing), i64>>,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Nobody knows yet whose it is.
    Unidentified,
    /// It acts for somebody.
    Identified,
}

impl Standing {
    fn name(self) -> &'static str {
        match self {
            Standing::Unidentified => "unidentified",
            Standing::Identified => "identified",
        }
    }
}

struct ApiMeter {
    total: Histogram<u64>,
    weir: Histogram<u64>,
    outcomes: [u64; OUTCOMES.len()],
}

const OUTCOMES: [(Outcome, &str); 5] = [
    (Outcome::Answered, "answered"),
    (Outcome::NoAnswer, "no_answer"),
    (Outcome::AnsweredHere, "answered_here"),
    (Outcome::Refused, "refused"),
    (Outcome::Unknown, "unknown"),
];

/// Latencies up to a minute in two significant digits; longer ones count as a minute, ns.
const LATENCY_NS_MAX: u64 = 60_000_000_000;

impl ApiMeter {
    fn new() -> Option<Self> {
        let histogram = Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 2).ok()?;
        Some(ApiMeter { total: histogram.clone(), weir: histogram, outcomes: [0; OUTCOMES.len()] })
    }
}

impl Meter {
    /// Counts a finished exchange.
    pub fn exchange(&self, exchange: &Exchange, outcome: Outcome, now_ns: u64) {
        let mut apis = self.apis.borrow_mut();
        let key = exchange.api.map_or(-1, |api| api.key);
        let meter = match apis.entry(key) {
            Entry::Occupied(counted) => counted.into_mut(),
            Entry::Vacant(first) => match ApiMeter::new() {
                Some(fresh) => first.insert(fresh),
                None => return,
            },
        };
        let latency = exchange.latency(now_ns);
        meter.total.saturating_record(latency.client_ns + latency.weir_ns + latency.broker_ns);
        meter.weir.saturating_record(latency.weir_ns);
        if let Some(index) = OUTCOMES.iter().position(|(o, _)| *o == outcome) {
            meter.outcomes[index] += 1;
        }
    }

    /// Counts bytes read from clients.
    pub fn bytes_in(&self, bytes: u64) {
        self.bytes_in.set(self.bytes_in.get() + bytes);
    }

    /// Counts bytes written to clients.
    pub fn bytes_out(&self, bytes: u64) {
        self.bytes_out.set(self.bytes_out.get() + bytes);
    }

    /// Counts a wait for the journal.
    pub fn journal_full(&self) {
        self.journal_full.set(self.journal_full.get() + 1);
    }

    /// Counts a task that began (1) or is no more (-1).
    pub fn tasks(&self, change: i64) {
        self.tasks.set(self.tasks.get() + change);
    }

    /// Counts a connection that came to stand somewhere (1) or no longer does (-1).
    pub fn connections(&self, listener: &str, standing: Standing, change: i64) {
        *self.connections.borrow_mut().entry((listener.to_owned(), standing)).or_default() += change;
    }

    /// Hands what masking did to the registry.
    pub fn masked(counts: Counts) {
        let kinds = [
            ("fields", counts.fields),
            ("found", counts.found),
            ("unparsable", counts.unparsable),
            ("dropped_records", counts.dropped),
        ];
        for (what, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            metrics::counter!("weir_masked_total", "what" => what).increment(count);
        }
    }

    /// Hands everything counted since the last time to the registry.
    pub fn publish(&self) {
        for (key, meter) in self.apis.borrow_mut().iter_mut() {
            let api = api::name(*key);
            publish_histogram(&mut meter.total, metrics::histogram!("weir_exchange_seconds", "api" => api));
            publish_histogram(&mut meter.weir, metrics::histogram!("weir_exchange_own_seconds", "api" => api));
            for ((_, outcome), count) in OUTCOMES.iter().zip(&mut meter.outcomes) {
                if *count > 0 {
                    metrics::counter!("weir_requests_total", "api" => api, "outcome" => *outcome).increment(*count);
                    *count = 0;
                }
            }
        }
        metrics::counter!("weir_bytes_total", "direction" => "in").increment(self.bytes_in.take());
        metrics::counter!("weir_bytes_total", "direction" => "out").increment(self.bytes_out.take());
        metrics::counter!("weir_journal_full_waits_total").increment(self.journal_full.take());
        metrics::gauge!("weir_tasks").increment(as_change(self.tasks.take()));
        for ((listener, standing), change) in self.connections.borrow_mut().iter_mut() {
            let (state, change) = (standing.name(), as_change(std::mem::take(change)));
            metrics::gauge!("weir_connections", "listener" => listener.clone(), "state" => state).increment(change);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn as_change(count: i64) -> f64 {
    count as f64
}

fn publish_histogram(counted: &mut Histogram<u64>, published: metrics::Histogram) {
    for value in counted.iter_recorded() {
        #[allow(clippy::cast_precision_loss, reason = "at most a minute in ns")]
        let seconds = value.value_iterated_to() as f64 / 1e9;
        published.record_many(seconds, usize::try_from(value.count_at_value()).unwrap_or(usize::MAX));
    }
    counted.reset();
}
