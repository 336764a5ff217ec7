//! The control plane: what operators and monitoring talk to, on a thread of its own, never on a shard.
//!
//! Two doors, which share the resources in `api`. The TCP one (`public`, over the connections of `serve`) answers monitoring:
//! `/metrics`, `/healthz`, `/readyz`, without a login and without a word about clients; and the API, to whoever has logged in
//! and has the role. The unix socket (`local`) answers the `weir` commands; who may
//! open it is decided by the file's mode, 0600 from the moment it exists. Invariant: both are open when `start` returns.
//! `issuers` fetches the keys of identity providers, `webhooks` tells others of the `notices` there are, each on a thread of its
//! own as well.

mod api;
pub mod approvals;
pub mod client;
mod follow;
mod issuers;
mod local;
mod metrics;
mod notices;
mod page;
mod policy;
mod problem;
mod public;
mod readiness;
mod serve;
mod socket;
#[cfg(test)]
mod tests;
mod tokens;
mod webhooks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;

use self::api::Served;
use self::api::login::Logins;
use self::api::looks::Looks;
use crate::recorder::{LookStore, Queries};
use crate::tls::ServerTls;

pub use api::login::LoginOptions;
pub use api::looks::{Look, LookPage, Seen, look_page};
pub use api::requests::{Filed, Reason};
pub use api::sessions::EXCHANGES_PAGE;
pub use follow::FOLLOW_ENDED;
pub use issuers::{IssuerError, IssuerKeys, IssuerLook, IssuerSource, KeysAt, look_at_issuer};
pub use metrics::{InstallError, install as install_metrics};
pub use notices::{Notice, NoticeKind, Outbox, PreparedNotice};
pub use policy::{
    PolicyChange, PolicyChangeError, PolicyChecked, PolicyFile, PolicyInForce, PolicyProblem, PolicyQuestion,
    PolicyReload, PolicyReloaded, PolicyTrial, PolicyTrialError,
};
pub use readiness::{Check, Readiness};
pub use tokens::{CreatedToken, Minter, NewToken, TokenError, TokenRegistry, TokenState, TokenView};
pub use webhooks::{
    DeadLetterView, SigningKey, Tried, WebhookDesk, WebhookError, WebhookFormat, WebhookOptions, WebhookView, Webhooks,
};

/// What the control plane serves, and where.
pub struct ControlOptions {
    /// The TCP address.
    pub bind: SocketAddr,
    /// Where people reach it; none where nobody does.
    pub url: Option<String>,
    /// TLS there; none where it is plain HTTP.
    pub tls: Option<Arc<ServerTls>>,
    /// Who may log in there, and what they may do.
    pub logins: LoginOptions,
    /// The unix socket's path; its folder must exist.
    pub socket: PathBuf,
    /// The recording.
    pub queries: Queries,
    /// Who looked at it.
    pub looks: LookStore,
    /// Tokens: created and revoked here, checked on the shards.
    pub tokens: Arc<TokenRegistry>,
    /// Access requests, decisions and grants.
    pub approvals: Arc<approvals::Registry>,
    /// The policy in force.
    pub policy: Arc<dyn PolicyReload>,
    /// Who else is told of what happens.
    pub webhooks: WebhookDesk,
    /// Whether the gateway can serve.
    pub readiness: Arc<dyn Readiness>,
    /// The metrics.
    pub metrics: PrometheusHandle,
}

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The TCP address is not to be had.
    #[error("control.bind {bind} cannot be opened: {source}; choose another address or stop what listens there")]
    Bind {
        /// The configured address.
        bind: SocketAddr,
        /// What the kernel says.
        source: io::Error,
    },
    /// Somebody answers on the unix socket.
    #[error("a running gateway answers on {}; stop it first, or set control.socket to another path", socket.display())]
    SocketInUse {
        /// The socket's path.
        socket: PathBuf,
    },
    /// The unix socket cannot be made.
    #[error("control.socket {} cannot be made: {source}", socket.display())]
    Socket {
        /// The socket's path.
        socket: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// No thread, or no runtime on it.
    #[error("the control plane's thread cannot be started: {0}")]
    Thread(io::Error),
}

/// The API as an OpenAPI 3.1 document, in JSON.
pub fn openapi() -> Result<String, serde_json::Error> {
    api::openapi::document().to_pretty_json()
}

/// The running control plane.
pub struct ControlHandle {
    bound: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// How long requests under way may take once a stop was asked for.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Opens both doors and serves them on a thread named `weir-control`.
pub fn start(options: ControlOptions) -> Result<ControlHandle, ControlError> {
    let ControlOptions {
        bind,
        url,
        tls,
        logins,
        socket,
        queries,
        looks,
        tokens,
        approvals,
        policy,
        webhooks,
        readiness,
        metrics,
    } = options;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("weir-control-io")
        .build()
        .map_err(ControlError::Thread)?;
    let tcp = std::net::TcpListener::bind(bind).map_err(|source| ControlError::Bind { bind, source })?;
    let bound = tcp.local_addr().map_err(|source| ControlError::Bind { bind, source })?;
    let unix = socket::open(&socket)?;
    let (stop, stopped) = watch::channel(false);
    let logins = Arc::new(Logins { options: logins, tokens: tokens.table() });
    let served = Served { queries, tokens, approvals, policy, readiness, looks: Arc::new(Looks::new(looks)), stopped };
    let public = public::Door { tcp, url, tls, logins: logins.clone(), metrics, served: served.clone() };
    let local = local::Door { unix, served, logins, webhooks };
    let thread = thread::Builder::new()
        .name("weir-control".to_owned())
        .spawn(move || serve(runtime, public, local))
        .map_err(ControlError::Thread)?;
    tracing::info!(address = %bound, socket = %socket.display(), "control plane is up");
    Ok(ControlHandle { bound, stop, thread: Some(thread) })
}

fn serve(runtime: tokio::runtime::Runtime, public: public::Door, local: local::Door) {
    let mut stopped = public.served.stopped.clone();
    runtime.block_on(async {
        let both = async { tokio::join!(public.serve(), local.serve()) };
        let grace = async {
            asked(&mut stopped).await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::select! { _ = both => {}, () = grace => {} }
    });
    // A query that is still reading the store is not waited for: it only reads.
    runtime.shutdown_background();
}

/// Resolves when a stop was asked for, or the handle is gone.
async fn asked(stopped: &mut watch::Receiver<bool>) {
    let _handle_gone = stopped.wait_for(|stopped| *stopped).await.is_err();
}

impl ControlHandle {
    /// The TCP address that was bound.
    pub fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Stops taking requests, finishes those under way within a limit, removes the socket, ends the thread.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the control plane ended with a fault of its own");
        }
    }
}

impl Drop for ControlHandle {
    fn drop(&mut self) {
        self.end();
    }
}
