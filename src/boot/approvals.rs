//! What approvals need: the registry, the desk where shards ask, and who finds out what an action would come to.

use std::sync::Arc;
use std::time::Duration;

use super::BootError;
use crate::config::Config;
use crate::control::Outbox;
use crate::control::approvals::{ApprovalDesk, Registry, RegistryOptions, Surveyor};
use crate::recorder::Recorder;
use crate::upstream::Cluster;

/// Opens the registry on what the store has, and its desk.
pub(super) fn open(
    config: &Config,
    recorder: &Recorder,
    outbox: Outbox,
) -> Result<(Arc<Registry>, Arc<ApprovalDesk>), BootError> {
    let kept = Duration::from_secs(u64::from(config.store.retention_days) * 24 * 3600);
    let options = RegistryOptions::new(recorder.access(), outbox, config.control.url.clone(), kept);
    let registry = Arc::new(Registry::open(options)?);
    let desk = ApprovalDesk::open(Arc::clone(&registry))
        .map_err(|source| BootError::Own { what: "the thread that keeps approvals", source })?;
    Ok((registry, Arc::new(desk)))
}

/// From now on effects are found out, of these clusters.
pub(super) fn find_effects(
    registry: &Registry,
    clusters: &[Arc<Cluster>],
    recorder: &Recorder,
) -> Result<(), BootError> {
    let surveyor = Surveyor::start(clusters.to_vec(), recorder.queries())
        .map_err(|source| BootError::Own { what: "the thread that finds out effects", source })?;
    registry.find_effects_with(Arc::new(surveyor));
    Ok(())
}
