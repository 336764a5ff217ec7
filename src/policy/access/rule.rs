//! One access rule, and whom, what and when it is about: the one place where it is decided, for the data path and for whoever
//! asks why.

use std::net::IpAddr;

use super::super::patterns::Patterns;
use super::hours::Hours;
use super::names::{self, NamePatterns};
use super::network::Network;
use super::operation::{Operations, ResourceKind};
use super::scopes::Scopes;

/// One rule. What it says of the client holds together: it is about who comes through one of these listeners and is in one of
/// these groups and connects from one of these networks. The default is about everybody, always, and allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessRule {
    /// What people call it.
    pub name: Option<String>,
    /// Whether it gives or takes.
    pub effect: Effect,
    /// The listeners it holds on; empty: all.
    pub listeners: Vec<String>,
    /// Who vouches for the client: `weir`, `certificate`, `anonymous` or an issuer's URL.
    pub issuers: Patterns,
    /// Who the client is.
    pub subjects: Patterns,
    /// It is about whoever is in one of these groups; empty: about everybody.
    pub groups: Vec<String>,
    /// What the client calls itself. Clients choose that freely.
    pub client_ids: Patterns,
    /// Where the client connects from; empty: from anywhere.
    pub networks: Vec<Network>,
    /// When it holds; none: always.
    pub hours: Option<Hours>,
    /// What may be done, or not.
    pub operations: Operations,
    /// With which topics, or partitions of them.
    pub topics: NamePatterns,
    /// With which consumer, share and streams groups.
    pub consumer_groups: NamePatterns,
    /// With which transactional ids.
    pub transactional_ids: NamePatterns,
    /// With the cluster.
    pub cluster: bool,
}

/// Whether a rule gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Effect {
    #[default]
    /// What it names is allowed, with what that implies.
    Allow,
    /// What it names is not, whatever allows it.
    Deny,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct AccessClient<'a> {
    /// The listener it came through.
    pub listener: &'a str,
    /// Who vouches for it.
    pub issuer: &'a str,
    /// Who it is.
    pub subject: &'a str,
    /// Its groups.
    pub groups: &'a [String],
    /// What it calls itself, if it does.
    pub client_id: Option<&'a str>,
    /// Where it connects from.
    pub address: IpAddr,
    /// What its token narrows it to; none: nothing is narrowed.
    pub scopes: Option<&'a Scopes>,
}

/// Why a rule is not about a client: the first of its conditions that is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessExemption {
    /// It is about other listeners.
    Listener,
    /// It is about what others vouch for.
    Issuer,
    /// It is about others.
    Subject,
    /// It is about groups that the client is in none of.
    Groups,
    /// It is about other client ids, or the client states none.
    ClientId,
    /// It is about other networks.
    Network,
    /// It is about other hours.
    Hours,
}

impl AccessExemption {
    /// Each, in the order in which they are looked at.
    pub const ALL: [AccessExemption; 7] = [
        AccessExemption::Listener,
        AccessExemption::Issuer,
        AccessExemption::Subject,
        AccessExemption::Groups,
        AccessExemption::ClientId,
        AccessExemption::Network,
        AccessExemption::Hours,
    ];
}

impl AccessRule {
    /// Why it is not about a client; none where it is, at one time or another.
    pub fn why_not(&self, client: &AccessClient<'_>) -> Option<AccessExemption> {
        self.unmet(client).next()
    }

    /// Everything of it that a client does not meet, whatever the time.
    pub fn unmet(&self, client: &AccessClient<'_>) -> impl Iterator<Item = AccessExemption> {
        AccessExemption::ALL.into_iter().filter(|condition| !self.meets(client, *condition))
    }

    /// A client that states no id is one that a deny is about and an allow is not, whatever ids they name.
    fn meets(&self, client: &AccessClient<'_>, condition: AccessExemption) -> bool {
        match condition {
            AccessExemption::Listener => self.is_on(client.listener),
            AccessExemption::Issuer => self.issuers.matches(client.issuer),
            AccessExemption::Subject => self.subjects.matches(client.subject),
            AccessExemption::Groups => {
                self.groups.is_empty() || self.groups.iter().any(|group| client.groups.contains(group))
            }
            AccessExemption::ClientId => {
                let unknown = self.client_ids.is_everything() || self.effect == Effect::Deny;
                client.client_id.map_or(unknown, |id| self.client_ids.matches(id))
            }
            AccessExemption::Network => {
                self.networks.is_empty() || self.networks.iter().any(|network| network.contains(client.address))
            }
            AccessExemption::Hours => true,
        }
    }

    /// Whether it holds on a listener.
    pub fn is_on(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| name == listener)
    }

    /// Whether it holds at a time, in seconds since the Unix epoch.
    pub fn holds_at(&self, now_s: i64) -> bool {
        self.hours.as_ref().is_none_or(|hours| hours.hold(now_s))
    }

    /// Whether it is about something: of a topic about a partition, or where none is given about the whole.
    pub fn names(&self, kind: ResourceKind, name: &str, partition: Option<i32>) -> bool {
        self.names_of(kind).map_or(self.cluster, |patterns| patterns.matches(name, partition))
    }

    /// Whether it is about anything of a kind.
    pub(super) fn is_about(&self, kind: ResourceKind) -> bool {
        self.names_of(kind).map_or(self.cluster, |patterns| !patterns.is_empty())
    }

    /// The patterns of names of a kind; none for the cluster, which has no name.
    pub(super) fn names_of(&self, kind: ResourceKind) -> Option<&NamePatterns> {
        names::of_kind(kind, &self.topics, &self.consumer_groups, &self.transactional_ids)
    }
}
