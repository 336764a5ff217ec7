//! The unix socket: opened with mode 0600 from the first moment, and never taken from a gateway that is alive.
//!
//! bind(2) would create the file with the process's umask, which is not ours to change while other threads run. Linux
//! takes the file's mode from the socket's own inode, so that is narrowed before the name exists.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use super::ControlError;

/// Commands that may knock at once.
const BACKLOG: i32 = 64;

/// An open socket; its file goes when it is dropped, unless another process has put its own there.
#[derive(Debug)]
pub(super) struct LocalSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The socket's name in the file system.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl LocalSocket {
    /// The socket, and what removes its file when dropped.
    pub(super) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

/// Opens the socket at `path`. A file left behind by a dead process is replaced.
pub(super) fn open(path: &Path) -> Result<LocalSocket, ControlError> {
    let failed = |source| ControlError::Socket { socket: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(failed(e)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(failed(io::Error::new(ErrorKind::AlreadyExists, "another file has this name")));
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => {
                return Err(ControlError::SocketInUse { socket: path.to_owned() });
            }
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed)?,
            Err(e) => return Err(failed(e)),
        },
    }
    create(path).map_err(failed)
}

fn create(path: &Path) -> io::Result<LocalSocket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let inode = fs::symlink_metadata(path)?.ino();
    let file = SocketFile { path: path.to_owned(), inode };
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = UnixListener::from(std::os::fd::OwnedFd::from(socket));
    Ok(LocalSocket { listener, file })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if ours && let Err(e) = fs::remove_file(&self.path) {
            tracing::warn!(socket = %self.path.display(), error = %e, "the local socket cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_owner_can_open_it_and_its_file_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let socket = open(&path).unwrap();
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_living_gateway_keeps_its_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let _living = open(&path).unwrap();
        assert!(matches!(open(&path), Err(ControlError::SocketInUse { .. })));
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn the_socket_of_a_dead_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _socket = open(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(open(&path), Err(ControlError::Socket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_successor_s_socket_survives_the_end_of_its_predecessor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let old = open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _new = open(&path).unwrap();
        drop(old);
        UnixStream::connect(&path).unwrap();
    }
}
