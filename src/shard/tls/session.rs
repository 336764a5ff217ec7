//! rustls' state of one connection, driven step by step over bytes that the caller owns.
//!
//! rustls is asked again and again what to do next, until it waits for more bytes or lets something be written. Invariant:
//! each time it is shown all that it has not finished reading, since it remembers places in there.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
};

use super::RECORD_WIRE_MAX;
use crate::limits;
use crate::shard::runtime::Stream;

/// As many of the first bytes as tell TLS, Kafka and HTTP apart.
const OPENING_BYTES: usize = 16;

/// What a connection keeps between polls.
pub(super) struct Session {
    tls: Side,
    /// What came of a message that is not whole yet.
    pub partial: Vec<u8>,
    /// Plaintext that nobody had room for.
    pub plain: Vec<u8>,
    /// Ciphertext that the socket did not take.
    pub sealed: Vec<u8>,
    /// The peer has said, by TLS or TCP, that nothing more comes.
    pub ended: bool,
    /// Once the protocol has failed it stays so.
    pub failed: Option<rustls::Error>,
    /// The first bytes that came.
    pub opening: Vec<u8>,
    /// The last read filled its room, so the next one finds bytes at once.
    pub has_more: bool,
}

pub(super) enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl Session {
    pub fn new(tls: Side) -> Self {
        Session {
            tls,
            partial: Vec::new(),
            plain: Vec::new(),
            sealed: Vec::new(),
            ended: false,
            failed: None,
            opening: Vec::new(),
            has_more: false,
        }
    }

    fn common(&self) -> &CommonState {
        match &self.tls {
            Side::Server(tls) => tls,
            Side::Client(tls) => tls,
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        Some(self.common().peer_certificates()?.first()?.as_ref().to_vec())
    }

    /// Receives behind what is partial: how many bytes `incoming` then holds, 0 at the end of the stream. Reads about as
    /// much as `wanted` bytes of plaintext need.
    pub fn poll_receive<S: Stream>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &S,
        incoming: &mut [u8],
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        let kept = self.partial.len();
        if kept > limits::TLS_PARTIAL_BYTES_MAX {
            return Poll::Ready(Err(as_io(rustls::Error::General("a TLS message is too long".into()))));
        }
        incoming[..kept].copy_from_slice(&self.partial);
        let end = incoming.len().min(kept + wanted.max(RECORD_WIRE_MAX));
        let read = ready!(socket.poll_read(cx, &mut incoming[kept..end]))?;
        if read == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.opening.is_empty() {
            self.opening = incoming[..(kept + read).min(OPENING_BYTES)].to_vec();
        }
        self.partial = Vec::new();
        self.has_more = kept + read == end;
        Poll::Ready(Ok(kept + read))
    }

    /// Processes what came: plaintext goes to `buffer` and, beyond it, to `plain`; what is no whole message yet is kept. How
    /// much of the buffer was filled; an error only where that is nothing.
    pub fn process(&mut self, incoming: &mut [u8], buffer: &mut [u8]) -> Result<usize, rustls::Error> {
        let (mut used, mut filled) = (0, 0);
        loop {
            let mut out =
                Out { buffer: &mut *buffer, filled: &mut filled, plain: &mut self.plain, sealed: &mut self.sealed };
            let (discard, step) = match &mut self.tls {
                Side::Server(tls) => step(tls.process_tls_records(&mut incoming[used..]), &mut out, &mut nothing),
                Side::Client(tls) => step(tls.process_tls_records(&mut incoming[used..]), &mut out, &mut nothing),
            };
            used += discard;
            match step {
                Step::More => {}
                Step::Ended => self.ended = true,
                Step::Waits | Step::Written(_) => break,
                // Once more, for the alert that rustls has ready after an error.
                Step::Failed(error) if self.failed.is_none() => self.failed = Some(error),
                Step::Failed(_) => break,
            }
        }
        match &self.failed {
            Some(error) if filled == 0 => return Err(error.clone()),
            Some(_) => {}
            None => self.partial = incoming[used..].to_vec(),
        }
        Ok(filled)
    }

    /// Runs the protocol up to where application data may be written, and writes: how much ciphertext that made.
    pub fn write(
        &mut self,
        mut write: impl FnMut(&mut dyn Traffic) -> Result<usize, EncryptError>,
    ) -> io::Result<usize> {
        let mut partial = std::mem::take(&mut self.partial);
        let mut filled = 0;
        let written = loop {
            let mut out =
                Out { buffer: &mut [], filled: &mut filled, plain: &mut self.plain, sealed: &mut self.sealed };
            let (discard, step) = match &mut self.tls {
                Side::Server(tls) => step(tls.process_tls_records(&mut partial), &mut out, &mut write),
                Side::Client(tls) => step(tls.process_tls_records(&mut partial), &mut out, &mut write),
            };
            partial.drain(..discard);
            match step {
                Step::More => {}
                Step::Ended => self.ended = true,
                Step::Written(written) => break written.map_err(io::Error::other),
                Step::Waits => break Err(io::ErrorKind::BrokenPipe.into()),
                Step::Failed(error) => break Err(as_io(self.failed.insert(error).clone())),
            }
        };
        self.partial = partial;
        written
    }

    /// Hands over plaintext that is kept.
    pub fn take_plain(&mut self, buffer: &mut [u8]) -> usize {
        let taken = self.plain.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&self.plain[..taken]);
        if taken == self.plain.len() {
            self.plain = Vec::new();
        } else {
            self.plain.drain(..taken);
        }
        taken
    }

    /// Writes what waits, as far as the socket takes it now.
    pub fn flush_now<S: Stream>(&mut self, socket: &S) -> io::Result<()> {
        while !self.sealed.is_empty() {
            let sent = socket.try_writev(&[IoSlice::new(&self.sealed)])?;
            self.sent(sent)?;
        }
        Ok(())
    }

    /// Writes what waits, to its end.
    pub fn poll_flush<S: Stream>(&mut self, cx: &mut Context<'_>, socket: &S) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            let sent = ready!(socket.poll_write(cx, &self.sealed))?;
            self.sent(sent)?;
        }
        Poll::Ready(Ok(()))
    }

    fn sent(&mut self, sent: usize) -> io::Result<()> {
        match sent {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            all if all == self.sealed.len() => self.sealed = Vec::new(),
            part => drop(self.sealed.drain(..part)),
        }
        Ok(())
    }
}

/// Where a step puts what it makes.
struct Out<'a> {
    buffer: &'a mut [u8],
    filled: &'a mut usize,
    plain: &'a mut Vec<u8>,
    sealed: &'a mut Vec<u8>,
}

impl Out<'_> {
    fn plaintext(&mut self, bytes: &[u8]) {
        let direct = if self.plain.is_empty() { bytes.len().min(self.buffer.len() - *self.filled) } else { 0 };
        self.buffer[*self.filled..*self.filled + direct].copy_from_slice(&bytes[..direct]);
        *self.filled += direct;
        self.plain.extend_from_slice(&bytes[direct..]);
    }
}

/// What a step of the protocol came to.
enum Step {
    /// There may be more to do with what is there.
    More,
    /// The peer sends nothing more.
    Ended,
    /// Nothing more without more bytes.
    Waits,
    /// Application data could be written, and what came of writing it.
    Written(Result<usize, EncryptError>),
    Failed(rustls::Error),
}

/// What rustls lets be written, whichever side it is.
pub(super) trait Traffic {
    fn encrypt(&mut self, plain: &[u8], sealed: &mut [u8]) -> Result<usize, EncryptError>;
    fn queue_close_notify(&mut self, sealed: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<D> Traffic for WriteTraffic<'_, D> {
    fn encrypt(&mut self, plain: &[u8], sealed: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::encrypt(self, plain, sealed)
    }

    fn queue_close_notify(&mut self, sealed: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::queue_close_notify(self, sealed)
    }
}

/// For who reads only.
fn nothing(_: &mut dyn Traffic) -> Result<usize, EncryptError> {
    Ok(0)
}

/// Takes what one step gave, and writes where application data may be written; how many bytes of the input are done with.
fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    out: &mut Out<'_>,
    write: &mut dyn FnMut(&mut dyn Traffic) -> Result<usize, EncryptError>,
) -> (usize, Step) {
    let mut discard = status.discard;
    let step = match status.state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut step = Step::More;
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        out.plaintext(record.payload);
                    }
                    Err(error) => step = Step::Failed(error),
                }
            }
            step
        }
        Ok(ConnectionState::EncodeTlsData(mut message)) => {
            let at = out.sealed.len();
            let mut encoded = message.encode(&mut []);
            if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = encoded {
                out.sealed.resize(at + required_size, 0);
                encoded = message.encode(&mut out.sealed[at..]);
            }
            match encoded {
                Ok(_) => Step::More,
                Err(error) => Step::Failed(rustls::Error::General(error.to_string())),
            }
        }
        Ok(ConnectionState::TransmitTlsData(transmit)) => {
            // It is in `sealed`, which leaves before anything else does.
            transmit.done();
            Step::More
        }
        Ok(ConnectionState::WriteTraffic(mut traffic)) => Step::Written(write(&mut traffic)),
        Ok(ConnectionState::PeerClosed) => Step::Ended,
        Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => Step::Waits,
        Ok(_) => Step::Failed(rustls::Error::General("early data, which was not offered".into())),
        Err(error) => Step::Failed(error),
    };
    (discard, step)
}

/// As a stream reports it; `tls::explain_io` finds it again.
pub(super) fn as_io(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
