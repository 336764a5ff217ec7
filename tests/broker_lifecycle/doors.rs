//! The door of a broker that is down.

use std::thread::sleep;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use loadtest::weir::{Gateway, Options};
use loadtest::wire::Connection;
use loadtest::{Result, operate, wait_for};

use crate::common;
use crate::world::{BACK, cluster};

/// Longer than the 9 s after which the others no longer name a broker that is dead.
const DOWN: Duration = Duration::from_secs(15);

fn answers(gateway: &Gateway, node: i32) -> Result<()> {
    Connection::open(gateway.broker_address(node)?)?.call(3, &ApiVersionsRequest::default()).map(drop)
}

#[test]
fn the_door_of_a_dead_broker_answers_nothing_so_that_clients_pause_and_look_for_another() {
    let mut cluster = cluster();
    let gateways = common::RUNTIMES.map(|runtime| {
        let gateway = common::gateway(Options::new(cluster.bootstrap()).runtime(runtime));
        wait_for("the broker's door", BACK, || Ok(answers(&gateway, 3).ok())).unwrap();
        gateway
    });
    cluster.kill(3).unwrap();
    for (gateway, runtime) in gateways.iter().zip(common::RUNTIMES) {
        // The first request that has to reach it finds out.
        let mut first = Connection::open(gateway.broker_address(3).unwrap()).unwrap();
        assert!(first.call(12, &MetadataRequest::default()).is_err(), "{runtime}");
        let shut = || Ok(answers(gateway, 3).is_err().then_some(()));
        wait_for("the door to be shut", BACK, shut).unwrap_or_else(|e| panic!("{runtime}: {e:?}\n{}", gateway.log()));
    }
    let until = Instant::now() + DOWN;
    while Instant::now() < until {
        for (gateway, runtime) in gateways.iter().zip(common::RUNTIMES) {
            assert!(answers(gateway, 3).is_err(), "{runtime}: {}", gateway.log());
            answers(gateway, 1).unwrap();
        }
        sleep(Duration::from_millis(200));
    }
    cluster.start_again(3).unwrap();
    operate::wait_in_sync(&cluster).unwrap();
    for (gateway, runtime) in gateways.iter().zip(common::RUNTIMES) {
        wait_for("the door to be open again", BACK, || Ok(answers(gateway, 3).ok()))
            .unwrap_or_else(|e| panic!("{runtime}: {e:?}\n{}", gateway.log()));
    }
}
