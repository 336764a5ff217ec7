//! Connecting a client's connection to its broker, and logging in there as Weir.
//!
//! Invariants:
//! - Nothing of the client is sent before the broker has let Weir in, and nothing at all before the client is known.
//! - The door of a broker that is known to be down is as shut as the broker's own: no byte is answered there.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;

use super::connection::Connection;
use super::handshake;
use super::runtime::{Runtime, Stream};
use super::tls::Transport;
use crate::limits;
use crate::pipeline::fault::Fault;
use crate::tls::{Peer, explain_io};
use crate::upstream::{Cluster, Endpoint, Login, LoginStep, Presence, Session, Tidings};

/// The upstream connection, made on first use.
pub(super) async fn upstream<R: Runtime>(connection: &Rc<Connection<R>>) -> Result<&Transport<R::Stream>, Fault> {
    if let Some(upstream) = connection.upstream.get() {
        return Ok(upstream);
    }
    let cluster = &connection.door.listener.cluster;
    // Apart from the task, which would else keep room for what is done once.
    let (stream, session) = match Box::pin(dial(connection)).await {
        Ok(reached) => reached,
        // Metadata tells of new brokers: one that is not there is the client's mistake, and no cause to look at the others.
        Err(why) if connection.node.get().is_some_and(|node| cluster.view().lacks(node)) => {
            return Err(Fault::Refused(why));
        }
        Err(why) => {
            cluster.tell(Tidings::Changed);
            return Err(unreachable(cluster, why));
        }
    };
    let upstream = connection.upstream.get_or_init(|| stream);
    connection.renewal.begin(session, connection.clock.now_ns());
    connection.spawn_responses();
    Ok(upstream)
}

/// Where the last look found the broker down, sees whether it is there again before the client is answered anything.
///
/// Clients take an answer to ApiVersions, which Weir has at hand, for a broker that works: they would start their pauses
/// between attempts anew with each connection, and librdkafka would ask a dead controller for ever.
pub(super) async fn knock<R: Runtime>(connection: &Connection<R>) -> Result<(), Fault> {
    let (cluster, node) = (&connection.door.listener.cluster, connection.node.get());
    let view = cluster.view().clone();
    match view.presence(node) {
        Presence::Assumed => return Ok(()),
        Presence::Gone => {
            let trouble = view.trouble.as_deref().unwrap_or("its brokers do not name this one any more");
            return Err(unreachable(cluster, format!("cannot reach cluster {}: {trouble}", cluster.name)));
        }
        Presence::Doubtful => {}
    }
    let mut trouble = String::from("its host does not resolve");
    for Endpoint { address, .. } in view.endpoints_of(node) {
        match bounded::<R, _>(R::connect(address)).await {
            Some(Ok(_)) => {
                cluster.tell(Tidings::Changed);
                return Ok(());
            }
            Some(Err(error)) => trouble = format!("{address}: {error}"),
            None => trouble = format!("{address} did not answer within {} s", limits::UPSTREAM_CONNECT_WAIT.as_secs()),
        }
    }
    Err(unreachable(cluster, format!("cannot reach cluster {}: {trouble}", cluster.name)))
}

fn unreachable(cluster: &Cluster, why: String) -> Fault {
    metrics::counter!("weir_upstream_connect_failures_total", "cluster" => cluster.name.clone()).increment(1);
    Fault::Unreachable(why)
}

async fn dial<R: Runtime>(connection: &Connection<R>) -> Result<(Transport<R::Stream>, Session), String> {
    let (cluster, node) = (&connection.door.listener.cluster, connection.node.get());
    let endpoints = connection.await_view(|| Some(cluster.view().endpoints_of(node)).filter(|e| !e.is_empty())).await;
    let endpoints = endpoints.ok_or_else(|| match node {
        Some(node) => format!("broker {node} of cluster {} is not known or its host does not resolve", cluster.name),
        None => match &cluster.view().trouble {
            Some(trouble) => format!("cannot reach cluster {}: {trouble}", cluster.name),
            None => format!("no broker of cluster {} is known ({})", cluster.name, cluster.bootstrap.join(", ")),
        },
    })?;
    // Bootstrap connections spread over the brokers, first over those that are known to answer, each at one of its turns.
    let answering = cluster.view().answering();
    let (mut first, mut others): (Vec<_>, Vec<_>) =
        endpoints.into_iter().partition(|endpoint| answering.contains(&endpoint.address));
    let turn = usize::try_from(connection.number.0).unwrap_or(0);
    for part in [&mut first, &mut others] {
        let turn = turn.checked_rem(part.len()).unwrap_or(0);
        part.rotate_left(turn);
    }
    first.append(&mut others);
    let mut trouble = String::new();
    for endpoint in first {
        let address = endpoint.address;
        let waits_for = Cell::new("did not answer");
        match bounded::<R, _>(reach(connection, &endpoint, &waits_for)).await {
            Some(Ok(reached)) => return Ok(reached),
            Some(Err(why)) => trouble = why,
            None => {
                let (what, seconds) = (waits_for.get(), limits::UPSTREAM_CONNECT_WAIT.as_secs());
                trouble = format!("{address} {what} within {seconds} s");
            }
        }
        if connection.is_ending() {
            break;
        }
    }
    Err(format!("cannot reach cluster {}: {trouble}", cluster.name))
}

async fn bounded<R: Runtime, T>(work: impl Future<Output = T>) -> Option<T> {
    futures_lite::future::or(async { Some(work.await) }, async {
        R::sleep(limits::UPSTREAM_CONNECT_WAIT).await;
        None
    })
    .await
}

/// Connects and logs in; `waits_for` says at any time what is waited for.
async fn reach<R: Runtime>(
    connection: &Connection<R>,
    endpoint: &Endpoint,
    waits_for: &Cell<&'static str>,
) -> Result<(Transport<R::Stream>, Session), String> {
    let (cluster, address) = (&connection.door.listener.cluster, endpoint.address);
    let stream = R::connect(address).await.map_err(|e| format!("{address}: {e}"))?;
    rustix::net::sockopt::set_tcp_nodelay(stream.fd(), true).map_err(|e| format!("{address}: {e}"))?;
    let stream = match &cluster.tls {
        None => Transport::Plain(stream),
        Some(tls) => {
            waits_for.set("did not finish the TLS handshake");
            let secured = handshake::with_broker(stream, tls, endpoint, &connection.shard.scratch).await;
            secured.map_err(|e| format!("{address}: {e}"))?
        }
    };
    let mut login = Login::new(cluster.credential.as_deref(), 0);
    let mut answer = None;
    loop {
        waits_for.set("waited for Weir's own login, whose credential had no answer");
        match login.next(answer.as_deref()).await.map_err(|e| format!("{address}: {e}"))? {
            LoginStep::Done(session) => return Ok((stream, session)),
            LoginStep::Send(frame) => {
                waits_for.set("did not answer");
                let answered = async {
                    send(&stream, &frame).await?;
                    receive(&stream).await
                };
                answer = Some(answered.await.map_err(|e| format!("{address}: {}", explain_io(&e, Peer::Broker)))?);
            }
        }
    }
}

/// Sends all of it.
pub(super) async fn send<S: Stream>(stream: &S, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = poll_fn(|cx| stream.poll_write(cx, bytes)).await?;
        bytes = &bytes[taken..];
    }
    poll_fn(|cx| stream.poll_flush(cx)).await
}

/// Longest answer to a login step, bytes.
pub(super) const LOGIN_ANSWER_MAX: usize = 64 * 1024;

async fn receive<S: Stream>(stream: &S) -> io::Result<Vec<u8>> {
    let mut prefix = [0u8; 4];
    fill(stream, &mut prefix).await?;
    let length = usize::try_from(i32::from_be_bytes(prefix)).ok().filter(|l| *l <= LOGIN_ANSWER_MAX);
    let length = length.ok_or_else(|| io::Error::other("its answer to the login is not the Kafka protocol"))?;
    let mut answer = vec![0u8; length];
    fill(stream, &mut answer).await?;
    Ok(answer)
}

async fn fill<S: Stream>(stream: &S, bytes: &mut [u8]) -> io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        match poll_fn(|cx| stream.poll_read(cx, &mut bytes[at..])).await? {
            0 => return Err(io::Error::other("it closed the connection during the login")),
            taken => at += taken,
        }
    }
    Ok(())
}
