//! A stream as its listener or cluster is configured: plaintext or TLS. Plaintext costs one look at which of both it is.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use rustix::fd::BorrowedFd;
use rustix::net::Shutdown;

use super::TlsStream;
use crate::shard::runtime::Stream;

/// Plaintext or TLS.
pub(in crate::shard) enum Transport<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl<S: Stream> Transport<S> {
    /// Whether exchanges may begin.
    pub(in crate::shard) fn is_secured(&self) -> bool {
        match self {
            Transport::Plain(_) => true,
            Transport::Tls(tls) => tls.is_secured(),
        }
    }

    /// Shuts the socket down, after TLS has said so where it can.
    pub(in crate::shard) fn shutdown(&self, how: Shutdown) {
        if let Transport::Tls(tls) = self {
            tls.close_notify();
        }
        // Whoever waits on a socket wakes up and finds it at its end; one that is gone already is none of our concern.
        let _ = rustix::net::shutdown(self.fd(), how);
    }
}

impl<S: Stream> Stream for Transport<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(stream) => stream.poll_read(cx, buffer),
            Transport::Tls(stream) => stream.poll_read(cx, buffer),
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(stream) => stream.poll_write(cx, bytes),
            Transport::Tls(stream) => stream.poll_write(cx, bytes),
        }
    }

    fn try_writev(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => stream.try_writev(slices),
            Transport::Tls(stream) => stream.try_writev(slices),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Plain(_) => Poll::Ready(Ok(())),
            Transport::Tls(stream) => stream.poll_flush(cx),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Transport::Plain(stream) => stream.fd(),
            Transport::Tls(stream) => stream.fd(),
        }
    }
}
