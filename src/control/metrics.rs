//! Prometheus: how metrics are kept until they are scraped.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// For every histogram named `*_seconds`: from Weir's own microseconds to a consumer's long poll.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// For every histogram named `*_bytes`: from a heartbeat to the largest frame.
const BYTES_BUCKETS: &[f64] = &[64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 16_777_216.0];

/// The metrics cannot be installed: this process has some already.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be installed: {0}")]
pub struct InstallError(#[from] BuildError);

/// Makes this process keep its metrics for Prometheus; once a process. The handle renders them.
pub fn install() -> Result<PrometheusHandle, InstallError> {
    Ok(builder()?.install_recorder()?)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES_BUCKETS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn a_latency_is_rendered_in_buckets_fine_enough_for_microseconds() {
        let recorder = super::builder().unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("weir_exchange_seconds", "api" => "Fetch").record(0.000_02);
        });
        let text = recorder.handle().render();
        assert!(text.contains("weir_exchange_seconds_bucket{api=\"Fetch\",le=\"0.00001\"} 0"), "{text}");
        assert!(text.contains("weir_exchange_seconds_bucket{api=\"Fetch\",le=\"0.000025\"} 1"), "{text}");
    }
}
