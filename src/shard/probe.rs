//! Whether io_uring can be used here, found out before glommio is started: it would end the process if an opcode is
//! missing, and container runtimes block io_uring by default.

use io_uring::{IoUring as Ring, Probe, opcode};

/// What the probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IoUring {
    /// Everything that the runtime needs is there.
    Usable,
    /// It is not, and why.
    Missing(String),
}

/// The opcodes that glommio 0.9 requires at start.
const NEEDED: &[(u8, &str)] = &[
    (opcode::Nop::CODE, "NOP"),
    (opcode::Readv::CODE, "READV"),
    (opcode::Writev::CODE, "WRITEV"),
    (opcode::Fsync::CODE, "FSYNC"),
    (opcode::ReadFixed::CODE, "READ_FIXED"),
    (opcode::WriteFixed::CODE, "WRITE_FIXED"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::PollRemove::CODE, "POLL_REMOVE"),
    (opcode::SendMsg::CODE, "SENDMSG"),
    (opcode::RecvMsg::CODE, "RECVMSG"),
    (opcode::Timeout::CODE, "TIMEOUT"),
    (opcode::TimeoutRemove::CODE, "TIMEOUT_REMOVE"),
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::LinkTimeout::CODE, "LINK_TIMEOUT"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::Fallocate::CODE, "FALLOCATE"),
    (opcode::OpenAt::CODE, "OPENAT"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::Statx::CODE, "STATX"),
    (opcode::Read::CODE, "READ"),
    (opcode::Write::CODE, "WRITE"),
    (opcode::Send::CODE, "SEND"),
    (opcode::Recv::CODE, "RECV"),
];

/// glommio needs some memory that is locked: its rings and their buffers, bytes.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Looks whether io_uring is allowed and complete.
pub fn probe_io_uring() -> IoUring {
    let ring = match Ring::new(8) {
        Ok(ring) => ring,
        Err(e) => {
            let hint =
                "containers block it by default: a seccomp profile has to allow io_uring_setup, _enter and _register";
            return IoUring::Missing(format!("io_uring_setup failed: {e} ({hint})"));
        }
    };
    let mut probe = Probe::new();
    if let Err(e) = ring.submitter().register_probe(&mut probe) {
        return IoUring::Missing(format!("the kernel does not tell its opcodes: {e}; 5.8 or newer is needed"));
    }
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(code, _)| !probe.is_supported(*code)).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        return IoUring::Missing(format!("the kernel lacks {}", missing.join(", ")));
    }
    match rustix::process::getrlimit(rustix::process::Resource::Memlock).current {
        Some(limit) if limit < MEMLOCK_BYTES_MIN => IoUring::Missing(format!(
            "the limit on locked memory is {limit} bytes, {MEMLOCK_BYTES_MIN} are needed (ulimit -l)"
        )),
        _ => IoUring::Usable,
    }
}
