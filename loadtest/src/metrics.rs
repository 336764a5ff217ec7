//! Reading Prometheus' text format: counters, gauges and the quantiles of histograms.

use std::collections::BTreeMap;

/// An exchange from the request's first byte in to the answer's last byte out, by API.
pub const EXCHANGE_SECONDS: &str = "weir_exchange_seconds";
/// Weir's own share of it.
pub const EXCHANGE_OWN_SECONDS: &str = "weir_exchange_own_seconds";

/// One scrape.
#[derive(Debug, Clone)]
pub struct Scrape {
    samples: Vec<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Parses a scrape; lines that are no samples are passed over.
    pub fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter_map(parse_sample).collect() }
    }

    /// The sum over all series of `name` whose labels include `labels`; none when there is no such series.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut found = self.matching(name, labels).peekable();
        found.peek()?;
        Some(found.map(|s| s.value).sum())
    }

    /// The `q` quantile (0 to 1) of a histogram over all series whose labels include `labels`, interpolated within its
    /// bucket as Prometheus does; none without an observation.
    pub fn quantile(&self, name: &str, labels: &[(&str, &str)], q: f64) -> Option<f64> {
        let buckets = self.buckets(&format!("{name}_bucket"), labels);
        let total = buckets.last()?.1;
        if total == 0.0 {
            return None;
        }
        let rank = q * total;
        let at = buckets.iter().position(|&(_, count)| count >= rank)?;
        let (lower, below) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
        let (upper, count) = buckets[at];
        if upper.is_infinite() {
            return Some(lower);
        }
        Some(lower + (upper - lower) * (rank - below) / (count - below).max(f64::MIN_POSITIVE))
    }

    /// Upper bounds with their cumulative counts, in order, summed over the series.
    fn buckets(&self, name: &str, labels: &[(&str, &str)]) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.matching(name, labels) {
            let Some(bound) = sample.labels.get("le").and_then(|le| le.parse::<f64>().ok()) else {
                continue;
            };
            match buckets.iter_mut().find(|(b, _)| *b == bound) {
                Some(bucket) => bucket.1 += sample.value,
                None => buckets.push((bound, sample.value)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }

    fn matching<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |s| {
            s.name == name && labels.iter().all(|(k, v)| s.labels.get(*k).is_some_and(|have| have == v))
        })
    }
}

/// `name{label="value",…} 1.5`; commas within label values are not expected of Weir's own metrics.
fn parse_sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (series, ""),
    };
    let labels = labels.split(',').filter_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        Some((key.to_owned(), value.trim_matches('"').to_owned()))
    });
    Some(Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().ok()? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TEXT: &str = r#"# TYPE weir_t histogram
weir_t_bucket{api="Fetch",le="0.001"} 50
weir_t_bucket{api="Fetch",le="0.002"} 100
weir_t_bucket{api="Fetch",le="+Inf"} 100
weir_t_bucket{api="Produce",le="0.001"} 0
weir_t_bucket{api="Produce",le="0.002"} 100
weir_t_bucket{api="Produce",le="+Inf"} 100
weir_connections{state="open"} 3
weir_connections{state="closing"} 4
"#;

    #[test]
    fn sums_select_by_label() {
        let scrape = Scrape::parse(TEXT);
        assert_eq!(scrape.sum("weir_connections", &[]), Some(7.0));
        assert_eq!(scrape.sum("weir_connections", &[("state", "open")]), Some(3.0));
        assert_eq!(scrape.sum("weir_nothing", &[]), None);
    }

    #[test]
    fn quantiles_interpolate_within_the_bucket_and_add_up_over_series() {
        let scrape = Scrape::parse(TEXT);
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(scrape.quantile("weir_t", &[("api", "Fetch")], 0.5).unwrap(), 0.001);
        close(scrape.quantile("weir_t", &[("api", "Produce")], 0.5).unwrap(), 0.0015);
        close(scrape.quantile("weir_t", &[], 0.25).unwrap(), 0.001);
    }
}
