//! The policy file: read with the same care as the configuration, and refused where this version cannot honour it.
//!
//! A rule that is silently ignored is an open door, hence fail closed: whatever this version does not understand stops
//! the start. A named file that does not exist is no rule that is ignored; it is warned about.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use sha2::{Digest, Sha256};

use super::reader::{Reader, Section};
use super::yaml::Data;
use super::{Policy, Problems, masking, recording, value, yaml};
use crate::policy::PolicySnapshot;

/// Sections that DESIGN names and later versions understand.
const LATER: &[&str] = &["access", "approvals", "alerts"];

/// `listeners`: the names that rules may use.
pub(super) fn read(root: &Section<'_>, reader: &mut Reader, listeners: &[String]) -> Option<Policy> {
    let Some(node) = root.node("policy") else {
        return Some(Policy { path: None, missing: false, snapshot: Arc::new(PolicySnapshot::default()) });
    };
    let name = reader.scalar(node, "policy", |node| value::text(node).map(str::to_owned))?;
    let path = reader.resolve(&name);
    // Only what is surely not there counts as missing: a file that cannot be reached may hold rules.
    if fs::symlink_metadata(&path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Some(Policy { path: Some(path), missing: true, snapshot: Arc::new(PolicySnapshot::default()) });
    }
    let mut own = Reader::new(&path);
    let snapshot = load(&path, &mut own, listeners);
    reader.adopt(own);
    Some(Policy { path: Some(path), missing: false, snapshot: Arc::new(snapshot?) })
}

/// Reads the policy file at `path` alone, while the gateway runs.
pub(super) fn read_again(path: &Path, listeners: &[String]) -> Result<PolicySnapshot, Problems> {
    let mut reader = Reader::new(path);
    let snapshot = load(path, &mut reader, listeners);
    match (snapshot, reader.into_problems()) {
        (Some(snapshot), problems) if problems.is_empty() => Ok(snapshot),
        (_, problems) => Err(Problems(problems)),
    }
}

fn load(path: &Path, reader: &mut Reader, listeners: &[String]) -> Option<PolicySnapshot> {
    let text = yaml::read_text(path);
    let hash = text.as_ref().map(|text| Sha256::digest(text.as_bytes()).into()).unwrap_or_default();
    let tree = reader.parse(text)?;
    let snapshot = PolicySnapshot { hash, ..PolicySnapshot::default() };
    if matches!(tree.data, Data::Null) {
        return Some(snapshot);
    }
    let section = reader.section(&tree, "", &["recording", "masking"], LATER)?;
    let recording = match section.node("recording") {
        None => Some(snapshot.recording),
        Some(node) => recording::read(node, reader, listeners),
    };
    let masking = match section.node("masking") {
        None => Some(snapshot.masking),
        Some(node) => masking::read(node, reader, listeners),
    };
    Some(PolicySnapshot { recording: recording?, masking: masking?, ..snapshot })
}
