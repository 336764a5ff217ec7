//! Both ends of TLS over sockets that take and give as little as they like.
#![allow(clippy::unwrap_used)]
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::pin::pin;

use rcgen::{CertificateParams, KeyPair};
use rustix::net::Shutdown;
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;

use super::*;

/// A socket that is asked again and again; takes and gives at most `most` bytes a call, as a slow network would.
struct Asked {
    socket: TcpStream,
    most: Cell<usize>,
}

impl Asked {
    fn pair(most: usize) -> (Self, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = listener.accept().unwrap().0;
        let asked = |socket: TcpStream| {
            socket.set_nonblocking(true).unwrap();
            Asked { socket, most: Cell::new(most) }
        };
        (asked(near), asked(far))
    }
}

fn pending<T>(cx: &Context<'_>, result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        other => Poll::Ready(other),
    }
}

impl Stream for Asked {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = self.most.get().min(buffer.len());
        pending(cx, (&self.socket).read(&mut buffer[..most]))
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        pending(cx, (&self.socket).write(&bytes[..self.most.get().min(bytes.len())]))
    }

    fn try_writev(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let first: &[u8] = slices.first().map_or(&[], |slice| slice);
        (&self.socket).write(&first[..self.most.get().min(first.len())])
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

type End = TlsStream<Asked>;

/// Both ends of one connection, before their handshakes; `trusted`: whether the client trusts the server.
fn ends(most: usize, trusted: bool, version: &'static rustls::SupportedProtocolVersion) -> (End, End) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["weir.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    let other = CertificateParams::new(vec!["weir.test".to_owned()]).unwrap();
    let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap();
    roots.add(if trusted { certificate.der().clone() } else { other.der().clone() }).unwrap();
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = Asked::pair(most);
    let name = ServerName::try_from("weir.test").unwrap();
    let client = TlsStream::client(near, Arc::new(client), name, Rc::default()).unwrap();
    (client, TlsStream::server(far, Arc::new(server), Rc::default()).unwrap())
}

fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    futures_lite::future::block_on(futures_lite::future::zip(pin!(a), pin!(b)))
}

async fn send(stream: &End, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (head, tail) = bytes.split_at(bytes.len().min(7));
        let taken = match stream.try_writev(&[IoSlice::new(head), IoSlice::new(tail)]) {
            Ok(taken) => taken,
            Err(e) if e.kind() == ErrorKind::WouldBlock => poll_fn(|cx| stream.poll_write(cx, bytes)).await.unwrap(),
            Err(e) => panic!("{e}"),
        };
        bytes = &bytes[taken..];
    }
    poll_fn(|cx| stream.poll_flush(cx)).await.unwrap();
}

async fn receive(stream: &End, count: usize, room: usize) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; room]);
    while all.len() < count {
        let read = poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await.unwrap();
        assert!(read > 0, "the end after {} bytes", all.len());
        all.extend_from_slice(&buffer[..read]);
    }
    all
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[test]
fn what_is_sent_both_ways_at_once_arrives_as_it_was() {
    for version in VERSIONS {
        // Odd sizes, so that records, reads and writes never end together.
        for (most, room, count) in [(usize::MAX, 256 * 1024, 3 << 20), (40_001, 16 * 1024, 1 << 20), (97, 5, 60_000)] {
            let (client, server) = ends(most, true, version);
            let (a, b) = both(client.handshake(), server.handshake());
            a.and(b).unwrap();
            let bytes: Vec<u8> = (0..count).map(|at: u32| ((at * 31) >> 3) as u8).collect();
            let there = both(send(&client, &bytes), receive(&server, bytes.len(), room));
            let back = both(send(&server, &bytes), receive(&client, bytes.len(), room));
            assert!(there.1 == bytes && back.1 == bytes);
            let duplex = both(both_ways(&client, &bytes, room), both_ways(&server, &bytes, room));
            assert!(duplex.0 == bytes && duplex.1 == bytes);
        }
    }
}

async fn both_ways(stream: &End, bytes: &[u8], room: usize) -> Vec<u8> {
    futures_lite::future::zip(send(stream, bytes), receive(stream, bytes.len(), room)).await.1
}

#[test]
fn nothing_is_kept_while_nothing_is_under_way() {
    let (client, server) = ends(usize::MAX, true, &rustls::version::TLS13);
    let (a, b) = both(client.handshake(), server.handshake());
    a.and(b).unwrap();
    both(send(&client, &[7; 300_000]), receive(&server, 300_000, 256 * 1024));
    for end in [client, server] {
        let session = end.session.borrow();
        assert_eq!((session.partial.capacity(), session.plain.capacity(), session.sealed.capacity()), (0, 0, 0));
    }
}

#[test]
fn an_end_that_is_announced_is_read_as_one_after_what_was_sent() {
    let (client, server) = ends(usize::MAX, true, &rustls::version::TLS13);
    let (a, b) = both(client.handshake(), server.handshake());
    a.and(b).unwrap();
    both(send(&client, b"last words"), async {});
    let client = Transport::Tls(Box::new(client));
    client.shutdown(Shutdown::Write);
    let mut buffer = [0; 64];
    let mut read = || futures_lite::future::block_on(poll_fn(|cx| server.poll_read(cx, &mut buffer))).unwrap();
    assert_eq!([read(), read(), read()], [10, 0, 0]);
    assert!(server.session.borrow().ended);
}

#[test]
fn a_failed_handshake_tells_both_ends_why() {
    for version in VERSIONS {
        let (client, server) = ends(usize::MAX, false, version);
        let (client, server) = both(client.handshake(), server.handshake());
        let Err(HandshakeError::Tls { error: rustls::Error::InvalidCertificate(_), .. }) = client else {
            panic!("{client:?}");
        };
        let Err(HandshakeError::Tls { error: rustls::Error::AlertReceived(_), .. }) = server else {
            panic!("{server:?}");
        };
    }
}

#[test]
fn bytes_that_are_no_record_end_the_stream_with_an_error() {
    let (client, server) = ends(usize::MAX, true, &rustls::version::TLS13);
    let (a, b) = both(client.handshake(), server.handshake());
    a.and(b).unwrap();
    (&client.socket.socket).write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut buffer = [0; 64];
    let error = futures_lite::future::block_on(poll_fn(|cx| server.poll_read(cx, &mut buffer))).unwrap_err();
    assert!(crate::tls::is_at_fault(&error), "{error}");
}

#[test]
fn silence_and_a_close_within_the_handshake_are_told_apart() {
    let (client, server) = ends(usize::MAX, true, &rustls::version::TLS13);
    drop(client);
    let closed = futures_lite::future::block_on(server.handshake());
    assert!(matches!(closed, Err(HandshakeError::Closed { silent: true })), "{closed:?}");
    let (client, server) = ends(usize::MAX, true, &rustls::version::TLS13);
    (&client.socket.socket).write_all(b"\x16\x03\x01\x02").unwrap();
    drop(client);
    let closed = futures_lite::future::block_on(server.handshake());
    assert!(matches!(closed, Err(HandshakeError::Closed { silent: false })), "{closed:?}");
}
