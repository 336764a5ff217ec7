//! What concerns the process as a whole: its name, its shards, its log, how it stops.

use std::time::Duration;

use super::reader::{Reader, Section};
use super::{Log, LogFormat, LogLevel, Runtime, value};

/// A thread each; beyond this a typing error is likelier than such a machine.
const SHARDS_MAX: u64 = 1024;

pub(super) fn node(root: &Section<'_>, reader: &mut Reader) -> Option<String> {
    match root.node("node") {
        Some(node) => reader.scalar(node, "node", value::name),
        None => Some(host_name()),
    }
}

/// What the kernel calls this machine; recordings of several gateways are told apart by it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "weir".to_owned() } else { name.to_owned() }
}

pub(super) fn runtime(root: &Section<'_>, reader: &mut Reader) -> Option<Runtime> {
    const CHOICES: &[(&str, Runtime)] =
        &[("auto", Runtime::Auto), ("io_uring", Runtime::IoUring), ("epoll", Runtime::Epoll)];
    root.or(reader, "runtime", Runtime::Auto, value::one_of(CHOICES))
}

pub(super) fn shards(root: &Section<'_>, reader: &mut Reader) -> Option<usize> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = root.or(reader, "shards", cores as u64, value::whole(1, SHARDS_MAX))?;
    usize::try_from(shards).ok()
}

pub(super) fn log(root: &Section<'_>, reader: &mut Reader) -> Option<Log> {
    const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
    const LEVELS: &[(&str, LogLevel)] = &[
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let default = Log { format: LogFormat::Text, level: LogLevel::Info };
    let Some(node) = root.node("log") else {
        return Some(default);
    };
    let section = reader.section(node, "log", &["format", "level"], &[])?;
    let format = section.or(reader, "format", default.format, value::one_of(FORMATS));
    let level = section.or(reader, "level", default.level, value::one_of(LEVELS));
    Some(Log { format: format?, level: level? })
}

pub(super) fn drain(root: &Section<'_>, reader: &mut Reader) -> Option<Duration> {
    root.or(reader, "drain", Duration::from_secs(10), value::duration("0s", "10m"))
}
