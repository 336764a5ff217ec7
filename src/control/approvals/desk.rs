//! The registry's side towards the shards: what they ask is taken in at once and answered from a thread that may wait for the
//! disk.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::registry::Registry;
use crate::limits;
use crate::policy::{Answer, Ask, Desk, DigestKey, Listener, OpenTable};

type Asked = Box<(Ask, Box<dyn Listener>)>;

/// How often what has run out, and what is old, is looked for.
const LOOK: Duration = Duration::from_secs(60);

/// Where shards ask.
pub struct ApprovalDesk {
    registry: Arc<Registry>,
    asked: Option<Sender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

impl ApprovalDesk {
    /// Opens the desk on a thread of its own.
    pub fn open(registry: Arc<Registry>) -> std::io::Result<ApprovalDesk> {
        let (asked, asks) = bounded(limits::ASKED_AT_ONCE_MAX);
        let behind = Arc::clone(&registry);
        let thread =
            std::thread::Builder::new().name("weir-approvals".to_owned()).spawn(move || serve(&behind, &asks))?;
        Ok(ApprovalDesk { registry, asked: Some(asked), thread: Some(thread) })
    }
}

fn serve(registry: &Arc<Registry>, asks: &Receiver<Asked>) {
    let mut next_look = Instant::now() + LOOK;
    loop {
        match asks.recv_deadline(next_look) {
            Ok(asked) => registry.ask(asked.0, asked.1),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // However many ask.
        if Instant::now() >= next_look {
            if let Err(error) = registry.look_through() {
                tracing::error!("what has run out is not told of, and what is old stays: {error}");
            }
            next_look = Instant::now() + LOOK;
        }
    }
}

impl Desk for ApprovalDesk {
    fn ask(&self, ask: Ask, listener: Box<dyn Listener>) {
        let sent = self.asked.as_ref().map(|asked| asked.try_send(Box::new((ask, listener))));
        if let Some(Err(TrySendError::Full(asked) | TrySendError::Disconnected(asked))) = sent {
            asked.1.tell(Answer::Refused("too many requests are asked for at once".to_owned()));
        }
    }

    fn open(&self) -> Arc<OpenTable> {
        self.registry.open_times()
    }

    fn key(&self) -> DigestKey {
        self.registry.key()
    }
}

impl Drop for ApprovalDesk {
    fn drop(&mut self) {
        self.asked.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
