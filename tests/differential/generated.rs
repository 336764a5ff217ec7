//! Every row and version of the table as requests made from the layouts: answered through Weir as by the broker, or
//! refused as the row's class says.

use std::collections::BTreeSet;

use weir::pipeline::guard::CLUSTER_AUTHORIZATION_FAILED;
use weir::wire::kafka::api::{self, Api, Class};
use weir::wire::kafka::layout::Direction;

use super::arena::{Arena, Outcome, address, ask, same};
use super::reading;
use super::sample::{Shape, frame, layout, sample};

/// Answers that move in the cluster get another chance: both sides are asked again, under other names.
const ATTEMPTS: usize = 3;

/// The rows and versions for which requests are generated: all that are served.
pub fn rows() -> impl Iterator<Item = (&'static Api, i16)> {
    api::TABLE.iter().flat_map(|row| (row.served.min..=row.served.max).map(move |version| (row, version)))
}

/// What became of the requests of one runtime.
#[derive(Default)]
pub struct Sent {
    /// What was not as promised.
    pub wrong: Vec<String>,
    /// Client ids of requests that the broker has answered through Weir.
    pub forwarded: Vec<(String, i16, i16)>,
    /// Client ids of requests that must not have reached it.
    pub kept_back: Vec<(String, i16, i16)>,
    /// Client ids of requests, asked directly and through Weir, that both ended without an answer.
    pub closed: Vec<([String; 2], i16, i16)>,
}

impl Sent {
    /// Holds what reached the broker against what should have.
    pub fn check(mut self, arena: &Arena) {
        let reached = arena.reached();
        let logged = |(client, key, version): &(String, i16, i16)| {
            reached.contains(&(client.clone(), i64::from(*key), i64::from(*version)))
        };
        for request in self.forwarded.iter().filter(|request| !logged(request)) {
            self.wrong.push(format!("{} v{}: answered, but not by the broker", api::name(request.1), request.2));
        }
        let clients: BTreeSet<&str> = reached.iter().map(|(client, ..)| client.as_str()).collect();
        // A broker may close over what it has done, where it cannot write its answer: then it does so for both.
        for ([ours, through_weir], key, version) in &self.closed {
            if clients.contains(through_weir.as_str()) && !clients.contains(ours.as_str()) {
                self.wrong.push(format!("{} v{version}: taken from Weir only, and not answered", api::name(*key)));
            }
        }
        for request in &self.kept_back {
            if clients.contains(request.0.as_str()) {
                self.wrong.push(format!("{} v{}: refused, and still forwarded", api::name(request.1), request.2));
            }
        }
        let runtime = arena.runtime;
        assert!(self.wrong.is_empty(), "{runtime}: {} are wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
        arena.still_stands();
    }
}

/// Each request, asked directly and through a gateway that lets it pass.
pub fn compare_all(arena: &Arena) -> Sent {
    let mut sent = Sent::default();
    for (row, version) in rows().filter(|(row, _)| row.class != Class::Here) {
        for shape in [Shape::Bare, Shape::Full] {
            let mut said = Ok(());
            for _ in 0..ATTEMPTS {
                said = compare(arena, row, version, shape, &mut sent);
                if said.is_ok() {
                    break;
                }
            }
            if let Err(why) = said {
                sent.wrong.push(format!("{} v{version} {shape:?}: {why}", row.name));
            }
        }
    }
    sent
}

fn compare(arena: &Arena, row: &Api, version: i16, shape: Shape, sent: &mut Sent) -> Result<(), String> {
    let names = arena.names().0;
    let message = layout(row.key, Direction::Request).ok_or("no layout")?;
    let frames = names.each_ref().map(|name| frame(row, version, name, &sample(message, version, shape, name).body));
    let direct = ask(address(), &frames[0]).map_err(|e| format!("straight to the broker: {e}"))?;
    let through_weir = ask(arena.door(row), &frames[1]).map_err(|e| format!("through Weir: {e}"))?;
    match (direct, through_weir) {
        (Outcome::Closed, Outcome::Closed) => Ok(()),
        (Outcome::Answer(direct), Outcome::Answer(through_weir)) => {
            sent.forwarded.push((names[1].clone(), row.key, version));
            same(row.key, version, [&direct, &through_weir])
        }
        (direct, through_weir) => Err(format!("{direct:?} directly, {through_weir:?} through Weir")),
    }
}

/// Each change of security, where the listener allows none: refused in its API's own words.
pub fn refuse_security_changes(arena: &Arena, sent: &mut Sent) {
    for (row, version) in rows().filter(|(row, _)| row.class == Class::Security) {
        for shape in [Shape::Bare, Shape::Full] {
            let name = arena.names().0[1].clone();
            let message = layout(row.key, Direction::Request).unwrap();
            let frame = frame(row, version, &name, &sample(message, version, shape, &name).body);
            let told = match ask(arena.gateway.address(), &frame).unwrap() {
                Outcome::Answer(answer) => Some(reading::errors(row.key, version, &answer).unwrap()),
                Outcome::Closed => None,
            };
            // What asks for nothing has no place to say no at: it is answered by as much nothing, or closed.
            let asked_for_nothing = shape == Shape::Bare && told.as_ref().is_none_or(Vec::is_empty);
            let no = i64::from(CLUSTER_AUTHORIZATION_FAILED);
            let says_no = told.as_ref().is_some_and(|codes| !codes.is_empty() && codes.iter().all(|code| *code == no));
            if !says_no && !asked_for_nothing {
                sent.wrong.push(format!("{} v{version} {shape:?}: {told:?}", row.name));
            }
            sent.kept_back.push((name, row.key, version));
        }
    }
}
