//! TLS on a stream: the seam's polls over rustls, with no buffer of its own while nothing is under way.
//!
//! rustls works on bytes it is handed (`session`): what comes in is read into the shard's [`Scratch`] and decrypted from
//! there into the caller's buffer, what goes out is encrypted into the scratch and written from there.
//!
//! Invariants:
//! - Kept with a stream is only what cannot move on: a record that is not whole yet (`partial`), plaintext that the caller's
//!   buffer did not hold (`plain`), ciphertext that the socket did not take (`sealed`).
//! - Ciphertext leaves in the order in which it was made: nothing is encrypted while `sealed` holds anything but what the
//!   protocol itself adds, and what is encrypted then is put behind it.
//! - The reading task registers for reading only, the writing task for writing only, so neither takes the other's wake-up.
//!   What reading makes the protocol say (the answer to a key update) leaves at once or before the next write.
//! - Bytes that were taken for writing have left once `poll_flush` is ready.

mod session;
mod transport;

use std::cell::{RefCell, RefMut};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fd::BorrowedFd;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::{ClientConfig, ServerConfig};

use self::session::{Session, Side, as_io};
pub(super) use self::transport::Transport;
use super::runtime::Stream;
use crate::limits;

/// The longest record on the wire: header, 2^14 bytes, and what encryption may add (RFC 5246, 6.2.3), bytes.
const RECORD_WIRE_MAX: usize = 5 + RECORD_PLAIN_MAX + 2048;
/// The most plaintext in one record (RFC 8446, 5.1), bytes.
const RECORD_PLAIN_MAX: usize = 16 * 1024;
/// Where bytes are read to: an unfinished message, and what one system call should bring; bytes.
const INCOMING_BYTES: usize = limits::TLS_PARTIAL_BYTES_MAX + 96 * 1024;
/// What is written at a time, and what encryption and the protocol add to it at most; bytes.
const SEALED_BYTES: usize = limits::TLS_WRITE_BYTES + 1024;

/// A shard's working memory for all its TLS streams; borrowed within one poll only.
#[derive(Default)]
pub(super) struct Scratch {
    incoming: RefCell<Vec<u8>>,
    sealed: RefCell<Vec<u8>>,
    gathered: RefCell<Vec<u8>>,
}

impl Scratch {
    fn incoming(&self) -> RefMut<'_, Vec<u8>> {
        Self::sized(&self.incoming, INCOMING_BYTES)
    }

    fn sealed(&self) -> RefMut<'_, Vec<u8>> {
        Self::sized(&self.sealed, SEALED_BYTES)
    }

    /// Made with the first use, so that a shard without TLS has none.
    fn sized(bytes: &RefCell<Vec<u8>>, size: usize) -> RefMut<'_, Vec<u8>> {
        let mut bytes = bytes.borrow_mut();
        bytes.resize(size, 0);
        bytes
    }
}

/// One end of TLS over a stream.
pub(super) struct TlsStream<S> {
    socket: S,
    session: RefCell<Session>,
    scratch: Rc<Scratch>,
}

/// Why a handshake did not come to its end.
#[derive(Debug)]
pub(super) enum HandshakeError {
    /// The socket failed.
    Io(io::Error),
    /// The peer closed.
    Closed {
        /// Without having said anything.
        silent: bool,
    },
    /// The protocol failed; the alert has been sent.
    Tls {
        /// Why.
        error: rustls::Error,
        /// The first bytes that came: some of them, when it was no TLS at all.
        opening: Vec<u8>,
    },
}

impl<S: Stream> TlsStream<S> {
    /// The server's end, before its handshake.
    pub(super) fn server(socket: S, config: Arc<ServerConfig>, scratch: Rc<Scratch>) -> Result<Self, rustls::Error> {
        let session = Session::new(Side::Server(UnbufferedServerConnection::new(config)?));
        Ok(TlsStream { socket, session: RefCell::new(session), scratch })
    }

    /// The client's end, before its handshake.
    pub(super) fn client(
        socket: S,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        scratch: Rc<Scratch>,
    ) -> Result<Self, rustls::Error> {
        let session = Session::new(Side::Client(UnbufferedClientConnection::new(config, name)?));
        Ok(TlsStream { socket, session: RefCell::new(session), scratch })
    }

    /// The server name that the client asks for in its hello (RFC 6066, 3), before anything is answered; none where it names
    /// none. What came is kept for the handshake, which finds out by itself when it is no hello.
    pub(super) async fn asked_name(&self) -> Result<Option<String>, HandshakeError> {
        let mut hello = Acceptor::default();
        std::future::poll_fn(|cx| self.poll_asked_name(cx, &mut hello)).await
    }

    fn poll_asked_name(
        &self,
        cx: &mut Context<'_>,
        hello: &mut Acceptor,
    ) -> Poll<Result<Option<String>, HandshakeError>> {
        let mut session = self.session.borrow_mut();
        loop {
            let (kept, silent) = (session.partial.len(), session.opening.is_empty());
            let mut incoming = self.scratch.incoming();
            let held = match ready!(session.poll_receive(cx, &self.socket, &mut incoming, RECORD_WIRE_MAX)) {
                Ok(0) => return Poll::Ready(Err(HandshakeError::Closed { silent })),
                Ok(held) => held,
                Err(error) => return Poll::Ready(Err(HandshakeError::Io(error))),
            };
            session.partial = incoming[..held].to_vec();
            let mut fresh = &incoming[kept..held];
            while !fresh.is_empty() {
                let Ok(1..) = hello.read_tls(&mut fresh) else { return Poll::Ready(Ok(None)) };
                match hello.accept() {
                    Ok(None) => {}
                    Ok(Some(hello)) => {
                        let name = hello.client_hello().server_name().map(str::to_owned);
                        return Poll::Ready(Ok(name));
                    }
                    Err(_) => return Poll::Ready(Ok(None)),
                }
            }
        }
    }

    /// Answers a hello that asks for a name that is none here (RFC 6066, 3), before anything is encrypted.
    pub(super) fn refuse_name(&self) {
        let description = rustls::AlertDescription::UnrecognisedName.into();
        // A record of the content type alert, of two bytes: fatal, and why (RFC 5246, 6.2.1 and 7.2).
        let _ = self.socket.try_writev(&[IoSlice::new(&[21, 3, 3, 0, 2, 2, description])]);
    }

    /// Shakes hands; the caller bounds the time. Nothing is read or written before it is done.
    pub(super) async fn handshake(&self) -> Result<(), HandshakeError> {
        std::future::poll_fn(|cx| self.poll_handshake(cx)).await
    }

    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<Result<(), HandshakeError>> {
        let mut session = self.session.borrow_mut();
        loop {
            let mut partial = std::mem::take(&mut session.partial);
            let processed = session.process(&mut partial, &mut []);
            ready!(session.poll_flush(cx, &self.socket)).map_err(HandshakeError::Io)?;
            if let Err(error) = processed {
                return Poll::Ready(Err(HandshakeError::Tls { error, opening: session.opening.clone() }));
            }
            if !session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            let silent = session.opening.is_empty();
            let mut incoming = self.scratch.incoming();
            match ready!(session.poll_receive(cx, &self.socket, &mut incoming, RECORD_WIRE_MAX)) {
                Ok(0) => return Poll::Ready(Err(HandshakeError::Closed { silent })),
                Ok(held) => session.partial = incoming[..held].to_vec(),
                Err(error) => return Poll::Ready(Err(HandshakeError::Io(error))),
            }
        }
    }

    /// Whether the handshake has come to its end.
    pub(super) fn is_secured(&self) -> bool {
        !self.session.borrow().is_handshaking()
    }

    /// The certificate that the peer has proven to be its own, in DER; none where it showed none.
    pub(super) fn peer_certificate(&self) -> Option<Vec<u8>> {
        self.session.borrow().peer_certificate()
    }

    /// Reads bytes as they come and drops them, for who waits for the peer to close; false at the end.
    pub(super) async fn discard(&self) -> bool {
        let read = std::future::poll_fn(|cx| self.socket.poll_read(cx, &mut self.scratch.incoming()));
        matches!(read.await, Ok(1..))
    }

    /// Tells the peer that nothing more comes, where that can be said without waiting.
    fn close_notify(&self) {
        let mut session = self.session.borrow_mut();
        if session.failed.is_some() || session.is_handshaking() || session.flush_now(&self.socket).is_err() {
            return;
        }
        let mut sealed = self.scratch.sealed();
        if let Ok(length) = session.write(|traffic| traffic.queue_close_notify(&mut sealed))
            && session.flush_now(&self.socket).is_ok()
        {
            let _ = self.socket.try_writev(&[IoSlice::new(&sealed[..length])]);
        }
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        loop {
            let held = session.take_plain(buffer);
            if held > 0 {
                return Poll::Ready(Ok(held));
            }
            if let Some(error) = &session.failed {
                return Poll::Ready(Err(as_io(error.clone())));
            }
            if session.ended {
                return Poll::Ready(Ok(0));
            }
            // Whoever reads cannot see that there is more at once, since its buffer is not full: others have their turn here.
            if std::mem::take(&mut session.has_more) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut incoming = self.scratch.incoming();
            let received = ready!(session.poll_receive(cx, &self.socket, &mut incoming, buffer.len()))?;
            if received == 0 {
                session.ended = true;
                return Poll::Ready(Ok(0));
            }
            let filled = session.process(&mut incoming[..received], buffer);
            // What cannot leave now leaves before the next write.
            let _ = session.flush_now(&self.socket);
            match filled {
                Ok(0) => {}
                Ok(filled) => return Poll::Ready(Ok(filled)),
                Err(error) => return Poll::Ready(Err(as_io(error))),
            }
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.try_writev(&[IoSlice::new(bytes)]))
    }

    fn try_writev(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        session.flush_now(&self.socket)?;
        let mut gathered = self.scratch.gathered.borrow_mut();
        let plain = next_plain(slices, &mut gathered);
        let mut sealed = self.scratch.sealed();
        let length = session.write(|traffic| traffic.encrypt(plain, &mut sealed))?;
        // The protocol may have had something to say before: it goes first.
        let sent =
            session.flush_now(&self.socket).and_then(|()| self.socket.try_writev(&[IoSlice::new(&sealed[..length])]));
        match sent {
            Ok(sent) => session.sealed.extend_from_slice(&sealed[sent..length]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                session.sealed.extend_from_slice(&sealed[..length]);
            }
            Err(e) => return Err(e),
        }
        Ok(plain.len())
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.borrow_mut().poll_flush(cx, &self.socket)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.fd()
    }
}

/// The plaintext of one call: the first slice alone where it fills a record, else as many as fit into one, so that a head
/// and what follows it travel together.
fn next_plain<'a>(slices: &'a [IoSlice<'_>], gathered: &'a mut Vec<u8>) -> &'a [u8] {
    let first: &[u8] = slices.first().map_or(&[], |slice| slice);
    if slices.len() < 2 || first.len() >= RECORD_PLAIN_MAX {
        return &first[..first.len().min(limits::TLS_WRITE_BYTES)];
    }
    gathered.clear();
    for slice in slices {
        let room = RECORD_PLAIN_MAX - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    gathered
}

#[cfg(test)]
mod tests;
