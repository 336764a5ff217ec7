//! `control`: where the control plane listens.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::ports::Ports;
use super::reader::{Reader, Section};
use super::{Control, value};

/// `sun_path` of unix(7) holds 108 bytes, the last of them zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The socket's name inside the store's folder, unless configured.
const SOCKET_NAME: &str = "weir.sock";

pub(super) fn read(
    root: &Section<'_>,
    reader: &mut Reader,
    store: Option<&Path>,
    ports: &mut Ports,
) -> Option<Control> {
    let node = root.needed(reader, "control", "`control: { bind: \"127.0.0.1:9280\" }`")?;
    let section = reader.section(node, "control", &["bind", "socket"], &[])?;
    let bind = section.required(reader, "bind", "an IP address and a port, such as \"127.0.0.1:9280\"", value::bind);
    if let (Some(bind), Some(node)) = (bind, section.node("bind")) {
        ports.claim(node.at, section.path("bind"), bind.ip(), bind.port(), bind.port());
    }
    let socket = socket(&section, reader, store);
    Some(Control { bind: bind?, socket: socket? })
}

fn socket(section: &Section<'_>, reader: &mut Reader, store: Option<&Path>) -> Option<PathBuf> {
    let (at, path) = match section.node("socket") {
        Some(node) => {
            let text = reader.scalar(node, &section.path("socket"), |node| value::text(node).map(str::to_owned))?;
            (node.at, reader.resolve(&text))
        }
        None => (section.at, store?.join(SOCKET_NAME)),
    };
    let length = path.as_os_str().as_bytes().len();
    if length > SOCKET_PATH_BYTES_MAX {
        let expected = format!("expected at most {SOCKET_PATH_BYTES_MAX}: set `socket` to a shorter path");
        reader.report(at, format!("{}: found a path of {length} bytes; {expected}", section.path("socket")));
        return None;
    }
    Some(path)
}
