//! Sends what is wrong both ways, and judges what comes of it.
//!
//! The promise: in bounded time there is an answer or a close. Where the broker answers, Weir gives its answer, or is
//! stricter by a rule that stands here with its reason. Where the broker closes, Weir does, or says no. What Weir did
//! not let pass has not reached the broker.

use std::collections::{BTreeMap, BTreeSet};

use weir::wire::kafka::api::{Api, Class};

use super::arena::{Arena, Outcome, address, ask, same, says_no};
use super::generated::{Sent, rows};
use super::hostile::{Twist, Variant, variants};

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
        let agreed = match (&broker, &weir) {
            // What Weir answers itself it does not have to answer in the broker's words.
            _ if row.class == Class::Here => return Ok((twist, false)),
            (Outcome::Closed, Outcome::Closed) => Ok(()),
            (Outcome::Closed, Outcome::Answer(_)) => Ok(()),
            (Outcome::Answer(direct), Outcome::Answer(through_weir)) => same(row.key, version, [direct, through_weir]),
            (Outcome::Answer(direct), Outcome::Closed) => Err(format!("closed, the broker says {direct:?}")),
        };
        let stricter = STRICTER.iter().any(|(strict, _)| *strict == twist);
        let passed = agreed.is_ok() && matches!(broker, Outcome::Answer(_));
        if passed && twist == Twist::ReplicaId {
            return Err(format!("{place}: passed on, and answered {weir:?}"));
        }
        if !passed {
            self.sent.kept_back.push((name, row.key, version));
        }
        match agreed {
            Ok(()) => Ok((twist, false)),
            Err(_) if stricter && !matches!(&weir, Outcome::Answer(answer) if !says_no(answer)) => Ok((twist, true)),
            Err(why) => Err(format!("{place}: {why}")),
        }
    }
}

/// Every reason to be stricter has been needed.
pub fn rules_are_needed(seen: &Seen) {
    let idle: BTreeSet<Twist> =
        STRICTER.iter().map(|(twist, _)| *twist).filter(|twist| seen.get(twist).is_none_or(|n| n[1] == 0)).collect();
    assert!(idle.is_empty(), "nothing is stricter about {idle:?} any more");
}
