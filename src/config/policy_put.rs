//! Putting a policy in the place of the one there is, so that a crash at any moment leaves the old one or the new one whole, or
//! what nobody takes for a policy.
//!
//! Each file is written beside its place, synced, and then renamed into it. One file takes one rename, which is there or not.
//! Where several change, a marker stands in the folder meanwhile, with the hashes of both policies: a folder with a marker
//! whose files are neither of them is half changed, and is refused by everything that reads policies.
//!
//! Invariants: what a link leads to is never written, since it is somebody else's to make; owner, group and mode of a file
//! stay what they were.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::policy_file::hash_of;
use crate::policy::PolicyText;

/// Begins with a dot, as everything that is no file of the policy.
const MARKER: &str = ".weir-policy-change";

/// What file systems take.
const NAME_BYTES_MAX: usize = 255;

/// A policy that is to be put in the place of the one there is: its files have names that such files can have.
#[derive(Debug, Clone)]
pub struct PutPolicy {
    /// The file or folder that the configuration names.
    path: PathBuf,
    is_folder: bool,
    /// Its files, in the order in which they will be read.
    pub files: Vec<PolicyText>,
}

/// Why the policy's files stay what they are.
#[derive(Debug, thiserror::Error)]
pub enum PolicyPutError {
    /// A name that no file of the policy can have.
    #[error("{0}")]
    Name(String),
    /// Somebody else makes it.
    #[error("{} is a link; the policy is changed where that is made, and then reloaded", .0.display())]
    Link(PathBuf),
    /// The operating system does not let it be written.
    #[error("{} cannot be written: {source}; the policy stays what it is", file.display())]
    File {
        /// What.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Some files are the new policy's already, and could not be put back.
    #[error("{} is half changed and cannot be put back: {source}; nothing reads it until its files are one policy again", folder.display())]
    Half {
        /// Where.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl PutPolicy {
    /// These files, for the policy that the configuration names.
    pub fn new(path: &Path, mut files: Vec<PolicyText>) -> Result<PutPolicy, PolicyPutError> {
        let is_folder = path.is_dir();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !is_folder && (files.len() != 1 || files.iter().any(|file| file.name != name)) {
            let what = format!("the policy is one file, {name}; expected that and no other");
            return Err(PolicyPutError::Name(what));
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let unlawful = files.iter().find(|file| is_folder && !is_lawful(&file.name));
        if let Some(PolicyText { name, .. }) = unlawful {
            let what = format!(
                "{name:?} is no name of a policy's file: those end in `.yaml`, are no paths and begin with no dot"
            );
            return Err(PolicyPutError::Name(what));
        }
        if let Some([twice, ..]) = files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(PolicyPutError::Name(format!("{:?} is there twice", twice.name)));
        }
        Ok(PutPolicy { path: path.to_owned(), is_folder, files })
    }

    /// The hash by which the policy will be known.
    pub fn hash(&self) -> [u8; 32] {
        self.hash_of(&self.files)
    }

    fn hash_of(&self, files: &[PolicyText]) -> [u8; 32] {
        hash_of(self.is_folder, files.iter().map(|file| (file.name.as_bytes(), file.text.as_str())))
    }

    /// Where its files are to stand.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            _ if self.is_folder => &self.path,
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Puts it in the place of `old`, which is what the files say now.
    pub fn put(&self, old: &[PolicyText]) -> Result<(), PolicyPutError> {
        let (folder, new) = (self.folder(), &self.files);
        let differs = |file: &&PolicyText| !old.contains(file);
        let written: Vec<&PolicyText> = new.iter().filter(differs).collect();
        let gone = old.iter().filter(|file| new.iter().all(|other| other.name != file.name));
        let gone: Vec<PathBuf> = gone.map(|file| folder.join(&file.name)).collect();
        let places: Vec<PathBuf> = written.iter().map(|file| folder.join(&file.name)).collect();
        if let Some(link) = places.iter().chain(&gone).find(|place| place.is_symlink()) {
            return Err(PolicyPutError::Link(link.clone()));
        }
        self.unmark();
        let mut beside = Vec::new();
        for (number, (file, place)) in written.iter().zip(&places).enumerate() {
            let temporary = folder.join(format!("{MARKER}-{number}"));
            beside.push(temporary.clone());
            if let Err(source) = write(&temporary, &file.text, self.like(place, old).as_ref()) {
                remove(&beside);
                return Err(PolicyPutError::File { file: temporary, source });
            }
        }
        if places.len() + gone.len() > 1
            && let Err(source) = self.mark(&self.hash_of(old))
        {
            remove(&beside);
            return Err(PolicyPutError::File { file: folder.join(MARKER), source });
        }
        let moved = beside.iter().zip(&places).try_for_each(|(from, to)| fs::rename(from, to));
        let changed = moved.and_then(|()| gone.iter().try_for_each(fs::remove_file)).and_then(|()| sync(folder));
        let Err(source) = changed else {
            self.unmark();
            return Ok(());
        };
        remove(&beside);
        self.put_back(old).map_err(|source| PolicyPutError::Half { folder: folder.to_owned(), source })?;
        Err(PolicyPutError::File { file: folder.to_owned(), source })
    }

    /// Puts `old`, in whose place it was or is being put, back: its files as they were, and none that were not there.
    pub fn put_back(&self, old: &[PolicyText]) -> io::Result<()> {
        let folder = self.folder();
        if self.is_folder && !folder.join(MARKER).exists() {
            self.mark(&self.hash_of(old))?;
        }
        let temporary = folder.join(format!("{MARKER}-0"));
        for file in old.iter().filter(|file| !self.files.contains(file)) {
            let place = folder.join(&file.name);
            write(&temporary, &file.text, self.like(&place, old).as_ref())?;
            fs::rename(&temporary, &place)?;
        }
        let added = self.files.iter().filter(|file| old.iter().all(|other| other.name != file.name));
        let mut added = added.map(|file| folder.join(&file.name)).filter(|place| place.is_file());
        added.try_for_each(fs::remove_file)?;
        sync(folder)?;
        self.unmark();
        Ok(())
    }

    /// As what a file is to be: as it was, or as those beside it.
    fn like(&self, place: &Path, old: &[PolicyText]) -> Option<fs::Metadata> {
        let beside = || old.iter().find_map(|file| fs::metadata(self.folder().join(&file.name)).ok());
        fs::metadata(place).ok().or_else(beside)
    }

    fn mark(&self, old: &[u8; 32]) -> io::Result<()> {
        let folder = self.folder();
        write(&folder.join(MARKER), &format!("{}\n{}\n", hex(old), hex(&self.hash())), None)?;
        sync(folder)
    }

    fn unmark(&self) {
        forget_change(self.folder());
    }
}

/// Takes the marker away that a change has left whose folder is one policy again.
pub(super) fn forget_change(folder: &Path) {
    match fs::remove_file(folder.join(MARKER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("{} stays: {error}; it is of no use any more", folder.join(MARKER).display());
        }
        _ => {}
    }
}

/// What is to be said of the folder at `path` where a change of it was begun and not ended, and its files, whose hash it is, are
/// neither the old policy nor the new one.
pub(super) fn half_done(path: &Path, hash: &[u8; 32]) -> Option<String> {
    let marker = path.join(MARKER);
    let marked = fs::read_to_string(&marker).ok()?;
    if marked.lines().any(|known| known == hex(hash)) {
        return None;
    }
    let what = format!(
        "a change of several files was begun and not ended: some may be of the older policy and some of the newer. Put them \
         right, then remove {}",
        marker.display()
    );
    Some(what)
}

fn is_lawful(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && !name.starts_with('.')
        && name.to_ascii_lowercase().ends_with(".yaml")
        && !name.chars().any(|c| c.is_control() || matches!(c, '/' | '\\'))
}

/// Writes a file that was not there, as another is, and to the disk.
fn write(path: &Path, text: &str, like: Option<&fs::Metadata>) -> io::Result<()> {
    remove(&[path.to_owned()]);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(like) = like {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(like.mode() & 0o7777))?;
    }
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What is left of an earlier try; none of it is read by anybody.
fn remove(paths: &[PathBuf]) {
    for path in paths {
        let _not_there = fs::remove_file(path);
    }
}

fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::policy_file::read_again;
    use super::*;

    fn texts(files: &[(&str, &str)]) -> Vec<PolicyText> {
        files.iter().map(|(name, text)| PolicyText { name: (*name).to_owned(), text: (*text).to_owned() }).collect()
    }

    const A: &str = "recording: [{ mode: metadata }]\n";
    const B: &str = "recording: [{ mode: full }]\n";

    /// A folder with these files, its policy as it is read, and whatever else lies there.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
            fs::set_permissions(folder.path().join(name), Permissions::from_mode(0o640)).unwrap();
        }
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_changed_added_and_removed_and_nothing_else_is_left() {
        let folder = folder(&[("a.yaml", A), ("b.yaml", ""), ("c.yaml", "")]);
        let old = read_again(folder.path(), &[]).unwrap();
        let put = PutPolicy::new(folder.path(), texts(&[("d.yaml", ""), ("a.yaml", B), ("c.yaml", "")])).unwrap();
        put.put(&old.files).unwrap();
        assert_eq!(names(folder.path()), ["a.yaml", "c.yaml", "d.yaml"]);
        let new = read_again(folder.path(), &[]).unwrap();
        assert_eq!((new.hash, new.files.to_vec()), (put.hash(), put.files.clone()));
        for name in ["a.yaml", "d.yaml"] {
            assert_eq!(fs::metadata(folder.path().join(name)).unwrap().mode() & 0o777, 0o640, "{name}");
        }
        let one = folder.path().join("a.yaml");
        let put = PutPolicy::new(&one, texts(&[("a.yaml", A)])).unwrap();
        put.put(&texts(&[("a.yaml", B)])).unwrap();
        assert_eq!(read_again(&one, &[]).unwrap().hash, put.hash());
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let folder = folder(&[("a.yaml", A)]);
        for name in ["", "a", "a.yml", ".a.yaml", "../a.yaml", "x/a.yaml", "/a.yaml", "x\\a.yaml", "a\n.yaml", "..yaml"]
        {
            let put = PutPolicy::new(folder.path(), texts(&[(name, A)]));
            assert!(matches!(put, Err(PolicyPutError::Name(_))), "{name:?}");
        }
        let twice = PutPolicy::new(folder.path(), texts(&[("a.yaml", A), ("a.yaml", B)]));
        assert!(matches!(twice, Err(PolicyPutError::Name(_))));
        let one = folder.path().join("a.yaml");
        for files in [texts(&[("b.yaml", A)]), texts(&[("a.yaml", A), ("b.yaml", A)])] {
            assert!(matches!(PutPolicy::new(&one, files), Err(PolicyPutError::Name(_))));
        }
        std::os::unix::fs::symlink("a.yaml", folder.path().join("b.yaml")).unwrap();
        let put = PutPolicy::new(folder.path(), texts(&[("a.yaml", A), ("b.yaml", B)])).unwrap();
        let old = texts(&[("a.yaml", A), ("b.yaml", A)]);
        assert!(matches!(put.put(&old), Err(PolicyPutError::Link(_))));
        assert_eq!(fs::read_to_string(one).unwrap(), A);
    }

    #[test]
    fn a_folder_is_half_changed_until_it_is_the_old_or_the_new_policy() {
        let (old, new) = ([("a.yaml", A), ("b.yaml", "")], [("a.yaml", B), ("b.yaml", "\n")]);
        let folder = folder(&old);
        let before = read_again(folder.path(), &[]).unwrap();
        let put = PutPolicy::new(folder.path(), texts(&new)).unwrap();
        // As a crash leaves it, at each moment.
        put.mark(&before.hash).unwrap();
        assert!(read_again(folder.path(), &[]).is_ok(), "nothing was renamed yet");
        fs::write(folder.path().join("a.yaml"), B).unwrap();
        let half = read_again(folder.path(), &[]).unwrap_err().to_string();
        assert!(half.contains("was begun and not ended") && half.contains(MARKER), "{half}");
        fs::write(folder.path().join("b.yaml"), "\n").unwrap();
        assert_eq!(read_again(folder.path(), &[]).unwrap().hash, put.hash());
        put.put_back(&before.files).unwrap();
        assert_eq!(read_again(folder.path(), &[]).unwrap(), before);
        assert_eq!(names(folder.path()), ["a.yaml", "b.yaml"]);
    }

    #[test]
    fn where_a_file_cannot_be_put_all_stay_what_they_were() {
        let folder = folder(&[("a.yaml", A)]);
        // A folder stands in the place: nothing can be renamed there.
        fs::create_dir(folder.path().join("b.yaml")).unwrap();
        let put = PutPolicy::new(folder.path(), texts(&[("a.yaml", B), ("b.yaml", B)])).unwrap();
        let failed = put.put(&texts(&[("a.yaml", A)]));
        assert!(failed.is_err(), "{failed:?}");
        assert_eq!(fs::read_to_string(folder.path().join("a.yaml")).unwrap(), A);
    }
}
