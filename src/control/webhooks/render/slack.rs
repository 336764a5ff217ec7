//! Slack messages (docs.slack.dev: "Sending messages using incoming webhooks", "Block Kit", "Formatting message text").
//!
//! What clients chose stands in `plain_text` objects, where nothing is markup, with `&`, `<` and `>` escaped besides; the one
//! `mrkdwn` object holds our own link. Nothing is unfurled: Slack would fetch the page, and a link in a reason would too.

use serde_json::{Value, json};

use super::facts::{Facts, cut};
use crate::control::notices::NoticeKind;

/// Of a section's fields Slack takes ten.
const FIELDS_MAX: usize = 10;
/// Slack takes 2000 characters of a field; escaping makes five of one.
const FIELD_MAX: usize = 390;
/// Slack takes 3000 of a section.
const SECTION_MAX: usize = 590;
/// Slack takes 150 of a header, our own words included.
const WORD_MAX: usize = 60;

/// The message.
pub(super) fn message(node: &str, kind: NoticeKind, facts: &Facts) -> Value {
    let title = title(kind, facts);
    let mut blocks = vec![json!({ "type": "header", "text": plain(&title) })];
    let fields: Vec<Value> =
        fields(facts).into_iter().take(FIELDS_MAX).map(|(label, value)| field(label, value)).collect();
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    for (label, value) in sentences(facts) {
        let text = plain(&escaped(&format!("{label}: {}", cut(value, SECTION_MAX - 40))));
        blocks.push(json!({ "type": "section", "text": text }));
    }
    if let Some(url) = &facts.url {
        let words = if kind == NoticeKind::RequestCreated { "Open the request and decide" } else { "Open the request" };
        let link = format!("<{}|{words}>", url.replace('&', "&amp;"));
        blocks.push(
            json!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(&link, 3000), "verbatim": true } }),
        );
    }
    let id = facts.request_id.as_ref().map(|id| format!("request {id}, ")).unwrap_or_default();
    blocks.push(json!({ "type": "context", "elements": [plain(&escaped(&format!("{id}gateway {node}")))] }));
    let who = facts.who.as_ref().map(|who| format!(", by {who}")).unwrap_or_default();
    json!({
        "text": escaped(&format!("{title}{who}")),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

fn title(kind: NoticeKind, facts: &Facts) -> String {
    let operation = facts.operation.as_deref().map(word);
    let of = operation.map(|operation| format!(": {operation}")).unwrap_or_default();
    match kind {
        NoticeKind::RequestCreated => format!("Approval asked for{of}"),
        NoticeKind::RequestDecided => {
            let verdict = facts.verdict.as_deref().map_or_else(|| "decided".to_owned(), word);
            format!("Request {verdict}{of}")
        }
        NoticeKind::GrantUsed => format!("Grant used{of}"),
        NoticeKind::GrantRevoked => format!("Grant revoked{of}"),
        NoticeKind::BreakGlass => format!("BREAK-GLASS{of}"),
        NoticeKind::Test => "Weir: a test; nothing has happened".to_owned(),
    }
}

/// An operation or a verdict, which need no other characters: a header cannot be escaped and stay within its length.
fn word(text: &str) -> String {
    let lawful = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ') { c } else { '_' };
    text.chars().take(WORD_MAX).map(lawful).collect()
}

fn fields(facts: &Facts) -> Vec<(&'static str, &String)> {
    let all = [
        ("Who", &facts.who),
        ("Client", &facts.client_id),
        ("From", &facts.address),
        ("Cluster", &facts.cluster),
        ("Listener", &facts.listener),
        ("Rules", &facts.rules),
        ("Expires", &facts.expires),
        ("Decided by", &facts.decided_by),
        ("Grant", &facts.grant),
        ("Taken by", &facts.broken_by),
    ];
    all.into_iter().filter_map(|(label, value)| Some((label, value.as_ref()?))).collect()
}

fn sentences(facts: &Facts) -> Vec<(&'static str, &String)> {
    let all = [
        ("On", &facts.resources),
        ("Effect", &facts.effect),
        ("Reason", &facts.reason),
        ("Comment", &facts.comment),
        ("Reason of the break-glass", &facts.broken_because),
    ];
    all.into_iter().filter_map(|(label, value)| Some((label, value.as_ref()?))).collect()
}

fn field(label: &str, value: &str) -> Value {
    plain(&escaped(&cut(&format!("{label}: {value}"), FIELD_MAX)))
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

/// Slack's control characters as what they look like.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::control::notices::Notice;

    fn render(kind: NoticeKind, data: Value) -> Value {
        message("weir-1", kind, &Facts::of(&Notice { seq: 1, id: "n".to_owned(), at_ns: 0, kind, data }))
    }

    /// Every text object below `value`.
    fn texts(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Object(entries) if entries.contains_key("text") && entries["text"].is_string() => {
                found.push(value.clone());
            }
            Value::Object(entries) => entries.values().for_each(|value| texts(value, found)),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            _ => {}
        }
    }

    #[test]
    fn a_client_cannot_mention_link_or_format() {
        let hostile = "<!channel> <https://evil.example|Approve> *b* _i_ `c` :joy: <@U1> & http://evil.example";
        let data = json!({
            "request": {
                "id": hostile, "requester": {"issuer": hostile, "subject": hostile}, "client_id": hostile,
                "operation": hostile, "resources": [{"kind": hostile, "name": hostile}], "reason": hostile,
                "rules": [hostile], "effect": {hostile: hostile}, "url": "https://weir.example.com/r/1?a=1&b=2",
                "state": hostile, "cluster": hostile, "listener": hostile, "expires": hostile, "address": hostile,
            },
            "decision": {"verdict": hostile, "by": hostile, "comment": hostile},
            "break_glass": {"by": hostile, "reason": hostile},
        });
        for kind in NoticeKind::ALL {
            let message = render(kind, data.clone());
            assert_eq!(message["mrkdwn"], false);
            let fallback = message["text"].as_str().unwrap();
            assert!(!fallback.contains('<'), "{fallback}");
            let mut found = Vec::new();
            texts(&message["blocks"], &mut found);
            let (markup, plain): (Vec<Value>, Vec<Value>) =
                found.into_iter().partition(|text| text["type"] == "mrkdwn");
            assert_eq!(markup.len(), 1);
            let link = markup[0]["text"].as_str().unwrap();
            assert!(link.starts_with("<https://weir.example.com/r/1?a=1&amp;b=2|Open the request"), "{link}");
            assert_eq!(markup[0]["verbatim"], true);
            assert!(plain.len() > 10);
            for text in plain {
                let shown = text["text"].as_str().unwrap();
                assert!(!shown.contains(['<', '>']), "{shown}");
                assert_eq!((&text["type"], &text["emoji"]), (&json!("plain_text"), &json!(false)));
            }
        }
    }

    #[test]
    fn a_message_stays_within_slacks_bounds() {
        let long = "<&>".repeat(3000);
        let data = json!({"request": {
            "id": long, "requester": {"issuer": long, "subject": long}, "client_id": long, "operation": long,
            "address": long, "cluster": long, "listener": long, "expires": long, "reason": long,
            "rules": vec![long.clone(); 50], "resources": vec![json!({"kind": long, "name": long}); 50],
            "effect": {"a": long}, "url": format!("https://weir/{}", "&".repeat(1900)),
        }, "decision": {"by": long, "comment": long}, "break_glass": {"by": long, "reason": long}});
        let message = render(NoticeKind::RequestCreated, data);
        let blocks = message["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        for block in blocks {
            let text = block["text"]["text"].as_str().map_or(0, |text| text.chars().count());
            assert!(text <= if block["type"] == "header" { 150 } else { 3000 }, "{block}");
            let fields = block["fields"].as_array().into_iter().flatten();
            assert!(fields.clone().count() <= 10);
            fields.for_each(|field| assert!(field["text"].as_str().unwrap().chars().count() <= 2000));
        }
    }

    #[test]
    fn what_happened_stands_at_the_top() {
        let data = json!({"request": {"operation": "delete_topics", "requester": {"subject": "ann"}},
            "decision": {"verdict": "denied"}});
        for (kind, title) in [
            (NoticeKind::RequestCreated, "Approval asked for: delete_topics"),
            (NoticeKind::RequestDecided, "Request denied: delete_topics"),
            (NoticeKind::GrantUsed, "Grant used: delete_topics"),
            (NoticeKind::BreakGlass, "BREAK-GLASS: delete_topics"),
        ] {
            let message = render(kind, data.clone());
            assert_eq!(message["blocks"][0]["text"]["text"], title);
            assert_eq!(message["text"], format!("{title}, by ann"));
        }
    }
}
