//! How fast values are masked, on one core: JSON events of 1 KiB, with and without the fields that rules name, under 1 to
//! 512 rules, beside decoding and encoding them again with serde_json and beside the `regex` crate.
//!
//! All take turns in one run; the ratios are what carries over to other machines. No figure is asserted, but each is checked
//! to mask what it is to mask.

mod contestants;
mod events;

use std::time::{Duration, Instant};

use contestants::{Contestant, contestants};

const ROUNDS: usize = 7;
const TURN: Duration = Duration::from_millis(120);

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let (clean, sensitive) = (events::clean(), events::sensitive());
    println!(
        "GB/s of values on one core, medians of {ROUNDS} rounds (slowest to fastest); events of {} bytes, of which",
        events::LENGTH
    );
    println!("some have {} fields that the rules name", events::SENSITIVE.len());
    let mut contestants = contestants()?;
    check(&mut contestants, &clean, &sensitive);
    for (title, events) in [("without a sensitive field", &clean), ("masked", &sensitive)] {
        let mut speeds: Vec<Vec<f64>> = contestants.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (contestant, speeds) in contestants.iter_mut().zip(&mut speeds) {
                speeds.push(turn(contestant, events)?);
            }
        }
        println!("{title}");
        speeds.iter_mut().for_each(|speeds| speeds.sort_unstable_by(f64::total_cmp));
        let serde = speeds[0][ROUNDS / 2];
        for (contestant, speeds) in contestants.iter().zip(&speeds) {
            let median = speeds[ROUNDS / 2];
            let (slowest, fastest) = (speeds[0], speeds[ROUNDS - 1]);
            println!(
                "  {:44} {median:6.2} ({slowest:.2} to {fastest:.2})  {:6.1} x serde_json",
                contestant.name,
                median / serde
            );
        }
    }
    Ok(())
}

/// GB/s of one turn, by the time that this thread had a core.
fn turn(contestant: &mut Contestant, events: &[Vec<u8>]) -> Result<f64, Error> {
    let (began, cpu) = (Instant::now(), cpu()?);
    let (mut bytes, mut masked, mut out) = (0, 0, Vec::new());
    while began.elapsed() < TURN {
        for event in events {
            masked += u32::from(contestant.mask(event, &mut out));
            bytes += event.len();
        }
    }
    std::hint::black_box((masked, out));
    Ok(bytes as f64 / (self::cpu()? - cpu) as f64)
}

/// How long this thread has had a core, ns (proc(5), schedstat).
fn cpu() -> Result<u64, Error> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?)
}

/// A figure of something that does not mask would be none.
fn check(contestants: &mut [Contestant], clean: &[Vec<u8>], sensitive: &[Vec<u8>]) {
    let mut out = Vec::new();
    for contestant in contestants.iter_mut().filter(|contestant| contestant.by_name) {
        assert!(!clean.iter().any(|event| contestant.mask(event, &mut out)), "{}", contestant.name);
    }
    for contestant in contestants {
        for event in sensitive {
            let masked = contestant.mask(event, &mut out);
            let shown = String::from_utf8_lossy(&out);
            let left = events::SENSITIVE[..contestant.fields].iter().filter(|(_, value)| shown.contains(value)).count();
            assert!(masked && left == 0, "{} leaves {left} of {}", contestant.name, contestant.fields);
        }
    }
}
