//! What may be done with a request, and when.

#![allow(clippy::unwrap_used)]
use super::*;

const SECOND: u64 = 1_000_000_000;

pub(super) fn terms(approvers: Approvers) -> Terms {
    Terms {
        rule: "production topics".to_owned(),
        approvers,
        reason_required: false,
        expires_s: 100,
        valid_s: 50,
        uses: 3,
        window_s: 50,
        break_glass: vec!["oncall".to_owned()],
    }
}

fn of(group: &str, count: usize) -> Approvers {
    Approvers::Of { group: group.to_owned(), count }
}

fn who(subject: &str, groups: &[&str]) -> Requester {
    let groups = groups.iter().map(ToString::to_string).collect();
    Requester { person: Person::new("idp", subject), groups }
}

fn case(terms: Vec<Terms>) -> Case {
    let action = Action::new("main", HeldOperation::DeleteTopics, Vec::new(), Vec::new());
    let request = AccessRequest {
        id: "r-1".to_owned(),
        created_ns: 0,
        expires_ns: 100 * SECOND,
        requester: who("dev", &["dev", "oncall", "sre"]),
        origin: Origin::default(),
        action,
        digest: Digest([0; 32]),
        terms,
        reason: None,
        effect: None,
        expiry_told: false,
    };
    Case { request, decisions: Vec::new(), grant: None, uses: Vec::new() }
}

fn say(case: &mut Case, by: Requester, said: Said, at_s: u64) -> Result<(), CannotDecide> {
    let comment = Some("because".to_owned());
    let request = case.request.id.clone();
    let decision = ReviewDecision { request, by, said, at_ns: at_s * SECOND, comment, valid_s: None, uses: None };
    case.why_not(&decision)?;
    case.grant = case.grant.take().or_else(|| case.granted_by(&decision, "g-1".to_owned()));
    case.decisions.push(decision);
    Ok(())
}

#[test]
fn a_grant_begins_with_the_last_yes_that_it_takes() {
    let mut case = case(vec![terms(of("sre", 2))]);
    say(&mut case, who("ann", &["sre"]), Said::Approve, 10).unwrap();
    assert_eq!(case.state(20 * SECOND), RequestState::Pending);
    let again = say(&mut case, who("ann", &["sre"]), Said::Approve, 20);
    assert!(matches!(again, Err(CannotDecide::Again(_))));
    say(&mut case, who("bob", &["sre"]), Said::Approve, 30).unwrap();
    assert_eq!(case.state(1000 * SECOND), RequestState::Approved, "what was approved stays so");
    let grant = case.grant.as_ref().unwrap();
    assert_eq!((grant.from_ns, grant.until_ns, grant.uses), (30 * SECOND, 80 * SECOND, 3));
    assert!(!case.may_be_used(29 * SECOND) && case.may_be_used(30 * SECOND) && !case.may_be_used(80 * SECOND));
}

#[test]
fn nobody_decides_on_what_they_asked_for() {
    let mut case = case(vec![terms(of("sre", 1))]);
    let own = say(&mut case, who("dev", &["sre"]), Said::Approve, 1);
    assert!(matches!(own, Err(CannotDecide::OwnRequest(_))));
    let robot = Person { minted_by: Some(Box::new(Person::new("idp", "dev"))), ..Person::new("weir", "robot") };
    let minted = Requester { person: robot, groups: vec!["sre".to_owned()] };
    assert!(matches!(say(&mut case, minted, Said::Approve, 1), Err(CannotDecide::OwnRequest(_))));
    let own_deny = say(&mut case, who("dev", &["sre"]), Said::Deny, 1);
    assert!(matches!(own_deny, Err(CannotDecide::OwnRequest(_))));
}

#[test]
fn who_is_in_no_group_that_is_asked_for_has_no_say_and_cannot_deny_either() {
    let mut case = case(vec![terms(of("sre", 1))]);
    for said in [Said::Approve, Said::Deny] {
        assert!(matches!(say(&mut case, who("eve", &["dev"]), said, 1), Err(CannotDecide::NoSay { .. })));
    }
    assert!(case.decisions.is_empty());
}

#[test]
fn one_deny_ends_it_whoever_has_approved_before() {
    let mut case = case(vec![terms(of("sre", 2))]);
    say(&mut case, who("ann", &["sre"]), Said::Approve, 1).unwrap();
    say(&mut case, who("bob", &["sre"]), Said::Deny, 2).unwrap();
    assert_eq!(case.state(3 * SECOND), RequestState::Denied);
    let late = say(&mut case, who("eve", &["sre"]), Said::Approve, 3);
    assert!(matches!(late, Err(CannotDecide::Over { state: RequestState::Denied, .. })));
    assert!(case.grant.is_none());
}

#[test]
fn every_rule_that_holds_it_has_to_be_met() {
    let mut case = case(vec![terms(of("sre", 1)), Terms { valid_s: 5, uses: 1, ..terms(of("owners", 1)) }]);
    say(&mut case, who("ann", &["sre"]), Said::Approve, 1).unwrap();
    assert_eq!(case.state(SECOND), RequestState::Pending);
    say(&mut case, who("bob", &["owners"]), Said::Approve, 2).unwrap();
    let grant = case.grant.as_ref().unwrap();
    assert_eq!((grant.until_ns, grant.uses), (7 * SECOND, 1), "and the strictest of them is what it gives");
}

#[test]
fn a_request_runs_out() {
    let mut case = case(vec![terms(of("sre", 1))]);
    let late = say(&mut case, who("ann", &["sre"]), Said::Approve, 100);
    assert!(matches!(late, Err(CannotDecide::Over { state: RequestState::Expired, .. })));
}

#[test]
fn where_a_reason_is_asked_for_nobody_approves_without() {
    let mut case = case(vec![Terms { reason_required: true, ..terms(of("sre", 1)) }]);
    assert!(matches!(say(&mut case, who("ann", &["sre"]), Said::Approve, 1), Err(CannotDecide::NoReason(_))));
    case.request.reason = Some("OPS-12".to_owned());
    say(&mut case, who("ann", &["sre"]), Said::Approve, 1).unwrap();
}

#[test]
fn the_glass_is_broken_by_the_requester_alone_and_stays_open_for_review() {
    let mut case = case(vec![terms(of("sre", 2))]);
    let other = say(&mut case, who("ann", &["oncall"]), Said::BreakGlass, 1);
    assert!(matches!(other, Err(CannotDecide::NoBreakGlass(_))), "for somebody else's action");
    say(&mut case, who("dev", &["oncall"]), Said::BreakGlass, 1).unwrap();
    assert!(case.may_be_used(2 * SECOND) && case.is_to_be_reviewed());
    assert!(matches!(say(&mut case, who("dev", &["sre"]), Said::Review, 3), Err(CannotDecide::OwnRequest(_))));
    say(&mut case, who("ann", &["sre"]), Said::Review, 3).unwrap();
    assert!(!case.is_to_be_reviewed());
}

#[test]
fn a_time_that_is_open_ends_with_its_grant() {
    let mut case = case(vec![Terms { window_s: 30, ..terms(of("sre", 1)) }]);
    say(&mut case, who("ann", &["sre"]), Said::Approve, 10).unwrap();
    assert_eq!(case.open_until(11 * SECOND), None, "not before it is used");
    case.uses.push(Use { at_ns: 40 * SECOND, by: String::new() });
    assert_eq!(case.open_until(41 * SECOND), Some(60 * SECOND));
    let by = Person::new("idp", "ann");
    case.grant.as_mut().unwrap().revoked = Some(Revoked { by, at_ns: 45 * SECOND, reason: None });
    assert_eq!(case.open_until(46 * SECOND), None);
}
