//! What the process is told by signals: to stop, and to read its policy again.
//!
//! Invariant: from [`Signals::take_over`] on, which comes before anything is started, no signal of these ends the process by
//! itself: one that comes while it starts is heeded once it has.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that are heeded.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes them over from the kernel's defaults.
    pub(super) fn take_over() -> io::Result<Signals> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hangup = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Signals { runtime, terminate, interrupt, hangup })
    }

    /// Waits for SIGTERM or SIGINT; `reload` is called for each SIGHUP.
    pub(super) fn wait_for_stop(self, reload: impl Fn()) {
        let Signals { runtime, mut terminate, mut interrupt, mut hangup } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    _ = hangup.recv() => reload(),
                }
            }
        });
    }
}
