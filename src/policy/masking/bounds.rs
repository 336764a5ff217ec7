//! Whom a rule holds for: the one place where it is decided, for the data path and for whoever asks why.

use super::{Direction, MaskClient, MaskingRule};

/// Why a rule does not hold: the first of its conditions that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskExemption<'a> {
    /// It is about other listeners.
    Listener,
    /// It is about other topics.
    Topic,
    /// It is about records that go another way.
    Direction,
    /// It is about groups that the client is in none of.
    Groups,
    /// It does not hold for this group, which the client is in.
    Excepted(&'a str),
    /// It is about other client ids.
    ClientId,
    /// It is about other consumer groups than any that the client reads for.
    ConsumerGroup,
}

impl MaskExemption<'_> {
    /// The word for it in what programs read.
    pub fn word(&self) -> &'static str {
        match self {
            MaskExemption::Listener => "listener",
            MaskExemption::Topic => "topic",
            MaskExemption::Direction => "direction",
            MaskExemption::Groups => "groups",
            MaskExemption::Excepted(_) => "unless_groups",
            MaskExemption::ClientId => "client_id",
            MaskExemption::ConsumerGroup => "consumer_group",
        }
    }
}

impl MaskingRule {
    /// Why it does not hold for a client's records that go this way; none where it holds. Without a topic: why it holds on
    /// none, which is also what is asked of a topic whose name is not known.
    ///
    /// A recording is masked for everyone: there only listener and topic can be a reason.
    pub fn why_not(
        &self,
        direction: Direction,
        client: &MaskClient<'_>,
        topic: Option<&str>,
    ) -> Option<MaskExemption<'_>> {
        if !self.listeners.is_empty() && !self.listeners.iter().any(|name| name == client.listener) {
            return Some(MaskExemption::Listener);
        }
        if !self.holds_on_topic(topic) {
            return Some(MaskExemption::Topic);
        }
        match direction {
            Direction::Recording => None,
            Direction::Produce if !self.on.produce => Some(MaskExemption::Direction),
            Direction::Fetch if !self.on.fetch => Some(MaskExemption::Direction),
            Direction::Produce => self.why_not_for(client),
            Direction::Fetch => self.why_not_for(client).or_else(|| self.why_not_read_for(client)),
        }
    }

    /// Whether it holds on a topic; on one of which the name is not known it does.
    pub(super) fn holds_on_topic(&self, topic: Option<&str>) -> bool {
        topic.is_none_or(|topic| self.topics.matches(topic))
    }

    fn why_not_for(&self, client: &MaskClient<'_>) -> Option<MaskExemption<'_>> {
        let first_of = |names: &'_ [String]| names.iter().position(|name| client.groups.contains(name));
        if !self.groups.is_empty() && first_of(&self.groups).is_none() {
            return Some(MaskExemption::Groups);
        }
        if let Some(at) = first_of(&self.unless_groups) {
            return Some(MaskExemption::Excepted(&self.unless_groups[at]));
        }
        let by_client_id = client.client_id.is_none_or(|id| self.client_ids.matches(id));
        (!by_client_id).then_some(MaskExemption::ClientId)
    }

    fn why_not_read_for(&self, client: &MaskClient<'_>) -> Option<MaskExemption<'_>> {
        let groups = client.consumer_groups;
        let holds = groups.is_empty() || groups.iter().any(|group| self.consumer_groups.matches(group));
        (!holds).then_some(MaskExemption::ConsumerGroup)
    }
}
