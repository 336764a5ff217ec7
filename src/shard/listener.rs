//! Doors: the bootstrap address of a listener and a port for each broker behind it, or only the former, where clients say in
//! the TLS handshake whom they want.
//!
//! Every shard binds the same ports with SO_REUSEPORT, and the kernel spreads connections over them. Invariant: the
//! shard that releases a Metadata naming a broker has that broker's door open itself before; the others follow.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;
use socket2::{Domain, Protocol, Socket, Type};

use super::connection;
use super::runtime::Runtime;
use super::state::{Command, Shard};
use crate::addressing::{Advertised, Brokers};
use crate::policy::SubjectMapping;
use crate::tls::ServerTls;
use crate::upstream::Cluster;

/// What the configuration says of a listener.
#[derive(Clone)]
pub struct ListenerOptions {
    /// Its name.
    pub name: String,
    /// The cluster behind it.
    pub cluster: Arc<Cluster>,
    /// The bootstrap address.
    pub bind: SocketAddr,
    /// What tells brokers apart.
    pub brokers: Brokers,
    /// TLS; none on a plaintext listener.
    pub tls: Option<ListenerTls>,
    /// What clients are told.
    pub advertised: Advertised,
    /// Clients that do not log in are let in.
    pub anonymous: bool,
    /// Clients may log in with Weir's tokens by PLAIN.
    pub weir_token: bool,
    /// Clients may log in with Weir's tokens by SCRAM.
    pub scram: bool,
    /// Clients may log in with JWTs, by OAUTHBEARER or PLAIN.
    pub jwt: bool,
    /// The names of the issuers whose JWTs are taken.
    pub issuers: Vec<String>,
    /// Changes of credentials, ACLs, quotas, features and the quorum are forwarded.
    pub allow_security_changes: bool,
}

/// How a listener speaks TLS.
#[derive(Clone)]
pub struct ListenerTls {
    /// Certificates in force.
    pub server: Arc<ServerTls>,
    /// Clients are whom their certificates name, where they show one.
    pub subjects: Option<Arc<Subjects>>,
}

/// What is made of a client certificate's subject.
#[derive(Debug)]
pub struct Subjects {
    /// The rules that make a name of it.
    pub mapping: SubjectMapping,
    /// Its organizational units are the client's groups.
    pub units_are_groups: bool,
}

/// A door that is open: which listener, and for which broker.
pub(super) struct Door {
    pub listener: Arc<ListenerOptions>,
    /// None on the bootstrap address; there a server name may still say whom a connection is for.
    pub node: Option<i32>,
}

/// Connections that wait to be accepted; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 1024;

/// Binds a listening socket that other shards may bind as well.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Opens a listener's bootstrap address, and the doors of brokers as they become known.
pub(super) fn open<R: Runtime>(shard: &Rc<Shard<R>>, listener: &Arc<ListenerOptions>) -> io::Result<()> {
    open_door(shard, listener, None, listener.bind)?;
    if matches!(listener.brokers, Brokers::Ports(_)) {
        shard.spawn(follow(shard.clone(), listener.clone()));
    }
    Ok(())
}

/// Opens the doors of brokers as the watcher finds them: after a start of Weir, clients come straight to them.
async fn follow<R: Runtime>(shard: Rc<Shard<R>>, listener: Arc<ListenerOptions>) {
    while !shard.is_draining() {
        for node in listener.cluster.view().brokers.keys() {
            open_broker(&shard, &listener, *node);
        }
        // A change between the look and the wait is not missed for long.
        or(listener.cluster.changed(), R::sleep(Duration::from_millis(250))).await;
    }
}

/// Makes sure that a broker's door is open on this shard, and soon on the others; false when it cannot be.
pub(super) fn ensure_broker<R: Runtime>(shard: &Rc<Shard<R>>, listener: &Arc<ListenerOptions>, node: i32) -> bool {
    match open_broker(shard, listener, node) {
        Some(true) => {
            shard.tell_others(|| Command::OpenBroker { listener: listener.name.clone(), node });
            true
        }
        opened => opened.is_some(),
    }
}

/// Opens a broker's door on this shard: whether it was closed before; none when it cannot be opened.
pub(super) fn open_broker<R: Runtime>(
    shard: &Rc<Shard<R>>,
    listener: &Arc<ListenerOptions>,
    node: i32,
) -> Option<bool> {
    let Brokers::Ports(ports) = &listener.brokers else {
        // A name needs no opening.
        return Some(false);
    };
    let Some(address) = ports.address(node) else {
        complain(shard, listener, node, "its id lies beyond the range of ports in `brokers`");
        return None;
    };
    match open_door(shard, listener, Some(node), address) {
        Ok(opened) => Some(opened),
        Err(error) => {
            complain(shard, listener, node, &format!("{address} cannot be listened on: {error}"));
            None
        }
    }
}

/// Tells once what would else be told with each Metadata.
fn complain<R: Runtime>(shard: &Shard<R>, listener: &ListenerOptions, node: i32, why: &str) {
    if shard.complaints.borrow_mut().insert((listener.name.clone(), node)) {
        tracing::error!(listener = listener.name, node, "clients will not see this broker: {why}");
    }
}

fn open_door<R: Runtime>(
    shard: &Rc<Shard<R>>,
    listener: &Arc<ListenerOptions>,
    node: Option<i32>,
    address: SocketAddr,
) -> io::Result<bool> {
    if shard.is_draining() || !shard.doors.borrow_mut().insert((listener.name.clone(), node)) {
        return Ok(false);
    }
    let opened = bind(address).and_then(R::listener);
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            shard.doors.borrow_mut().remove(&(listener.name.clone(), node));
            return Err(error);
        }
    };
    let door = Rc::new(Door { listener: listener.clone(), node });
    shard.spawn(accept(shard.clone(), door, socket));
    Ok(true)
}

async fn accept<R: Runtime>(shard: Rc<Shard<R>>, door: Rc<Door>, socket: R::Listener) {
    while !shard.is_draining() {
        let accepted = or(async { Some(R::accept(&socket).await) }, async {
            shard.drained.notified().await;
            None
        });
        match accepted.await {
            None => return,
            Some(Ok(client)) => connection::begin(&shard, &door, client),
            Some(Err(error)) => {
                // Out of descriptors, or the client gave up already; wait, so that the former is no busy loop.
                tracing::warn!(listener = door.listener.name, "a connection was not accepted: {error}");
                R::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
