//! Every row and version of the table as requests made from the layouts: answered through Weir as by the broker, or
//! refused as the row's class says.

use weir::wire::kafka::api::{self, Api, Class};
use weir::wire::kafka::layout::Direction;

use super::arena::{Arena, Outcome, address, ask, same};
use super::reading;
use super::sample::{Shape, frame, layout, sample};

/// Answers that move in the cluster get another chance: both sides are asked again, under other names.
const ATTEMPTS: usize = 3;

const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;

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
        for request in &self.kept_back {
            if reached.iter().any(|(client, ..)| *client == request.0) {
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
                Outcome::Answer(answer) => reading::read(row.key, version, &answer).unwrap(),
                Outcome::Closed => "closed".to_owned(),
            };
            // What asks for nothing has no place to say no at: it is answered by as much nothing, or closed.
            let says_no = told.contains(&format!("error_code: {CLUSTER_AUTHORIZATION_FAILED},"));
            if !says_no && shape == Shape::Full {
                sent.wrong.push(format!("{} v{version}: {told}", row.name));
            }
            if !says_no && told.contains("error_code: 0,") && shape == Shape::Bare {
                sent.wrong.push(format!("{} v{version} is answered as if it had been done: {told}", row.name));
            }
            sent.kept_back.push((name, row.key, version));
        }
    }
}
