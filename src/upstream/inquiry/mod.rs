//! What Weir itself asks a cluster: short questions of shards, which decide whether something is held, and what an action
//! would come to.
//!
//! Shards ask through [`Cluster::ask`]; a task on the upstream thread answers ([`answers`]), over connections of its own
//! ([`links`]). What an action would come to is found out by who shows it ([`Inquirer`]), on its own threads.
//!
//! Invariants:
//! - Asking blocks nobody, changes nothing on the cluster and creates nothing.
//! - An answer, or that there is none, comes within [`limits::INQUIRY_WAIT`]; too many questions are answered "unknown" at once.
//! - Nothing that was answered is kept, except for [`limits::TOPIC_EXISTS_KEPT`] that a topic exists.

mod answers;
mod groups;
mod links;
mod readers;
mod settings;
mod survey;
mod topics;
mod trouble;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

pub use groups::Partitions;
pub use readers::{GroupFacts, Readers};
pub use settings::{Setting, SettingsOf};
pub use survey::Inquirer;
pub use topics::{PartitionFacts, TopicFacts};
pub use trouble::Trouble;

use super::cluster::Cluster;
use crate::limits;
use links::Links;

/// A topic and one of its partitions.
pub type Place = (String, i32);

/// Something that must be known before it can be decided whether an exchange is held.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Question {
    /// Whether there is a topic of this name.
    TopicExists(String),
    /// The first offset that a partition still has.
    LogStart {
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
    },
    /// Where a consumer group stands: -1 where it has committed nothing.
    Committed {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
        /// Its partition.
        partition: i32,
    },
}

impl Question {
    /// The topic that has to be looked up for it.
    fn topic_looked_up(&self) -> Option<&str> {
        match self {
            Question::TopicExists(topic) | Question::LogStart { topic, .. } => Some(topic),
            Question::Committed { .. } => None,
        }
    }
}

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// The answer.
    Known(Value),
    /// There is none, and why.
    Unknown(Trouble),
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Of [`Question::TopicExists`].
    Exists(bool),
    /// Of the others.
    Offset(i64),
}

impl Answered {
    /// Whether it exists, where that was asked and is known.
    pub fn exists(&self) -> Option<bool> {
        match self {
            Answered::Known(Value::Exists(exists)) => Some(*exists),
            _ => None,
        }
    }

    /// The offset, where one was asked for and is known.
    pub fn offset(&self) -> Option<i64> {
        match self {
            Answered::Known(Value::Offset(offset)) => Some(*offset),
            _ => None,
        }
    }
}

/// Questions of one who waits.
pub(super) struct Inquiry {
    questions: Vec<Question>,
    until: Instant,
    answer: oneshot::Sender<Vec<(Question, Answered)>>,
}

impl Cluster {
    /// Asks the cluster, and comes back with each question answered, in the order in which they were asked; works on every
    /// executor and blocks nobody. Within [`limits::INQUIRY_WAIT`] what has no answer is unknown.
    pub async fn ask(&self, questions: Vec<Question>) -> Vec<(Question, Answered)> {
        let unknown = |questions: Vec<Question>, why: Trouble| {
            questions.into_iter().map(|question| (question, Answered::Unknown(why.clone()))).collect()
        };
        if questions.is_empty() || questions.len() > limits::INQUIRY_QUESTIONS_MAX {
            return unknown(questions, Trouble::Busy);
        }
        let (answer, answered) = oneshot::channel();
        let inquiry = Inquiry { questions: questions.clone(), until: Instant::now() + limits::INQUIRY_WAIT, answer };
        if self.inquiries.try_send(inquiry).is_err() {
            return unknown(questions, Trouble::Busy);
        }
        answered.await.unwrap_or_else(|_| unknown(questions, Trouble::Late))
    }
}

/// Answers what shards ask. Several batches are on their way side by side, so that one that waits for a broker that hangs
/// does not hold up all; what comes while all are busy is the next batch.
pub(super) async fn answer_all(cluster: Arc<Cluster>, mut inquiries: mpsc::Receiver<Inquiry>) {
    let links = Arc::new(Links::new(cluster, limits::INQUIRY_CALL_WAIT));
    let (room, existing) = (Arc::new(Semaphore::new(limits::INQUIRIES_SIDE_BY_SIDE)), Arc::new(Existing::default()));
    loop {
        let first = match timeout(limits::INQUIRY_IDLE, inquiries.recv()).await {
            Ok(Some(first)) => first,
            Ok(None) => return,
            Err(_) => {
                links.close_idle();
                continue;
            }
        };
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let (mut count, mut batch) = (first.questions.len(), vec![first]);
        while count < limits::INQUIRY_QUESTIONS_MAX
            && let Ok(more) = inquiries.try_recv()
        {
            count += more.questions.len();
            batch.push(more);
        }
        links.close_idle();
        let (links, existing) = (links.clone(), existing.clone());
        tokio::spawn(async move {
            Batch::new(batch, existing).run(links).await;
            drop(permit);
        });
    }
}

/// Topics that were seen to exist a moment ago. Only this is kept, and briefly: of a thousand clients that start together
/// each asks for the same topics.
#[derive(Default)]
struct Existing(Mutex<HashMap<String, Instant>>);

impl Existing {
    fn has(&self, topic: &str) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(topic).is_some_and(|at| at.elapsed() < limits::TOPIC_EXISTS_KEPT)
    }

    fn saw(&self, topic: &str, asked: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= limits::TOPICS_EXISTING_KEPT_MAX {
            seen.retain(|_, at| at.elapsed() < limits::TOPIC_EXISTS_KEPT);
        }
        if seen.len() < limits::TOPICS_EXISTING_KEPT_MAX {
            seen.insert(topic.to_owned(), asked);
        }
    }
}

/// Inquiries that are answered together.
struct Batch {
    waiting: Vec<Inquiry>,
    known: HashMap<Question, Answered>,
    existing: Arc<Existing>,
    began: Instant,
}

impl Batch {
    fn new(waiting: Vec<Inquiry>, existing: Arc<Existing>) -> Batch {
        let mut known = HashMap::new();
        for question in waiting.iter().flat_map(|inquiry| &inquiry.questions) {
            if matches!(question, Question::TopicExists(topic) if existing.has(topic)) {
                known.insert(question.clone(), Answered::Known(Value::Exists(true)));
            }
        }
        Batch { waiting, known, existing, began: Instant::now() }
    }

    async fn run(mut self, links: Arc<Links>) {
        let all = self.waiting.iter().flat_map(|inquiry| &inquiry.questions);
        let open: HashSet<Question> = all.filter(|question| !self.known.contains_key(question)).cloned().collect();
        let (tell, mut told) = mpsc::unbounded_channel();
        // What is still being asked when nobody waits any more is dropped with this.
        let asking = answers::answer(links, open.into_iter().collect(), tell);
        tokio::pin!(asking);
        let mut is_over = false;
        loop {
            self.answer_whoever_can_be();
            let Some(until) = self.waiting.iter().map(|inquiry| inquiry.until).min() else { return };
            tokio::select! {
                () = &mut asking, if !is_over => is_over = true,
                answered = told.recv() => match answered {
                    Some((question, answered)) => self.learn(question, answered),
                    None => return self.give_up(),
                },
                () = sleep_until(until) => self.expire(),
            }
        }
    }

    fn learn(&mut self, question: Question, answered: Answered) {
        if let (Question::TopicExists(topic), Some(true)) = (&question, answered.exists()) {
            self.existing.saw(topic, self.began);
        }
        self.known.insert(question, answered);
    }

    fn answer_whoever_can_be(&mut self) {
        let known = &self.known;
        let can_be = |inquiry: &mut Inquiry| {
            inquiry.answer.is_closed() || inquiry.questions.iter().all(|question| known.contains_key(question))
        };
        let answered: Vec<Inquiry> = self.waiting.extract_if(.., can_be).collect();
        answered.into_iter().for_each(|inquiry| self.reply(inquiry));
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let expired: Vec<Inquiry> = self.waiting.extract_if(.., |inquiry| inquiry.until <= now).collect();
        expired.into_iter().for_each(|inquiry| self.reply(inquiry));
    }

    fn give_up(&mut self) {
        let left = std::mem::take(&mut self.waiting);
        left.into_iter().for_each(|inquiry| self.reply(inquiry));
    }

    fn reply(&self, inquiry: Inquiry) {
        let known = |question: Question| {
            let answered = self.known.get(&question).cloned().unwrap_or(Answered::Unknown(Trouble::Late));
            (question, answered)
        };
        // Who has gone away meanwhile needs no answer.
        let _ = inquiry.answer.send(inquiry.questions.into_iter().map(known).collect());
    }
}
