//! Who last wrote to a topic, as far as the recording tells.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Survey;
use crate::event::{EventKind, Outcome, RequestPart, Resource};
use crate::limits;
use crate::policy::ActionKind;
use crate::recorder::{EventCursor, Queries, RecorderError, Rfc3339, SessionFilter, SessionSummary};

/// Kafka's number for Produce.
const PRODUCE: i16 = 0;

/// Topics whose last writer is looked for; a request that names more says enough by that.
const TOPICS: usize = 5;

/// How long before its latest event a session is looked at first, and then: most that write do so until they end.
const STEPS: [Duration; 4] =
    [Duration::from_secs(10), Duration::from_secs(600), Duration::from_secs(6 * 3600), Duration::MAX];

/// Somebody who wrote.
struct Writer {
    who: String,
    at_ns: u64,
}

impl Survey<'_> {
    pub(super) async fn last_writers(&mut self) {
        let Some(recording) = self.recording.clone() else { return };
        let topics: Vec<String> = self.items(ActionKind::Topic).iter().take(TOPICS).map(|i| i.name.clone()).collect();
        for topic in topics {
            let (queries, name) = (recording.clone(), topic.clone());
            match tokio::task::spawn_blocking(move || last_writer(&queries, &name)).await {
                Ok(Ok(Some(writer))) => {
                    self.tell(&topic, "last_writer", format!("{} at {}", writer.who, Rfc3339(writer.at_ns)));
                }
                Ok(Ok(None)) => self.tell(&topic, "last_writer", "none is recorded"),
                Ok(Err(error)) => self.unknown("the last writer is", error),
                Err(error) => self.unknown("the last writer is", error),
            }
        }
    }
}

/// Reads the store: not for a thread that must not wait.
fn last_writer(queries: &Queries, topic: &str) -> Result<Option<Writer>, RecorderError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = now.saturating_sub(limits::LAST_WRITER_LOOK).as_nanos();
    let filter = SessionFilter {
        topic: Some(topic.to_owned()),
        since_ns: u64::try_from(since).ok(),
        limit: limits::LAST_WRITER_SESSIONS,
        ..SessionFilter::default()
    };
    let mut last: Option<Writer> = None;
    // The most recently active first: once one has written later than the rest were active, it is the last.
    for session in queries.sessions(&filter)? {
        if last.as_ref().is_some_and(|writer| session.last_activity_ns <= writer.at_ns) {
            break;
        }
        if session.records_written == 0 {
            continue;
        }
        if let Some(at_ns) = last_write(queries, &session, topic)?
            && last.as_ref().is_none_or(|writer| at_ns > writer.at_ns)
        {
            let client = session.client_id.as_ref().map(|client| format!(" (client {client})")).unwrap_or_default();
            last = Some(Writer { who: format!("{}{client}", session.identity.subject), at_ns });
        }
    }
    Ok(last)
}

/// When a session last wrote to the topic; somewhat earlier than it did where it does more than [`limits::LAST_WRITER_EVENTS`]
/// in the time that is looked at.
fn last_write(queries: &Queries, session: &SessionSummary, topic: &str) -> Result<Option<u64>, RecorderError> {
    for step in STEPS {
        let step = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        let from = session.last_activity_ns.saturating_sub(step).max(session.started_ns);
        let events = queries.exchanges(session.id, EventCursor::at(from), limits::LAST_WRITER_EVENTS)?;
        let writes = events.iter().filter(|event| writes(&event.kind, topic)).map(|event| event.at_ns);
        if let Some(at_ns) = writes.max() {
            return Ok(Some(at_ns));
        }
        if from == session.started_ns {
            break;
        }
    }
    Ok(None)
}

fn writes(event: &EventKind, topic: &str) -> bool {
    let names = |request: &RequestPart| {
        let is_it = |item: &crate::event::Item| item.resource == Resource::Topic && item.name == topic;
        request.api_key == PRODUCE && request.items.iter().any(is_it)
    };
    match event {
        EventKind::Noted { request, .. } => names(request),
        EventKind::Exchange { request: Some(request), response, .. } => {
            response.outcome != Outcome::Refused && names(request)
        }
        _ => false,
    }
}
