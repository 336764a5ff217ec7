//! What is being recorded, as it reaches the store: for whoever follows along.
//!
//! A follower asks again and again. It reads the blocks of the live sessions it wants, each once, so that nothing is told
//! twice and nothing is missed: who asks late gets later what there is.
//!
//! Invariants:
//! - An answer holds the events of at most `FOLLOW_BLOCKS` blocks, however long nobody asked.
//! - An exchange is told once, with its request: notes are kept until their exchange comes, or their connection ends.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use super::error::RecorderError;
use super::events::{self, RecordedEvent};
use super::keys::{self, BlockKey, ConnectionKey};
use super::queries::Queries;
use super::rows::{BlockKind, SessionRow};
use super::session_blocks::{BlockOfSession, SessionBlocks};
use super::store::{Direction, Family, Store};
use crate::event::block::Block;
use crate::event::{ConnectionNo, EventKind, HeldStage, Identity, Outcome, ResponsePart, SessionId};
use crate::limits::{FOLLOW_BLOCKS, FOLLOW_NOTES};

/// How far behind the latest block a connection's first ones may turn up, once it is known whose they are: a login's
/// time and more, ns.
const LOOK_BACK_NS: u64 = 30_000_000_000;

/// Which events are wanted; all conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowFilter {
    /// Of this subject.
    pub identity: Option<String>,
    /// Of this client id.
    pub client_id: Option<String>,
    /// From this address.
    pub address: Option<IpAddr>,
    /// Exchanges that touch this topic.
    pub topic: Option<String>,
    /// What failed, was refused, has no known outcome or was not captured.
    pub errors_only: bool,
}

/// Whose an event is.
#[derive(Debug, Clone, Serialize)]
pub struct FollowedSession {
    /// The session's id.
    pub id: SessionId,
    /// Who.
    pub identity: Identity,
    /// The client id of its connections.
    pub client_id: Option<String>,
    /// The address of its connections.
    pub client_address: IpAddr,
}

/// An event and whose it is.
#[derive(Debug, Clone, Serialize)]
pub struct FollowedEvent {
    /// The session.
    pub session: FollowedSession,
    /// What happened.
    #[serde(flatten)]
    pub event: RecordedEvent,
}

/// Follows the recording from a moment on.
pub struct Follower {
    store: Arc<Store>,
    filter: FollowFilter,
    from_ns: u64,
    sessions: HashMap<SessionId, Followed>,
}

/// How far a session was told.
#[derive(Default)]
struct Followed {
    /// The hash of its row when all that there was had been told.
    told: Option<u64>,
    /// The latest block's time.
    latest_ns: u64,
    /// Blocks that were read, with the connections told of each.
    read: BTreeMap<BlockKey, BTreeSet<ConnectionNo>>,
    /// Requests whose outcome is not known yet.
    notes: BTreeMap<(ConnectionKey, u64), RecordedEvent>,
}

impl Follower {
    /// Follows what happens at `from_ns` or later, ns since the Unix epoch.
    pub fn new(queries: &Queries, filter: FollowFilter, from_ns: u64) -> Follower {
        Follower { store: queries.store(), filter, from_ns, sessions: HashMap::new() }
    }

    /// What has come since it was last asked, in the order of time; nothing if nothing has.
    pub fn poll(&mut self) -> Result<Vec<FollowedEvent>, RecorderError> {
        let live = self.live()?;
        let mut blocks_left = FOLLOW_BLOCKS;
        let mut found = Vec::new();
        // Those that have just ended are asked once more.
        let ended: Vec<SessionId> = self.sessions.keys().filter(|id| !live.contains(id)).copied().collect();
        for id in live.iter().chain(&ended).copied() {
            self.session(id, &mut blocks_left, &mut found)?;
        }
        if blocks_left > 0 {
            self.sessions.retain(|id, _| live.contains(id));
        }
        found.sort_by_key(|followed| followed.event.id);
        Ok(found)
    }

    fn live(&self) -> Result<BTreeSet<SessionId>, RecorderError> {
        let mut ids = BTreeSet::new();
        let prefix = [keys::LIVE_SESSION];
        self.store.scan(Family::Live, (&prefix, keys::after(&prefix).as_deref()), Direction::Up, &mut |key, _| {
            ids.extend(keys::session_at_end(key));
            ControlFlow::Continue(())
        })?;
        Ok(ids)
    }

    /// Reads what is new of a session.
    fn session(
        &mut self,
        id: SessionId,
        blocks_left: &mut usize,
        found: &mut Vec<FollowedEvent>,
    ) -> Result<(), RecorderError> {
        let Some(bytes) = self.store.get(Family::Sessions, &keys::session(id))? else { return Ok(()) };
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let state = Some(hasher.finish());
        let followed = self.sessions.entry(id).or_default();
        if followed.told == state {
            return Ok(());
        }
        let row = SessionRow::decode(&bytes).map_err(RecorderError::damaged("session"))?;
        if !is_wanted(&row, &self.filter) || row.last_activity_ns < self.from_ns {
            followed.told = state;
            return Ok(());
        }
        let from_ns = self.from_ns.max(followed.latest_ns.saturating_sub(LOOK_BACK_NS));
        let mut blocks = SessionBlocks::new(&self.store, &row, BlockKind::Events, from_ns)?;
        let mut events = Vec::new();
        while let Some(block) = blocks.next()? {
            if *blocks_left == 0 {
                followed.told = None;
                break;
            }
            followed.told = state;
            if followed.read_block(&self.store, id, &block, self.from_ns, &mut events)? {
                *blocks_left -= 1;
            }
        }
        followed.forget();
        let SessionRow { identity, client_id, client_ip: client_address, .. } = row;
        let session = FollowedSession { id, identity, client_id, client_address };
        let asked_for = events.into_iter().filter(|event| is_asked_for(event, &self.filter));
        found.extend(asked_for.map(|event| FollowedEvent { session: session.clone(), event }));
        Ok(())
    }
}

impl Followed {
    /// Reads of a block what was not told yet; false when there is nothing.
    fn read_block(
        &mut self,
        store: &Store,
        session: SessionId,
        wanted: &BlockOfSession,
        from_ns: u64,
        events: &mut Vec<RecordedEvent>,
    ) -> Result<bool, RecorderError> {
        let told = self.read.get(&wanted.key);
        // The table of a block that was read is known; only connections that came to the session since can be new.
        if told.is_some_and(|told| wanted.late.iter().all(|late| told.contains(late))) {
            return Ok(false);
        }
        let Some(bytes) = store.get(Family::Blocks(wanted.key.day()), &wanted.key.encode())? else {
            return Ok(false);
        };
        let block = Block::parse(&bytes).map_err(RecorderError::damaged("block"))?;
        let mut new = wanted.connections(session, &block.header.connections);
        new.retain(|connection| told.is_none_or(|told| !told.contains(connection)));
        let all = block.events().map_err(RecorderError::damaged("block"))?;
        for (event, place) in all.zip(1u32..) {
            let event = event.map_err(RecorderError::damaged("block"))?;
            if new.contains(&event.connection) && event.at_ns >= from_ns {
                let event = events::recorded(event, &wanted.key, place, &block.header);
                self.join(event, events);
            }
        }
        self.latest_ns = self.latest_ns.max(wanted.key.first_ns);
        self.read.entry(wanted.key).or_default().extend(new);
        Ok(true)
    }

    /// Passes an event on, once what belongs to it is there.
    fn join(&mut self, mut event: RecordedEvent, events: &mut Vec<RecordedEvent>) {
        let RecordedEvent { boot, shard, connection, .. } = event;
        let connection = ConnectionKey { boot, shard, connection };
        match &mut event.kind {
            EventKind::Noted { ordinal, .. } => {
                let key = (connection, *ordinal);
                self.notes.insert(key, event);
                if self.notes.len() > FOLLOW_NOTES
                    && let Some((_, oldest)) = self.notes.pop_first()
                {
                    events.push(unanswered(oldest));
                }
                return;
            }
            EventKind::Exchange { ordinal, request: request @ None, .. } => {
                // One that was noted before the place from which reading began says no request.
                if let Some(note) = self.notes.remove(&(connection, *ordinal)) {
                    if let EventKind::Noted { request: noted, .. } = note.kind {
                        *request = Some(noted);
                    }
                    (event.id, event.at, event.at_ns) = (note.id, note.at, note.at_ns);
                    event.policy_hash = note.policy_hash;
                }
            }
            EventKind::Closed { .. } => {
                let left: Vec<_> =
                    self.notes.range((connection, 0)..=(connection, u64::MAX)).map(|(key, _)| *key).collect();
                events.extend(left.iter().filter_map(|key| self.notes.remove(key)).map(unanswered));
            }
            _ => {}
        }
        events.push(event);
    }

    /// Drops what cannot turn up any more.
    fn forget(&mut self) {
        let oldest = self.latest_ns.saturating_sub(LOOK_BACK_NS + crate::limits::BLOCK_SPAN.as_nanos() as u64);
        self.read = self.read.split_off(&BlockKey { first_ns: oldest, boot: 0, shard: 0, sequence: 0 });
    }
}

/// A note as an exchange whose outcome is not known.
fn unanswered(mut note: RecordedEvent) -> RecordedEvent {
    if let EventKind::Noted { ordinal, request } = note.kind {
        let response = ResponsePart { outcome: Outcome::Unknown, ..ResponsePart::default() };
        note.kind = EventKind::Exchange { ordinal, request: Some(request), response };
    }
    note
}

fn is_wanted(row: &SessionRow, filter: &FollowFilter) -> bool {
    filter.identity.as_ref().is_none_or(|subject| row.identity.subject == *subject)
        && filter.client_id.as_ref().is_none_or(|client_id| row.client_id.as_ref() == Some(client_id))
        && filter.address.is_none_or(|address| row.client_ip.to_canonical() == address.to_canonical())
}

fn is_asked_for(event: &RecordedEvent, filter: &FollowFilter) -> bool {
    filter.topic.as_ref().is_none_or(|topic| touches(event, topic)) && (!filter.errors_only || has_failed(event))
}

/// Whether it is an exchange that touches a topic.
pub(super) fn touches(event: &RecordedEvent, topic: &str) -> bool {
    let EventKind::Exchange { request, response, .. } = &event.kind else { return false };
    let mut items = request.iter().flat_map(|request| &request.items).chain(&response.items);
    items.any(|item| item.name == topic && item.resource == crate::event::Resource::Topic)
}

/// Whether it failed, was refused, has no known outcome or was not captured.
pub(super) fn has_failed(event: &RecordedEvent) -> bool {
    match &event.kind {
        EventKind::Exchange { response, .. } => {
            response.error_code != 0
                || matches!(response.outcome, Outcome::Refused | Outcome::Unknown)
                || response.items.iter().any(|item| item.error_code != 0)
        }
        EventKind::LoginFailed { .. } | EventKind::NotCaptured { .. } => true,
        EventKind::Held { stage, .. } => *stage != HeldStage::Granted,
        _ => false,
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("filter", &self.filter).finish_non_exhaustive()
    }
}
