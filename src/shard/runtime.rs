//! The seam between the two runtimes: readiness, nothing else.
//!
//! A shard runs on glommio (io_uring) or on a current-thread tokio (epoll); everything above this file is written once
//! against [`Runtime`] and [`Stream`] and compiled for both. The seam is readiness with non-blocking calls, not
//! futures-io streams, because those would forbid vectored writes and would make every idle connection own a buffer.
//!
//! Invariants:
//! - `try_read` and `try_writev` never block and never wait; `WouldBlock` means: await `readable` or `writable`, retry.
//! - At most one task awaits `readable` and at most one awaits `writable` of a stream.
//! - Nothing here is shared between threads.
//!
//! This is one of the two places with `unsafe`: glommio's sockets hand out raw descriptors only, see [`Uring`].

use std::cell::OnceCell;
use std::cell::RefCell;
use std::future::Future;
use std::future::poll_fn;
use std::io;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};
use std::pin::Pin;
use std::time::Duration;

use rustix::fd::{AsFd, BorrowedFd};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

/// A connected TCP stream with readiness.
#[allow(async_fn_in_trait, reason = "shard-local: futures are never sent between threads")]
pub trait Stream: 'static {
    /// Waits until a read would not block (bytes, end of stream or an error are there).
    async fn readable(&self) -> io::Result<()>;

    /// Waits until `first` can be taken at least in part, and may take some of it: how much is returned.
    ///
    /// io_uring's runtime has no bare write readiness; handing it the bytes that are waiting anyway costs nothing.
    async fn write_when_ready(&self, first: &[u8]) -> io::Result<usize>;

    /// Reads what is there; `Ok(0)` is the end of the stream.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match rustix::net::recv(self.fd(), buffer, RecvFlags::DONTWAIT) {
            Ok((n, _)) => Ok(n),
            Err(e) => Err(e.into()),
        }
    }

    /// Writes as much of the slices as the socket takes.
    fn try_writev(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        Ok(rustix::net::sendmsg(self.fd(), slices, &mut SendAncillaryBuffer::default(), flags)?)
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

/// A glommio stream.
///
/// Reading readiness is a one-byte `peek`. Writing readiness needs `&mut` while a `peek` may be borrowed, so a second
/// handle on a duplicate of the descriptor is made the first time a write would block; connections that never block
/// keep one descriptor.
pub struct UringStream {
    reads: glommio::net::TcpStream,
    writes: OnceCell<RefCell<glommio::net::TcpStream>>,
}

impl UringStream {
    fn new(reads: glommio::net::TcpStream) -> Self {
        UringStream { reads, writes: OnceCell::new() }
    }

    fn write_half(&self) -> io::Result<&RefCell<glommio::net::TcpStream>> {
        if let Some(half) = self.writes.get() {
            return Ok(half);
        }
        let duplicate = rustix::io::fcntl_dupfd_cloexec(self.fd(), 0)?;
        // SAFETY: `into_raw_fd` gives up ownership of a descriptor that was just made here and is a connected TCP
        // socket; the glommio stream becomes its one owner.
        #[allow(unsafe_code)]
        let half = unsafe { glommio::net::TcpStream::from_raw_fd(duplicate.into_raw_fd()) };
        Ok(self.writes.get_or_init(|| RefCell::new(half)))
    }
}

impl Stream for UringStream {
    async fn readable(&self) -> io::Result<()> {
        let mut byte = [0u8; 1];
        self.reads.peek(&mut byte).await.map(drop).map_err(io::Error::from)
    }

    async fn write_when_ready(&self, first: &[u8]) -> io::Result<usize> {
        let half = self.write_half()?;
        poll_fn(|cx| {
            use futures_lite::AsyncWrite;
            Pin::new(&mut *half.borrow_mut()).poll_write(cx, first)
        })
        .await
    }

    fn fd(&self) -> BorrowedFd<'_> {
        let raw: RawFd = self.reads.as_raw_fd();
        // SAFETY: `reads` owns the descriptor and outlives the borrow, which is tied to `&self`.
        #[allow(unsafe_code)]
        unsafe {
            BorrowedFd::borrow_raw(raw)
        }
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
        Ok(UringStream::new(listener.accept().await.map_err(io::Error::from)?))
    }

    async fn connect(address: SocketAddr) -> io::Result<Self::Stream> {
        Ok(UringStream::new(glommio::net::TcpStream::connect(address).await.map_err(io::Error::from)?))
    }
}

/// tokio's current-thread runtime: epoll, where io_uring is not to be had.
pub struct Epoll;

impl Stream for tokio::net::TcpStream {
    async fn readable(&self) -> io::Result<()> {
        tokio::net::TcpStream::readable(self).await
    }

    async fn write_when_ready(&self, first: &[u8]) -> io::Result<usize> {
        loop {
            self.writable().await?;
            match self.try_write(first) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    // tokio keeps its own idea of readiness, which only its own calls bring up to date.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        tokio::net::TcpStream::try_read(self, buffer)
    }

    fn try_writev(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Runtime for Epoll {
    type Stream = tokio::net::TcpStream;
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
        Ok(listener.accept().await?.0)
    }

    async fn connect(address: SocketAddr) -> io::Result<Self::Stream> {
        tokio::net::TcpStream::connect(address).await
    }
}
