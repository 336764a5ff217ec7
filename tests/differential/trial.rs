//! Sends what is wrong both ways, and judges what comes of it.
//!
//! The promise: in bounded time there is an answer or a close. Where the broker answers, Weir gives its answer, or is
//! stricter by a rule that stands here with its reason. Where the broker closes, Weir does, or says no. What Weir
//! answers itself it says in its own words: an error where the broker has one, else none. What Weir did not let pass has
//! not reached the broker.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use weir::pipeline::guard::CLUSTER_AUTHORIZATION_FAILED;
use weir::wire::kafka::api::{Api, Class, key};

use super::arena::{Arena, Outcome, address, ask, refuses, same};
use super::generated::{Sent, rows};
use super::hostile::{Twist, Variant, variants};
use super::reading;

/// Where Weir is stricter than the broker, and why.
pub const STRICTER: &[(Twist, &str)] = &[
    (Twist::BytesLeft, "a body that goes on behind its layout is not understood, and what is not is not let pass"),
    (Twist::OtherHeader, "the same: a tagged section that the version does not have shifts all that follows"),
    (Twist::NegativeForNull, "-1 is null; the broker takes any negative number for it"),
    (Twist::NotUtf8, "a name that is not text cannot be recorded or judged; the broker replaces what is wrong in it"),
    (Twist::ClientIdNotUtf8, "the same"),
    (Twist::WrongTagSize, "the broker reads known fields without a look at their size, so that one may hide another"),
    (Twist::HugeTagCount, "the broker takes a count of 2^32 - 1 for -1 and reads on; nobody means that"),
    (Twist::ReplicaId, "a client that says it is a broker"),
    (Twist::ManyHeaderTags, "no client has more than none; a limit"),
];

/// What was seen of each twist: agreed on, stricter.
pub type Seen = BTreeMap<Twist, [usize; 2]>;

/// Answers that move in the cluster get another chance, under other names.
const ATTEMPTS: usize = 3;

/// Sends every variant of every version of every row.
pub fn run(arena: &Arena) -> (Sent, Seen) {
    let (mut sent, mut seen) = (Sent::default(), Seen::new());
    for (row, version) in rows() {
        for nth in 0..variants(row, version, &arena.names().0[0]).len() {
            let mut trial = Trial { arena, row, version, nth, sent: &mut sent };
            let mut judged = trial.hold();
            for _ in 1..ATTEMPTS {
                if judged.is_err() {
                    judged = trial.hold();
                }
            }
            match judged {
                Ok((twist, stricter)) => seen.entry(twist).or_default()[usize::from(stricter)] += 1,
                Err(why) => sent.wrong.push(why),
            }
        }
    }
    (sent, seen)
}

struct Trial<'a> {
    arena: &'a Arena,
    row: &'static Api,
    version: i16,
    /// Which of the variants.
    nth: usize,
    sent: &'a mut Sent,
}

impl Trial<'_> {
    /// Asks both; gives whether Weir was stricter.
    fn hold(&mut self) -> Result<(Twist, bool), String> {
        let Trial { arena, row, version, nth, .. } = *self;
        let [ours, name] = arena.names().0;
        let [direct, through_weir] = [&ours, &name].map(|name| variants(row, version, name).swap_remove(nth));
        let Variant { twist, field, .. } = direct;
        let place = format!("{} v{version}, {twist:?} at {field}", row.name);
        let broker = ask(address(), &direct.frame).map_err(|e| format!("{place}: straight to the broker: {e}"))?;
        let weir = ask(arena.door(row), &through_weir.frame).map_err(|e| format!("{place}: through Weir: {e}"))?;
        let refuses = |answer: &Bytes| refuses(row.key, version, answer, no(row));
        let agreed = match (&broker, &weir) {
            (Outcome::Closed, Outcome::Closed) => Ok(()),
            (Outcome::Closed, Outcome::Answer(answer)) => match refuses(answer) {
                Ok(true) => Ok(()),
                other => Err(format!("the broker closes, Weir answers {answer:?}: a refusal? {other:?}")),
            },
            (Outcome::Answer(direct), Outcome::Answer(through_weir)) if row.class == Class::Here => {
                same_of_here(row, version, direct, through_weir)
            }
            (Outcome::Answer(direct), Outcome::Answer(through_weir)) => same(row.key, version, [direct, through_weir]),
            (Outcome::Answer(direct), Outcome::Closed) => Err(format!("closed, the broker says {direct:?}")),
        };
        let stricter = STRICTER.iter().any(|(strict, _)| *strict == twist);
        let passed = row.class != Class::Here && agreed.is_ok() && matches!(broker, Outcome::Answer(_));
        if passed && twist == Twist::ReplicaId {
            return Err(format!("{place}: passed on, and answered {weir:?}"));
        }
        let refused = match &weir {
            Outcome::Closed => true,
            Outcome::Answer(answer) => (twist == Twist::ReplicaId || row.class == Class::Here) && refuses(answer)?,
        };
        match (&broker, &weir) {
            _ if passed => {}
            _ if row.class == Class::Here => self.sent.kept_back.push((name, row.key, version)),
            (Outcome::Closed, Outcome::Closed) => self.sent.closed.push(([ours, name], row.key, version)),
            _ if agreed.is_ok() || (stricter && refused) => self.sent.kept_back.push((name, row.key, version)),
            _ => {}
        }
        match agreed {
            Ok(()) => Ok((twist, false)),
            Err(_) if stricter && refused => Ok((twist, true)),
            Err(why) => Err(format!("{place}: {why}")),
        }
    }
}

/// The codes by which Weir says no to a request of this API.
fn no(row: &Api) -> &'static [i16] {
    const INVALID_REQUEST: i16 = 42;
    const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
    const ILLEGAL_SASL_STATE: i16 = 34;
    match row.key {
        key::API_VERSIONS => &[INVALID_REQUEST],
        // These listeners have no login.
        key::SASL_HANDSHAKE | key::SASL_AUTHENTICATE => &[UNSUPPORTED_SASL_MECHANISM, ILLEGAL_SASL_STATE],
        _ => &[CLUSTER_AUTHORIZATION_FAILED],
    }
}

/// Whether what Weir answers itself says what the broker says of the request: that all is well, or that it is not.
fn same_of_here(row: &Api, version: i16, direct: &Bytes, through_weir: &Bytes) -> Result<(), String> {
    let errors = |answer| reading::errors(row.key, version, answer).map_err(|e| e.to_string());
    let (direct, ours) = (errors(direct)?, errors(through_weir)?);
    let well = direct.iter().all(|code| *code == 0);
    let said = if well { ours == direct } else { refuses(row.key, version, through_weir, no(row))? };
    if said { Ok(()) } else { Err(format!("the broker says {direct:?}, Weir {ours:?}")) }
}

/// Every reason to be stricter has been needed.
pub fn rules_are_needed(seen: &Seen) {
    let idle: BTreeSet<Twist> =
        STRICTER.iter().map(|(twist, _)| *twist).filter(|twist| seen.get(twist).is_none_or(|n| n[1] == 0)).collect();
    assert!(idle.is_empty(), "nothing is stricter about {idle:?} any more");
}
