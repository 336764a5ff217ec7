//! How an answer is passed on: decided with its first byte, by what was asked and by the rules that hold now.
//!
//! Invariant: what may carry an address, a record that a rule is about, or a name that its reader may not know of is never
//! relayed unread.

use super::Requests;
use crate::limits;
use crate::pipeline::access::table;
use crate::pipeline::exchange::Exchange;
use crate::pipeline::head::ResponseHead;
use crate::pipeline::masking::{self, On};
use crate::wire::kafka::addresses::{self, Place};
use crate::wire::kafka::api::key;
use crate::wire::kafka::records::emptied::Emptied;

/// What is done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// Pass on, reading along.
    Relay,
    /// Pass on, but gather what lies behind the records.
    RelayThenTail,
    /// Gather and rewrite.
    Gather,
    /// The same with its records, which may be masked.
    Mask,
}

impl Plan {
    pub fn gathers(self) -> bool {
        matches!(self, Plan::Gather | Plan::Mask)
    }
}

/// For an answer that is to be masked, too large for that, and was asked for when no rule held for it: its records are left
/// out, and its client asks for them again, then for fewer.
pub(super) fn emptied(exchange: &Exchange, plan: Plan, head: &ResponseHead) -> Option<Box<Emptied>> {
    let bytes = head.frame_bytes;
    // A ShareFetch says what its client now owes an answer for.
    let may_be = plan == Plan::Mask && exchange.api_key == key::FETCH && !exchange.lowered;
    if !may_be || bytes <= limits::GATHERED_RESPONSE_BYTES_MAX {
        return None;
    }
    Emptied::response(exchange.api_key, exchange.version, head.bytes, bytes).map(Box::new)
}

/// Whether records have to be looked at again by whether their reader may read them: not all that comes was judged under the
/// rights that hold now.
pub(super) fn has_to_be_readable(exchange: &Exchange, requests: &dyn Requests) -> bool {
    requests.rights_changed(exchange.rights) || (exchange.api_key == key::SHARE_FETCH && requests.shares_with_others())
}

/// Whether it names what its reader may not know of.
pub(super) fn lists(api_key: i16) -> bool {
    matches!(table::rule(api_key), table::Rule::Asks(asks) if asks.listing)
}

/// How an answer is passed on, by what was asked and by what holds now.
pub(super) fn plan(exchange: &Exchange, requests: &dyn Requests) -> Plan {
    let masks = |on| requests.masks(on, exchange.reads_for());
    let reads = masking::records_in(exchange.api_key) == Some(On::Fetch);
    let may_be_masked = reads && (masks(On::Fetch) || (exchange.capture.is_some() && masks(On::Recording)));
    match addresses::place(exchange.api_key, exchange.version) {
        _ if may_be_masked => Plan::Mask,
        _ if lists(exchange.api_key) && requests.rights_changed(exchange.rights) => Plan::Gather,
        _ if reads && (exchange.amends.is_some() || has_to_be_readable(exchange, requests)) => Plan::Mask,
        _ if !exchange.refused.is_empty() || exchange.amends.is_some() => Plan::Gather,
        Place::Nowhere => Plan::Relay,
        Place::Tail => Plan::RelayThenTail,
        Place::Anywhere => Plan::Gather,
    }
}
