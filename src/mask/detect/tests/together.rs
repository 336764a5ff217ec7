//! Short cuts of the search: several sets looked for at once, and texts too short for what begins late in them.

use super::super::*;
use super::corpus::corpus;
use super::found;

#[test]
fn several_sets_at_once_find_nothing_only_where_none_of_them_does() {
    let sets: Vec<Detectors> = Detector::names().map(super::detector).collect();
    let own = Detectors::new([Detector::Pattern("EMP-[0-9]+".to_owned())]).unwrap();
    let mut room = Vec::new();
    for sample in corpus(12) {
        let text = sample.text.as_bytes();
        for (number, set) in sets.iter().enumerate() {
            let other = &sets[(number * 7 + text.len()) % sets.len()];
            let three = [set, other, &own];
            let nothing = three.iter().all(|set| found(set, text).is_empty());
            // Beginnings of tokens are not read on.
            let begins = three.iter().filter_map(|set| set.literals.as_ref()).any(|all| all.automaton.is_match(text));
            let at_once = Detectors::of_all(three).find_nothing_in(text, &mut room);
            assert_eq!(at_once, nothing && !begins, "{}", sample.text);
        }
    }
}

#[test]
fn what_is_shortest_is_found_at_the_very_end() {
    for (name, shortest) in [
        ("payment_card", "4222222222222"),
        ("iban", "NO9386011117947"),
        ("ipv4", "1.1.1.1"),
        ("email", "a@b.cd"),
        ("ipv6", "::1"),
    ] {
        let alone = super::detector(name);
        let all = Detectors::of_all(&Detector::names().map(super::detector).collect::<Vec<_>>());
        let marks = Detectors::new([name.parse().unwrap(), Detector::Email, Detector::Ipv6]).unwrap();
        for before in 0..70 {
            let text = " ".repeat(before) + shortest;
            for set in [&alone, &all, &marks] {
                assert!(found(set, text.as_bytes()).contains(&(before..text.len())), "{name} behind {before}");
            }
        }
    }
}
