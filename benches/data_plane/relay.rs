//! What Weir is measured against: the plainest relay on the same runtime, one thread, bytes in and bytes out.
//!
//! It uses Weir's own seam, so that the comparison says what frames, policy and recording cost, not which way of waiting
//! for a socket was chosen. A buffer is held only while bytes are there, as in Weir.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use rustix::net::Shutdown;
use weir::shard::bind;
use weir::shard::runtime::{Epoll, Runtime, Stream, Uring};

/// What one read may bring, bytes: the size of Weir's large buffers.
const BUFFER_BYTES: usize = 256 * 1024;

type Buffers = Rc<RefCell<Vec<Box<[u8]>>>>;

/// Relays from `listen` to `upstream` on this thread, until the process is killed.
pub fn run(runtime: &str, core: usize, listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    match runtime {
        "io_uring" => Uring::run(Some(core), serve::<Uring>(listen, upstream)),
        _ => Epoll::run(Some(core), serve::<Epoll>(listen, upstream)),
    }
}

async fn serve<R: Runtime>(listen: SocketAddr, upstream: SocketAddr) {
    let buffers = Buffers::default();
    let accepting = async {
        let listener = R::listener(bind(listen)?)?;
        loop {
            let client = R::accept(&listener).await?;
            R::spawn(relay::<R>(client, upstream, buffers.clone()));
        }
    };
    let ended: io::Result<()> = accepting.await;
    eprintln!("the relay ended: {ended:?}");
}

async fn relay<R: Runtime>(client: R::Stream, upstream: SocketAddr, buffers: Buffers) {
    let Ok(upstream) = R::connect(upstream).await else { return };
    let ends = Rc::new((client, upstream));
    for end in [ends.0.fd(), ends.1.fd()] {
        // Only a socket that is gone already refuses it, and the first read finds out.
        let _ = rustix::net::sockopt::set_tcp_nodelay(end, true);
    }
    let (back, buffers_back) = (ends.clone(), buffers.clone());
    R::spawn(async move { pump(&back.1, &back.0, &buffers_back).await });
    pump(&ends.0, &ends.1, &buffers).await;
}

/// Copies one direction, then ends both.
async fn pump<S: Stream>(from: &S, to: &S, buffers: &Buffers) {
    let copied = copy(from, to, buffers).await;
    if let Err(error) = copied
        && error.kind() != ErrorKind::ConnectionReset
    {
        eprintln!("a connection ended: {error}");
    }
    let _ = rustix::net::shutdown(from.fd(), Shutdown::Both);
    let _ = rustix::net::shutdown(to.fd(), Shutdown::Both);
}

async fn copy<S: Stream>(from: &S, to: &S, buffers: &Buffers) -> io::Result<()> {
    loop {
        let (buffer, read) = read(from, buffers).await?;
        if read == 0 {
            return Ok(());
        }
        let mut left = &buffer[..read];
        while !left.is_empty() {
            let written = poll_fn(|cx| to.poll_write(cx, left)).await?;
            left = &left[written..];
        }
        buffers.borrow_mut().push(buffer);
    }
}

/// A buffer with what is there, once something is.
async fn read<S: Stream>(from: &S, buffers: &Buffers) -> io::Result<(Box<[u8]>, usize)> {
    poll_fn(|cx| {
        let free = buffers.borrow_mut().pop();
        let mut buffer = free.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice());
        match from.poll_read(cx, &mut buffer) {
            Poll::Ready(read) => Poll::Ready(read.map(|read| (buffer, read))),
            Poll::Pending => {
                buffers.borrow_mut().push(buffer);
                Poll::Pending
            }
        }
    })
    .await
}
