//! What full recording keeps can be fed to a decoder that knows nothing of Weir, and says what the client sent and saw:
//! every frame of every connection from handshake to end, byte for byte, secrets withheld and marked, for each client family
//! and on both runtimes. Under rules about topics, nothing of the others' records is in the store.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod decode;
mod recording;
mod topics;

use std::collections::BTreeSet;

use kafka_protocol::messages::ApiKey;
use loadtest::clients::{CODECS, Client, Record, Script, Target};
use loadtest::weir::{Gateway, Options, Token};
use weir::event::piece::{Way, Withheld};

use decode::{Told, told};
use recording::{Recording, Session};

const CLIENTS: [Client; 3] = [Client::JavaConsole, Client::ConfluentKafka, Client::FranzGo];
const RECORDS_PER_CODEC: usize = 12;

/// What Kafka 4.3 speaks and `kafka-protocol` 0.18 does not: ListOffsets v11, OffsetCommit and OffsetFetch v10; and
/// franz-go's ApiVersions v5, which nobody answers but with an error.
const BEYOND_CODEC: [(i16, i16); 4] = [(2, 11), (8, 10), (9, 10), (18, 5)];

#[test]
fn a_recorded_session_of_every_client_family_decodes_to_what_the_client_sent_and_saw() {
    let cluster = common::cluster();
    for runtime in common::RUNTIMES {
        let options = Options::new(cluster.bootstrap()).runtime(runtime).auth(&["weir_token"]);
        let mut gateway = common::gateway(options.policy("recording: [{ name: all, mode: full }]\n"));
        let played: Vec<(String, Token, Vec<Record>)> = std::thread::scope(|scope| {
            let play = |client: Client| {
                let (gateway, name) = (&gateway, format!("{}-{runtime}", client.name()));
                scope.spawn(move || plays(client, gateway, name))
            };
            let playing: Vec<_> = CLIENTS.into_iter().map(play).collect();
            playing.into_iter().map(|client| client.join().unwrap()).collect()
        });
        gateway.stop().unwrap();
        let recording = Recording::open(&gateway.store_path());
        for (name, token, read) in &played {
            let sessions = recording.sessions_of(name);
            assert!(!sessions.is_empty(), "{name} has no session");
            sessions.iter().for_each(holds_every_byte);
            sessions.iter().for_each(|session| withholds_the_login(session, token));
            tells_what_the_client_sent_and_saw(name, &sessions, read);
        }
        for (_, token, _) in &played {
            let secret = token.token.rsplit('_').next().unwrap();
            assert!(!recording::holds(&gateway.store_path(), secret.as_bytes()), "{runtime}: a token is in the store");
        }
    }
}

fn plays(client: Client, gateway: &Gateway, name: String) -> (String, Token, Vec<Record>) {
    let token = gateway.token(&name, "recorded").unwrap();
    let target = Target::with_token(gateway.bootstrap(), &name, token.clone());
    let read = client.play(&target, &name, 3, &format!("{name}-group"), &script());
    let read = read.unwrap_or_else(|why| panic!("{why:?}\nthe gateway's log:\n{}", gateway.log()));
    (name, token, read)
}

fn script() -> Script {
    let record = |codec: &str, n: usize| Record {
        key: (n % 4 != 3).then(|| format!("{codec}-{n}")),
        value: (!n.is_multiple_of(6))
            .then(|| format!("{{\"n\": {n}, \"codec\": \"{codec}\", \"padding\": \"{}\"}}", "weir ".repeat(60))),
        headers: vec![("codec".to_owned(), Some(format!("{codec} {n}"))), ("null".to_owned(), None)],
    };
    CODECS.iter().map(|&codec| (codec, (0..RECORDS_PER_CODEC).map(|n| record(codec, n)).collect())).collect()
}

/// Every frame is there, whole, in order and in time; together they are what went over the wire.
fn holds_every_byte(session: &Session) {
    for connection in &session.connections {
        let at = format!("{} {:?}", session.subject, connection.key);
        for way in [Way::Request, Way::Response] {
            let frames: Vec<_> = connection.frames.iter().filter(|frame| frame.way == way).collect();
            for frame in &frames {
                assert!(frame.is_whole() && frame.lost.is_empty(), "{at}: {way:?} {} is not whole", frame.ordinal);
            }
            assert!(frames.is_sorted_by_key(|frame| frame.at_ns), "{at}: time steps back among {way:?}s");
            let ordinals: Vec<u64> = frames.iter().map(|frame| frame.ordinal).collect();
            let bytes: u64 = frames.iter().map(|frame| frame.bytes.len() as u64).sum();
            let (went, all) = match way {
                Way::Request => (connection.bytes_in, ordinals.len() as u64),
                // The connection may end with a long poll unanswered.
                Way::Response => (connection.bytes_out, ordinals.last().map_or(0, |last| last + 1)),
            };
            assert!(ordinals.is_sorted() && ordinals.len() as u64 == all, "{at}: {way:?}s {ordinals:?}");
            assert_eq!(bytes, went, "{at}: bytes of {way:?}s, recorded and on the wire");
        }
    }
}

/// The token is nowhere in the frames, and where it was is marked and zero.
fn withholds_the_login(session: &Session, token: &Token) {
    let mut withheld = 0;
    for frame in session.frames() {
        assert!(!frame.bytes.windows(token.token.len()).any(|window| window == token.token.as_bytes()));
        for stretch in &frame.withheld {
            let from = stretch.at as usize;
            assert_eq!(stretch.why, Some(Withheld::Secret));
            assert!(frame.bytes[from..from + stretch.bytes as usize].iter().all(|byte| *byte == 0));
            withheld += 1;
        }
    }
    let logins = session.requests_of(ApiKey::SaslAuthenticate);
    assert!(withheld >= logins && logins >= session.connections.len(), "{withheld} of {logins} logins are marked");
}

/// Requests and answers go through a stock decoder; the records in them are the client's.
fn tells_what_the_client_sent_and_saw(name: &str, sessions: &[Session], read: &[Record]) {
    let mut all = Told::default();
    for session in sessions {
        all.add(told(session).unwrap_or_else(|why| panic!("{name}: {why}")));
    }
    let sent: BTreeSet<Record> = script().into_values().flatten().collect();
    assert_eq!(all.produced, sent, "{name}: records in its Produce requests");
    assert_eq!(all.fetched, read.iter().cloned().collect(), "{name}: records in its Fetch responses");
    let beyond: Vec<_> = all.beyond.iter().filter(|version| !BEYOND_CODEC.contains(version)).collect();
    assert!(beyond.is_empty(), "{name}: API and version that the codec should know: {beyond:?}");
}
