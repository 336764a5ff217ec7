//! ApiVersions: what the cluster serves, cut down to what Weir serves, in the words of the version that was asked.
//!
//! It is asked before login, so it is answered from what a probe learnt, never forwarded.
//!
//! Invariants:
//! - Nothing is advertised that would not be served: table and cluster both, refused classes left out.
//! - What Weir answers itself (ApiVersions, the SASL APIs) is advertised in the table's range, whatever the brokers
//!   say.
//! - A newer client's version gets the v0 layout with error 35 and the one range it needs to try again (KIP-511).
//!   Clients compare those bytes; the list must hold ApiVersions alone, as Kafka's does.
//! - The feature `transaction.version` is never advertised above what the advertised APIs can carry (KIP-890): a
//!   producer that believes in level 2 without Produce 12, EndTxn 5 and TxnOffsetCommit 5 breaks its transactions.
//! - Error codes and features go by KIP-511 and KIP-584; features of minimum 0 are shown from v4 on (KAFKA-17011).

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::api::{self, Api, Class, Versions, key};
use super::frame::FrameWriter;

/// The feature that tells producers which transaction protocol to speak.
const TRANSACTION_VERSION: &str = "transaction.version";

/// What its level 2 needs on the wire: API key and lowest maximum.
const TRANSACTION_V2_NEEDS: [(i16, i16); 3] = [(key::PRODUCE, 12), (key::END_TXN, 5), (key::TXN_OFFSET_COMMIT, 5)];

/// A feature's range: of levels supported, or finalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Lowest, inclusive.
    pub min: i16,
    /// Highest, inclusive.
    pub max: i16,
}

/// What a broker, or every broker of a cluster, serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterVersions {
    apis: BTreeMap<i16, Versions>,
    supported: BTreeMap<String, Levels>,
    finalized: BTreeMap<String, Levels>,
    finalized_epoch: i64,
    zk_migration_ready: bool,
}

/// A broker's ApiVersions answer that says nothing usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The broker answered with an error.
    #[error("the broker answered ApiVersions with error code {0}")]
    Refused(i16),
    /// The answer lists no API.
    #[error("the broker's ApiVersions answer lists no API")]
    Empty,
}

impl ClusterVersions {
    /// From a broker's answer.
    pub fn from_response(response: &ApiVersionsResponse) -> Result<Self, ProbeError> {
        if response.error_code != 0 {
            return Err(ProbeError::Refused(response.error_code));
        }
        if response.api_keys.is_empty() {
            return Err(ProbeError::Empty);
        }
        let apis = response.api_keys.iter().map(|a| (a.api_key, Versions { min: a.min_version, max: a.max_version }));
        let supported = response.supported_features.iter();
        let finalized = response.finalized_features.iter();
        Ok(Self {
            apis: apis.collect(),
            supported: supported
                .map(|f| (f.name.to_string(), Levels { min: f.min_version, max: f.max_version }))
                .collect(),
            finalized: finalized
                .map(|f| (f.name.to_string(), Levels { min: f.min_version_level, max: f.max_version_level }))
                .collect(),
            finalized_epoch: response.finalized_features_epoch,
            zk_migration_ready: response.zk_migration_ready,
        })
    }

    /// What both serve: during a rolling upgrade a client's next connection may reach either.
    pub fn intersect(&self, other: &Self) -> Self {
        let apis = self.apis.iter().filter_map(|(key, versions)| {
            let both = versions.intersect(*other.apis.get(key)?);
            (!both.is_empty()).then_some((*key, both))
        });
        Self {
            apis: apis.collect(),
            supported: merge(&self.supported, &other.supported, both_support),
            finalized: merge(&self.finalized, &other.finalized, lower),
            finalized_epoch: self.finalized_epoch.min(other.finalized_epoch),
            zk_migration_ready: self.zk_migration_ready && other.zk_migration_ready,
        }
    }

    /// Every API that it serves, by key.
    pub fn apis(&self) -> impl Iterator<Item = (i16, Versions)> + '_ {
        self.apis.iter().map(|(key, versions)| (*key, *versions))
    }

    /// The levels of a feature that it supports; none when it does not know the feature.
    pub fn feature(&self, name: &str) -> Option<Levels> {
        self.supported.get(name).copied()
    }

    /// The cluster's range of an API; none when it does not have it.
    pub fn range(&self, key: i16) -> Option<Versions> {
        self.apis.get(&key).copied()
    }

    /// The highest version that the cluster and `ours` have in common, for requests of Weir's own.
    pub fn highest(&self, key: i16, ours: Versions) -> Option<i16> {
        let both = self.range(key)?.intersect(ours);
        (!both.is_empty()).then_some(both.max)
    }
}

/// The levels that both support.
fn both_support(one: Levels, two: Levels) -> Levels {
    Levels { min: one.min.max(two.min), max: one.max.min(two.max) }
}

/// The lower of two finalized levels. A finalized level is a fact about the cluster (Kafka states it as a range of
/// one), seen by one broker earlier than by the other; the lower one holds for both.
fn lower(one: Levels, two: Levels) -> Levels {
    Levels { min: one.min.min(two.min), max: one.max.min(two.max) }
}

fn merge(
    ours: &BTreeMap<String, Levels>,
    theirs: &BTreeMap<String, Levels>,
    with: fn(Levels, Levels) -> Levels,
) -> BTreeMap<String, Levels> {
    let both = ours.iter().filter_map(|(name, one)| Some((name.clone(), with(*one, *theirs.get(name)?))));
    both.filter(|(_, levels)| levels.min <= levels.max).collect()
}

/// What is advertised of an API; none when it is left out.
fn advertised(api: &Api, cluster: &ClusterVersions, allow_security_changes: bool) -> Option<Versions> {
    let of_cluster = match api.class {
        Class::Refused => return None,
        Class::Security if !allow_security_changes => return None,
        Class::Here => return Some(api.served),
        Class::Forward | Class::Rewrite | Class::Risky | Class::Security => cluster.range(api.key)?,
    };
    let both = of_cluster.intersect(Versions { min: api.advertised_min(), max: api.served.max });
    let served = both.intersect(api.served);
    (!served.is_empty()).then_some(both)
}

/// Answers an ApiVersions request: the whole frame, whatever version was asked and whatever the body holds. None only
/// where no frame can hold the answer.
pub fn answer(
    version: i16,
    correlation_id: i32,
    body: &[u8],
    cluster: &ClusterVersions,
    allow_security_changes: bool,
) -> Option<Bytes> {
    let Some(own) = api::lookup(key::API_VERSIONS).filter(|own| own.serves(version)) else {
        return unsupported(correlation_id);
    };
    if version >= own.flexible && !names_its_software(body, version) {
        let refused = ApiVersionsResponse::default().with_error_code(ResponseError::InvalidRequest.code());
        return frame(&refused, version, correlation_id);
    }
    let listed: BTreeMap<i16, Versions> = api::TABLE
        .iter()
        .filter_map(|api| Some((api.key, advertised(api, cluster, allow_security_changes)?)))
        .collect();
    let mut response = ApiVersionsResponse::default().with_api_keys(listed.iter().map(api_version).collect());
    if version >= own.flexible {
        add_features(&mut response, version, cluster, &listed);
    }
    frame(&response, version, correlation_id)
}

fn unsupported(correlation_id: i32) -> Option<Bytes> {
    let own = api::lookup(key::API_VERSIONS)?;
    let response = ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(vec![api_version((&own.key, &own.served))]);
    frame(&response, 0, correlation_id)
}

fn frame(response: &ApiVersionsResponse, version: i16, correlation_id: i32) -> Option<Bytes> {
    let mut writer = FrameWriter::response(correlation_id, 0);
    response.encode(writer.body(), version).ok()?;
    writer.finish()
}

fn api_version((key, versions): (&i16, &Versions)) -> ApiVersion {
    ApiVersion::default().with_api_key(*key).with_min_version(versions.min).with_max_version(versions.max)
}

fn add_features(
    response: &mut ApiVersionsResponse,
    version: i16,
    cluster: &ClusterVersions,
    listed: &BTreeMap<i16, Versions>,
) {
    let transaction_v2 =
        TRANSACTION_V2_NEEDS.iter().all(|(key, needed)| listed.get(key).is_some_and(|v| v.max >= *needed));
    let carried = |(name, levels): (&String, &Levels)| {
        let cap = if name == TRANSACTION_VERSION && !transaction_v2 { 1 } else { i16::MAX };
        (StrBytes::from_string(name.clone()), levels.min.min(cap), levels.max.min(cap))
    };
    let supported = cluster.supported.iter().map(carried).filter(|(_, min, _)| version >= 4 || *min > 0);
    response.supported_features = supported
        .map(|(name, min, max)| {
            SupportedFeatureKey::default().with_name(name).with_min_version(min).with_max_version(max)
        })
        .collect();
    let finalized = cluster.finalized.iter().map(carried);
    response.finalized_features = finalized
        .map(|(name, min, max)| {
            FinalizedFeatureKey::default().with_name(name).with_min_version_level(min).with_max_version_level(max)
        })
        .collect();
    response.finalized_features_epoch = cluster.finalized_epoch;
    response.zk_migration_ready = cluster.zk_migration_ready;
}

/// Whether the body names the client's software as KIP-511 demands from v3 on.
fn names_its_software(mut body: &[u8], version: i16) -> bool {
    ApiVersionsRequest::decode(&mut body, version).is_ok_and(|request| {
        is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version)
    })
}

/// Letters, digits, `-` and `.`, beginning and ending with a letter or digit (KIP-511).
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

#[cfg(test)]
mod tests;
