//! CloudEvents 1.0 in structured mode (cloudevents/spec, "JSON Event Format"): the notice's data as it is, under attributes.

use serde_json::{Map, Value, json};

use crate::control::notices::Notice;
use crate::limits::WEBHOOK_EVENT_BYTES_MAX;
use crate::recorder::Rfc3339;

/// Resources that stay where not all of them fit.
const RESOURCES_KEPT: usize = 100;

/// Links up to this length stay whole, bytes.
const URL_MAX: usize = 2000;

/// The event's JSON.
pub(super) fn event(node: &str, notice: &Notice) -> String {
    let whole = envelope(node, notice, &notice.data);
    if whole.len() <= WEBHOOK_EVENT_BYTES_MAX {
        return whole;
    }
    let mut data = notice.data.clone();
    if let Some(resources) = data.pointer_mut("/request/resources").and_then(Value::as_array_mut) {
        let left_out = resources.len().saturating_sub(RESOURCES_KEPT);
        resources.truncate(RESOURCES_KEPT);
        data["request"]["resources_omitted"] = left_out.into();
    }
    // What a client wrote may be as long as it likes: texts shrink until all of it fits.
    for most in [4096, 512, 64] {
        shorten(&mut data, most);
        let shorter = envelope(node, notice, &data);
        if shorter.len() <= WEBHOOK_EVENT_BYTES_MAX {
            return shorter;
        }
    }
    let kept = |key: &str| data["request"][key].as_str().map(|text| (key.to_owned(), Value::from(text)));
    let least: Map<String, Value> = ["id", "state", "url"].into_iter().filter_map(kept).collect();
    envelope(node, notice, &json!({ "request": least }))
}

fn envelope(node: &str, notice: &Notice, data: &Value) -> String {
    let mut event = json!({
        "specversion": "1.0",
        "id": notice.id,
        "source": source(node, &notice.data),
        "type": format!("io.weir.{}", notice.kind.name()),
        "time": Rfc3339(notice.at_ns).to_string(),
        "datacontenttype": "application/json",
        "data": data,
    });
    if let Some(id) = notice.data["request"]["id"].as_str().filter(|id| (1..=256).contains(&id.len())) {
        event["subject"] = id.into();
    }
    event.to_string()
}

/// A relative URI reference (RFC 3986, 4.2): which gateway, and which cluster where the notice is about one.
fn source(node: &str, data: &Value) -> String {
    let node = encoded(node);
    match data["request"]["cluster"].as_str().filter(|cluster| !cluster.is_empty()) {
        Some(cluster) => format!("/weir/nodes/{node}/clusters/{}", encoded(cluster)),
        None => format!("/weir/nodes/{node}"),
    }
}

fn encoded(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let one = |byte: u8| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().take(256).map(one).collect()
}

/// Cuts every text below `value`, and lists and mappings that are longer than any sensible one.
fn shorten(value: &mut Value, most: usize) {
    match value {
        Value::String(text) => *text = super::facts::cut(text, most),
        Value::Array(items) => {
            items.truncate(RESOURCES_KEPT);
            items.iter_mut().for_each(|item| shorten(item, most));
        }
        Value::Object(entries) => {
            let surplus: Vec<String> = entries.keys().skip(RESOURCES_KEPT).cloned().collect();
            surplus.iter().for_each(|key| drop(entries.remove(key)));
            // Half a link leads nowhere.
            let is_link =
                |key: &str, value: &Value| key == "url" && value.as_str().is_some_and(|url| url.len() <= URL_MAX);
            let others = entries.iter_mut().filter(|(key, value)| !is_link(key, value));
            others.for_each(|(_, value)| shorten(value, most));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::control::notices::NoticeKind;

    fn notice(kind: NoticeKind, data: Value) -> Notice {
        Notice { seq: 9, id: "018f-a".to_owned(), at_ns: 1_795_341_600_000_000_000, kind, data }
    }

    fn read(notice: &Notice) -> Value {
        serde_json::from_str(&event("weir-1", notice)).unwrap()
    }

    #[test]
    fn an_event_has_every_attribute_and_the_data_as_it_is() {
        let data = json!({"request": {"id": "r1", "cluster": "main", "client_id": "<b>"}});
        assert_eq!(
            read(&notice(NoticeKind::RequestCreated, data.clone())),
            json!({
                "specversion": "1.0", "id": "018f-a", "source": "/weir/nodes/weir-1/clusters/main",
                "type": "io.weir.request.created", "time": "2026-11-22T10:00:00Z", "subject": "r1",
                "datacontenttype": "application/json", "data": data,
            })
        );
        let bare = read(&notice(NoticeKind::BreakGlass, Value::Null));
        assert_eq!((bare["source"].as_str(), bare["subject"].as_str()), (Some("/weir/nodes/weir-1"), None));
    }

    #[test]
    fn a_cluster_name_cannot_break_out_of_the_source() {
        let data = json!({"request": {"cluster": "a/../b?x#y <é>"}});
        let event = read(&notice(NoticeKind::GrantUsed, data));
        assert_eq!(event["source"], "/weir/nodes/weir-1/clusters/a%2F..%2Fb%3Fx%23y%20%3C%C3%A9%3E");
    }

    #[test]
    fn too_many_resources_are_counted() {
        let resources: Vec<Value> = (0..9000).map(|i| json!({"name": format!("topic-{i}")})).collect();
        let event = read(&notice(NoticeKind::RequestCreated, json!({"request": {"id": "r", "resources": resources}})));
        assert_eq!(event["data"]["request"]["resources"].as_array().unwrap().len(), RESOURCES_KEPT);
        assert_eq!(event["data"]["request"]["resources_omitted"], 8900);
    }
}
