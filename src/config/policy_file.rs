//! The policy: one file, or a folder whose `*.yaml` files are read in the order of their names as if their lists were one.
//! Read with the same care as the configuration, and refused where this version cannot honour it.
//!
//! A rule that is silently ignored is an open door, hence fail closed: whatever this version does not understand stops
//! the start, and so does a folder without a file, or one with a file that would be passed over. A named file that does not
//! exist is no rule that is ignored; it is warned about.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use sha2::{Digest, Sha256};

use super::gathered::Part;
use super::problem::Mark;
use super::reader::{Reader, Section};
use super::yaml::{Data, Node};
use super::{Policy, Problems, access, approvals, masking, policy_put, recording, value, yaml};
use crate::limits::POLICY_FILES_MAX;
use crate::policy::{PolicySnapshot, PolicyText};

/// Sections that are honoured.
pub(super) const SECTIONS: &[&str] = &["access", "approvals", "masking", "recording"];

/// Sections that DESIGN names and later versions understand.
const LATER: &[&str] = &["alerts"];

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
    let snapshot = load(&path, listeners, |file| reader.adopt(file));
    Some(Policy { path: Some(path), missing: false, snapshot: Arc::new(snapshot?) })
}

/// Reads the policy at `path` alone, while the gateway runs.
pub(super) fn read_again(path: &Path, listeners: &[String]) -> Result<PolicySnapshot, Problems> {
    let mut problems = Vec::new();
    let snapshot = load(path, listeners, |file| problems.extend(file.into_problems()));
    match snapshot {
        Some(snapshot) if problems.is_empty() => Ok(snapshot),
        _ => Err(Problems(problems)),
    }
}

/// `finish` is given the reader of each file, once all that is wrong with it was noted.
fn load(path: &Path, listeners: &[String], mut finish: impl FnMut(Reader)) -> Option<PolicySnapshot> {
    let files = match files(path) {
        Ok(files) => files,
        Err((file, what)) => {
            let mut reader = Reader::new(&file);
            reader.report(Mark::START, what);
            finish(reader);
            return None;
        }
    };
    let texts: Vec<Result<String, String>> = files.iter().map(|file| yaml::read_text(file)).collect();
    let hash = hash(path, &files, &texts);
    let readers = files.iter().map(|file| Reader::new(file)).collect();
    if let Some(what) = policy_put::half_done(path, &hash) {
        let mut reader = Reader::new(path);
        reader.report(Mark::START, what);
        finish(reader);
        return None;
    }
    let snapshot = parse(readers, texts, listeners, finish)?;
    Some(PolicySnapshot { hash, ..snapshot })
}

/// The hash of what the files say now, lawful or not; none where they cannot be read.
pub(super) fn hash_on_disk(path: &Path) -> Option<[u8; 32]> {
    let files = files(path).ok()?;
    let texts: Vec<Result<String, String>> = files.iter().map(|file| yaml::read_text(file)).collect();
    texts.iter().all(Result::is_ok).then(|| hash(path, &files, &texts))
}

/// Reads a policy that is not in files: what is wrong with it, or what it says. What it refers to is read only where it is
/// said in which folder the files are to stand: others who ask must not learn by it which files there are.
pub(super) fn of_texts(
    files: Vec<PolicyText>,
    folder: Option<&Path>,
    listeners: &[String],
) -> Result<PolicySnapshot, Problems> {
    let reader = |file: &PolicyText| match folder {
        Some(folder) => Reader::new(&folder.join(&file.name)),
        None => Reader::new(Path::new(&file.name)).without_secrets(),
    };
    let readers = files.iter().map(reader).collect();
    let texts = files.into_iter().map(|file| Ok(file.text)).collect();
    let mut problems = Vec::new();
    let snapshot = parse(readers, texts, listeners, |file| problems.extend(file.into_problems()));
    match snapshot {
        Some(snapshot) if problems.is_empty() => Ok(snapshot),
        _ => Err(Problems(problems)),
    }
}

/// `finish` is given each reader, once all that is wrong with its text was noted. The hash is left to the caller.
fn parse(
    mut readers: Vec<Reader>,
    texts: Vec<Result<String, String>>,
    listeners: &[String],
    mut finish: impl FnMut(Reader),
) -> Option<PolicySnapshot> {
    let files = readers.iter().zip(&texts).map(|(reader, text)| PolicyText {
        name: reader.file().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        text: text.as_deref().unwrap_or_default().to_owned(),
    });
    let files: Arc<[PolicyText]> = files.collect();
    let trees: Vec<Option<Node>> = readers.iter_mut().zip(texts).map(|(reader, text)| reader.parse(text)).collect();
    let mut parts: Vec<Part<'_>> =
        readers.into_iter().zip(&trees).map(|(reader, tree)| part(reader, tree.as_ref())).collect();
    let access = access::read(&mut parts, listeners);
    let approvals = approvals::read(&mut parts, listeners);
    let masking = masking::read(&mut parts, listeners);
    let recording = recording::read(&mut parts, listeners);
    parts.into_iter().for_each(|part| finish(part.reader));
    Some(PolicySnapshot { hash: [0; 32], files, access: access?, approvals: approvals?, masking: masking?, recording })
}

/// A file and its sections; an empty one has none.
fn part(mut reader: Reader, tree: Option<&Node>) -> Part<'_> {
    let tree = tree.filter(|tree| !matches!(tree.data, Data::Null));
    let sections = tree.and_then(|tree| reader.section(tree, "", SECTIONS, LATER));
    Part { reader, sections }
}

/// The files of the policy, or why they cannot be told.
fn files(path: &Path) -> Result<Vec<PathBuf>, (PathBuf, String)> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let of_folder = |what: String| (path.to_owned(), what);
    let unreadable = |error: io::Error| of_folder(format!("cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        // What begins with a dot is an editor's or, in Kubernetes, the folder that names lead to.
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let ending = file.extension().map(|ending| ending.as_encoded_bytes().to_ascii_lowercase());
        match ending.as_deref() {
            _ if hidden => {}
            Some(b"yaml") => files.push(file),
            Some(b"yml") => return Err((file, "would be passed over; expected the ending `.yaml`".to_owned())),
            _ => {}
        }
    }
    files.sort();
    match files.len() {
        0 => Err(of_folder("holds no file that ends in `.yaml`; expected one or more".to_owned())),
        count if count > POLICY_FILES_MAX => {
            Err(of_folder(format!("holds {count} files; expected at most {POLICY_FILES_MAX}")))
        }
        _ => Ok(files),
    }
}

/// The hash of the files at `path`; one file that is named itself is no folder of one.
fn hash(path: &Path, files: &[PathBuf], texts: &[Result<String, String>]) -> [u8; 32] {
    let texts = texts.iter().map(|text| text.as_deref().unwrap_or_default());
    let is_folder = files.first().is_none_or(|file| file != path);
    hash_of(is_folder, files.iter().map(|file| file.file_name().unwrap_or_default().as_encoded_bytes()).zip(texts))
}

/// Of one file its SHA-256. Of a folder that of each name and content behind its length, so that neither what is moved from
/// one file to another nor a new name passes for the same.
pub(super) fn hash_of<'a>(is_folder: bool, files: impl IntoIterator<Item = (&'a [u8], &'a str)>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, text) in files {
        if !is_folder {
            hash.update(text);
            continue;
        }
        for bytes in [name, text.as_bytes()] {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        }
    }
    hash.finalize().into()
}
