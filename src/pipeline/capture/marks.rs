//! What the walk tells of a body: the topics it names, and the stretches that are withheld.
//!
//! Secrets are found by the roles that the layouts give to fields, settings by their names.

use super::{Capture, Stretches};
use crate::event::Resource;
use crate::event::piece::Withheld;
use crate::pipeline::describe::{TopicDirectory, resource_of};
use crate::policy::Keep;
use crate::wire::kafka::batch::Batch;
use crate::wire::kafka::layout::{Element, Group, Role};
use crate::wire::kafka::walk::{Span, TaggedField, Value, Visitor};

/// Words in the names of settings whose values are secrets or say where one lies: Kafka's own settings of type PASSWORD
/// (KIP-226), and what connectors and plug-ins call theirs.
const SECRET_SETTINGS: [&str; 14] = [
    "password",
    "passphrase",
    "secret",
    "jaas",
    "ssl.key",
    "truststore.certificates",
    "credential",
    "private",
    "token",
    "access.key",
    "account.key",
    "api.key",
    "apikey",
    "connection.string",
];

/// What has been marked in the body at hand.
#[derive(Debug, Default)]
pub(super) struct Marks {
    stretches: Stretches,
    /// The topic that is being told of is named.
    topic_named: bool,
    /// Records of it are kept.
    content_kept: bool,
    secret_setting: bool,
    names_topics: bool,
}

impl Marks {
    pub(super) fn withhold_from(&mut self, place: u64) {
        while self.stretches.back().is_some_and(|(stretch, _)| stretch.start >= place) {
            self.stretches.pop_back();
        }
        let from = self.stretches.back().map_or(place, |(stretch, _)| place.max(stretch.end));
        self.stretches.push_back((from..u64::MAX, Withheld::Secret));
    }

    /// From `place` on, how many of at most `left` bytes are withheld, or how many are not.
    pub(super) fn next(&mut self, place: u64, left: u64) -> (u64, Option<Withheld>) {
        while self.stretches.front().is_some_and(|(stretch, _)| stretch.end <= place) {
            self.stretches.pop_front();
        }
        match self.stretches.front() {
            Some((stretch, why)) if stretch.start <= place => ((stretch.end - place).min(left), Some(*why)),
            Some((stretch, _)) => ((stretch.start - place).min(left), None),
            None => (left, None),
        }
    }

    /// Withholds the last `bytes` of a field, which are its content.
    fn withhold(&mut self, field: Span, bytes: u64, why: Withheld) {
        if bytes > 0 {
            self.stretches.push_back((field.end - bytes..field.end, why));
        }
    }
}

/// The visitor: a capture that reads along.
pub struct Marker<'a> {
    pub(super) capture: &'a mut Capture,
    pub(super) topics: &'a dyn TopicDirectory,
    pub(super) now_ns: u64,
}

impl Marker<'_> {
    fn topic(&mut self, name: &str) {
        let keep = self.capture.scope.plan.of_topic(name);
        self.named();
        let kept = self.capture.choose(keep, self.now_ns);
        self.capture.frame.marks.content_kept = kept;
    }

    fn topic_id(&mut self, id: [u8; 16]) {
        if id == [0; 16] || self.capture.frame.marks.topic_named {
            return;
        }
        match self.topics.name(&id) {
            Some(name) => self.topic(&name),
            // It may be one that is asked for, so the frame is kept; it may be another, so its records are not.
            None => {
                self.named();
                let rank = |keep: &Keep| match keep {
                    Keep::Nothing => 0,
                    Keep::Share(..) => 1,
                    Keep::Everything => 2,
                };
                let any = self.capture.scope.plan.of_unknown_topic().map(|keep| self.capture.resolve(keep));
                let most = any.max_by_key(rank).unwrap_or(Keep::Nothing);
                self.capture.choose(most, self.now_ns);
            }
        }
    }

    fn named(&mut self) {
        self.capture.named = true;
        self.capture.frame.marks.topic_named = true;
    }

    fn text(&mut self, role: Role, text: &str, span: Span) {
        let marks = &mut self.capture.frame.marks;
        match role {
            Role::Topic if self.capture.by_topic && !text.is_empty() => self.topic(text),
            Role::ResourceName if self.capture.by_topic && marks.names_topics => self.topic(text),
            Role::ConfigName => {
                let name = text.to_ascii_lowercase();
                marks.secret_setting = SECRET_SETTINGS.iter().any(|word| name.contains(word));
            }
            Role::ConfigValue if marks.secret_setting => marks.withhold(span, text.len() as u64, Withheld::Secret),
            Role::Secret => marks.withhold(span, text.len() as u64, Withheld::Secret),
            _ => {}
        }
    }
}

impl Visitor for Marker<'_> {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        match value {
            Value::Text(Some(text)) => self.text(role, text, span),
            Value::Uuid(id) if role == Role::TopicId && self.capture.by_topic => self.topic_id(id),
            Value::Int(kind) if role == Role::ResourceType => {
                let about_topics = resource_of(self.capture.api_key, kind) == Resource::Topic;
                self.capture.frame.marks.names_topics = about_topics;
            }
            Value::Bytes(Some(bytes)) if role == Role::Secret => {
                self.capture.frame.marks.withhold(span, bytes.into(), Withheld::Secret);
            }
            Value::Records(Some(bytes)) if self.capture.by_topic && !self.capture.frame.marks.content_kept => {
                self.capture.frame.marks.withhold(span, bytes.into(), Withheld::NotAsked);
            }
            _ => {}
        }
    }

    fn open(&mut self, group: Group, _at: u64) {
        if matches!(group, Group::Topic | Group::ForgottenTopic) {
            self.capture.frame.marks.topic_named = false;
            self.capture.frame.marks.content_kept = false;
        }
    }
}

/// Two visitors of one walk.
pub struct Both<A, B>(pub A, pub B);

impl<A: Visitor, B: Visitor> Visitor for Both<A, B> {
    fn value(&mut self, role: Role, value: Value<'_>, span: Span) {
        self.0.value(role, value, span);
        self.1.value(role, value, span);
    }

    fn array(&mut self, of: Element, count: Option<u32>, span: Span) {
        self.0.array(of, count, span);
        self.1.array(of, count, span);
    }

    fn open(&mut self, group: Group, at: u64) {
        self.0.open(group, at);
        self.1.open(group, at);
    }

    fn close(&mut self, group: Group, at: u64) {
        self.0.close(group, at);
        self.1.close(group, at);
    }

    fn tagged(&mut self, field: TaggedField) {
        self.0.tagged(field);
        self.1.tagged(field);
    }

    fn batch(&mut self, batch: &Batch) {
        self.0.batch(batch);
        self.1.batch(batch);
    }

    fn cut_off(&mut self, span: Span) {
        self.0.cut_off(span);
        self.1.cut_off(span);
    }
}
