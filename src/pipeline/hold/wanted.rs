//! Holds a whole request against approval rules: which actions in it need a yes, and whose.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::action::{self, Withheld};
use super::reading::Passed;
use super::session::{ShareEpoch, ShareMember, ShareSession};
use super::table::{self, Held as Row};
use crate::limits;
use crate::pipeline::access::Request;
use crate::pipeline::describe::TopicDirectory;
use crate::policy::{
    Action, ActionItem, ActionKind, ApprovalRule, HeldOperation, HeldRules, ResourceKind, Terms, Volume,
};
use crate::wire::kafka::api::key;
use crate::wire::kafka::layout::{Field, Group, Role};
use crate::wire::kafka::values::{self, Datum, Structure};

/// An action that needs a yes.
#[derive(Debug)]
pub struct Wanted {
    /// What.
    pub action: Action,
    /// What is withheld of it from people, for its digest.
    pub withheld: Withheld,
    /// The rules that hold it.
    pub terms: Vec<Terms>,
    /// How long it may wait on the wire, as the rules say.
    pub hold: Duration,
    /// What of the request it is: names of topics, groups or resources; none: all of it.
    pub names: Option<Vec<(ActionKind, String)>>,
}

/// What is held of a request.
#[derive(Debug, Default)]
pub struct Held {
    /// Actions that need a yes.
    pub wanted: Vec<Wanted>,
    /// Topics that it names by ids of which nobody has told: a rule may be about them.
    pub unknown: Vec<[u8; 16]>,
    /// What it writes, partition by partition.
    pub writes: Vec<Passed>,
    /// The share session that it is of.
    pub shares: Option<ShareSession>,
    /// It goes on with a share session of which it is not known what it reads.
    pub unknown_session: bool,
    /// How long the client is ready to wait, as the request says.
    pub timeout: Option<Duration>,
}

/// It says more than people can be shown, or what cannot be read, or of one thing two things, of which brokers choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unshowable;

/// What the request itself does not say.
pub trait Circumstances {
    /// Whether a topic exists; none where that is not known.
    fn exists(&self, topic: &str) -> Option<bool>;
    /// Where a partition's log begins; none where that is not known.
    fn log_start(&self, topic: &str, partition: i32) -> Option<i64>;
    /// Whether a commit only goes on with what its client has read; none where that is not known.
    fn goes_on(&self, group: &str, topic: &str, partition: i32, offset: i64) -> Option<bool>;
    /// Topics that a share session was opened with; none where that is not known.
    fn shared(&self, member: &ShareMember) -> Option<Vec<String>>;
    /// Bytes of a topic's records that the identity has read or written in the time that is looked back.
    fn volume(&self, operation: HeldOperation, topic: &str, volume: Volume) -> u64;
}

/// Looks for what is held of a request.
pub fn look(
    request: Request<'_>,
    cluster: &str,
    rules: &HeldRules,
    topics: &dyn TopicDirectory,
    around: &dyn Circumstances,
) -> Result<Held, Unshowable> {
    let Some(row) = table::of(request.api_key) else { return Ok(Held::default()) };
    if !table::operation(request.api_key).is_some_and(|operation| rules.hold(operation)) {
        return Ok(Held::default());
    }
    let said = values::of_request(request.api_key, request.version, request.body).ok_or(Unshowable)?;
    if said.number(Role::ValidateOnly) == Some(1) {
        return Ok(Held::default());
    }
    let waits = if request.api_key == key::FETCH { Role::MaxWaitMs } else { Role::TimeoutMs };
    let timeout = said.number(waits).and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    let mut looker = Looker { request, cluster, rules, topics, around, said: &said, shares: None };
    looker.shares = looker.share_session();
    let wanted = match row {
        Row::Each(operation) => looker.each(operation),
        Row::Positions => looker.positions(),
        Row::Records(operation) => looker.records(operation),
        Row::Creation => looker.creation(),
        Row::Whole(operation, kind) => looker.whole(operation, kind),
    };
    if wanted.len() > limits::HELD_ACTIONS_MAX || !wanted.iter().all(|wanted| wanted.action.can_be_shown()) {
        return Err(Unshowable);
    }
    let writes = if request.api_key == key::PRODUCE { looker.writes() } else { Vec::new() };
    let unknown = looker.unknown();
    let shares = looker.shares;
    let goes_on = shares.as_ref().filter(|session| session.at == ShareEpoch::GoesOn);
    let unknown_session = goes_on.is_some_and(|session| around.shared(&session.member).is_none());
    Ok(Held { wanted, unknown, writes, shares, unknown_session, timeout })
}

struct Looker<'a> {
    request: Request<'a>,
    cluster: &'a str,
    rules: &'a HeldRules,
    topics: &'a dyn TopicDirectory,
    around: &'a dyn Circumstances,
    said: &'a Structure,
    /// The share session that the request is of.
    shares: Option<ShareSession>,
}

/// A thing that a request names.
struct Named<'a> {
    kind: ActionKind,
    name: String,
    said: std::borrow::Cow<'a, Structure>,
}

impl Named<'_> {
    fn topic(name: String) -> Self {
        Named { kind: ActionKind::Topic, name, said: std::borrow::Cow::Owned(Structure::default()) }
    }
}

impl<'a> Looker<'a> {
    /// One action with all things that are held; what is not goes on in any case.
    fn each(&self, operation: HeldOperation) -> Vec<Wanted> {
        let named = self.named();
        if operation == HeldOperation::ElectLeaders && named.is_empty() {
            // Naming none is asking for all.
            return self.together(operation, vec![item_of_all()], self.rules.of(operation), None);
        }
        let (mut items, mut names, mut withheld) = (Vec::new(), Vec::new(), Vec::new());
        let mut rules: BTreeMap<&str, &ApprovalRule> = BTreeMap::new();
        for Named { kind, name, said } in &named {
            let holding = self.rules.holding(operation, kind_of_rule(*kind), name);
            if holding.is_empty() {
                continue;
            }
            rules.extend(holding.into_iter().map(|rule| (&*rule.terms.rule, rule)));
            items.push(action::item(*kind, name, said, &mut withheld));
            names.push((*kind, name.clone()));
        }
        if items.is_empty() {
            return Vec::new();
        }
        self.wanted(operation, items, withheld, rules.into_values(), Some(names))
    }

    /// The request as a whole, with everything that it names.
    fn whole(&self, operation: HeldOperation, kind: ActionKind) -> Vec<Wanted> {
        let mut withheld = Vec::new();
        let lists = self.said.fields.iter().filter_map(|(field, datum)| match datum {
            Datum::List(items) if !items.is_empty() => Some((field, items)),
            _ => None,
        });
        let mut items = Vec::new();
        for (field, list) in lists {
            for datum in list {
                let Datum::Structure(said) = datum else { continue };
                let mut item = action::item(kind, said.text(Role::User).unwrap_or_default(), said, &mut withheld);
                item.parameters.push(("in".to_owned(), field.name.to_ascii_lowercase()));
                items.push(item);
            }
        }
        if items.is_empty() {
            Vec::new()
        } else {
            self.wanted(operation, items, withheld, self.rules.of(operation), None)
        }
    }

    /// Records of each topic apart: a grant for one is for it whatever else a client reads or writes with it.
    fn records(&self, operation: HeldOperation) -> Vec<Wanted> {
        let mut all: Vec<Wanted> = Vec::new();
        let mut met = HashSet::new();
        let goes_on = self.shares.as_ref().filter(|session| session.at == ShareEpoch::GoesOn);
        let of_session = goes_on.and_then(|session| self.around.shared(&session.member)).unwrap_or_default();
        for Named { kind, name, said } in self.named().into_iter().chain(of_session.into_iter().map(Named::topic)) {
            let holding = self.rules.holding(operation, ResourceKind::Topic, &name);
            let rules: Vec<&ApprovalRule> =
                holding.into_iter().filter(|rule| self.happens(operation, rule, &name, &said)).collect();
            if !rules.is_empty() && met.insert(name.clone()) {
                let item = ActionItem { kind, name: name.clone(), parameters: Vec::new() };
                // What a share session reads stands in no array of the request: it goes on whole, or not at all.
                let names = self.shares.is_none().then(|| vec![(kind, name)]);
                all.extend(self.together(operation, vec![item], rules.into_iter(), names));
            }
        }
        all
    }

    /// Whether what a rule is about happens: all of it, or from the beginning, or too much.
    fn happens(&self, operation: HeldOperation, rule: &ApprovalRule, topic: &str, said: &Structure) -> bool {
        let Some(when) = rule.when else { return true };
        let too_much = |volume: Volume| self.around.volume(operation, topic, volume) > volume.over;
        (when.from_earliest && self.begins_at_the_earliest(topic, said)) || when.volume.is_some_and(too_much)
    }

    fn begins_at_the_earliest(&self, topic: &str, said: &Structure) -> bool {
        // A share group's position is the broker's to know.
        let partitions = partitions(said).filter(|_| self.request.api_key == key::FETCH);
        // Each is looked at, so that what has to be asked of the cluster is asked for all of them at once.
        partitions.fold(false, |begins, partition| {
            let index = partition.number(Role::Partition).and_then(|index| i32::try_from(index).ok());
            let offset = partition.number(Role::Offset).unwrap_or(0);
            let at_start = || index.and_then(|index| self.around.log_start(topic, index)).is_none_or(|at| offset <= at);
            (offset <= 0 || at_start()) || begins
        })
    }

    /// What a group's position moves by something else than reading.
    fn positions(&self) -> Vec<Wanted> {
        let operation = HeldOperation::ResetOffsets;
        let group = self.said.text(Role::GroupId).unwrap_or_default().to_owned();
        let commits = matches!(self.request.api_key, key::OFFSET_COMMIT | key::TXN_OFFSET_COMMIT);
        let (mut items, mut names, mut withheld) = (Vec::new(), Vec::new(), Vec::new());
        let mut rules: BTreeMap<&str, &ApprovalRule> = BTreeMap::new();
        for Named { kind, name, said } in self.named() {
            let mut holding = self.rules.holding(operation, ResourceKind::Topic, &name);
            holding.extend(self.rules.holding(operation, ResourceKind::Group, &group));
            if holding.is_empty() || (commits && self.only_goes_on(&group, &name, &said)) {
                continue;
            }
            rules.extend(holding.into_iter().map(|rule| (&*rule.terms.rule, rule)));
            items.push(action::item(kind, &name, &said, &mut withheld));
            names.push((kind, name));
        }
        if items.is_empty() {
            return Vec::new();
        }
        items.push(ActionItem { kind: ActionKind::Group, name: group, parameters: Vec::new() });
        self.wanted(operation, items, withheld, rules.into_values(), Some(names))
    }

    fn only_goes_on(&self, group: &str, topic: &str, said: &Structure) -> bool {
        // As above.
        partitions(said).fold(true, |goes_on, partition| {
            let index = partition.number(Role::Partition).and_then(|index| i32::try_from(index).ok());
            let position = index.zip(partition.number(Role::Offset));
            position.is_some_and(|(index, offset)| self.around.goes_on(group, topic, index, offset) == Some(true))
                && goes_on
        })
    }

    /// Topics that come to be because somebody names them; each is an action of its own, since a client names it again
    /// together with others.
    fn creation(&self) -> Vec<Wanted> {
        let operation = HeldOperation::CreateTopics;
        let creates = match self.request.api_key {
            // Before version 4 there was no flag for it.
            key::METADATA => self.request.version < 4 || self.said.number(Role::AllowAutoTopicCreation) == Some(1),
            _ => true,
        };
        let (mut all, mut met) = (Vec::new(), HashSet::new());
        for Named { kind, name, .. } in self.named().into_iter().filter(|named| creates && !named.name.is_empty()) {
            let rules = self.rules.holding(operation, ResourceKind::Topic, &name);
            // A topology names a repartition topic where it is written and where it is read.
            if rules.is_empty() || self.around.exists(&name) == Some(true) || !met.insert(name.clone()) {
                continue;
            }
            let parameters = vec![("by".to_owned(), "being named".to_owned())];
            let item = ActionItem { kind, name: name.clone(), parameters };
            all.extend(self.together(operation, vec![item], rules.into_iter(), Some(vec![(kind, name.clone())])));
        }
        all
    }

    fn writes(&self) -> Vec<Passed> {
        let mut writes = Vec::new();
        for Named { name, said, .. } in self.named() {
            let topic: std::sync::Arc<str> = name.into();
            writes.extend(partitions(&said).map(|partition| Passed {
                topic: topic.clone(),
                partition: partition.number(Role::Partition).and_then(|index| i32::try_from(index).ok()).unwrap_or(-1),
                upto: None,
                bytes: match partition.get(Role::Records) {
                    Some(Datum::Bytes(count)) => *count as u64,
                    _ => 0,
                },
            }));
        }
        writes
    }

    fn share_session(&self) -> Option<ShareSession> {
        let names = || self.named().into_iter().map(|named| named.name).collect();
        (self.request.api_key == key::SHARE_FETCH).then(|| ShareSession::of(self.said, names()))
    }

    /// Topics that stand there by ids of which nobody has told.
    fn unknown(&self) -> Vec<[u8; 16]> {
        self.all_named().iter().filter_map(|named| self.unknown_id(&named.said)).collect()
    }

    fn unknown_id(&self, element: &Structure) -> Option<[u8; 16]> {
        topic_id(element).filter(|id| self.topics.name(id).is_none())
    }

    /// Everything that the request names, by name; what nobody can name is refused, and held by no rule.
    fn named(&self) -> Vec<Named<'a>> {
        let mut named = self.all_named();
        named.retain(|named| self.unknown_id(&named.said).is_none());
        named
    }

    fn all_named(&self) -> Vec<Named<'a>> {
        let mut named = Vec::new();
        self.gather(self.said, &mut named);
        named
    }

    fn gather(&self, said: &'a Structure, named: &mut Vec<Named<'a>>) {
        for (field, datum) in &said.fields {
            let items: &[Datum] = match datum {
                Datum::List(items) => items,
                Datum::Structure(inner) => {
                    self.gather(inner, named);
                    continue;
                }
                _ => continue,
            };
            for item in items {
                match item {
                    Datum::Structure(element) => match self.kind_of(field, element) {
                        Some(kind) => {
                            let name = self.name_of(kind, element);
                            named.push(Named { kind, name, said: std::borrow::Cow::Borrowed(element) });
                        }
                        None => self.gather(element, named),
                    },
                    Datum::Text(name) => {
                        let kind = match field.role {
                            Some(Role::Topic) => ActionKind::Topic,
                            Some(Role::GroupId) => ActionKind::Group,
                            _ => continue,
                        };
                        let said = std::borrow::Cow::Owned(Structure::default());
                        named.push(Named { kind, name: name.clone(), said });
                    }
                    _ => {}
                }
            }
        }
    }

    fn kind_of(&self, field: &Field, element: &Structure) -> Option<ActionKind> {
        match field.group? {
            Group::Topic => Some(ActionKind::Topic),
            Group::Group => Some(ActionKind::Group),
            Group::Resource => Some(kind_of_configs(element.number(Role::ResourceType).unwrap_or(-1))),
            _ => None,
        }
    }

    /// Where both are there, a broker goes by the id.
    fn name_of(&self, kind: ActionKind, element: &Structure) -> String {
        match (kind, topic_id(element)) {
            (ActionKind::Topic, Some(id)) => self.topics.name(&id).map(|name| name.to_string()).unwrap_or_default(),
            (ActionKind::Topic, None) => {
                element.text(Role::Topic).or(element.text(Role::ResourceName)).unwrap_or_default().to_owned()
            }
            (ActionKind::Group, _) => {
                element.text(Role::GroupId).or(element.text(Role::ResourceName)).unwrap_or_default().to_owned()
            }
            _ => element.text(Role::ResourceName).unwrap_or_default().to_owned(),
        }
    }

    fn together<'r>(
        &self,
        operation: HeldOperation,
        items: Vec<ActionItem>,
        rules: impl Iterator<Item = &'r ApprovalRule>,
        names: Option<Vec<(ActionKind, String)>>,
    ) -> Vec<Wanted> {
        self.wanted(operation, items, Vec::new(), rules, names)
    }

    fn wanted<'r>(
        &self,
        operation: HeldOperation,
        items: Vec<ActionItem>,
        mut withheld: Withheld,
        rules: impl Iterator<Item = &'r ApprovalRule>,
        names: Option<Vec<(ActionKind, String)>>,
    ) -> Vec<Wanted> {
        let (terms, holds): (Vec<Terms>, Vec<Duration>) = rules.map(|rule| (rule.terms.clone(), rule.hold)).unzip();
        if terms.is_empty() {
            return Vec::new();
        }
        let is_named = |field: &Field| field.group.is_some() || matches!(field.role, Some(Role::Topic | Role::GroupId));
        // What is read or written again and again differs in each request.
        let mut parameters =
            if operation.goes_on() || matches!(table::of(self.request.api_key), Some(Row::Creation | Row::Positions)) {
                Vec::new()
            } else {
                action::of_all(self.said, &is_named, &mut withheld)
            };
        parameters.extend(table::beyond_words(self.request.api_key).map(|(name, what)| (name.into(), what.into())));
        withheld.sort_by(|a, b| a.as_slice().cmp(b.as_slice()));
        let action = Action::new(self.cluster, operation, items, parameters);
        vec![Wanted { action, withheld, terms, hold: holds.into_iter().max().unwrap_or_default(), names }]
    }
}

fn topic_id(element: &Structure) -> Option<[u8; 16]> {
    match element.get(Role::TopicId) {
        Some(Datum::Id(id)) if *id != [0; 16] => Some(*id),
        _ => None,
    }
}

fn partitions(said: &Structure) -> impl Iterator<Item = &Structure> {
    let lists = said.fields.iter().filter(|(field, _)| field.group == Some(Group::Partition));
    lists
        .filter_map(|(_, datum)| if let Datum::List(items) = datum { Some(items) } else { None })
        .flatten()
        .filter_map(|item| if let Datum::Structure(partition) = item { Some(partition) } else { None })
}

fn item_of_all() -> ActionItem {
    ActionItem { kind: ActionKind::Cluster, name: String::new(), parameters: Vec::new() }
}

/// `ConfigResource.Type`.
pub(super) fn kind_of_configs(number: i64) -> ActionKind {
    match number {
        2 => ActionKind::Topic,
        32 => ActionKind::Group,
        4 | 8 => ActionKind::Broker,
        _ => ActionKind::Cluster,
    }
}

fn kind_of_rule(kind: ActionKind) -> ResourceKind {
    match kind {
        ActionKind::Topic => ResourceKind::Topic,
        ActionKind::Group => ResourceKind::Group,
        _ => ResourceKind::Cluster,
    }
}
