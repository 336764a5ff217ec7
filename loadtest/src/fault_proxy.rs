//! The network between a gateway and a real broker, with its faults: a connection that breaks within an answer.
//!
//! A broker cannot be made to reset a connection midway; what stands between can. Without a fault set, bytes pass as they
//! come. The proxy knows of Kafka no more than where an answer ends, so that it can break within one.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::SockRef;

use crate::{During, Result};

/// A listening proxy; its threads end with the process.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    plan: Arc<Plan>,
}

/// What is to be broken, and what has been.
#[derive(Debug, Default)]
struct Plan {
    /// Each so many answers one breaks; 0 for none.
    every: AtomicUsize,
    answers: AtomicUsize,
    breaks: AtomicUsize,
}

/// How a connection ends in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    /// By a reset, as from a broker's machine that dies, or a firewall.
    Reset,
    /// By a close, as from a broker that is killed.
    Close,
}

impl Plan {
    /// How this answer breaks, if it does.
    fn next(&self) -> Option<Break> {
        let every = self.every.load(Ordering::Relaxed);
        if every == 0 || !(self.answers.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every) {
            return None;
        }
        let earlier = self.breaks.fetch_add(1, Ordering::Relaxed);
        Some(if earlier.is_multiple_of(2) { Break::Reset } else { Break::Close })
    }
}

impl FaultProxy {
    /// Listens on a port of 127.0.0.1 and passes on to `upstream`, which need not be there yet.
    pub fn start(port: u16, upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).during("bind the fault proxy")?;
        let address = listener.local_addr().during("the fault proxy's address")?;
        let plan = Arc::new(Plan::default());
        let shared = plan.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let plan = shared.clone();
                // A connection that fails has ended, which both sides see.
                std::thread::spawn(move || pass(client, upstream, &plan));
            }
        });
        Ok(Self { address, plan })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on each `every`th answer is sent by half, and its connection then reset and closed by turns; 0 for none.
    pub fn break_every(&self, every: usize) {
        self.plan.every.store(every, Ordering::Relaxed);
    }

    /// How many answers were broken.
    pub fn breaks(&self) -> usize {
        self.plan.breaks.load(Ordering::Relaxed)
    }
}

fn pass(client: TcpStream, upstream: SocketAddr, plan: &Plan) -> io::Result<()> {
    let broker = TcpStream::connect_timeout(&upstream, Duration::from_secs(5))?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (mut asking, mut asked) = (client.try_clone()?, broker.try_clone()?);
    let requests = std::thread::spawn(move || {
        // However it ends, the broker is told that nothing more comes.
        let _ = io::copy(&mut asking, &mut asked);
        let _ = asked.shutdown(Shutdown::Write);
    });
    let broken = pass_answers(&broker, &client, plan).unwrap_or(Some(Break::Close));
    if broken == Some(Break::Reset) {
        SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
    } else {
        let _ = client.shutdown(Shutdown::Write);
    }
    // Ends the other thread's read without a word to the client, whose reset is to be the first it hears.
    let _ = (client.shutdown(Shutdown::Read), broker.shutdown(Shutdown::Both));
    let _ = requests.join();
    Ok(())
}

/// Passes answers on until the broker closes, or one of them breaks.
fn pass_answers(mut broker: &TcpStream, mut client: &TcpStream, plan: &Plan) -> io::Result<Option<Break>> {
    loop {
        let mut prefix = [0; 4];
        if broker.read(&mut prefix[..1])? == 0 {
            return Ok(None);
        }
        broker.read_exact(&mut prefix[1..])?;
        let length = u64::from(u32::from_be_bytes(prefix));
        let broken = plan.next();
        client.write_all(&prefix)?;
        let passed = if broken.is_some() { length / 2 } else { length };
        io::copy(&mut broker.take(passed), &mut client)?;
        if broken.is_some() {
            return Ok(broken);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A broker that answers each byte with a frame of ten.
    fn proxy() -> FaultProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let upstream = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    while stream.read_exact(&mut [0]).is_ok() {
                        stream.write_all(b"\0\0\0\x0a0123456789").unwrap();
                    }
                });
            }
        });
        FaultProxy::start(0, upstream).unwrap()
    }

    #[test]
    fn answers_pass_whole_until_one_is_broken_by_a_reset_and_the_next_by_a_close() {
        let proxy = proxy();
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        client.write_all(b"ab").unwrap();
        client.read_exact(&mut [0; 28]).unwrap();
        proxy.break_every(1);
        client.write_all(b"c").unwrap();
        let mut rest = Vec::new();
        assert_eq!(client.read_to_end(&mut rest).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        client.write_all(b"d").unwrap();
        rest.clear();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!((rest.as_slice(), proxy.breaks()), (b"\0\0\0\x0a01234".as_slice(), 2));
    }
}
