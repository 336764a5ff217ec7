//! What access rules make of a gathered request: it goes on, goes on without some of its items, or is answered here.

use std::borrow::Cow;

use super::Requests;
use crate::event::Outcome;
use crate::limits;
use crate::pipeline::access::{Amends, Judgement};
use crate::pipeline::exchange::Exchange;
use crate::pipeline::fault::Fault;
use crate::pipeline::guard::{self, Verdict};
use crate::pipeline::head;
use crate::shard::runtime::Runtime;
use crate::wire::kafka::api;
use crate::wire::kafka::items::{self, Item};

/// A request that goes on, with its frame.
pub(super) type GoesOn<'a> = (Box<Exchange>, Cow<'a, [u8]>);

impl<R: Runtime> Requests<R> {
    /// The request as far as its client's rights go; none where nothing of it goes on, and it was answered here.
    pub(super) async fn let_through<'a>(
        &mut self,
        mut exchange: Box<Exchange>,
        frame: Cow<'a, [u8]>,
        body_at: usize,
    ) -> Result<Option<GoesOn<'a>>, Fault> {
        let security = self.c.door.listener.allow_security_changes;
        if guard::judge_head(exchange.api_key, exchange.version, security).is_some() {
            return Ok(Some((exchange, frame)));
        }
        if self.c.is_governed() {
            self.c.decides(&self.c.requests_passing);
        }
        let judged = self.c.judge_rights(&mut exchange, &frame[body_at..]).map_err(Fault::ClientBody)?;
        self.judged(exchange, frame, body_at, judged).await
    }

    /// What becomes of a request that was judged; none where it was answered here.
    pub(super) async fn judged<'a>(
        &mut self,
        mut exchange: Box<Exchange>,
        frame: Cow<'a, [u8]>,
        body_at: usize,
        judged: Judgement,
    ) -> Result<Option<GoesOn<'a>>, Fault> {
        match judged {
            Judgement::Passes => Ok(Some((exchange, frame))),
            Judgement::GoesOn { body, amends } => {
                let amends = amends.with(exchange.amends.take());
                let items = amends.items.len() as u64;
                if items > 0 {
                    // They are kept until the answer comes, and there may be many such requests on the way.
                    let room = self.c.shard.request_budget.reserve(items.saturating_mul(limits::ANSWERED_ITEM_BYTES));
                    let full = || Fault::Limit(format!("no room to keep {items} items that are refused"));
                    exchange.room = Some(room.ok_or_else(full)?);
                }
                exchange.amends = Some(Box::new(amends));
                let cut = body.map(|body| Cow::Owned(head::reframed(&frame[..body_at], &body)));
                Ok(Some((exchange, cut.unwrap_or(frame))))
            }
            Judgement::Answered(items) => {
                let amends = Amends { items, ..Amends::default() }.with(exchange.amends.take());
                let items = amends.items;
                let exchange = Box::pin(self.tell_of(exchange, &frame, body_at)).await?;
                Box::pin(self.answer_items(exchange, &items)).await.map(|()| None)
            }
            Judgement::Refused { code, why } => {
                let exchange = Box::pin(self.tell_of(exchange, &frame, body_at)).await?;
                Box::pin(self.refuse(exchange, &frame[body_at..], code, why)).await.map(|()| None)
            }
        }
    }

    /// Records what was asked for and is not done.
    async fn tell_of(
        &mut self,
        mut exchange: Box<Exchange>,
        frame: &[u8],
        body_at: usize,
    ) -> Result<Box<Exchange>, Fault> {
        let security = self.c.door.listener.allow_security_changes;
        if let Verdict::Forward(description) = guard::judge(&exchange, &frame[body_at..], &*self.c, security)? {
            exchange.described(*description);
        }
        let asked = self.masked(&mut exchange, Cow::Borrowed(frame), body_at)?;
        self.keep_whole(&mut exchange, &asked, body_at).await?;
        Ok(exchange)
    }

    /// Answers a request of which no item is done.
    async fn answer_items(&mut self, exchange: Box<Exchange>, answered: &[Item]) -> Result<(), Fault> {
        self.introduce().await;
        let (key, version) = (exchange.api_key, exchange.version);
        let (code, why) = answered.iter().find_map(first_error).unwrap_or_default();
        let reply = items::answer(key, version, exchange.correlation_id, answered);
        let why = why.unwrap_or("nothing of it was tried");
        let Some(frame) = reply.filter(|frame| frame.len() <= limits::ANSWERED_BYTES_MAX) else {
            return Err(self.refuse_by_closing(exchange, code, why.to_owned()).await);
        };
        // Readers that are held ask again and again, and are told of no error.
        if code != 0 {
            let listener = &self.c.door.listener.name;
            tracing::warn!(listener, peer = %self.c.peer, api = api::name(key), "request refused: {why}");
        }
        self.answered(exchange, frame, Outcome::Refused, code).await
    }
}

fn first_error(item: &Item) -> Option<(i16, Option<&str>)> {
    match item.code {
        0 => item.items.iter().find_map(first_error),
        code => Some((code, item.message.as_deref())),
    }
}
