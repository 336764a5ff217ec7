//! Every fuzz target on stable: its seeds, and some thousand that are changed a little, the same ones every time.

use super::{TARGETS, Target};
use crate::wire::kafka::samples::Dice;

const CHANGED: usize = 4_000;

/// Turns over bits, puts in telling numbers, cuts, repeats, and joins two.
fn change(dice: &mut Dice, one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = one.to_vec();
    for _ in 0..=dice.roll(4) {
        if bytes.is_empty() {
            return vec![dice.roll(256) as u8];
        }
        let at = dice.roll(bytes.len());
        match dice.roll(8) {
            0 => bytes[at] ^= 1 << dice.roll(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.roll(5)],
            2 => {
                let telling =
                    [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff; 4], &[0x80, 0, 0, 0], &[0xff, 0xff, 0xff, 0xff, 0x0f]];
                let telling = telling[dice.roll(4)];
                let end = bytes.len().min(at + telling.len());
                bytes[at..end].copy_from_slice(&telling[..end - at]);
            }
            3 => bytes.truncate(at),
            4 => bytes.extend_from_slice(&other[..dice.roll(other.len() + 1)]),
            5 => drop(bytes.drain(at..bytes.len().min(at + 1 + dice.roll(8)))),
            6 => {
                let end = bytes.len().min(at + 1 + dice.roll(16));
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => bytes[at] = dice.roll(256) as u8,
        }
    }
    bytes
}

fn smoke(target: &Target) {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|seed| (target.run)(seed));
    let mut dice = Dice(0x5eed);
    for _ in 0..CHANGED {
        let (one, other) = (dice.roll(seeds.len()), dice.roll(seeds.len()));
        (target.run)(&change(&mut dice, &seeds[one], &seeds[other]));
    }
}

#[test]
fn no_bytes_break_a_promise_of_any_fuzz_target() {
    std::thread::scope(|scope| {
        let runs = TARGETS.iter().map(|target| (target.name, scope.spawn(|| smoke(target)))).collect::<Vec<_>>();
        let broken = runs.into_iter().filter_map(|(name, run)| run.join().err().map(|_| name));
        let broken: Vec<&str> = broken.collect();
        assert!(broken.is_empty(), "see above: {broken:?}");
    });
}

#[test]
fn every_target_has_a_binary_of_its_name() {
    for target in &TARGETS {
        let path = format!("{}/fuzz/fuzz_targets/{}.rs", env!("CARGO_MANIFEST_DIR"), target.name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(text.contains(&format!("weir_fuzz::target!({:?})", target.name)), "{path} runs another target");
    }
}
