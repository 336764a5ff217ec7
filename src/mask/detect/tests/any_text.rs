//! What holds for any text: order, no allocation where nothing is found, and time that grows with the bytes.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::*;
use super::found;

fn all() -> Detectors {
    let named = Detector::names().map(|name| name.parse::<Detector>().unwrap());
    let own = [r"EMP-[0-9]+", r"[0-9](?:-.*-END)?", r"(?i)secret=\S+"].map(|text| Detector::Pattern(text.to_owned()));
    Detectors::new(named.chain(own)).unwrap()
}

/// Whatever a detector begins at, goes on with or ends at.
const TEMPTING: &[&str] = &[
    "1",
    "4",
    "0",
    "00",
    " ",
    "-",
    ".",
    ":",
    "::",
    "@",
    "+",
    "(",
    ")",
    "/",
    "_",
    "=",
    "==",
    "\\",
    "\\n",
    "é",
    "卡",
    "\u{ff11}",
    "a",
    "Z",
    "f",
    "eyJ",
    "eyJhbGciOiJIUzI1NiJ9",
    "AKIA",
    "AKIAIOSFODNN7EXAMPLE",
    "AIza",
    "ghp_",
    "xoxb-",
    "DE89",
    "GB82",
    "4111",
    "1111",
    "4111111111111111",
    "tel",
    "ssn",
    "version",
    "-END",
    "EMP-",
    "secret=",
    "a@b.com",
    "fe80::1",
    "10.0.0.1",
];

fn tempting() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(TEMPTING).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn ranges_are_sorted_apart_and_within_the_text(text in tempting()) {
        thread_local!(static ALL: Detectors = all());
        let found = ALL.with(|all| found(all, &text));
        let mut end = None;
        for range in &found {
            prop_assert!(range.start < range.end && range.end <= text.len(), "{found:?}");
            prop_assert!(end.is_none_or(|end| range.start > end), "{found:?}");
            end = Some(range.end);
        }
        // What is valid UTF-8 is never cut within a character.
        if let Ok(text) = std::str::from_utf8(&text) {
            prop_assert!(found.iter().all(|r| text.is_char_boundary(r.start) && text.is_char_boundary(r.end)), "{found:?}");
        }
    }
}

#[test]
fn what_stands_in_the_vector_before_stays() {
    let mut found = vec![7..9, 0..3];
    Detectors::new([Detector::Email]).unwrap().find(b"a@b.com c@d.org", &mut found);
    assert_eq!(found, [7..9, 0..3, 0..7, 8..15]);
}

/// The best of a few runs over `text`.
fn time(detectors: &Detectors, text: &[u8]) -> Duration {
    let mut found = Vec::with_capacity(text.len() / 2);
    let run = |_| {
        found.clear();
        let start = Instant::now();
        detectors.find(text, &mut found);
        start.elapsed()
    };
    (0..3).map(run).min().unwrap()
}

/// A scan that looks at much of the text from each of its bytes takes some 500 times as long for 16 times the text. No
/// speed is asserted: 16 times the text may take 100 times as long.
#[test]
fn no_text_makes_the_time_grow_faster_than_its_length() {
    let detectors = all();
    let repeated = TEMPTING.iter().map(|text| text.to_string());
    let paired = [
        "1-",
        "1.",
        "1 ",
        "a@",
        "@a.",
        "eyJ.",
        "eyJ-",
        "eyJ_",
        "1:",
        "f::",
        "+1 ",
        "(1)",
        "4111 ",
        "4111-",
        "AKIAIOSFODNN7EXAMPLE ",
        "a==",
        "A0==",
    ];
    for piece in repeated.chain(paired.iter().map(ToString::to_string)) {
        let text = |bytes: usize| piece.repeat(bytes / piece.len());
        let (short, long) = (time(&detectors, text(16 << 10).as_bytes()), time(&detectors, text(256 << 10).as_bytes()));
        let floor = Duration::from_millis(2);
        assert!(long < short.max(floor) * 100, "{piece:?}: {short:?} for 16 KiB, {long:?} for 256 KiB");
    }
}
