//! What reaches the broker is what the client sent, byte for byte, and so is what comes back where no address is in it.
//!
//! The broker here only writes down what it gets and answers with bytes made from the layouts, so that every version of
//! every row passes through, whether a real one would have liked it or not.

use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes};
use loadtest::fake_broker::{Act, FakeBroker};
use loadtest::weir::Options;
use loadtest::wire::{self, Connection};
use weir::wire::kafka::api::{self, Api, Class};
use weir::wire::kafka::layout::Direction;

use super::common;
use super::generated::rows;
use super::sample::{CORRELATION_ID, Shape, frame, layout, sample};

/// What the client calls itself.
const CLIENT: &str = "byte-for-byte";

/// Sends every version of every row that is forwarded and gives what arrived in other bytes than it left in.
pub fn run(runtime: &str) -> Vec<String> {
    let arrived = Arc::new(Mutex::new(Vec::<Bytes>::new()));
    let writes_down = arrived.clone();
    let broker = FakeBroker::start(0, move |asked| {
        writes_down.lock().unwrap().push(asked.frame.clone());
        let mut head = asked.frame.clone();
        Act::Send(answer(head.get_i16(), head.get_i16()))
    });
    let mut options = Options::new(broker.unwrap().address().to_string()).runtime(runtime);
    options.listener = vec!["allow_security_changes: true".to_owned()];
    let gateway = common::gateway(options);
    let mut wrong = Vec::new();
    for (row, version) in rows().filter(|(row, _)| row.class != Class::Here) {
        for shape in [Shape::Bare, Shape::Full] {
            arrived.lock().unwrap().clear();
            let sent = request(row, version, shape);
            let got = ask(gateway.address(), &sent);
            let place = format!("{} v{version} {shape:?}", row.name);
            if arrived.lock().unwrap().as_slice() != [sent.slice(4..)] {
                wrong.push(format!("{place}: sent {sent:?}, arrived {:?}", arrived.lock().unwrap()));
            }
            let expected = answer(row.key, version);
            if got.as_ref().ok() != Some(&expected.slice(4..)) {
                wrong.push(format!("{place}: answered {expected:?}, got {got:?}"));
            }
        }
    }
    wrong
}

fn request(row: &Api, version: i16, shape: Shape) -> Bytes {
    let message = layout(row.key, Direction::Request).unwrap();
    frame(row, version, CLIENT, &sample(message, version, shape, CLIENT).body)
}

/// An answer to a request, length included. Where an API's answers hold addresses, it is one without any.
fn answer(key: i16, version: i16) -> Bytes {
    let row = api::lookup(key).unwrap();
    let message = layout(key, Direction::Response).unwrap();
    let shape = if row.class == Class::Rewrite { Shape::Bare } else { Shape::Full };
    let mut frame = Vec::new();
    frame.put_i32(CORRELATION_ID);
    if row.response_header_version(version) > 0 {
        frame.put_u8(0);
    }
    frame.extend(sample(message, version, shape, "answer").body);
    wire::framed(&frame).unwrap()
}

fn ask(door: std::net::SocketAddr, frame: &[u8]) -> loadtest::Result<Bytes> {
    let mut connection = Connection::open(door)?;
    connection.send_bytes(frame)?;
    connection.receive_frame()?.ok_or_else(|| loadtest::Failure::new("closed"))
}
