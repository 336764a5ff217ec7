//! How fast values are masked, on one core: JSON events of 1 KiB, with and without the fields that rules name, under 1 to
//! 512 rules, beside decoding and encoding them again with serde_json and beside the `regex` crate.
//!
//! All take turns in one run; the ratios are what carries over to other machines. No figure is asserted, but each is checked
//! to mask what it is to mask.

mod contestants;
mod events;

use std::time::{Duration, Instant};

use contestants::{COUNTS, Contestant, compile, contestants, rules};

const ROUNDS: usize = 7;
const TURN: Duration = Duration::from_millis(120);

/// Compilations of one plan.
const COMPILATIONS: usize = 50;

/// Characters of the longest bar.
const PLOT_WIDTH: f64 = 64.0;

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
        report(&contestants, &speeds);
    }
    println!(
        "us to compile a plan, which the shard does that meets its rules first: median of {COMPILATIONS} (slowest)"
    );
    COUNTS.into_iter().try_for_each(report_compilation)
}

/// How long a plan of so many rules takes.
fn report_compilation(count: usize) -> Result<(), Error> {
    let rules = rules(count)?;
    let once = |_| {
        let began = Instant::now();
        std::hint::black_box(compile(&rules));
        began.elapsed().as_secs_f64() * 1e6
    };
    let times: Vec<f64> = (0..COMPILATIONS).map(once).collect();
    let slowest = times.iter().copied().fold(0.0, f64::max);
    println!("  {count:4} rules {:6.0} ({slowest:.0})", median(times.into_iter()));
    Ok(())
}

/// Speeds by rounds, beside those of serde_json and the `regex` crate, which come first; and what a value costs by the
/// number of rules. Ratios are of one round each: what else runs on the machine changes from one to the next.
fn report(contestants: &[Contestant], speeds: &[Vec<f64>]) {
    let ratio = |i: usize, to: usize| median(speeds[i].iter().zip(&speeds[to]).map(|(speed, to)| speed / to));
    for (i, contestant) in contestants.iter().enumerate() {
        let slowest = speeds[i].iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = speeds[i].iter().copied().fold(0.0, f64::max);
        println!(
            "  {:44} {:6.2} ({slowest:.2} to {fastest:.2})  {:6.1} x serde_json {:6.1} x regex",
            contestant.name,
            median(speeds[i].iter().copied()),
            ratio(i, 0),
            ratio(i, 1)
        );
    }
    println!("  ns for an event, by rules");
    // A byte at 1 GB/s takes a nanosecond.
    let costs = contestants.iter().enumerate().filter_map(|(i, contestant)| {
        let rules = contestant.rules?;
        Some((rules, events::LENGTH as f64 / median(speeds[i].iter().copied())))
    });
    let most = costs.clone().map(|(_, ns)| ns).fold(0.0, f64::max);
    for (rules, ns) in costs {
        println!("  {rules:4} {ns:6.0} {}", "#".repeat((PLOT_WIDTH * ns / most).round() as usize));
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
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
