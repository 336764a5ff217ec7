//! Who decides, and what follows from it.

use super::common::RUNTIMES;
use super::world::{POLICY_VIOLATION, RULES, World, delete, exists, make};

/// A request of `dev`'s that is open.
fn opened(world: &World, topic: &str) -> String {
    make(topic);
    assert_eq!(delete(&mut world.connection(&world.dev), topic).0, POLICY_VIOLATION);
    world.pending(&format!("delete topics {topic}"))
}

#[test]
fn requesters_and_those_without_a_say_do_not_decide() {
    let world = World::with("epoll", RULES);
    let id = opened(&world, "prod.whose");
    assert!(world.cannot_say(&world.dev, &["approve", &id]).contains("another person has to decide"));
    let eve = super::person::Person::of(&world.gateway, "eve", "dev");
    assert!(world.cannot_say(&eve, &["approve", &id]).contains("it is for 1 of sre to decide"));
    assert!(world.cannot_say(&eve, &["deny", &id, "--reason", "no"]).contains("it is for 1 of sre to decide"));
    assert!(world.gateway.weir(&["approve", &id]).unwrap_err().to_string().contains("set WEIR_TOKEN"));
    assert!(world.cannot_say(&world.ann, &["approve", "r-nothere"]).contains("no request has the id r-nothere"));
}

#[test]
fn a_no_is_told_with_its_reason_and_stands() {
    let world = World::with("epoll", RULES);
    let id = opened(&world, "prod.denied");
    world.says(&world.bob, &["deny", &id, "--reason", "still in use"]);
    let (code, words) = delete(&mut world.connection(&world.dev), "prod.denied");
    assert_eq!(code, POLICY_VIOLATION);
    assert!(words.contains(&id) && words.contains("still in use"), "{words}");
    assert!(world.cannot_say(&world.ann, &["approve", &id]).contains("is denied already"));
    assert_eq!(world.requests().len(), 1, "trying again asks nobody again");
}

#[test]
fn a_quorum_takes_distinct_people_of_each_group() {
    let rules = RULES.replace("{ group: sre }", "{ all: [{ group: sre, count: 1 }, { group: security }] }");
    let world = World::with("epoll", &rules);
    let id = opened(&world, "prod.quorum");
    assert!(world.says(&world.bob, &["approve", &id]).contains("pending"));
    assert!(world.cannot_say(&world.bob, &["approve", &id]).contains("has approved it already"));
    assert!(world.says(&world.ann, &["approve", &id]).contains("approved"));
    assert_eq!(delete(&mut world.connection(&world.dev), "prod.quorum").0, 0);
}

#[test]
fn where_a_reason_is_asked_for_nobody_approves_without_one() {
    let world = World::with("epoll", &format!("{RULES}    reason: required\n"));
    make("prod.why");
    let (_, words) = delete(&mut world.connection(&world.dev), "prod.why");
    let id = world.pending("delete topics prod.why");
    assert!(words.contains(&format!("weir request {id} --reason")), "{words}");
    assert!(world.cannot_say(&world.ann, &["approve", &id]).contains("has given no reason yet"));
    assert!(world.cannot_say(&world.ann, &["request", &id, "--reason", "mine"]).contains("did not ask for"));
    world.says(&world.dev, &["request", &id, "--reason", "OPS-12"]);
    world.says(&world.ann, &["approve", &id]);
    let mut reasoned = world.connection(&world.dev).with_client_id("tool;reason=OPS-13");
    make("prod.why-else");
    assert_eq!(delete(&mut reasoned, "prod.why-else").0, POLICY_VIOLATION);
    let case = &world.requests()[0];
    assert_eq!((case["reason"].as_str(), case["client_id"].as_str()), (Some("OPS-13"), Some("tool;reason=OPS-13")));
}

#[test]
fn a_grant_that_is_taken_back_is_none() {
    let world = World::with("epoll", RULES);
    let id = opened(&world, "prod.taken-back");
    world.says(&world.ann, &["approve", &id, "--for", "1m"]);
    assert!(world.says(&world.bob, &["revoke", &id]).contains("revoked by bob"));
    assert_eq!(delete(&mut world.connection(&world.dev), "prod.taken-back").0, POLICY_VIOLATION);
    assert!(exists("prod.taken-back"));
}

#[test]
fn the_glass_is_broken_with_a_reason_and_stays_open_for_review() {
    let world = World::with("epoll", RULES);
    let id = opened(&world, "prod.fire");
    assert!(world.cannot_say(&world.ann, &["break-glass", &id, "--reason", "mine"]).contains("may break the glass"));
    assert!(world.says(&world.dev, &["break-glass", &id, "--reason", "disk full"]).contains("broke the glass"));
    assert_eq!(delete(&mut world.connection(&world.dev), "prod.fire").0, 0);
    let open = world.gateway.weir_json(&["requests", "--state", "to-be-reviewed"]).unwrap();
    assert_eq!(open.len(), 1);
    world.says(&world.ann, &["review", &id, "--reason", "seen"]);
    assert!(world.gateway.weir_json(&["requests", "--state", "to-be-reviewed"]).unwrap().is_empty());
}

#[test]
fn grants_and_their_uses_outlive_the_gateway_however_it_ends() {
    for runtime in RUNTIMES {
        let mut world = World::with(runtime, RULES);
        let topic = format!("prod.outlives-{runtime}");
        let id = opened(&world, &topic);
        world.says(&world.ann, &["approve", &id]);
        world.gateway.kill9().unwrap();
        world.gateway.start_again().unwrap();
        assert_eq!(delete(&mut world.connection(&world.dev), &topic).0, 0, "the grant is still there");
        world.gateway.kill9().unwrap();
        world.gateway.start_again().unwrap();
        make(&topic);
        assert_eq!(delete(&mut world.connection(&world.dev), &topic).0, POLICY_VIOLATION, "and its use as well");
    }
}
