//! `kafka-transactions`: an open transaction is listed, described and ended; what only brokers may write stays refused.

use crate::common::RUNTIMES;
use crate::desk::{Desk, columns, filled_topic, row, sides, start_client};
use loadtest::scratch::Scratch;

const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";
const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";

#[test]
fn an_open_transaction_is_shown_as_at_the_brokers_and_terminated() {
    let mut desk = Desk::new();
    for ((gateway, name), runtime) in sides("open").into_iter().zip(RUNTIMES) {
        let dir = Scratch::new("weir-transaction-").unwrap();
        filled_topic(&mut desk, gateway, &name, 3);
        let load = format!(
            "--topic {name} --num-records 100000 --record-size 10 --throughput 5 --transactional-id {name} \
             --transaction-duration-ms 600000 --command-property transaction.timeout.ms=600000"
        );
        let producer = start_client(gateway, dir.path(), PERFORMANCE, &load);
        let listed = desk.until(TRANSACTIONS, "list", |said| {
            said.lines().any(|line| line.starts_with(&name) && line.contains("Ongoing"))
        });
        let producer_id = columns(&listed, &name)[2].to_owned();
        desk.same(gateway, TRANSACTIONS, "list");
        desk.same(gateway, TRANSACTIONS, "list --duration-filter 0");
        desk.same(gateway, TRANSACTIONS, &format!("list --transactional-id-pattern {name}"));
        let described = desk.through(gateway, TRANSACTIONS, &format!("describe --transactional-id {name}"));
        let described = columns(&described, &name);
        assert_eq!((described[2], described[4], described[5]), (&*producer_id, "Ongoing", "600000"), "{runtime}");
        assert_eq!(*described.last().unwrap(), format!("{name}-0"), "{described:?}");

        let partition = format!("--topic {name} --partition 0");
        let writers = desk.through(gateway, TRANSACTIONS, &format!("describe-producers {partition}"));
        assert_eq!(*row(&writers, &producer_id).last().unwrap(), "3", "{writers}");
        desk.same(gateway, TRANSACTIONS, "find-hanging --broker-id 1");

        // Its end is a WriteTxnMarkers, which only brokers say.
        let said = desk.refused(gateway, TRANSACTIONS, &format!("abort {partition} --start-offset 3"));
        assert!(said.contains("does not support WRITE_TXN_MARKERS"), "{said}");
        producer.kill();
        desk.through(gateway, TRANSACTIONS, &format!("forceTerminateTransaction --transactionalId {name}"));
        desk.until(TRANSACTIONS, "list", |said| columns(said, &name)[3] != "Ongoing");
        let ended = |said: &str| row(said, &producer_id).last() == Some(&"None");
        desk.until(TRANSACTIONS, &format!("describe-producers {partition}"), ended);
        desk.same(gateway, TRANSACTIONS, &format!("list --transactional-id-pattern {name}"));
    }
}
