//! The store: file system, room, and who may look into it.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Access, access, statfs, statvfs};

use super::finding::Finding;
use crate::cli::terminal::bytes;
use crate::config::Config;

/// File systems by the number that statfs(2) gives, and why one is no place for a store.
const FILE_SYSTEMS: &[(u64, &str, Option<&str>)] = &[
    (0xef53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0x9123_683e, "btrfs", None),
    (0x2fc1_2fc1, "zfs", None),
    (0xf2f5_2010, "f2fs", None),
    (0x0102_1994, "tmpfs", Some(IN_MEMORY)),
    (0x8584_58f6, "ramfs", Some(IN_MEMORY)),
    (0x794c_7630, "overlay", Some("what is written there goes with the container")),
    (0x6969, "nfs", Some(OVER_NETWORK)),
    (0xff53_4d42, "cifs", Some(OVER_NETWORK)),
    (0xfe53_4d42, "smb2", Some(OVER_NETWORK)),
    (0x0102_1997, "9p", Some(OVER_NETWORK)),
    (0x6573_5546, "fuse", Some(OVER_NETWORK)),
    (0x00c3_6400, "ceph", Some(OVER_NETWORK)),
];

const IN_MEMORY: &str = "it is memory: recordings and tokens are gone after a restart of the machine";
const OVER_NETWORK: &str = "mapped files and locks of others are not kept there as a journal needs it";

/// What RocksDB wants to have for its log and its compactions, bytes.
const HEADROOM_BYTES: u64 = 1 << 30;

/// Shorter lives say little about how much a day brings.
const AGE_MIN: Duration = Duration::from_secs(6 * 3600);

const DAY: f64 = 86_400.0;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let path = &config.store.path;
    let subject = "store";
    // Where there is no store yet, it is the folder it will be made in that counts.
    let (there, exists) = existing(path);
    let Ok(metadata) = fs::metadata(&there) else {
        let found = format!("{} cannot be looked at", there.display());
        return vec![
            Finding::problem("store", subject, found).why(NO_START).remedy("check `store.path` and its folder"),
        ];
    };
    vec![folder(subject, path, &there, &metadata, exists), file_system(subject, &there), room(config, subject, &there)]
}

const NO_START: &str = "the gateway will not start";

fn existing(path: &Path) -> (PathBuf, bool) {
    let mut there = path.to_owned();
    while !there.exists() {
        match there.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => there = parent.to_owned(),
            _ => return (PathBuf::from("."), false),
        }
    }
    let exists = there == path;
    (there, exists)
}

fn folder(subject: &str, path: &Path, there: &Path, metadata: &Metadata, exists: bool) -> Finding {
    let id = "store_folder";
    let (owner, mode) = (metadata.uid(), metadata.permissions().mode() & 0o777);
    let us = rustix::process::getuid().as_raw();
    if !metadata.is_dir() {
        return Finding::problem(id, subject, format!("{} is not a folder", there.display()))
            .why(NO_START)
            .remedy("move it away, or choose another `store.path`");
    }
    if access(there, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Finding::problem(id, subject, format!("{} cannot be written by this user (uid {us})", there.display()))
            .why(NO_START)
            .remedy(format!("run the doctor as the gateway's user; `chown -R` {} to it", path.display()));
    }
    if !exists {
        let found = format!("{} is not there yet; the first start makes it", path.display());
        return Finding::ok(id, subject, found);
    }
    if owner != us && us != 0 {
        return Finding::warning(id, subject, format!("{} belongs to uid {owner}, this is uid {us}", path.display()))
            .why("a gateway of another user could not keep others out of it")
            .remedy("run the doctor, and the gateway, as the user that the store belongs to");
    }
    if mode & 0o077 != 0 {
        return Finding::warning(id, subject, format!("the mode of {} is {mode:04o}", path.display()))
            .why("others on this machine can look into recordings until the gateway's next start sets it right")
            .remedy(format!("`chmod 700 {}`", path.display()));
    }
    Finding::ok(id, subject, format!("{}: mode {mode:04o}, uid {owner}, writable", path.display()))
}

fn file_system(subject: &str, there: &Path) -> Finding {
    let id = "file_system";
    let Ok(stat) = statfs(there) else {
        return Finding::warning(id, subject, "its file system does not say what it is")
            .why("a store needs mapped files and locks to work as on a local disk")
            .remedy("put it on a local disk");
    };
    // The kernel's type differs in width and sign between machines; the numbers have 32 bits.
    let magic = (stat.f_type as u64) & 0xffff_ffff;
    match FILE_SYSTEMS.iter().find(|(number, ..)| *number == magic) {
        Some((_, name, None)) => Finding::ok(id, subject, format!("on {name}")),
        Some((_, name, Some(why))) => Finding::warning(id, subject, format!("on {name}"))
            .why(why)
            .remedy("put it on a local disk (ext4, xfs), in a container on a volume"),
        None => Finding::ok(id, subject, format!("on a file system of type {magic:#x}")),
    }
}

fn room(config: &Config, subject: &str, there: &Path) -> Finding {
    let id = "store_room";
    let Ok(stat) = statvfs(there) else {
        return Finding::warning(id, subject, "its file system does not say how much room it has")
            .why("a full disk makes clients wait")
            .remedy("watch the disk by other means");
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let shards = u64::try_from(config.shards).unwrap_or(u64::MAX);
    let journals = config.store.journal_bytes.saturating_mul(shards);
    let (kept, set_aside) = (used(&config.store.path.join("db")), used(&config.store.path.join("journal")));
    let at_start = journals.saturating_sub(set_aside);
    let days = config.store.retention_days;
    let (free_text, journals_text) = (bytes(free), bytes(at_start));
    if free < at_start.saturating_add(HEADROOM_BYTES) {
        let wanted = bytes(at_start.saturating_add(HEADROOM_BYTES));
        return Finding::problem(id, subject, format!("{free_text} free, at least {wanted} are needed"))
            .why("the start fails for want of room for the journals, or clients wait once the disk is full")
            .remedy("make room, or lower `store.journal` and `store.retention`");
    }
    let Some(a_day) = a_day(&config.store.path, kept) else {
        let found = format!("{free_text} free, {journals_text} of it for journals; too new to tell what a day brings");
        return Finding::ok(id, subject, found);
    };
    let wanted = (a_day as f64 * f64::from(days)) as u64;
    let found = format!(
        "{free_text} free, {} kept, about {} a day: {} for {days} days",
        bytes(kept),
        bytes(a_day),
        bytes(wanted)
    );
    if wanted.saturating_sub(kept) > free {
        return Finding::warning(id, subject, found)
            .why("the disk is full before retention drops the first day, and then clients wait")
            .remedy("make room, or lower `store.retention`");
    }
    Finding::ok(id, subject, found)
}

/// Bytes on the disk below a folder.
fn used(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

/// What a day has brought on average since the store was made; none while it is too new to tell.
fn a_day(store: &Path, kept: u64) -> Option<u64> {
    let made = fs::metadata(store.join("db")).ok()?.created().ok()?;
    let age = SystemTime::now().duration_since(made).ok().filter(|age| *age >= AGE_MIN)?;
    Some((kept as f64 / (age.as_secs_f64() / DAY).max(1.0)) as u64)
}
