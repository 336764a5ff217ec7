//! Webhooks, as the control plane takes them.

use crate::config::{self, Config};
use crate::control::{NoticeKind, WebhookFormat, WebhookOptions};

pub(super) fn options(config: &Config) -> Vec<WebhookOptions> {
    let options = |webhook: &config::Webhook| WebhookOptions {
        name: webhook.name.clone(),
        url: webhook.url.share(),
        format: format(&webhook.format),
        events: webhook.events.iter().copied().map(kind).collect(),
        allow_private: webhook.allow_private,
        ca: webhook.ca.clone(),
    };
    config.webhooks.iter().map(options).collect()
}

fn format(format: &config::WebhookFormat) -> WebhookFormat {
    match format {
        config::WebhookFormat::CloudEvents { keys } => {
            WebhookFormat::CloudEvents { keys: keys.iter().map(config::SigningKey::share).collect() }
        }
        config::WebhookFormat::Slack => WebhookFormat::Slack,
        config::WebhookFormat::PagerDuty { routing_key } => {
            WebhookFormat::PagerDuty { routing_key: routing_key.share() }
        }
    }
}

fn kind(event: config::WebhookEvent) -> NoticeKind {
    match event {
        config::WebhookEvent::RequestCreated => NoticeKind::RequestCreated,
        config::WebhookEvent::RequestDecided => NoticeKind::RequestDecided,
        config::WebhookEvent::GrantUsed => NoticeKind::GrantUsed,
        config::WebhookEvent::GrantRevoked => NoticeKind::GrantRevoked,
        config::WebhookEvent::BreakGlass => NoticeKind::BreakGlass,
    }
}
