//! The policy file: read with the same care as the configuration, and refused where this version cannot honour it.
//!
//! A rule that is silently ignored is an open door, hence fail closed: whatever this version does not understand stops
//! the start. A named file that does not exist is no rule that is ignored; it is warned about.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use sha2::{Digest, Sha256};

use super::reader::{NOT_YET, Reader, Section, found};
use super::yaml::{Data, Node};
use super::{Policy, value, yaml};
use crate::policy::{PolicySnapshot, RecordingMode};

/// Sections that DESIGN names and later versions understand.
const LATER: &[&str] = &["access", "masking", "approvals", "alerts"];

/// Keys of a recording rule that later versions understand.
const RECORDING_LATER: &[&str] = &["name", "listeners", "groups", "topics", "sample"];

pub(super) fn read(root: &Section<'_>, reader: &mut Reader) -> Option<Policy> {
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
    let snapshot = load(&path, &mut own);
    reader.adopt(own);
    Some(Policy { path: Some(path), missing: false, snapshot: Arc::new(snapshot?) })
}

fn load(path: &Path, reader: &mut Reader) -> Option<PolicySnapshot> {
    let text = yaml::read_text(path);
    let hash = text.as_ref().map(|text| Sha256::digest(text.as_bytes()).into()).unwrap_or_default();
    let tree = reader.parse(text)?;
    let recording = rules(&tree, reader)?;
    Some(PolicySnapshot { hash, recording })
}

fn rules(tree: &Node, reader: &mut Reader) -> Option<RecordingMode> {
    if matches!(tree.data, Data::Null) {
        return Some(RecordingMode::Metadata);
    }
    let section = reader.section(tree, "", &["recording"], LATER)?;
    match section.node("recording") {
        None => Some(RecordingMode::Metadata),
        Some(node) => recording(node, reader),
    }
}

fn recording(node: &Node, reader: &mut Reader) -> Option<RecordingMode> {
    let items = reader.list(node, "recording", "recording rules")?;
    let mut mode = None;
    for (index, item) in items.iter().enumerate() {
        let path = format!("recording[{index}]");
        if let Some(section) = reader.section(item, &path, &["mode"], RECORDING_LATER) {
            mode = recording_mode(&section, reader);
        }
        if index > 0 {
            reader.report(item.at, format!("{path}: {NOT_YET}; expected one rule, `mode: metadata`"));
        }
    }
    mode
}

fn recording_mode(section: &Section<'_>, reader: &mut Reader) -> Option<RecordingMode> {
    let node = section.needed(reader, "mode", "`metadata`")?;
    let path = section.path("mode");
    match value::text(node) {
        Ok("metadata") => return Some(RecordingMode::Metadata),
        Ok(mode @ ("full" | "sample")) => reader.report(node.at, format!("{path}: `{mode}` is {NOT_YET}")),
        _ => reader.report(node.at, format!("{path}: found {}; expected `metadata`", found(node))),
    }
    None
}
