//! The same request, straight to a broker and through Weir: the answers are the same.
//!
//! The corpus has a case for every API that is passed on, in every version the broker serves; where the broker is only
//! asked, both sides ask about the same things and answers without addresses are compared byte for byte. Where something
//! is changed each side has things of its own, named alike; what the cluster makes up (ids, addresses) is blanked out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod case;
#[path = "../common/mod.rs"]
mod common;
mod groups;
mod reads;
mod share;
mod topics;
mod transactions;
mod world;

use std::collections::BTreeMap;

use kafka_protocol::messages::ApiVersionsRequest;
use loadtest::wire::Connection;
use weir::wire::kafka::api::{self, Class, Versions};

use case::{Case, tame};
use world::World;

/// What has no case, and why.
const EXCUSED: [(i16, Versions, &str); 3] = [
    (
        api::key::DESCRIBE_LOG_DIRS,
        Versions { min: 5, max: 5 },
        "no codec for v5, and its free space changes all the time",
    ),
    (api::key::SHARE_FETCH, Versions { min: 2, max: 2 }, "no codec for v2"),
    (api::key::SHARE_ACKNOWLEDGE, Versions { min: 2, max: 2 }, "no codec for v2"),
];

#[test]
fn every_api_answers_through_weir_as_it_does_directly() {
    let mut covered: BTreeMap<i16, Vec<i16>> = BTreeMap::new();
    for runtime in common::RUNTIMES {
        covered.clear();
        let world = World::start(runtime);
        let mut different = Vec::new();
        for case in corpus() {
            let versions = covered.entry(case.key).or_default();
            for version in case.versions.clone().filter(|v| world.serves(case.key, *v)) {
                if let Err(why) = compare(&world, &case, version) {
                    different.push(format!("{runtime}: {} v{version}: {why}", api::name(case.key)));
                }
                versions.push(version);
            }
        }
        assert!(different.is_empty(), "{}\n{}", different.join("\n"), world.gateway_log());
    }
    print_matrix(&covered);
    everything_is_covered_or_excused(&covered);
}

/// Cases that only look come first, while nothing moves in the cluster.
fn corpus() -> Vec<Case> {
    [reads::cases(), topics::cases(), groups::cases(), transactions::cases(), share::cases()]
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

fn print_matrix(covered: &BTreeMap<i16, Vec<i16>>) {
    println!("the same directly and through Weir, on both runtimes:");
    for (key, versions) in covered {
        let (first, last) = (versions.first(), versions.last());
        let range = first.zip(last).map_or("not served by this broker".into(), |(f, l)| format!("v{f} to v{l}"));
        println!("  {key:>3} {:<32} {range}", api::name(*key));
    }
    for (key, Versions { min, max }, why) in EXCUSED {
        println!("  {key:>3} {:<32} v{min} to v{max} excused: {why}", api::name(key));
    }
}

fn everything_is_covered_or_excused(covered: &BTreeMap<i16, Vec<i16>>) {
    let (_, broker) = common::cluster().addresses()[0];
    let served = Connection::open(broker).unwrap().call(0, &ApiVersionsRequest::default()).unwrap();
    assert!(served.api_keys.len() > 50, "a broker of 4.3 serves more: {served:?}");
    let mut left = Vec::new();
    for at_broker in served.api_keys {
        let Some(row) = api::lookup(at_broker.api_key) else { continue };
        if !matches!(row.class, Class::Forward | Class::Rewrite | Class::Risky) {
            continue;
        }
        let both = row.served.intersect(Versions { min: at_broker.min_version, max: at_broker.max_version });
        for version in both.min..=both.max {
            let has_case = covered.get(&row.key).is_some_and(|versions| versions.contains(&version));
            let excused = EXCUSED.iter().any(|(key, versions, _)| *key == row.key && versions.contains(version));
            if has_case == excused {
                left.push(format!("{} v{version}", row.name));
            }
        }
    }
    assert!(left.is_empty(), "neither covered nor excused, or both: {left:?}");
}
