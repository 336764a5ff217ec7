//! One exchange in flight: what was asked, when, and the events that tell of it.
//!
//! Invariant: what a `Noted` event said is not said again by the `Exchange` event of the same ordinal.

use super::access::Amends;
use super::budget::Reservation;
use super::capture::{Capture, Cut, WholeFrame};
use super::describe::{Description, TopicDirectory, text_of};
use super::head::ResponseHead;
use super::membership::{Named, ReadsFor};
use crate::event::piece::Way;
use crate::event::{EventKind, Latency, Outcome, RequestPart, Resource, ResponsePart};
use crate::wire::kafka::api::{self, Api, key};
use crate::wire::kafka::frame::PREFIX_LEN;
use crate::wire::kafka::records::body::Refused;

/// Moments of an exchange, ns since the Unix epoch on the connection's own monotonic clock; 0 until reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moments {
    /// Its first byte was read from the client.
    pub begun_ns: u64,
    /// Its last byte was read from the client.
    pub received_ns: u64,
    /// Its last byte went out to the broker.
    pub forwarded_ns: u64,
    /// The answer's last byte was read from the broker.
    pub answered_ns: u64,
    /// Spent waiting for the client's socket to take the answer.
    pub client_blocked_ns: u64,
}

/// A request and what is known of it so far.
#[derive(Debug)]
pub struct Exchange {
    /// Counts the connection's exchanges.
    pub ordinal: u64,
    /// API key as sent; it may be one that Kafka does not have.
    pub api_key: i16,
    /// Its row of the table; none for an API that Kafka does not have.
    pub api: Option<&'static Api>,
    /// What was asked; taken by the note, if there was one.
    pub request: Option<RequestPart>,
    /// Topic ids in it that stand there as text, without a name.
    pub unnamed: Vec<[u8; 16]>,
    /// API version.
    pub version: i16,
    /// Correlation id.
    pub correlation_id: i32,
    /// Size of the request's frame with its length prefix, bytes.
    pub frame_bytes: u64,
    /// No answer will come (`acks=0`).
    pub unanswered: bool,
    /// Its frames are bare tokens, without headers.
    pub bare: bool,
    /// The consumer group that it names, where rules ask for those.
    pub group: Option<Named>,
    /// It asks for no more records than can be masked, whatever the client asked for.
    pub lowered: bool,
    /// Partitions of a Produce whose records did not go on to the broker.
    pub refused: Vec<Refused>,
    /// What access rules change in its answer.
    pub amends: Option<Box<Amends>>,
    /// Set aside for those.
    pub room: Option<Reservation>,
    /// What its answer brings is counted, for rules that ask how much was read.
    pub counted: bool,
    /// Under which rights it was judged, as its connection counts them.
    pub rights: u64,
    /// When.
    pub moments: Moments,
    /// What full recording keeps of its frames; none where no rule asks for any.
    pub capture: Option<Box<Capture>>,
}

impl Exchange {
    /// Takes what was read of its body.
    pub fn described(&mut self, mut description: Description) {
        self.unanswered = description.acks == Some(0);
        self.unnamed = std::mem::take(&mut description.unnamed);
        self.request = Some(description.into_request(self.version, self.correlation_id, self.frame_bytes));
    }

    /// Puts names that were found since in the places of topic ids.
    pub fn name_topics(&mut self, topics: &dyn TopicDirectory) {
        for id in std::mem::take(&mut self.unnamed) {
            let (Some(name), text) = (topics.name(&id), text_of(&id)) else { continue };
            let items = self.request.iter_mut().flat_map(|request| &mut request.items);
            for item in items.filter(|item| item.resource == Resource::Topic && item.name == text) {
                item.name = name.to_string();
            }
        }
    }

    /// For which consumer groups it reads: ShareFetch says so itself.
    pub fn reads_for(&self) -> ReadsFor<'_> {
        if self.api_key != key::SHARE_FETCH {
            return ReadsFor::Session;
        }
        self.group.as_ref().and_then(|named| named.group.as_ref()).map_or(ReadsFor::Unknown, ReadsFor::Group)
    }

    /// The login's token of a version 0 handshake, which has no request of its own.
    pub fn bare_token(ordinal: u64, frame_bytes: u64, now_ns: u64) -> Self {
        Exchange {
            ordinal,
            api_key: key::SASL_AUTHENTICATE,
            api: api::lookup(key::SASL_AUTHENTICATE),
            request: None,
            unnamed: Vec::new(),
            version: 0,
            correlation_id: 0,
            frame_bytes,
            unanswered: false,
            bare: true,
            group: None,
            lowered: false,
            refused: Vec::new(),
            amends: None,
            room: None,
            counted: false,
            rights: 0,
            capture: None,
            moments: Moments { begun_ns: now_ns, received_ns: now_ns, ..Moments::default() },
        }
    }

    /// Cuts the next bytes of the frame at hand for full recording; see [`Capture::pass`].
    #[inline]
    pub fn pass(&mut self, bytes: &[u8], settled: Option<u64>, now_ns: u64) -> Vec<Cut> {
        self.capture.as_mut().map_or_else(Vec::new, |capture| capture.pass(bytes, settled, now_ns))
    }

    /// Cuts a frame of it that is there as a whole: the request, or the answer that the client gets.
    pub fn pass_whole(
        &mut self,
        way: Way,
        frame: &[u8],
        body_at: usize,
        topics: &dyn TopicDirectory,
        now_ns: u64,
    ) -> Vec<Cut> {
        let Some(capture) = &mut self.capture else { return Vec::new() };
        let whole = WholeFrame { way, api_key: self.api_key, version: self.version, bytes: frame, body_at };
        capture.whole(whole, topics, now_ns)
    }

    /// Cuts the answer that Weir gives itself, and says what is left to be said of the exchange's frames.
    pub fn pass_answer(&mut self, frame: &[u8], topics: &dyn TopicDirectory, now_ns: u64) -> Vec<Cut> {
        let Some(capture) = &mut self.capture else { return Vec::new() };
        let mut cuts = if self.bare {
            capture.bare_token(Way::Response, frame, now_ns)
        } else {
            let head = ResponseHead::parse(frame, self.response_header_version(), frame.len() as u64);
            let body_at = head.ok().flatten().map_or(PREFIX_LEN, |head| head.bytes);
            self.pass_whole(Way::Response, frame, body_at, topics, now_ns)
        };
        cuts.append(&mut self.finish_capture(now_ns));
        cuts
    }

    /// What is left to be said of its frames, once there is no more of them.
    pub fn finish_capture(&mut self, now_ns: u64) -> Vec<Cut> {
        self.capture.take().map_or_else(Vec::new, |mut capture| capture.finish(now_ns))
    }

    /// The version of its answer's header.
    pub fn response_header_version(&self) -> i16 {
        self.api.map_or(0, |api| api.response_header_version(self.version))
    }

    /// Describes it by its head, where its body was not looked at.
    pub fn describe_head_only(&mut self) {
        let secret_withheld = self.api_key == key::SASL_AUTHENTICATE;
        self.request.get_or_insert_with(|| RequestPart {
            api_key: self.api_key,
            api_version: self.version,
            correlation_id: self.correlation_id,
            bytes: self.frame_bytes,
            secret_withheld,
            ..RequestPart::default()
        });
    }

    /// The event that has to be in the journal before the request's last byte leaves.
    pub fn note(&mut self) -> Option<EventKind> {
        let request = self.request.take()?;
        Some(EventKind::Noted { ordinal: self.ordinal, request })
    }

    /// The event that ends it.
    pub fn finish(&mut self, mut response: ResponsePart, now_ns: u64) -> EventKind {
        response.latency = self.latency(now_ns);
        EventKind::Exchange { ordinal: self.ordinal, request: self.request.take(), response }
    }

    /// The event of an exchange whose end was never seen.
    pub fn abandon(&mut self, now_ns: u64) -> EventKind {
        self.finish(ResponsePart { outcome: Outcome::Unknown, ..ResponsePart::default() }, now_ns)
    }

    /// Where the time went up to `now_ns`. What was never reached counts as nothing.
    pub fn latency(&self, now_ns: u64) -> Latency {
        let at = &self.moments;
        let broker_ns = match at.forwarded_ns {
            0 => 0,
            forwarded => at.answered_ns.saturating_sub(forwarded).saturating_sub(at.client_blocked_ns),
        };
        let client_ns = at.received_ns.saturating_sub(at.begun_ns) + at.client_blocked_ns;
        let total_ns = now_ns.saturating_sub(at.begun_ns);
        Latency { client_ns, broker_ns, weir_ns: total_ns.saturating_sub(client_ns).saturating_sub(broker_ns) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(moments: Moments) -> Exchange {
        Exchange {
            ordinal: 0,
            api_key: 999,
            api: None,
            request: Some(RequestPart::default()),
            unnamed: Vec::new(),
            version: 0,
            correlation_id: 0,
            frame_bytes: 0,
            unanswered: false,
            bare: false,
            group: None,
            lowered: false,
            refused: Vec::new(),
            amends: None,
            room: None,
            counted: false,
            rights: 0,
            moments,
            capture: None,
        }
    }

    #[test]
    fn every_nanosecond_is_counted_once() {
        let moments =
            Moments { begun_ns: 100, received_ns: 130, forwarded_ns: 150, answered_ns: 450, client_blocked_ns: 20 };
        let latency = exchange(moments).latency(500);
        assert_eq!(latency, Latency { client_ns: 50, broker_ns: 280, weir_ns: 70 });
        assert_eq!(latency.client_ns + latency.broker_ns + latency.weir_ns, 400);
    }

    #[test]
    fn an_exchange_answered_here_has_no_broker_time() {
        let moments = Moments { begun_ns: 100, received_ns: 110, ..Moments::default() };
        assert_eq!(exchange(moments).latency(160), Latency { client_ns: 10, broker_ns: 0, weir_ns: 50 });
    }

    #[test]
    fn what_was_noted_is_not_said_again() {
        let mut exchange = exchange(Moments::default());
        assert!(exchange.note().is_some());
        assert!(matches!(exchange.abandon(1), EventKind::Exchange { request: None, .. }));
    }
}
