//! Approvals as they are kept: whatever happens in whatever order, an action is done at most as often as its grant says.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::control::notices::Outbox;
use crate::policy::{
    Action, ActionItem, ActionKind, Answer, Approvers, Ask, HeldOperation, Listener, Origin, Person, Requester, Said,
    Terms,
};
use crate::recorder::open_access;

const SECOND: u64 = 1_000_000_000;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn now() -> u64 {
    NOW.get()
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Answer>>>);

impl Listener for Heard {
    fn tell(&self, answer: Answer) {
        self.0.lock().unwrap().push(answer);
    }

    fn is_gone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

struct Kept {
    folder: TempDir,
    registry: Option<Arc<Registry>>,
}

impl Kept {
    fn new() -> Kept {
        let mut kept = Kept { folder: tempfile::tempdir().unwrap(), registry: None };
        kept.open();
        kept
    }

    /// Opens what the store has; the one before is gone, as after a kill.
    fn open(&mut self) {
        self.registry = None;
        let store = open_access(self.folder.path()).unwrap();
        let outbox = Outbox::open(store.clone()).unwrap();
        let options = RegistryOptions { store, outbox, url: None, kept_ns: 3600 * SECOND, clock: now };
        self.registry = Some(Arc::new(Registry::open(options).unwrap()));
    }

    fn registry(&self) -> &Arc<Registry> {
        self.registry.as_ref().unwrap()
    }

    /// What others are told of, in order.
    fn told(&self) -> Vec<&'static str> {
        let notices = self.registry().options.outbox.after(0, 100).unwrap();
        notices.into_iter().map(|(_, notice)| notice.unwrap().kind.name()).collect()
    }

    fn ask(&self, ask: Ask) -> Answer {
        let heard = Heard::default();
        self.registry().ask(ask, Box::new(heard.clone()));
        let answers = heard.0.lock().unwrap();
        answers[0].clone()
    }
}

fn who(subject: &str, group: &str) -> Requester {
    Requester { person: Person::new("idp", subject), groups: vec![group.to_owned()] }
}

fn terms(uses: u32) -> Terms {
    Terms {
        rule: "rule".to_owned(),
        approvers: Approvers::Of { group: "sre".to_owned(), count: 1 },
        reason_required: false,
        expires_s: 100,
        valid_s: 50,
        uses,
        window_s: 20,
        break_glass: Vec::new(),
    }
}

fn ask(registry: &Registry, operation: HeldOperation, subject: &str, claim: bool, uses: u32) -> Ask {
    let item = ActionItem { kind: ActionKind::Topic, name: "t".to_owned(), parameters: Vec::new() };
    let action = Action::new("main", operation, vec![item], Vec::new());
    Ask {
        requester: who(subject, "dev"),
        origin: Origin::default(),
        digest: action.digest(&registry.key(), &[]),
        action,
        terms: vec![terms(uses)],
        reason: None,
        connection: "n/1/0/1".to_owned(),
        claim,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Ask { who: bool, claim: bool },
    Decide { by: bool, yes: bool, uses: Option<u32> },
    Revoke,
    Later(u64),
    Killed,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), any::<bool>()).prop_map(|(who, claim)| Step::Ask { who, claim }),
        3 => (any::<bool>(), prop::bool::weighted(0.8), prop::option::of(1u32..3))
            .prop_map(|(by, yes, uses)| Step::Decide { by, yes, uses }),
        1 => Just(Step::Revoke),
        2 => (0u64..40).prop_map(Step::Later),
        1 => Just(Step::Killed),
    ]
}

/// What the registry says of every request, without what depends on the moment.
fn told(registry: &Registry) -> Vec<CaseView> {
    registry.list()
}

/// A grant that may be used at this moment, of this person; its uses so far and at most.
fn good(registry: &Registry, subject: &str) -> bool {
    registry
        .list()
        .iter()
        .any(|case| case.requester.person.subject == subject && case.grant.as_ref().is_some_and(|grant| grant.in_force))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_action_is_done_at_most_as_often_as_its_grant_says(
        steps in prop::collection::vec(step(), 1..40),
        uses in 1u32..4,
        goes_on in any::<bool>(),
    ) {
        NOW.set(SECOND);
        let operation = if goes_on { HeldOperation::Fetch } else { HeldOperation::DeleteTopics };
        let mut kept = Kept::new();
        let mut done: HashMap<String, u32> = HashMap::new();
        for step in steps {
            match step {
                Step::Ask { who, claim } => {
                    let subject = if who { "dev" } else { "eve" };
                    let was_good = good(kept.registry(), subject);
                    let asked = ask(kept.registry(), operation, subject, claim, uses);
                    match kept.ask(asked) {
                        Answer::Granted { grant, .. } => {
                            prop_assert!(was_good, "nothing is granted without a grant that is good");
                            *done.entry(grant).or_default() += 1;
                        }
                        Answer::Approved { .. } => prop_assert!(was_good && !claim),
                        _ => prop_assert!(!was_good, "who has a good grant is not kept waiting"),
                    }
                }
                Step::Decide { by, yes, uses } => {
                    let pending = told(kept.registry()).into_iter().find(|case| case.state == crate::policy::RequestState::Pending);
                    let said = if yes { Said::Approve } else { Said::Deny };
                    let decision = NewDecision { said, comment: Some("so".to_owned()), valid_s: None, uses };
                    if let Some(case) = pending {
                        kept.registry().decide(&case.id, who(if by { "ann" } else { "bob" }, "sre"), decision).unwrap();
                    }
                }
                Step::Revoke => {
                    let case = told(kept.registry()).into_iter().find(|case| case.grant.as_ref().is_some_and(|grant| grant.in_force));
                    if let Some(case) = case {
                        // One that is used up is none any more.
                        let _ = kept.registry().revoke(&case.id, &who("ann", "sre"), None);
                        prop_assert!(!kept.registry().get(&case.id).unwrap().grant.unwrap().in_force);
                    }
                }
                Step::Later(seconds) => NOW.set(now() + seconds * SECOND),
                Step::Killed => {
                    let before = told(kept.registry());
                    kept.open();
                    prop_assert_eq!(told(kept.registry()), before, "nothing that was said is lost");
                }
            }
            for case in told(kept.registry()) {
                let Some(grant) = case.grant else { continue };
                prop_assert!(grant.used.len() as u32 <= grant.uses, "{grant:?}");
                if !goes_on {
                    prop_assert_eq!(grant.used.len() as u32, done.get(&grant.id).copied().unwrap_or(0), "each use is written");
                }
            }
        }
    }
}

#[test]
fn of_many_that_claim_at_once_as_many_get_a_use_as_there_are() {
    NOW.set(SECOND);
    let kept = Kept::new();
    let registry = kept.registry();
    let asked = |claim| Ask { claim, ..ask(registry, HeldOperation::DeleteTopics, "dev", claim, 3) };
    let Answer::Pending { request, .. } = kept.ask(asked(false)) else { panic!("it is held") };
    let decision = NewDecision { said: Said::Approve, comment: None, valid_s: None, uses: None };
    registry.decide(&request, who("ann", "sre"), decision).unwrap();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|_| {
                let (registry, asked) = (Arc::clone(registry), asked(true));
                scope.spawn(move || {
                    NOW.set(SECOND);
                    let heard = Heard::default();
                    registry.ask(asked, Box::new(heard.clone()));
                    let answers = heard.0.lock().unwrap();
                    answers[0].clone()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let granted = answers.iter().filter(|answer| matches!(answer, Answer::Granted { .. })).count();
    assert_eq!(granted, 3, "{answers:?}");
}

#[test]
fn who_waits_is_told_and_who_has_gone_is_forgotten() {
    NOW.set(SECOND);
    let kept = Kept::new();
    let (first, second) = (Heard::default(), Heard::default());
    let asked = || ask(kept.registry(), HeldOperation::DeleteTopics, "dev", false, 1);
    kept.registry().ask(asked(), Box::new(first.clone()));
    kept.registry().ask(asked(), Box::new(second.clone()));
    drop(first);
    let Answer::Pending { request, .. } = second.0.lock().unwrap()[0].clone() else { panic!("it is held") };
    let decision = NewDecision { said: Said::Approve, comment: None, valid_s: None, uses: None };
    kept.registry().decide(&request, who("ann", "sre"), decision).unwrap();
    assert_eq!(second.0.lock().unwrap()[1], Answer::Approved { request });
    assert_eq!(kept.registry().list().len(), 1, "the same joins the request that is open");
}

#[test]
fn a_rule_that_the_policy_has_gained_is_not_met_by_an_older_grant() {
    NOW.set(SECOND);
    let kept = Kept::new();
    let asked = |claim| ask(kept.registry(), HeldOperation::DeleteTopics, "dev", claim, 1);
    let Answer::Pending { request, .. } = kept.ask(asked(false)) else { panic!("it is held") };
    let decision = NewDecision { said: Said::Approve, comment: None, valid_s: None, uses: None };
    kept.registry().decide(&request, who("ann", "sre"), decision).unwrap();
    let mut stricter = asked(true);
    stricter.terms.push(Terms { rule: "another".to_owned(), ..terms(1) });
    assert!(matches!(kept.ask(stricter), Answer::Pending { request: other, .. } if other != request));
    assert!(matches!(kept.ask(asked(true)), Answer::Granted { .. }));
}

#[test]
fn one_person_cannot_fill_the_desk_and_what_is_old_goes() {
    NOW.set(SECOND);
    let kept = Kept::new();
    for number in 0..=crate::limits::PENDING_REQUESTS_OF_ONE_MAX {
        let mut asked = ask(kept.registry(), HeldOperation::DeleteTopics, "dev", false, 1);
        asked.action.items[0].name = format!("t{number}");
        asked.digest = asked.action.digest(&kept.registry().key(), &[]);
        let refused = matches!(kept.ask(asked), Answer::Refused(_));
        assert_eq!(refused, number == crate::limits::PENDING_REQUESTS_OF_ONE_MAX);
    }
    NOW.set(2 * 3600 * SECOND);
    kept.registry().look_through().unwrap();
    assert!(kept.registry().list().is_empty());
}

#[test]
fn that_nobody_decided_and_that_a_grant_is_taken_back_is_told_once() {
    NOW.set(SECOND);
    let mut kept = Kept::new();
    let asked = |kept: &Kept, subject: &str| {
        let answer = kept.ask(ask(kept.registry(), HeldOperation::DeleteTopics, subject, false, 1));
        let Answer::Pending { request, .. } = answer else { panic!("{answer:?}") };
        request
    };
    let (_, approved) = (asked(&kept, "dev"), asked(&kept, "ops"));
    let decision = NewDecision { said: Said::Approve, comment: None, valid_s: None, uses: None };
    kept.registry().decide(&approved, who("ann", "sre"), decision).unwrap();
    kept.registry().revoke(&approved, &who("ann", "sre"), None).unwrap();
    assert_eq!(kept.told(), ["request.created", "request.created", "request.decided", "grant.revoked"]);
    NOW.set(102 * SECOND);
    for _ in 0..2 {
        kept.registry().look_through().unwrap();
        kept.open();
    }
    assert_eq!(kept.told()[4..], ["request.decided"], "the one that nobody decided on");
}

#[test]
fn what_is_asked_for_beforehand_needs_a_reason_in_words_and_says_each_thing_once() {
    NOW.set(SECOND);
    let kept = Kept::new();
    let file = |reason: &str, parameters: &[(&str, &str)]| {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let item = ActionItem { kind: ActionKind::Topic, name: "t".to_owned(), parameters };
        let action = Action::new("main", HeldOperation::DeleteRecords, vec![item], Vec::new());
        let terms = vec![Terms { reason_required: true, ..terms(1) }];
        let reason = Some(reason.to_owned());
        kept.registry().file(NewRequest { requester: who("dev", "dev"), action, terms, reason })
    };
    assert!(file("clean-up", &[("partition 0", "offset=9"), ("partition 0", "offset=-1")]).is_err());
    let filed = file("  ", &[("partition 0", "offset=9")]).unwrap();
    let yes = NewDecision { said: Said::Approve, comment: None, valid_s: None, uses: None };
    let refused = kept.registry().decide(&filed.id, who("ann", "sre"), yes).unwrap_err();
    assert!(refused.to_string().contains("no reason"), "{refused}");
}
