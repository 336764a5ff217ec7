//! Precision and recall of each detector over the corpus: printed (`cargo test --lib mask -- --nocapture`), written in
//! `docs/masking.md`, and held above what was measured.

use super::super::*;
use super::corpus::{Sample, corpus};
use super::{detector, found};

/// Texts of each kind.
const EACH: usize = 400;

#[derive(Default)]
struct Score {
    /// What was to be found and was, in its whole length.
    hit: usize,
    missed: Vec<String>,
    /// What was found and was nothing.
    wrong: Vec<String>,
    /// What was found and is told from the thing itself by nobody.
    unlucky: usize,
}

impl Score {
    fn of(name: &str, samples: &[Sample]) -> Score {
        let detectors = detector(name);
        let mut score = Score::default();
        for sample in samples {
            let found = found(&detectors, sample.text.as_bytes());
            let label = sample.label.as_ref().filter(|(of, _)| *of == name).map(|(_, range)| range.clone());
            let covers = |range: &Range<usize>| found.iter().any(|f| f.start <= range.start && f.end >= range.end);
            match &label {
                Some(range) if covers(range) => score.hit += 1,
                Some(_) => score.missed.push(sample.text.clone()),
                None => {}
            }
            let apart =
                |f: &&Range<usize>| label.as_ref().is_none_or(|range| f.end <= range.start || f.start >= range.end);
            let wrong = found.iter().filter(apart).count();
            if sample.unlucky.contains(&name) {
                score.unlucky += wrong;
            } else {
                score.wrong.extend((0..wrong).map(|_| sample.text.clone()));
            }
        }
        score
    }

    fn precision(&self) -> f64 {
        self.hit as f64 / (self.hit + self.wrong.len()) as f64
    }

    fn recall(&self) -> f64 {
        self.hit as f64 / (self.hit + self.missed.len()) as f64
    }
}

/// Detector, least precision and least recall.
const FLOORS: &[(&str, f64, f64)] = &[
    ("payment_card", 0.97, 0.99),
    ("email", 0.99, 0.99),
    ("iban", 0.99, 0.99),
    ("phone", 0.96, 0.90),
    ("ipv4", 0.99, 0.99),
    ("ipv6", 0.99, 0.99),
    ("jwt", 0.99, 0.99),
    ("cloud_key", 0.99, 0.99),
    ("us_ssn", 0.99, 0.99),
    ("uk_nino", 0.99, 0.99),
    ("fr_nir", 0.99, 0.99),
    ("de_tax_id", 0.99, 0.99),
    ("es_dni", 0.99, 0.99),
    ("it_codice_fiscale", 0.99, 0.99),
    ("pl_pesel", 0.99, 0.99),
    ("se_personnummer", 0.99, 0.99),
    ("br_cpf", 0.99, 0.99),
    ("in_aadhaar", 0.97, 0.99),
];

#[test]
fn detectors_find_what_they_are_for_and_little_else() {
    let samples = corpus(EACH);
    let mut below = Vec::new();
    println!("{} texts\n| detector | precision | recall | unlucky |\n|---|---|---|---|", samples.len());
    for (name, precision, recall) in FLOORS {
        let score = Score::of(name, &samples);
        println!("| `{name}` | {:.4} | {:.4} | {} |", score.precision(), score.recall(), score.unlucky);
        if score.precision() < *precision || score.recall() < *recall {
            let some = |texts: &[String]| texts.iter().take(12).cloned().collect::<Vec<_>>();
            below.push(format!("{name}: missed {:#?}, wrong {:#?}", some(&score.missed), some(&score.wrong)));
        }
    }
    assert!(below.is_empty(), "{}", below.join("\n"));
    let names: Vec<&str> = FLOORS.iter().map(|(name, ..)| *name).collect();
    assert!(Detector::names().all(|name| names.contains(&name)), "each detector has its floor");
}
