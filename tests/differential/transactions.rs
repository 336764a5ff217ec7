//! Transactions, from producer id to commit, under transactional ids of each side's own.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest, GroupId, InitProducerIdRequest, ProducerId,
    TransactionalId, TxnOffsetCommitRequest,
};
use loadtest::admin::{text, topic};
use loadtest::wire::Connection;

use super::case::{Case, case};
use super::world::Side;

pub fn cases() -> Vec<Case> {
    vec![
        case(|side, v| {
            let id = side.own("initialised", v);
            // Asked before, so that the coordinator has loaded what it needs: this gives the next epoch.
            side.world.producer(Some(&id)).unwrap();
            let request = InitProducerIdRequest::default().with_transactional_id(Some(TransactionalId(text(&id))));
            (side.transaction(&id), request.with_transaction_timeout_ms(60_000))
        })
        .differs(&["producer_id"]),
        case(|side, v| {
            let id = side.own("adding", v);
            let producer = side.world.producer(Some(&id)).unwrap();
            (side.transaction(&id), add_partitions(side, &id, producer))
        }),
        case(|side, v| {
            let id = side.own("with-offsets", v);
            let producer = side.world.producer(Some(&id)).unwrap();
            (side.transaction(&id), add_offsets(&id, producer, &side.world.settled))
        }),
        case(txn_offset_commit),
        case(|side, v| {
            let id = side.own("ended", v);
            let (producer, epoch) = side.world.producer(Some(&id)).unwrap();
            let added = coordinator(side, &id).call(3, &add_partitions(side, &id, (producer, epoch))).unwrap();
            assert_eq!(added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, 0);
            let request = EndTxnRequest::default()
                .with_transactional_id(TransactionalId(text(&id)))
                .with_producer_id(ProducerId(producer))
                .with_producer_epoch(epoch)
                .with_committed(true);
            (side.transaction(&id), request)
        })
        .differs(&["producer_id"]),
    ]
}

fn coordinator(side: &Side<'_>, id: &str) -> Connection {
    Connection::open(side.world.cluster.address(side.transaction(id)).unwrap()).unwrap()
}

fn add_partitions(side: &Side<'_>, id: &str, (producer, epoch): (i64, i16)) -> AddPartitionsToTxnRequest {
    let partitions = AddPartitionsToTxnTopic::default().with_name(topic(&side.world.topic)).with_partitions(vec![1]);
    AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(text(id)))
        .with_v3_and_below_producer_id(ProducerId(producer))
        .with_v3_and_below_producer_epoch(epoch)
        .with_v3_and_below_topics(vec![partitions])
}

fn add_offsets(id: &str, (producer, epoch): (i64, i16), group: &str) -> AddOffsetsToTxnRequest {
    AddOffsetsToTxnRequest::default()
        .with_transactional_id(TransactionalId(text(id)))
        .with_producer_id(ProducerId(producer))
        .with_producer_epoch(epoch)
        .with_group_id(GroupId(text(group)))
}

fn txn_offset_commit(side: &Side<'_>, version: i16) -> (i32, TxnOffsetCommitRequest) {
    let (id, group) = (side.own("committing", version), side.own("in-transaction", version));
    let (producer, epoch) = side.world.producer(Some(&id)).unwrap();
    let node = side.group(&group);
    let added = coordinator(side, &id).call(3, &add_offsets(&id, (producer, epoch), &group)).unwrap();
    assert_eq!(added.error_code, 0, "{id}");
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(1);
    let partition = partition.with_committed_metadata(Some(text("")));
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(text(&id)))
        .with_group_id(GroupId(text(&group)))
        .with_producer_id(ProducerId(producer))
        .with_producer_epoch(epoch)
        .with_topics(vec![
            TxnOffsetCommitRequestTopic::default().with_name(topic(&side.world.topic)).with_partitions(vec![partition]),
        ]);
    (node, request)
}
