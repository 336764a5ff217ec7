//! The three objects of an approval: what is asked for, what reviewers said of it, and the grant that follows. And what may
//! be done with them at which moment.
//!
//! Invariants:
//! - A request never changes but for what was found out of it (its reason, its effect); decisions are added and never taken
//!   back; a grant is used at most as often as it says.
//! - Nobody decides on what they asked for themselves, and no decision counts of somebody who has no say.
//! - One deny ends it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::action::{Action, Digest};
use super::person::Person;
use super::rule::Terms;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requester {
    /// Who it is.
    #[serde(flatten)]
    pub person: Person,
    /// Its groups when it asked.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// Where an action would have come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// What the client calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Where it connects from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Through which listener; none: it was asked for beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// What people call it.
    pub id: String,
    /// When it was asked for, ns since the Unix epoch.
    pub created_ns: u64,
    /// Until when it may be decided.
    pub expires_ns: u64,
    /// Who asks.
    pub requester: Requester,
    /// Where from.
    #[serde(default)]
    pub origin: Origin,
    /// For what.
    pub action: Action,
    /// What a grant of it is bound to.
    pub digest: Digest,
    /// The rules that hold it, as they were then.
    pub terms: Vec<Terms>,
    /// Why, in the requester's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it would come to, as the cluster was when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Others were told that nobody decided in time.
    #[serde(default)]
    pub expiry_told: bool,
}

/// What an action would come to; a list of facts, since each action has its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// When it was found out, ns since the Unix epoch.
    pub at_ns: u64,
    /// What a reviewer should know, a line each.
    pub facts: Vec<Fact>,
    /// Why it is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One thing that a reviewer should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Of what: a topic, a group.
    pub about: String,
    /// What it is: `partitions`, `bytes`, `groups`, `lag`, `last_writer`.
    pub what: String,
    /// How much or which.
    pub value: String,
}

/// What a reviewer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Yes.
    Approve,
    /// No.
    Deny,
    /// The requester went ahead in an emergency.
    BreakGlass,
    /// An emergency was looked at afterwards.
    Review,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Of which request.
    pub request: String,
    /// Who.
    pub by: Requester,
    /// What.
    pub said: Said,
    /// When, ns since the Unix epoch.
    pub at_ns: u64,
    /// In the reviewer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// An approval for no longer than this, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_s: Option<u64>,
    /// An approval of no more uses than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// What follows from approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What people call it.
    pub id: String,
    /// Of which request.
    pub request: String,
    /// From when, ns since the Unix epoch.
    pub from_ns: u64,
    /// Until when.
    pub until_ns: u64,
    /// How often.
    pub uses: u32,
    /// How long a use lasts where it opens a time, ns.
    pub window_ns: u64,
    /// Who took it back, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
}

/// That a grant was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Who.
    pub by: Person,
    /// When, ns since the Unix epoch.
    pub at_ns: u64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One use of a grant: written before what it is for is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// When, ns since the Unix epoch.
    pub at_ns: u64,
    /// By which connection, as its gateway names it.
    pub by: String,
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Nobody has decided yet, or not enough have.
    Pending,
    /// Enough have said yes.
    Approved,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time.
    Expired,
}

impl fmt::Display for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestState::Pending => "pending",
            RequestState::Approved => "approved",
            RequestState::Denied => "denied",
            RequestState::Expired => "expired",
        })
    }
}

/// A request with all that came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// What is asked for.
    pub request: AccessRequest,
    /// What was said of it, in order.
    pub decisions: Vec<Decision>,
    /// What followed.
    pub grant: Option<Grant>,
    /// How it was used, in order.
    pub uses: Vec<Use>,
}

/// Why a decision is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotDecide {
    /// It is the requester's own.
    #[error("{0} asked for it, or somebody of that name, or with a token of theirs; another person has to decide")]
    OwnRequest(Person),
    /// The person is in no group that is asked for.
    #[error("it is for {approvers} to decide, and {person} is in none of these groups")]
    NoSay {
        /// Who tried.
        person: Person,
        /// Who has a say.
        approvers: String,
    },
    /// It was decided, or ran out.
    #[error("request {id} is {state} already")]
    Over {
        /// Which.
        id: String,
        /// Where it stands.
        state: RequestState,
    },
    /// The same person has said so before.
    #[error("{0} has approved it already; it takes others as well")]
    Again(Person),
    /// No reason was given for it.
    #[error("its requester has given no reason yet, and rule {0} asks for one: `weir request ID --reason \"…\"`")]
    NoReason(String),
    /// A deny or an emergency without a reason.
    #[error("say why: `--reason \"…\"`")]
    SayWhy,
    /// An approval that gives nothing.
    #[error("an approval is for at least one use and one second")]
    Nothing,
    /// Nobody may go ahead alone.
    #[error("{0} is in no group that may break the glass for it")]
    NoBreakGlass(Person),
    /// Nothing to look at.
    #[error("nobody broke the glass for request {0}, or it was reviewed already")]
    NothingToReview(String),
}

impl Case {
    /// Whether it was asked for under all of these terms: what the policy has gained since is not met without being asked for.
    pub fn covers(&self, terms: &[Terms]) -> bool {
        terms.iter().all(|terms| self.request.terms.contains(terms))
    }

    /// Where it stands.
    pub fn state(&self, now_ns: u64) -> RequestState {
        let said = |said: Said| self.decisions.iter().any(|decision| decision.said == said);
        match self.grant {
            Some(_) => RequestState::Approved,
            None if said(Said::Deny) => RequestState::Denied,
            None if now_ns >= self.request.expires_ns => RequestState::Expired,
            None => RequestState::Pending,
        }
    }

    /// Whether its requester went ahead without approval.
    pub fn broke_the_glass(&self) -> bool {
        self.decisions.iter().any(|decision| decision.said == Said::BreakGlass)
    }

    /// Whether somebody broke the glass for it and nobody has looked at that yet.
    pub fn is_to_be_reviewed(&self) -> bool {
        self.broke_the_glass() && !self.decisions.iter().any(|decision| decision.said == Said::Review)
    }

    /// Why a decision cannot be taken; none where it can.
    pub fn why_not(&self, decision: &Decision) -> Result<(), CannotDecide> {
        let (request, person) = (&self.request, &decision.by.person);
        let has_a_say = request.terms.iter().any(|terms| terms.approvers.has_a_say(&decision.by.groups));
        let own = request.requester.person.is_the_same_as(person);
        let maybe_own = request.requester.person.may_be(person);
        let words = decision.comment.as_deref().is_some_and(|comment| !comment.trim().is_empty());
        let over = |state| CannotDecide::Over { id: request.id.clone(), state };
        match decision.said {
            Said::BreakGlass => {
                let may = |terms: &Terms| terms.break_glass.iter().any(|group| decision.by.groups.contains(group));
                if !own || !request.terms.iter().all(may) {
                    return Err(CannotDecide::NoBreakGlass(person.clone()));
                }
            }
            _ if maybe_own => return Err(CannotDecide::OwnRequest(person.clone())),
            _ if !has_a_say => {
                let approvers = request.terms.iter().map(|terms| terms.approvers.to_string()).collect::<Vec<_>>();
                return Err(CannotDecide::NoSay { person: person.clone(), approvers: approvers.join(", and ") });
            }
            Said::Review if self.is_to_be_reviewed() => return Ok(()),
            Said::Review => return Err(CannotDecide::NothingToReview(request.id.clone())),
            Said::Approve | Said::Deny => {}
        }
        match self.state(decision.at_ns) {
            RequestState::Pending => {}
            state => return Err(over(state)),
        }
        match decision.said {
            Said::Deny | Said::BreakGlass if !words => Err(CannotDecide::SayWhy),
            Said::Approve if decision.uses == Some(0) || decision.valid_s == Some(0) => Err(CannotDecide::Nothing),
            Said::Approve => {
                let said_yes = |earlier: &&Decision| earlier.said == Said::Approve && earlier.by.person.may_be(person);
                if self.decisions.iter().any(|earlier| said_yes(&earlier)) {
                    return Err(CannotDecide::Again(person.clone()));
                }
                let asks = request.terms.iter().find(|terms| terms.reason_required);
                match asks.filter(|_| request.reason.is_none()) {
                    Some(terms) => Err(CannotDecide::NoReason(terms.rule.clone())),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The grant that follows from a decision, which was found lawful; none where more have to say yes, or it was no.
    pub fn granted_by(&self, decision: &Decision, id: String) -> Option<Grant> {
        let yes: Vec<&Decision> = self
            .decisions
            .iter()
            .chain([decision])
            .filter(|decision| matches!(decision.said, Said::Approve | Said::BreakGlass))
            .collect();
        let people: Vec<(&crate::policy::Person, &[String])> =
            yes.iter().map(|decision| (&decision.by.person, &decision.by.groups[..])).collect();
        let enough = match decision.said {
            Said::BreakGlass => true,
            Said::Approve => self.request.terms.iter().all(|terms| terms.approvers.are_met_by(&people)),
            Said::Deny | Said::Review => false,
        };
        if !enough {
            return None;
        }
        let terms = &self.request.terms;
        let valid_s =
            terms.iter().map(|terms| terms.valid_s).chain(yes.iter().filter_map(|said| said.valid_s)).min()?;
        let uses = terms.iter().map(|terms| terms.uses).chain(yes.iter().filter_map(|said| said.uses)).min()?;
        let window_s = terms.iter().map(|terms| terms.window_s).min()?;
        Some(Grant {
            id,
            request: self.request.id.clone(),
            from_ns: decision.at_ns,
            until_ns: decision.at_ns.saturating_add(valid_s.saturating_mul(1_000_000_000)),
            uses,
            window_ns: window_s.saturating_mul(1_000_000_000),
            revoked: None,
        })
    }

    /// Whether its grant may be used once more.
    pub fn may_be_used(&self, now_ns: u64) -> bool {
        self.grant
            .as_ref()
            .is_some_and(|grant| grant.is_good(now_ns) && (self.uses.len() as u64) < u64::from(grant.uses))
    }

    /// Until when a time that a use has opened goes on; none where none does.
    pub fn open_until(&self, now_ns: u64) -> Option<u64> {
        let grant = self.grant.as_ref().filter(|grant| grant.is_good(now_ns))?;
        let ends = self.uses.iter().map(|one| one.at_ns.saturating_add(grant.window_ns).min(grant.until_ns));
        ends.filter(|end| now_ns < *end).max()
    }
}

impl Grant {
    /// Whether it is neither over nor taken back.
    pub fn is_good(&self, now_ns: u64) -> bool {
        self.revoked.is_none() && self.from_ns <= now_ns && now_ns < self.until_ns
    }
}
