//! Layouts that `kafka-protocol` 0.18 does not know: OffsetCommit and OffsetFetch v10 (topics by id), ShareAcknowledge
//! v2, the streams groups (KIP-1071). Read and written by hand; all of them are flexible.

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::{GroupId, OffsetCommitResponse, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::Refusal;
use crate::wire::kafka::api::key;
use crate::wire::kafka::fields::{Fields, Stop, put_compact_nullable_string, put_unsigned_varint};

/// Replies to these layouts; none for all others.
pub(super) fn reply(refusal: &Refusal<'_>) -> Option<Bytes> {
    match (refusal.api.key, refusal.version) {
        (key::OFFSET_COMMIT, 10) => offset_commit(refusal),
        (key::OFFSET_FETCH, 10) => offset_fetch(refusal),
        (key::SHARE_ACKNOWLEDGE, 2) => share_acknowledge(refusal),
        (key::STREAMS_GROUP_HEARTBEAT, 0) => streams_group_heartbeat(refusal),
        (key::STREAMS_GROUP_DESCRIBE, 0) => streams_group_describe(refusal),
        _ => None,
    }
}

/// Reads a compact array; its items are collected as they are read, never by the count alone. Null is empty.
fn array<'a, T>(fields: &mut Fields<'a>, item: impl Fn(&mut Fields<'a>) -> Result<T, Stop>) -> Result<Vec<T>, Stop> {
    let count = fields.compact_count()?.unwrap_or(0);
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(fields)?);
    }
    Ok(items)
}

fn topic_id(fields: &mut Fields<'_>) -> Result<Uuid, Stop> {
    Uuid::from_slice(fields.take(16)?).map_err(|_| Stop::Truncated)
}

/// The end of the request: its tagged fields, and nothing after them.
fn end(fields: &mut Fields<'_>, body: &[u8]) -> Option<()> {
    fields.skip_tagged().ok()?;
    (fields.position() == body.len()).then_some(())
}

fn offset_commit(r: &Refusal<'_>) -> Option<Bytes> {
    let topics = committed_partitions(r.body)?.into_iter().map(|(id, partitions)| {
        let partitions = partitions
            .into_iter()
            .map(|index| OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(r.error));
        OffsetCommitResponseTopic::default().with_topic_id(id).with_partitions(partitions.collect())
    });
    r.reply(&OffsetCommitResponse::default().with_topics(topics.collect()))
}

/// Topic ids with the partitions that an OffsetCommit v10 commits.
fn committed_partitions(body: &[u8]) -> Option<Vec<(Uuid, Vec<i32>)>> {
    let partition = |fields: &mut Fields<'_>| {
        let index = fields.int32()?;
        const OFFSET_AND_EPOCH: usize = 12;
        fields.take(OFFSET_AND_EPOCH)?;
        fields.compact_nullable_string()?;
        fields.skip_tagged().map(|()| index)
    };
    let topic = |fields: &mut Fields<'_>| {
        let topic = (topic_id(fields)?, array(fields, partition)?);
        fields.skip_tagged().map(|()| topic)
    };
    let mut fields = Fields::whole(body);
    fields.compact_string().ok()?;
    fields.int32().ok()?;
    fields.compact_string().ok()?;
    fields.compact_nullable_string().ok()?;
    let topics = array(&mut fields, topic).ok()?;
    end(&mut fields, body)?;
    Some(topics)
}

fn offset_fetch(r: &Refusal<'_>) -> Option<Bytes> {
    let groups = fetched_groups(r.body)?
        .into_iter()
        .map(|id| OffsetFetchResponseGroup::default().with_group_id(group_id(id)).with_error_code(r.error));
    r.reply(&OffsetFetchResponse::default().with_groups(groups.collect()))
}

fn group_id(id: &str) -> GroupId {
    GroupId(StrBytes::from_string(id.to_owned()))
}

/// The groups whose offsets an OffsetFetch v10 asks for.
fn fetched_groups(body: &[u8]) -> Option<Vec<&str>> {
    let mut fields = Fields::whole(body);
    let groups = array(&mut fields, fetched_group).ok()?;
    fields.take(1).ok()?;
    end(&mut fields, body)?;
    Some(groups)
}

fn fetched_group<'a>(fields: &mut Fields<'a>) -> Result<&'a str, Stop> {
    let topic = |fields: &mut Fields<'a>| {
        topic_id(fields)?;
        array(fields, Fields::int32)?;
        fields.skip_tagged()
    };
    let id = fields.compact_string()?;
    fields.compact_nullable_string()?;
    fields.int32()?;
    array(fields, topic)?;
    fields.skip_tagged()?;
    Ok(id)
}

/// How flexible layouts write what is not there.
const EMPTY_ARRAY: u8 = 1;
const NULL_ARRAY: u8 = 0;
const NULL_STRUCTURE: u8 = 0xff;
const NO_TAGS: u8 = 0;

/// Throttle time 0, the error code and the message: how all of these answers begin.
fn begin(r: &Refusal<'_>, body: &mut Vec<u8>) -> Option<()> {
    body.put_i32(0);
    body.put_i16(r.error);
    put_compact_nullable_string(body, r.message.as_deref())
}

fn share_acknowledge(r: &Refusal<'_>) -> Option<Bytes> {
    r.write(|body| {
        begin(r, body)?;
        body.put_i32(0); // acquisition lock timeout
        body.put_slice(&[EMPTY_ARRAY, EMPTY_ARRAY, NO_TAGS]); // responses, node endpoints
        Some(())
    })
}

fn streams_group_heartbeat(r: &Refusal<'_>) -> Option<Bytes> {
    r.write(|body| {
        begin(r, body)?;
        put_compact_nullable_string(body, Some(""))?; // member id
        body.put_slice(&[0; 16]); // member epoch, heartbeat interval, acceptable lag, task offset interval
        body.put_slice(&[EMPTY_ARRAY, NULL_ARRAY, NULL_ARRAY, NULL_ARRAY]); // status; active, standby, warm-up tasks
        body.put_i32(0); // endpoint information epoch
        body.put_slice(&[NULL_ARRAY, NO_TAGS]); // partitions by endpoint
        Some(())
    })
}

fn streams_group_describe(r: &Refusal<'_>) -> Option<Bytes> {
    const NOT_ASKED: i32 = i32::MIN;
    let mut fields = Fields::whole(r.body);
    let ids = array(&mut fields, Fields::compact_string).ok()?;
    fields.take(1).ok()?;
    end(&mut fields, r.body)?;
    r.write(|body| {
        body.put_i32(0); // throttle time
        put_unsigned_varint(body, u32::try_from(ids.len()).ok()?.checked_add(1)?);
        for id in &ids {
            body.put_i16(r.error);
            put_compact_nullable_string(body, r.message.as_deref())?;
            put_compact_nullable_string(body, Some(id))?;
            put_compact_nullable_string(body, Some(""))?; // state
            body.put_slice(&[0; 8]); // group epoch, assignment epoch
            body.put_slice(&[NULL_STRUCTURE, EMPTY_ARRAY]); // topology, members
            body.put_i32(NOT_ASKED); // authorized operations
            body.put_u8(NO_TAGS);
        }
        body.put_u8(NO_TAGS);
        Some(())
    })
}
