//! Weir's memory stays flat whatever it is sent: thousands of connections that lie about lengths and counts, from clients
//! and from brokers, each leave nothing behind, on both runtimes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod hazards_support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hazards_support::*;
use loadtest::fake_broker::{Act, Asked, FakeBroker};
use loadtest::soak::vitals::Vitals;
use loadtest::weir::{Gateway, Options};
use loadtest::wire::{Connection, encode};

/// Connections of each kind before memory is looked at: buffers kept for reuse are there then.
const WARM_UP: usize = 300;
/// Rounds over all kinds, with so many connections of each: the first is compared with the last.
const ROUNDS: usize = 3;
const A_ROUND: usize = 250;
/// What may come and go beside what the store has in its buffers, with blocks on their way there and an allocator that
/// keeps pages; KiB. A connection that left 1 KiB behind would be as many MiB by the last round.
const FLAT_KIB: u64 = 2 << 10;

/// What a broker that lies to Weir itself may make it hold; MiB.
const PEAK_MIB: u64 = 12;

/// How a connection behaves.
struct Kind {
    name: &'static str,
    bytes: Vec<u8>,
    /// It stays without a word instead of closing its side; the gateway has to end it.
    ended: bool,
}

fn framed(length: i32, frame: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], frame].concat()
}

/// A request whose header is right, whose length may not be.
fn request(key: i16, version: i16, flexible: bool, body: &[u8]) -> Vec<u8> {
    let tags: &[u8] = if flexible { &[0] } else { &[] };
    [&key.to_be_bytes()[..], &version.to_be_bytes(), &[0, 0, 0, 1, 0, 1, b'h'], tags, body].concat()
}

fn whole(request: &[u8]) -> Vec<u8> {
    framed(request.len() as i32, request)
}

const HUGE: [u8; 4] = i32::MAX.to_be_bytes();
const HUGE_VARINT: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];

fn kinds() -> Vec<Kind> {
    let ended = |name, bytes| Kind { name, bytes, ended: true };
    let closes = |name, bytes| Kind { name, bytes, ended: false };
    // One topic, one partition, and a records field of 2 GiB; the same as a batch, and as tagged fields without end.
    let produce = |behind: &[u8]| {
        let fixed =
            [&[0xff, 0xff, 0xff, 0xff, 0, 0, 0x4e, 0x20][..], &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0]];
        request(0, 8, false, &[&fixed.concat()[..], behind].concat())
    };
    let batch = [&[0; 8][..], &HUGE, &[0; 4], &[2], &[0; 200]].concat();
    let tags = [&HUGE_VARINT[..], &[0x7f, 0].repeat(20_000)].concat();
    let names_itself = [&[5][..], b"evil", &[4], b"1.0"].concat();
    let token = vec![b'x'; 60_000];
    vec![
        ended("a length prefix of 2 GiB", framed(i32::MAX, b"")),
        ended("a gathered frame beyond the limit", framed(90 << 20, &request(3, 9, true, &[0; 100]))),
        closes("a gathered frame of 15 MiB that never comes", framed(15 << 20, &request(3, 9, true, &[0; 100]))),
        ended("an array of two billion topics", whole(&request(3, 1, false, &HUGE))),
        ended("a compact array of four billion topics", whole(&request(3, 9, true, &HUGE_VARINT))),
        ended(
            "a header of endless tags",
            framed(40_000, &[&request(3, 9, false, &HUGE_VARINT)[..], &[0x7f, 0].repeat(9000)].concat()),
        ),
        closes("a body of endless tags", whole(&request(18, 3, true, &[&names_itself[..], &tags].concat()))),
        closes("records of 2 GiB within a frame of 90 MiB", framed(90 << 20, &produce(&HUGE))),
        ended("records that go past their frame", whole(&produce(&HUGE))),
        ended("a batch of 2 GiB", whole(&produce(&[&217i32.to_be_bytes()[..], &batch].concat()))),
        closes(
            "a relayed Produce that stops",
            framed(90 << 20, &produce(&[&(80i32 << 20).to_be_bytes()[..], &batch].concat())),
        ),
        closes("a mechanism of 32 KiB that is not there", whole(&request(17, 1, false, &[0x7f, 0xff, b'P']))),
        closes("a token of 60 KB", whole(&request(36, 0, false, &[&60_000i32.to_be_bytes()[..], &token].concat()))),
        closes("a token of 2 GiB", whole(&request(36, 0, false, &HUGE))),
    ]
}

/// Opens, sends, and awaits the end; what is answered is read and dropped.
fn play(gateway: &Gateway, kind: &Kind) {
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // The gateway may have heard enough before the last byte is sent.
    let _ = stream.write_all(&kind.bytes);
    if !kind.ended {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(1..) => {}
            Ok(0) => return,
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return,
            Err(e) => panic!("{}: the gateway does not end it: {e}", kind.name),
        }
    }
}

/// In this time what is under way is in the store.
const SETTLES: Duration = Duration::from_millis(600);

/// Memory when nothing is under way, MiB.
fn settled_mib(gateway: &Gateway) -> u64 {
    sleep(SETTLES);
    own_memory_mib(gateway)
}

/// What of a gateway's memory is not the recording's, which fills buffers of a fixed size; KiB.
fn kept_kib(gateway: &Gateway) -> u64 {
    let vitals = Vitals::of(gateway, Instant::now()).unwrap();
    vitals.anonymous_kib.saturating_sub(vitals.unwritten_kib)
}

/// Plays all kinds in rounds, and holds that memory is after the last round what it was after the first.
fn stays_flat<K>(gateway: &Gateway, runtime: &str, kinds: &[(&str, K)], play: impl Fn(&K)) {
    let mut seen = Vec::new();
    let mut round = |times: usize| {
        for (name, kind) in kinds {
            (0..times).for_each(|_| play(kind));
            seen.push(format!("{:>7} KiB after {name}", kept_kib(gateway)));
        }
        sleep(SETTLES);
        let settled = kept_kib(gateway);
        seen.push(format!("{settled:>7} KiB after all"));
        settled
    };
    round(WARM_UP);
    let first = round(A_ROUND);
    let last = (1..ROUNDS).map(|_| round(A_ROUND)).last().unwrap();
    println!("{runtime}: {first} KiB after the first round, {last} KiB after the last:\n{}", seen.join("\n"));
    assert!(last <= first + FLAT_KIB, "{runtime}: from {first} to {last} KiB:\n{}", seen.join("\n"));
}

/// Holds a gateway of each runtime to `check`, both at a time.
fn each_runtime(upstream: &str, check: impl Fn(&Gateway, &str) + Sync) {
    let gateways = gateways(upstream, &[]);
    std::thread::scope(|scope| {
        for (gateway, runtime) in gateways.iter().zip(RUNTIMES) {
            let check = &check;
            scope.spawn(move || {
                let mut bystander = Bystander::open(gateway);
                check(gateway, runtime);
                bystander.still_works();
            });
        }
    });
}

#[test]
fn thousands_of_clients_that_lie_about_lengths_and_counts_leave_nothing_behind() {
    let broker = FakeBroker::start(0, |asked| Act::Send(asked.answer.clone())).unwrap();
    each_runtime(&broker.address().to_string(), |gateway, runtime| {
        let kinds: Vec<(&str, Kind)> = kinds().into_iter().map(|kind| (kind.name, kind)).collect();
        stays_flat(gateway, runtime, &kinds, |kind| play(gateway, kind));
    });
}

/// What a broker answers: so many bytes are said to come, these come.
fn answer(asked: &Asked, length: i32, flexible: bool, body: &[u8]) -> Act {
    let tags: &[u8] = if flexible { &[0] } else { &[] };
    let id = asked.correlation_id.to_be_bytes();
    Act::SendAndClose([&length.to_be_bytes()[..], &id, tags, body].concat().into())
}

fn lies(asked: &Asked) -> Act {
    let whole = |body: &[u8]| answer(asked, body.len() as i32 + 5, true, body);
    let endless = [&[0x7f, 0].repeat(50_000)[..]].concat();
    match asked.client_id.as_str() {
        "two GiB to gather" => answer(asked, i32::MAX, true, &[0; 100]),
        "30 MiB that never come" => answer(asked, 30 << 20, true, &[0; 100]),
        "brokers without end" => whole(&[&[0, 0, 0, 0][..], &HUGE_VARINT].concat()),
        "topics without end" => whole(&[&[0, 0, 0, 0, 1, 0, 0, 0, 0, 1][..], &HUGE_VARINT].concat()),
        "tags without end" => whole(&[&[0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1][..], &HUGE_VARINT, &endless].concat()),
        "a header without end" => answer(asked, 2 << 20, false, &[&HUGE_VARINT[..], &endless].concat()),
        "two GiB to relay" => answer(asked, i32::MAX, true, &[&HUGE[..], &endless].concat()),
        "partitions without end" => whole(&[&[2, 2, b't'][..], &HUGE_VARINT].concat()),
        _ => Act::Send(asked.answer.clone()),
    }
}

/// Asks once under a name, and awaits the end.
fn ask(gateway: &Gateway, name: &str, of_produce: bool) {
    let mut connection = Connection::open(gateway.address()).unwrap().with_client_id(name);
    if of_produce {
        connection.send(PRODUCE, &produce("t", -1, batch(1, 10))).unwrap();
    } else {
        connection.send(METADATA, &no_topics()).unwrap();
    }
    while let Ok(Some(_)) = connection.receive_frame() {}
}

#[test]
fn thousands_of_answers_that_lie_about_lengths_and_counts_leave_nothing_behind() {
    let broker = FakeBroker::start(0, lies).unwrap();
    each_runtime(&broker.address().to_string(), |gateway, runtime| {
        let of_metadata = [
            "two GiB to gather",
            "30 MiB that never come",
            "brokers without end",
            "topics without end",
            "tags without end",
            "a header without end",
        ];
        let of_produce = ["two GiB to relay", "partitions without end"];
        let kinds = [&of_metadata.map(|name| (name, (name, false)))[..], &of_produce.map(|name| (name, (name, true)))];
        stays_flat(gateway, runtime, &kinds.concat(), |(name, of_produce)| ask(gateway, name, *of_produce));
    });
}

#[test]
fn a_broker_that_lies_to_weir_itself_makes_it_no_larger() {
    let lies = [
        framed(i32::MAX, &[0; 100]),
        framed(60 << 20, &[0; 100]),
        whole(&[&[0, 0, 0, 1, 0, 0][..], &HUGE_VARINT].concat()),
        whole(&[&[0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0][..], &HUGE_VARINT, &[0x7f, 0].repeat(500_000)].concat()),
    ];
    for lie in lies {
        let bytes = Bytes::from(lie);
        let broker = FakeBroker::to_all(0, move |asked| {
            let mut bytes = bytes.to_vec();
            if bytes.len() > 8 {
                bytes[4..8].copy_from_slice(&asked.correlation_id.to_be_bytes());
            }
            Act::SendAndClose(bytes.into())
        });
        let upstream = broker.unwrap().address().to_string();
        let options = Options::new(upstream);
        let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
        gateway.start_unready().unwrap();
        let before = settled_mib(&gateway);
        let peak = (0..40).map(|_| {
            sleep(Duration::from_millis(100));
            own_memory_mib(&gateway)
        });
        let peak = peak.max().unwrap();
        println!("{before} MiB before, {peak} MiB at most");
        assert!(peak <= before + PEAK_MIB, "{before} MiB before, {peak} MiB at most");
    }
}

#[test]
fn a_refusal_that_would_be_larger_than_what_may_wait_ends_the_connection_instead() {
    let broker = FakeBroker::start(0, |asked| Act::Send(asked.answer.clone())).unwrap();
    each_runtime(&broker.address().to_string(), |gateway, runtime| {
        // In words for each: some 0.6 MiB are answered, some 2.8 are not.
        for (acls, answered) in [(5_000u32, true), (25_000, false)] {
            let body = [&acls.to_be_bytes()[..], &[0; 10].repeat(acls as usize)].concat();
            let mut connection = Connection::open(gateway.address()).unwrap().with_client_id("hostile");
            connection.send_bytes(&whole(&request(30, 1, false, &body))).unwrap();
            assert_eq!(connection.receive_frame().is_ok_and(|frame| frame.is_some()), answered, "{runtime}: {acls}");
        }
    });
}

#[test]
fn refusals_that_wait_behind_a_broker_that_does_not_answer_are_bounded() {
    let broker = FakeBroker::start(0, |asked| match asked.client_id.as_str() {
        "hostile" => Act::Ignore,
        _ => Act::Send(asked.answer.clone()),
    });
    let upstream = broker.unwrap().address().to_string();
    // 5,000 ACLs in one request, each of which the refusal answers in words.
    let acls = [&5_000u32.to_be_bytes()[..], &[0; 10].repeat(5_000)].concat();
    let refused = whole(&request(30, 1, false, &acls));
    each_runtime(&upstream, |gateway, runtime| {
        let before = settled_mib(gateway);
        let mut connection = Connection::open(gateway.address()).unwrap().with_client_id("hostile");
        connection.send_bytes(&encode("hostile", 1, METADATA, &no_topics()).unwrap()).unwrap();
        connection.stream().set_write_timeout(Some(Duration::from_secs(3))).unwrap();
        let taken = (0..300).take_while(|_| connection.send_bytes(&refused).is_ok()).count();
        let after = settled_mib(gateway);
        println!("{runtime}: {taken} refused requests taken, {before} MiB before, {after} MiB with what waits");
        assert!(after <= before + 40, "{runtime}: {before} MiB before, {after} MiB with {taken} refused requests");
    });
}
