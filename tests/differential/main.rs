//! The same request, straight to a broker and through Weir: the answers are the same.
//!
//! Three corpora. The first is written by hand: a request that succeeds for every API that is passed on, in every
//! version, read by a library of others where it knows the version. The second is generated from the table of layouts:
//! every version of every row, with nothing in it and with one of everything. The third is what no client should send.
//! Where something is changed each side has things of its own, named alike; what the cluster makes up (ids, addresses)
//! is blanked out, all else has to be the same bytes.
//!
//! A row or version that enters the table and has no case fails; so does `docs/compatibility.md` when it is not what
//! these tables give.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod arena;
mod case;
#[path = "../common/mod.rs"]
mod common;
mod forwarded;
mod generated;
mod groups;
mod hostile;
mod outside;
mod page;
mod reading;
mod reads;
mod sample;
mod security;
mod share;
mod topics;
mod transactions;
mod trial;
mod world;

use weir::wire::kafka::api::{self, Class};
use weir::wire::kafka::layout::Direction;

use arena::Arena;
use case::{Case, tame};
use world::World;

#[test]
fn every_api_answers_through_weir_as_it_does_directly() {
    for runtime in common::RUNTIMES {
        let world = World::start(runtime);
        let mut different = Vec::new();
        for case in corpus() {
            for version in case.versions.clone().filter(|v| world.serves(case.key, *v)) {
                if let Err(why) = compare(&world, &case, version) {
                    different.push(format!("{runtime}: {} v{version}: {why}", api::name(case.key)));
                }
            }
        }
        assert!(different.is_empty(), "{}\n{}", different.join("\n"), world.gateway_log());
    }
}

#[test]
fn every_version_of_every_row_answers_as_the_broker_does_or_is_refused_before_it() {
    for runtime in common::RUNTIMES {
        let arena = Arena::start(runtime);
        let mut sent = generated::compare_all(&arena);
        generated::refuse_security_changes(&arena, &mut sent);
        sent.check(&arena);
    }
}

#[test]
fn what_no_client_should_send_gets_the_brokers_answer_or_none_and_never_reaches_it_against_the_rules() {
    for runtime in common::RUNTIMES {
        let arena = Arena::start(runtime);
        let (sent, seen) = trial::run(&arena);
        println!("{runtime}: agreed on, stricter: {seen:?}");
        sent.check(&arena);
        trial::rules_are_needed(&seen);
    }
}

#[test]
fn what_is_not_in_the_table_and_what_only_brokers_say_is_refused_before_it_reaches_one() {
    for runtime in common::RUNTIMES {
        let arena = Arena::start(runtime);
        outside::run(&arena).check(&arena);
        let wrong = outside::reaches_nobody(runtime);
        assert!(wrong.is_empty(), "{runtime}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn what_is_passed_on_arrives_byte_for_byte_in_every_version_both_ways() {
    for runtime in common::RUNTIMES {
        let wrong = forwarded::run(runtime);
        assert!(wrong.is_empty(), "{runtime}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn a_row_or_version_that_enters_the_table_without_a_case_is_found() {
    let corpus = corpus();
    let mut missing = Vec::new();
    assert!(generated::rows().count() > 200);
    for (row, version) in generated::rows() {
        let by_hand = corpus.iter().any(|case| case.key == row.key && case.versions.contains(&version));
        // What Weir answers itself has tests of its own, by name.
        let never_succeeds = page::NOT_ADVERTISED.iter().any(|(key, _)| *key == row.key);
        if by_hand == never_succeeds && !page::answered_here(row.key) {
            missing.push(format!("{} v{version} has no case that succeeds, or one too many", row.name));
        }
        for direction in [Direction::Request, Direction::Response] {
            let has_layout = sample::layout(row.key, direction).is_some_and(|m| m.versions.contains(version));
            if !has_layout {
                missing.push(format!("{} v{version}: no {direction} can be generated", row.name));
            }
        }
    }
    for row in api::TABLE.iter().filter(|row| page::answered_here(row.key)) {
        assert_eq!(row.class, Class::Here, "{} is not answered by Weir itself", row.name);
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn the_compatibility_page_says_what_the_tables_say() {
    let written = std::fs::read_to_string(page::PATH).unwrap_or_default();
    let now = page::text(&corpus());
    assert!(written == now, "docs/compatibility.md is stale: `make compatibility` writes it anew\n{now}");
}

#[test]
#[ignore = "writes docs/compatibility.md: make compatibility"]
fn write_the_compatibility_page() {
    std::fs::write(page::PATH, page::text(&corpus())).unwrap();
}

/// Cases that only look come first, while nothing moves in the cluster.
fn corpus() -> Vec<Case> {
    [reads::cases(), topics::cases(), groups::cases(), transactions::cases(), share::cases(), security::cases()]
        .into_iter()
        .flatten()
        .collect()
}

fn compare(world: &World, case: &Case, version: i16) -> Result<(), String> {
    let [direct, through_weir] = world.sides().map(|side| case.ask(&side, version));
    let direct = direct.map_err(|e| format!("straight to the broker: {e}"))?;
    let through_weir = through_weir.map_err(|e| format!("through Weir: {e}"))?;
    if let Some(code) = direct.errors().into_iter().find(|code| *code != 0 && !case.errors.contains(code)) {
        return Err(format!("the broker itself says error {code}: {}", direct.text));
    }
    if case.differs.is_empty() {
        return match direct.frame == through_weir.frame {
            true => Ok(()),
            false => Err(format!("the bytes differ:\n  {}\n  {}", direct.text, through_weir.text)),
        };
    }
    let (direct, through_weir) = (tame(&direct.text, case.differs), tame(&through_weir.text, case.differs));
    match direct == through_weir {
        true => Ok(()),
        false => Err(format!("the answers differ:\n  {direct}\n  {through_weir}")),
    }
}
