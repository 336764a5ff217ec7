//! Our certificates: how long they are good for.

use super::finding::Finding;
use super::identity::now_ns;
use crate::cli::time::length;
use crate::config::Config;
use crate::tls::TlsError;

/// A certificate that ends sooner is worth a warning: renewing one by hand takes days of asking.
const EXPIRES_SOON_S: i64 = 30 * 86_400;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let of_listeners = config.listeners.iter().filter_map(|listener| {
        let tls = listener.tls.as_ref()?;
        Some(finding(format!("listener {}", listener.name), tls.files.expires_s()))
    });
    let of_clusters = config.clusters.iter().filter_map(|cluster| {
        let tls = cluster.tls.as_ref()?;
        Some(finding(format!("cluster {}", cluster.name), tls.expires_s()))
    });
    of_listeners.chain(of_clusters).collect()
}

fn finding(subject: String, expires_s: Result<Option<i64>, TlsError>) -> Finding {
    let id = "certificate";
    let expires_s = match expires_s {
        Ok(Some(expires_s)) => expires_s,
        Ok(None) => return Finding::ok(id, subject, "TLS without a certificate of our own"),
        // Also where it has ended.
        Err(error) => {
            return Finding::problem(id, subject, error.to_string())
                .why("no TLS connection can be made")
                .remedy("replace the files that its `tls` section names; they are taken over without a restart");
        }
    };
    let left_s = expires_s.saturating_sub(i64::try_from(now_ns() / 1_000_000_000).unwrap_or(i64::MAX));
    let left = length(u64::try_from(left_s).unwrap_or(0).saturating_mul(1_000_000_000));
    if left_s < EXPIRES_SOON_S {
        return Finding::warning(id, subject, format!("the certificate, or one of its chain, ends in {left}"))
            .why("from then on nobody accepts it")
            .remedy("replace its files in time; they are taken over without a restart");
    }
    Finding::ok(id, subject, format!("the certificate is good for {left}"))
}
