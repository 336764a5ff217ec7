//! Finds out what held actions would come to, on a thread of its own: a cluster that is slow holds up nobody who waits.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, mpsc};

use super::effect::effect;
use super::registry::Effects;
use crate::limits;
use crate::policy::{Action, ActionEffect, HeldOperation};
use crate::recorder::Queries;
use crate::upstream::Cluster;

type Done = Box<dyn FnOnce(ActionEffect) + Send>;
type Asked = (Action, Done);

/// Asks clusters; it ends when dropped.
pub struct Surveyor {
    asked: Option<mpsc::Sender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

impl Surveyor {
    /// Of these clusters; the recording says who wrote last.
    pub fn start(clusters: Vec<Arc<Cluster>>, recording: Queries) -> std::io::Result<Surveyor> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (asked, mut asks) = mpsc::channel::<Asked>(limits::EFFECTS_WAITING_MAX);
        let thread = std::thread::Builder::new().name("weir-effects".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let room = Arc::new(Semaphore::new(limits::EFFECTS_SIDE_BY_SIDE));
                // What finds no place waits in the channel, whose room is bounded.
                while let Ok(place) = Arc::clone(&room).acquire_owned().await {
                    let Some((action, done)) = asks.recv().await else { return };
                    if action.operation == HeldOperation::ChangePolicy {
                        // Of no cluster: its own difference says what it comes to.
                        done(found(None));
                        continue;
                    }
                    let Some(cluster) = clusters.iter().find(|cluster| cluster.name == action.cluster).cloned() else {
                        done(nothing("it is of no cluster that Weir asks"));
                        continue;
                    };
                    let recording = recording.clone();
                    tokio::spawn(async move {
                        let _place = place;
                        done(effect(&cluster, Some(&recording), &action).await);
                    });
                }
            });
            // What is still being asked is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Surveyor { asked: Some(asked), thread: Some(thread) })
    }
}

impl Effects for Surveyor {
    fn find_out(&self, action: &Action, done: Done) {
        let sent = self.asked.as_ref().map(|asked| asked.try_send((action.clone(), done)));
        if let Some(Err(mpsc::error::TrySendError::Full((_, done)) | mpsc::error::TrySendError::Closed((_, done)))) =
            sent
        {
            done(nothing("too many requests were made at once to find out what each comes to"));
        }
    }
}

impl Drop for Surveyor {
    fn drop(&mut self) {
        self.asked.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn nothing(trouble: &str) -> ActionEffect {
    found(Some(trouble.to_owned()))
}

/// No facts.
fn found(trouble: Option<String>) -> ActionEffect {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    ActionEffect { at_ns, facts: Vec::new(), trouble }
}
