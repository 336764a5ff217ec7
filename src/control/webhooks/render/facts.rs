//! What a person is told of a notice: its fields as short texts, whatever is there.

use reqwest::Url;
use serde_json::Value;

use crate::control::notices::Notice;

/// Characters of a name or an identity that are shown.
const WORD_MAX: usize = 120;
/// Characters of a reason or a comment that are shown.
const SENTENCE_MAX: usize = 500;
/// Resources and rules that are named; the rest are counted.
const NAMED_MAX: usize = 10;
/// A longer link is none: what a browser takes, and what Slack does.
const URL_MAX: usize = 2000;

/// A notice's fields. None has a control character, nor one that turns or hides text.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) request_id: Option<String>,
    pub(super) operation: Option<String>,
    pub(super) who: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) address: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) listener: Option<String>,
    pub(super) resources: Option<String>,
    pub(super) rules: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) effect: Option<String>,
    pub(super) expires: Option<String>,
    /// The page to decide on: an absolute URL of http or https.
    pub(super) url: Option<String>,
    /// How the request stands now, in one word.
    pub(super) verdict: Option<String>,
    pub(super) decided_by: Option<String>,
    pub(super) comment: Option<String>,
    pub(super) grant: Option<String>,
    pub(super) break_glass: bool,
    pub(super) broken_by: Option<String>,
    pub(super) broken_because: Option<String>,
}

impl Facts {
    pub(super) fn of(notice: &Notice) -> Facts {
        let data = &notice.data;
        let (request, decision, grant) = (&data["request"], &data["decision"], &data["grant"]);
        let glass = &data["break_glass"];
        let grant_parts = [("until", &grant["until"]), ("uses", &grant["uses"]), ("id", &grant["id"])];
        let grant: Vec<String> =
            grant_parts.iter().filter_map(|(name, value)| Some(format!("{name} {}", word(value)?))).collect();
        Facts {
            request_id: word(&request["id"]),
            operation: word(&request["operation"]),
            who: who(&request["requester"]),
            client_id: word(&request["client_id"]),
            address: word(&request["address"]),
            cluster: word(&request["cluster"]),
            listener: word(&request["listener"]),
            resources: several(&request["resources"], resource),
            rules: several(&request["rules"], word),
            reason: sentence(&request["reason"]),
            effect: pairs(&request["effect"]),
            expires: word(&request["expires"]),
            url: request["url"].as_str().and_then(link),
            verdict: word(&decision["verdict"]).or_else(|| word(&request["state"])),
            decided_by: who(&decision["by"]),
            comment: sentence(&decision["comment"]),
            grant: (!grant.is_empty()).then(|| grant.join(", ")),
            break_glass: glass.is_object(),
            broken_by: who(&glass["by"]),
            broken_because: sentence(&glass["reason"]),
        }
    }
}

/// A text, number or truth value, shortened and made harmless; none where there is none, or an empty one.
fn word(value: &Value) -> Option<String> {
    scalar(value, WORD_MAX)
}

fn sentence(value: &Value) -> Option<String> {
    scalar(value, SENTENCE_MAX)
}

fn scalar(value: &Value, most: usize) -> Option<String> {
    match value {
        Value::String(text) => Some(clean(text, most)).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `ann (https://id.example.com)`, or a name alone.
fn who(value: &Value) -> Option<String> {
    let Some(subject) = word(&value["subject"]) else { return word(value) };
    match word(&value["issuer"]) {
        Some(issuer) => Some(format!("{subject} ({issuer})")),
        None => Some(subject),
    }
}

/// `topic prod.orders (partitions 6)`.
fn resource(value: &Value) -> Option<String> {
    let named: Vec<String> = [&value["kind"], &value["name"]].into_iter().filter_map(word).collect();
    let shown = Some(named.join(" ")).filter(|shown| !shown.is_empty())?;
    Some(match pairs(&value["parameters"]) {
        Some(parameters) => format!("{shown} ({parameters})"),
        None => shown,
    })
}

/// `partitions 6, retention.ms 1000`.
fn pairs(value: &Value) -> Option<String> {
    let entries = value.as_object()?.iter();
    let shown = entries.filter_map(|(name, value)| Some(format!("{} {}", clean(name, WORD_MAX), word(value)?)));
    let shown: Vec<String> = shown.take(NAMED_MAX).collect();
    (!shown.is_empty()).then(|| clean(&shown.join(", "), SENTENCE_MAX))
}

fn several(value: &Value, show: fn(&Value) -> Option<String>) -> Option<String> {
    let all = value.as_array()?;
    let shown: Vec<String> = all.iter().take(NAMED_MAX).filter_map(show).collect();
    let more = all.len().saturating_sub(NAMED_MAX);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| format!("{}{tail}", cut(&shown.join(", "), SENTENCE_MAX)))
}

/// The URL as a browser writes it, where it is one that a person can open.
fn link(text: &str) -> Option<String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    // Slack ends a link's address at `|` and `>`; the latter a URL never holds once it was read.
    let url = String::from(url).replace('|', "%7C").replace(['<', '>'], "");
    (url.len() <= URL_MAX).then_some(url)
}

/// Without characters that control a terminal, turn the direction of what follows or hide; at most `most` characters long.
fn clean(text: &str, most: usize) -> String {
    let shown = |c: char| match c {
        '\n' | '\r' | '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    cut(&text.chars().take(most + 1).map(shown).collect::<String>(), most)
}

/// At most `most` characters, the last of them saying that there were more.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::control::notices::NoticeKind;

    fn facts(data: Value) -> Facts {
        Facts::of(&Notice { seq: 1, id: "n".to_owned(), at_ns: 0, kind: NoticeKind::RequestCreated, data })
    }

    #[test]
    fn fields_read_as_people_say_them() {
        let facts = facts(json!({
            "request": {
                "id": "r1", "requester": {"issuer": "weir", "subject": "ann"}, "operation": "create_topics",
                "resources": [{"kind": "topic", "name": "prod.a", "parameters": {"partitions": 6}}, {"kind": "cluster"}],
                "effect": {"bytes": 12, "groups": ["a"]}, "url": "https://weir.example.com/requests/r1?a=<b>|c",
            },
            "grant": {"until": "2026-11-30T10:00:00Z", "uses": 1},
        }));
        assert_eq!(facts.who.unwrap(), "ann (weir)");
        assert_eq!(facts.resources.unwrap(), "topic prod.a (partitions 6), cluster");
        assert_eq!(facts.effect.unwrap(), "bytes 12");
        assert_eq!(facts.grant.unwrap(), "until 2026-11-30T10:00:00Z, uses 1");
        assert_eq!(facts.url.unwrap(), "https://weir.example.com/requests/r1?a=%3Cb%3E%7Cc");
    }

    #[test]
    fn text_that_hides_or_turns_is_shown_as_such_and_long_text_is_cut() {
        let facts = facts(json!({"request": {
            "client_id": "a\u{202e}b\u{0}c\nd", "reason": "r".repeat(9000), "url": "javascript:alert(1)",
            "resources": (0..50).map(|i| json!({"name": format!("t{i}")})).collect::<Vec<_>>(),
        }}));
        assert_eq!(facts.client_id.unwrap(), "a\u{fffd}b\u{fffd}c d");
        assert_eq!(facts.reason.unwrap().chars().count(), SENTENCE_MAX);
        assert_eq!(facts.url, None);
        assert!(facts.resources.unwrap().ends_with("t9 and 40 more"));
    }
}
