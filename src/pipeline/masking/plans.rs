//! The policy's masking rules at work: which apply to a client's records, compiled once for all clients alike.
//!
//! Invariants:
//! - What is kept depends on nothing but rules and topics, never on how many clients there are: clients under the same rules
//!   share what these compile to. It has a bound for the whole shard, whatever topics clients name.
//! - A rule that cannot be compiled is found when the policy is loaded ([`Book::new`]), not when a record comes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::{Masking, On};
use crate::limits;
pub use crate::mask::Counts;
use crate::mask::detect::{Detectors, PatternError};
use crate::mask::{HeaderOutcome, Outcome, Plan, Rule, Scratch};
use crate::policy::{MaskClient, MaskingRule, MaskingRules, RuleSet};
use crate::wire::kafka::compression::Levels;
use crate::wire::kafka::records::Record;
use crate::wire::kafka::records::rewrite::{Replacement, Verdict};

/// A policy's masking rules, ready for all shards.
#[derive(Debug)]
pub struct Book {
    rules: MaskingRules,
    /// By number.
    parts: Vec<Rule>,
}

impl Book {
    /// The error is about a rule's own pattern.
    pub fn new(rules: &MaskingRules) -> Result<Book, PatternError> {
        let part = |rule: &MaskingRule| {
            Ok(Rule {
                fields: rule.fields.clone(),
                detect: Detectors::new(rule.detect.iter().cloned())?,
                action: rule.action.clone(),
                unparsable: rule.unparsable,
                nested_json: rule.nested_json,
            })
        };
        Ok(Book { rules: rules.clone(), parts: rules.iter().map(part).collect::<Result<_, _>>()? })
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How hard changed batches are compressed: as hard as the rule that asks for most.
    pub fn levels(&self) -> Levels {
        match self.rules.iter().filter_map(|rule| rule.compression_level).max() {
            None => Levels::default(),
            Some(level) => Levels { gzip: level, zstd: i32::try_from(level).unwrap_or(i32::MAX) },
        }
    }

    /// What rules of a set come to together.
    pub fn compile(&self, set: RuleSet) -> Plan {
        let parts: Vec<Rule> = set.iter().filter_map(|number| self.parts.get(number)).cloned().collect();
        Plan::compile(&parts, limits::JSON_DEPTH_MAX)
    }
}

/// A shard's share: plans, by the rules they were compiled of.
pub struct Plans {
    book: Arc<Book>,
    compiled: RefCell<HashMap<RuleSet, Rc<Plan>>>,
    topics: RefCell<Topics>,
    scratch: RefCell<Scratch>,
}

/// What rules come to on the topics met so far, by the rules that hold for some clients; none where none of them holds there.
#[derive(Default)]
struct Topics {
    met: HashMap<RuleSet, HashMap<Box<str>, Option<Rc<Plan>>>>,
    count: usize,
}

impl Topics {
    fn known(&self, rules: &RuleSet, topic: &str) -> Option<Option<Rc<Plan>>> {
        self.met.get(rules)?.get(topic).cloned()
    }

    /// A name that is longer than Kafka's may be is no topic's, and is not kept: clients would fill the memory with those.
    fn remember(&mut self, rules: RuleSet, topic: &str, plan: Option<Rc<Plan>>) {
        if topic.len() > limits::EVENT_NAME_BYTES_MAX {
            return;
        }
        if self.count >= limits::MASKING_TOPICS_KEPT_MAX {
            *self = Topics::default();
        }
        self.met.entry(rules).or_default().insert(topic.into(), plan);
        self.count += 1;
    }
}

impl Plans {
    /// None compiled yet.
    pub fn new(book: Arc<Book>) -> Rc<Plans> {
        let (compiled, topics, scratch) = Default::default();
        Rc::new(Plans { book, compiled, topics, scratch })
    }

    /// What masks a client's records; none where no rule can ever apply to it.
    pub fn of(self: &Rc<Self>, client: &MaskClient<'_>) -> Option<ClientPlans> {
        let ways = [On::Produce, On::Fetch, On::Recording].map(|on| {
            let rules = self.book.rules.of_client(on, client);
            (!rules.is_empty()).then_some(rules)
        });
        ways.iter().any(Option::is_some).then(|| ClientPlans { plans: self.clone(), ways, chosen: None })
    }

    /// Whether what clients read may depend on the consumer group that they read for.
    pub fn ask_for_consumer_groups(&self) -> bool {
        self.book.rules.ask_for_consumer_groups()
    }

    /// What was done since this was last asked.
    pub fn take_counts(&self) -> Counts {
        self.scratch.borrow_mut().take_counts()
    }

    /// What masks records of a topic, by those of the rules at hand that hold there.
    fn on_topic(&self, of: RuleSet, topic: &str) -> Option<Rc<Plan>> {
        if let Some(known) = self.topics.borrow().known(&of, topic) {
            return known;
        }
        let rules = self.book.rules.on_topic(of, Some(topic));
        let plan = (!rules.is_empty()).then(|| self.plan(rules));
        self.topics.borrow_mut().remember(of, topic, plan.clone());
        plan
    }

    fn plan(&self, rules: RuleSet) -> Rc<Plan> {
        let mut compiled = self.compiled.borrow_mut();
        if compiled.len() >= limits::MASKING_PLANS_MAX && !compiled.contains_key(&rules) {
            compiled.clear();
        }
        compiled.entry(rules).or_insert_with(|| Rc::new(self.book.compile(rules))).clone()
    }
}

/// What masks one client's records.
pub struct ClientPlans {
    plans: Rc<Plans>,
    /// What is written, read, recorded; none where no rule holds.
    ways: [Option<RuleSet>; 3],
    chosen: Option<Rc<Plan>>,
}

impl ClientPlans {
    fn way(&self, on: On) -> Option<RuleSet> {
        self.ways[on as usize]
    }
}

impl Masking for ClientPlans {
    fn any(&self, on: On) -> bool {
        self.way(on).is_some()
    }

    fn choose(&mut self, on: On, topic: &str) -> bool {
        self.chosen = self.way(on).and_then(|way| self.plans.on_topic(way, topic));
        self.chosen.is_some()
    }

    fn record(&mut self, record: &Record<'_>, with: &mut Replacement) -> Verdict {
        // What nobody chose for is no record that may pass.
        let Some(plan) = &self.chosen else { return Verdict::Refuse };
        mask_record(plan, record, with, &mut self.plans.scratch.borrow_mut())
    }
}

fn mask_record(plan: &Plan, record: &Record<'_>, with: &mut Replacement, scratch: &mut Scratch) -> Verdict {
    match mask_parts(plan, record, with, scratch) {
        Ok(false) => Verdict::Keep,
        Ok(true) => Verdict::Replace,
        Err(instead) => instead,
    }
}

/// Whether any part of a record changed. The error is what becomes of the record instead.
fn mask_parts(
    plan: &Plan,
    record: &Record<'_>,
    with: &mut Replacement,
    scratch: &mut Scratch,
) -> Result<bool, Verdict> {
    let mut changed = false;
    if let Some(value) = record.value.filter(|_| plan.touches_values()) {
        changed |= put(plan.mask_value(value, scratch), |masked| with.set_value(masked))?;
    }
    if let Some(key) = record.key.filter(|_| plan.touches_keys()) {
        changed |= put(plan.mask_key(key, scratch), |masked| with.set_key(masked))?;
    }
    if plan.touches_headers() {
        for (index, (name, value)) in record.headers.enumerate() {
            let Some(value) = value else { continue };
            match plan.mask_header(name, value, scratch) {
                HeaderOutcome::Untouched => continue,
                HeaderOutcome::Masked(masked) => with.set_header(index, Some(masked)),
                HeaderOutcome::Null => with.set_header(index, None),
                HeaderOutcome::Removed => with.remove_header(index),
                HeaderOutcome::Dropped => return Err(Verdict::Drop),
            }
            changed = true;
        }
    }
    Ok(changed)
}

fn put(outcome: Outcome<'_>, set: impl FnOnce(Option<&[u8]>)) -> Result<bool, Verdict> {
    match outcome {
        Outcome::Untouched => return Ok(false),
        Outcome::Masked(masked) => set(Some(masked)),
        Outcome::Dropped => return Err(Verdict::Drop),
        Outcome::Refused(_) => return Err(Verdict::Refuse),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mask::{Action, Unparsable};
    use crate::policy::{MaskDirections, Patterns};

    fn plans() -> Rc<Plans> {
        let rule = MaskingRule {
            name: None,
            listeners: Vec::new(),
            topics: Patterns::new(vec!["cards-*".to_owned()]).unwrap(),
            fields: vec!["pan".parse().unwrap()],
            detect: Vec::new(),
            action: Action::Redact,
            on: MaskDirections { produce: false, fetch: true },
            groups: Vec::new(),
            unless_groups: vec!["pci".to_owned()],
            client_ids: Patterns::default(),
            consumer_groups: Patterns::default(),
            unparsable: Unparsable::Redact,
            nested_json: false,
            compression_level: None,
        };
        Plans::new(Arc::new(Book::new(&MaskingRules::new(vec![rule]).unwrap()).unwrap()))
    }

    fn of(plans: &Rc<Plans>, groups: &[String]) -> ClientPlans {
        let client = MaskClient { listener: "main", groups, client_id: None, consumer_groups: &[] };
        plans.of(&client).unwrap()
    }

    #[test]
    fn clients_under_the_same_rules_share_a_plan_and_others_have_none() {
        let plans = plans();
        let (mut one, mut two) = (of(&plans, &[]), of(&plans, &["staff".to_owned()]));
        let mut excepted = of(&plans, &["pci".to_owned()]);
        assert!(one.choose(On::Fetch, "cards-1") && two.choose(On::Fetch, "cards-2"));
        assert!(Rc::ptr_eq(one.chosen.as_ref().unwrap(), two.chosen.as_ref().unwrap()));
        assert!(!excepted.any(On::Fetch) && !excepted.choose(On::Fetch, "cards-1"));
        assert!(excepted.choose(On::Recording, "cards-1"), "the recording is masked for everyone");
        assert!(!one.choose(On::Fetch, "orders") && !one.any(On::Produce));
    }

    #[test]
    fn a_client_that_names_ever_new_topics_does_not_fill_the_memory() {
        let plans = plans();
        let mut client = of(&plans, &[]);
        for number in 0..2 * limits::MASKING_TOPICS_KEPT_MAX + 2 {
            assert!(client.choose(On::Fetch, &format!("cards-{number}")));
        }
        let topics = plans.topics.borrow();
        let kept: usize = topics.met.values().map(HashMap::len).sum();
        assert_eq!((kept, topics.count), (2, 2));
        assert_eq!(plans.compiled.borrow().len(), 1);
    }
}
