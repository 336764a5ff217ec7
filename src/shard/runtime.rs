//! The seam between the two runtimes: readiness, nothing else.
//!
//! A shard runs on glommio (io_uring) or on a current-thread tokio (epoll); everything above this file is written once
//! against [`Runtime`] and [`Stream`] and compiled for both. The seam is polls on plain slices, not futures-io streams:
//! those would forbid vectored writes and would make every idle connection own a buffer. A poll that finds bytes reads
//! them in the same system call; one that finds none keeps nothing but a waker.
//!
//! Invariants:
//! - Nothing here blocks. `Pending` and `WouldBlock` mean that no byte was taken.
//! - At most one task polls a stream for reading, and at most one for writing.
//! - Nothing here is shared between threads.
//!
//! This is one of the two places with `unsafe`: a descriptor has to be lent out of a `RefCell`, and glommio takes
//! its sockets as raw ones.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::io::IoSlice;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::fd::BorrowedFd;
use rustix::net::{SendAncillaryBuffer, SendFlags};

/// A connected TCP stream with readiness.
pub trait Stream: 'static {
    /// Reads what is there, or registers the task to be woken when something is; 0 is the end of the stream.
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes as much as the socket takes, or registers the task to be woken when it takes something.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Writes as much of the slices as the socket takes now.
    fn try_writev(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Waits until what was taken has left for the socket, or registers the task to be woken; a socket itself keeps nothing.
    fn poll_flush(&self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The descriptor, for socket options and shutdown.
    fn fd(&self) -> BorrowedFd<'_>;
}

/// What a shard needs from its executor.
#[allow(async_fn_in_trait, reason = "shard-local: futures are never sent between threads")]
pub trait Runtime: 'static {
    /// Its streams.
    type Stream: Stream;
    /// Its listeners.
    type Listener: 'static;

    /// Runs `main` on this thread until it ends; the thread is pinned to `core` where one is given.
    fn run<F: Future<Output = ()> + 'static>(core: Option<usize>, main: F) -> io::Result<()>;

    /// Starts a task on this thread; it runs until it ends or the executor does.
    fn spawn(task: impl Future<Output = ()> + 'static);

    /// Waits.
    async fn sleep(duration: Duration);

    /// Takes over a bound, listening socket.
    fn listener(socket: TcpListener) -> io::Result<Self::Listener>;

    /// Accepts the next connection.
    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;

    /// Connects; the caller bounds the time.
    async fn connect(address: SocketAddr) -> io::Result<Self::Stream>;
}

/// glommio: one io_uring per core.
pub struct Uring;

/// A glommio stream; borrowed mutably within a poll only.
pub struct UringStream(RefCell<glommio::net::TcpStream>);

impl Stream for UringStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, buffer)
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes)
    }

    fn try_writev(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(rustix::net::sendmsg(self.fd(), slices, &mut SendAncillaryBuffer::default(), flags)?)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        borrowed(self, self.0.borrow().as_raw_fd())
    }
}

/// The descriptor of a stream that lies in a `RefCell`, borrowed for as long as the stream itself.
fn borrowed<S: Stream>(_owner: &S, raw: RawFd) -> BorrowedFd<'_> {
    // SAFETY: both callers pass the descriptor that their stream owns; it is closed when the stream is dropped, and the
    // borrow of `_owner` ends before that.
    #[allow(unsafe_code)]
    unsafe {
        BorrowedFd::borrow_raw(raw)
    }
}

impl Runtime for Uring {
    type Stream = UringStream;
    type Listener = glommio::net::TcpListener;

    fn run<F: Future<Output = ()> + 'static>(core: Option<usize>, main: F) -> io::Result<()> {
        let placement = match core {
            Some(core) => glommio::Placement::Fixed(core),
            None => glommio::Placement::Unbound,
        };
        let executor = glommio::LocalExecutorBuilder::new(placement).make().map_err(io::Error::from)?;
        executor.run(main);
        Ok(())
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        glommio::spawn_local(task).detach();
    }

    async fn sleep(duration: Duration) {
        glommio::timer::sleep(duration).await;
    }

    fn listener(socket: TcpListener) -> io::Result<Self::Listener> {
        // SAFETY: the descriptor is a bound, listening TCP socket whose ownership moves from `socket` to glommio.
        #[allow(unsafe_code)]
        unsafe {
            Ok(glommio::net::TcpListener::from_raw_fd(socket.into_raw_fd()))
        }
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        Ok(UringStream(RefCell::new(listener.accept().await.map_err(io::Error::from)?)))
    }

    async fn connect(address: SocketAddr) -> io::Result<Self::Stream> {
        let stream = glommio::net::TcpStream::connect(address).await.map_err(io::Error::from)?;
        Ok(UringStream(RefCell::new(stream)))
    }
}

/// tokio's current-thread runtime: epoll, where io_uring is not to be had.
pub struct Epoll;

/// A tokio stream; borrowed mutably within a poll only. Its futures-style reads know that a short read emptied the
/// socket, which `TcpStream::try_read` does not: it would ask the kernel once more for each message.
pub struct EpollStream(RefCell<tokio::net::TcpStream>);

impl Stream for EpollStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut read = tokio::io::ReadBuf::new(buffer);
        let polled = tokio::io::AsyncRead::poll_read(Pin::new(&mut *self.0.borrow_mut()), cx, &mut read);
        polled.map_ok(|()| read.filled().len())
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(Pin::new(&mut *self.0.borrow_mut()), cx, bytes)
    }

    fn try_writev(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.borrow().try_write_vectored(slices)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        borrowed(self, self.0.borrow().as_raw_fd())
    }
}

impl Runtime for Epoll {
    type Stream = EpollStream;
    type Listener = tokio::net::TcpListener;

    fn run<F: Future<Output = ()> + 'static>(core: Option<usize>, main: F) -> io::Result<()> {
        if let Some(core) = core {
            let mut set = rustix::thread::CpuSet::new();
            set.set(core);
            rustix::thread::sched_setaffinity(None, &set)?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, main);
        Ok(())
    }

    fn spawn(task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(task);
    }

    async fn sleep(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn listener(socket: TcpListener) -> io::Result<Self::Listener> {
        socket.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(socket)
    }

    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream> {
        Ok(EpollStream(RefCell::new(listener.accept().await?.0)))
    }

    async fn connect(address: SocketAddr) -> io::Result<Self::Stream> {
        Ok(EpollStream(RefCell::new(tokio::net::TcpStream::connect(address).await?)))
    }
}
