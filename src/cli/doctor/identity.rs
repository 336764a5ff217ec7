//! Who vouches for clients: Weir's own tokens, and issuers of JWTs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::finding::Finding;
use crate::boot;
use crate::cli::source::Tokens;
use crate::cli::time::length;
use crate::config::{Auth, Config};
use crate::control::{TokenState, look_at_issuer};

/// Tokens that end sooner are worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 86_400);

/// A clock that is off by more than this is off; below, the answer may just have been slow.
pub(super) const SKEW_MIN: Duration = Duration::from_secs(2);

pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The tokens that clients log in with, where a listener takes them.
pub(super) fn tokens(config: &Config) -> Option<Finding> {
    let (id, subject) = ("tokens", "tokens");
    let takes = |auth: &Auth| matches!(auth, Auth::WeirToken | Auth::Scram);
    if !config.listeners.iter().any(|listener| listener.auth.iter().any(takes)) {
        return None;
    }
    let is_there = config.store.path.join("db").join("CURRENT").exists();
    let listed = if is_there { Tokens::find(config).and_then(|tokens| tokens.list()) } else { Ok(Vec::new()) };
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => {
            return Some(
                Finding::problem(id, subject, format!("they cannot be read: {error}"))
                    .why("nobody can be let in by a token that cannot be read")
                    .remedy("run the doctor as the gateway's user; see docs/operations.md, The store"),
            );
        }
    };
    let active: Vec<_> = listed.iter().filter(|token| token.state == TokenState::Active).collect();
    if active.is_empty() {
        let found =
            if listed.is_empty() { "there are none".to_owned() } else { format!("none of {} is active", listed.len()) };
        return Some(
            Finding::warning(id, subject, found)
                .why("a listener asks for tokens, and nobody has one that is good")
                .remedy("`weir token create --subject NAME --ttl 24h`"),
        );
    }
    let soon_ns = now_ns().saturating_add(u64::try_from(EXPIRES_SOON.as_nanos()).unwrap_or(u64::MAX));
    let ending: Vec<_> = active.iter().filter(|token| token.expires_ns < soon_ns).collect();
    if ending.is_empty() {
        return Some(Finding::ok(id, subject, format!("{} active, none ends within 7 days", active.len())));
    }
    let first = ending.iter().min_by_key(|token| token.expires_ns);
    let first = first.map(|token| {
        let left = length(token.expires_ns.saturating_sub(now_ns()));
        format!("; the first, {} of {}, in {left}", token.id, token.subject)
    });
    let found =
        format!("{} of {} active ones end within 7 days{}", ending.len(), active.len(), first.unwrap_or_default());
    Some(
        Finding::warning(id, subject, found)
            .why("connections end with their token, and clients cannot come back with it")
            .remedy("create new tokens and hand them out in time; clients that renew by themselves may be left out"),
    )
}

/// Each issuer: whether its keys are to be had, and what its clock says.
pub(super) async fn issuers(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in boot::issuers(config) {
        let subject = format!("issuer {}", source.rules.name);
        let tolerance = Duration::from_nanos(source.rules.clock_skew_ns);
        let asked = SystemTime::now();
        match look_at_issuer(source).await {
            Err(trouble) => found.push(
                Finding::problem("issuer", subject, trouble)
                    .why("without its keys nobody with its tokens is let in after a start")
                    .remedy("check `issuer`, `jwks`, `ca` and the way there; keys fetched before serve until then"),
            ),
            Ok(look) => {
                found.push(Finding::ok("issuer", &subject, format!("answers; keys {}", look.keys.join(", "))));
                found.extend(look.date.and_then(|date| issuer_clock(&subject, &date, asked, tolerance)));
            }
        }
    }
    found
}

fn issuer_clock(subject: &str, date: &str, asked: SystemTime, tolerance: Duration) -> Option<Finding> {
    let said = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let said = UNIX_EPOCH + Duration::from_secs(u64::try_from(said.as_second()).ok()?);
    // The answer was written between the question and now, and Date has whole seconds.
    let (off, direction) = off(said, asked, SystemTime::now(), Duration::from_secs(1));
    if off <= SKEW_MIN {
        return Some(Finding::ok("issuer_clock", subject, "its clock and ours agree, as far as seconds tell"));
    }
    let found = format!(
        "its clock is {:.0} s {direction} ours; `clock_skew` tolerates {} s",
        off.as_secs_f64(),
        tolerance.as_secs()
    );
    let finding = if off > tolerance {
        Finding::problem("issuer_clock", subject, found).why("its tokens are refused as not valid yet, or as expired")
    } else {
        Finding::warning("issuer_clock", subject, found).why("tokens seem younger or older than they are")
    };
    Some(finding.remedy("synchronize both clocks (chrony, systemd-timesyncd)"))
}

/// How far a clock that said `said` is off, when it was read between `from` and `until` with this precision, and which way.
pub(super) fn off(
    said: SystemTime,
    from: SystemTime,
    until: SystemTime,
    precision: Duration,
) -> (Duration, &'static str) {
    if let Ok(ahead) = said.duration_since(until)
        && !ahead.is_zero()
    {
        return (ahead, "ahead of");
    }
    (from.duration_since(said + precision).unwrap_or_default(), "behind")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_only_by_what_the_answers_time_cannot_explain() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let one = Duration::from_secs(1);
        assert_eq!(off(at(100), at(99), at(101), one).0, Duration::ZERO);
        assert_eq!(off(at(110), at(99), at(101), one), (Duration::from_secs(9), "ahead of"));
        assert_eq!(off(at(90), at(99), at(101), one), (Duration::from_secs(8), "behind"));
    }
}
