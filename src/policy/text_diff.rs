//! What changes between two texts, line by line, as people read it: the lines that go behind `-`, those that come behind `+`,
//! each stretch with a few lines around it.
//!
//! Invariant: every line that differs is in it. Where texts are too unlike to be compared line by line, all that differs goes
//! and comes anew.

/// Lines shown around what changes.
const AROUND: usize = 3;

/// Pairs of lines that are compared at most; what is larger is told as a whole.
const COMPARED_MAX: usize = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line<'a> {
    Stays(&'a str),
    Goes(&'a str),
    Comes(&'a str),
}

/// The difference of two texts; empty where there is none. `shown` says how a line is to be shown.
pub(super) fn unified(old: &str, new: &str, shown: impl Fn(&str) -> String) -> String {
    let script = script(&lines(old), &lines(new));
    let near = |at: usize| {
        let around = at.saturating_sub(AROUND)..(at + AROUND + 1).min(script.len());
        script[around].iter().any(|line| !matches!(line, Line::Stays(_)))
    };
    let (mut text, mut place, mut at) = (String::new(), (1, 1), 0);
    while at < script.len() {
        if !near(at) {
            pass(&mut place, script[at]);
            at += 1;
            continue;
        }
        let end = (at..script.len()).find(|&end| !near(end)).unwrap_or(script.len());
        text.push_str(&format!("@@ -{} +{} @@\n", place.0, place.1));
        for &line in &script[at..end] {
            let (sign, words) = match line {
                Line::Stays(words) => (' ', words),
                Line::Goes(words) => ('-', words),
                Line::Comes(words) => ('+', words),
            };
            text.push_str(&format!("{sign}{}\n", shown(words)));
            pass(&mut place, line);
        }
        at = end;
    }
    text
}

/// Lines as they are counted: a text that ends in a line feed ends with an empty one, so that its end is compared, too.
fn lines(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split('\n').collect() }
}

/// Goes on by one line in the text, or the texts, that have it.
fn pass((old, new): &mut (usize, usize), line: Line<'_>) {
    *old += usize::from(!matches!(line, Line::Comes(_)));
    *new += usize::from(!matches!(line, Line::Goes(_)));
}

fn script<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    let alike = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (begin, old, new) = (&old[..alike], &old[alike..], &new[alike..]);
    let ends = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, end) = old.split_at(old.len() - ends);
    let new = &new[..new.len() - ends];
    let stays = |line: &&'a str| Line::Stays(line);
    let mut script: Vec<Line<'a>> = begin.iter().map(stays).collect();
    if old.len().saturating_mul(new.len()) > COMPARED_MAX {
        script.extend(old.iter().map(|line| Line::Goes(line)));
        script.extend(new.iter().map(|line| Line::Comes(line)));
    } else {
        compare(old, new, &mut script);
    }
    script.extend(end.iter().map(stays));
    script
}

/// By the longest sequence of lines that both have.
fn compare<'a>(old: &[&'a str], new: &[&'a str], script: &mut Vec<Line<'a>>) {
    let width = new.len() + 1;
    // How many lines what is left of both has in common.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for (a, line) in old.iter().enumerate().rev() {
        for (b, other) in new.iter().enumerate().rev() {
            let (down, right) = (common[(a + 1) * width + b], common[a * width + b + 1]);
            common[a * width + b] = if line == other { common[(a + 1) * width + b + 1] + 1 } else { down.max(right) };
        }
    }
    let (mut a, mut b) = (0, 0);
    while a < old.len() || b < new.len() {
        if a < old.len() && b < new.len() && old[a] == new[b] {
            script.push(Line::Stays(old[a]));
            (a, b) = (a + 1, b + 1);
        } else if a < old.len() && (b == new.len() || common[(a + 1) * width + b] >= common[a * width + b + 1]) {
            script.push(Line::Goes(old[a]));
            a += 1;
        } else {
            script.push(Line::Comes(new[b]));
            b += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(old: &str, new: &str) -> String {
        unified(old, new, str::to_owned)
    }

    #[test]
    fn what_changes_is_told_with_what_stands_around_it() {
        let old: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        let new = old.replace("line 10\n", "line ten\nand more\n").replace("line 20\n", "");
        let told = "@@ -7 +7 @@\n line 7\n line 8\n line 9\n-line 10\n+line ten\n+and more\n line 11\n line 12\n line 13\n\
                    @@ -17 +18 @@\n line 17\n line 18\n line 19\n-line 20\n \n";
        assert_eq!(diff(&old, &new), told);
        assert_eq!(diff(&old, &old), "");
        assert_eq!(diff("", "a\nb"), "@@ -1 +1 @@\n+a\n+b\n");
        assert_eq!(diff("a", ""), "@@ -1 +1 @@\n-a\n");
    }

    #[test]
    fn a_line_feed_at_the_end_and_a_carriage_return_are_differences() {
        assert_eq!(diff("a", "a\n"), "@@ -1 +1 @@\n a\n+\n");
        assert_eq!(diff("a\n", "a\r\n"), "@@ -1 +1 @@\n-a\n+a\r\n \n");
    }

    #[test]
    fn no_line_that_differs_is_left_out_however_unlike_the_texts_are() {
        let old: String = (0..1500).map(|n| format!("o{n}\n")).collect();
        let new: String = (0..1500).map(|n| format!("n{n}\n")).collect();
        let told = diff(&format!("a\n{old}z"), &format!("a\n{new}z"));
        assert_eq!(told.lines().filter(|line| line.starts_with('-')).count(), 1500);
        assert_eq!(told.lines().filter(|line| line.starts_with('+')).count(), 1500);
    }
}
