//! What is recorded comes back as it was, through the journal's form and the block's, and damaged bytes only ever give errors.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, SocketAddr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use weir::event::block::{Block, BlockBuilder, BlockHeader};
use weir::event::piece::{Content, Piece, Way, Withheld};
use weir::event::piece_block::{Packer, PieceBlock, PieceBlockBuilder};
use weir::event::{
    CloseReason, ConnectionNo, Event, EventKind, HeldStage, Identity, Item, Latency, Mechanism, Outcome, RequestPart,
    Resource, ResponsePart, SessionId, entry,
};
use weir::limits;

fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        Just(Resource::Topic),
        Just(Resource::Group),
        Just(Resource::TransactionalId),
        Just(Resource::Cluster),
        Just(Resource::Broker),
        Just(Resource::User),
        Just(Resource::DelegationToken),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("orders".to_owned()), "[a-zä-ü.]{0,40}"]
}

fn item() -> impl Strategy<Value = Item> {
    let numbers = (option::of(any::<i32>()), option::of(any::<i64>()), option::of(any::<u32>()));
    (resource(), name(), numbers, option::of(any::<u64>()), prop_oneof![Just(0), any::<i16>()]).prop_map(
        |(resource, name, (partition, offset, records), bytes, error_code)| Item {
            resource,
            name,
            partition,
            offset,
            records,
            bytes,
            error_code,
        },
    )
}

fn request() -> impl Strategy<Value = RequestPart> {
    (any::<(i16, i16, i32)>(), 0..u64::MAX / 2, vec(item(), 0..5), any::<u32>(), any::<bool>()).prop_map(
        |((api_key, api_version, correlation_id), bytes, items, items_omitted, secret_withheld)| RequestPart {
            api_key,
            api_version,
            correlation_id,
            bytes,
            items,
            items_omitted,
            secret_withheld,
        },
    )
}

fn response() -> impl Strategy<Value = ResponsePart> {
    let outcome = prop_oneof![
        Just(Outcome::Answered),
        Just(Outcome::NoAnswer),
        Just(Outcome::AnsweredHere),
        Just(Outcome::Refused),
        Just(Outcome::Unknown),
    ];
    let latency =
        any::<(u64, u64, u64)>().prop_map(|(client_ns, weir_ns, broker_ns)| Latency { client_ns, weir_ns, broker_ns });
    (outcome, any::<u64>(), any::<i16>(), vec(item(), 0..5), any::<(u32, u32)>(), latency).prop_map(
        |(outcome, bytes, error_code, items, (items_omitted, throttle_ms), latency)| ResponsePart {
            outcome,
            bytes,
            error_code,
            items,
            items_omitted,
            throttle_ms,
            latency,
        },
    )
}

fn kind() -> impl Strategy<Value = EventKind> {
    let reason = prop_oneof![
        Just(CloseReason::Client),
        Just(CloseReason::Malformed),
        Just(CloseReason::UpstreamUnreachable),
        Just(CloseReason::Refused),
    ];
    let identity = (name(), name(), vec(name(), 0..4), any::<bool>()).prop_map(|(issuer, subject, groups, token)| {
        let mechanism = if token { Mechanism::PlainToken } else { Mechanism::Anonymous };
        Identity { issuer, subject, groups, mechanism }
    });
    prop_oneof![
        (name(), any::<(IpAddr, u16)>(), option::of(any::<i32>())).prop_map(|(listener, (ip, port), broker)| {
            EventKind::Opened { listener, peer: SocketAddr::new(ip, port), broker }
        }),
        (identity, option::of(name())).prop_map(|(identity, client_id)| EventKind::Identified { identity, client_id }),
        (name(), option::of(name()), name())
            .prop_map(|(mechanism, claimed, reason)| { EventKind::LoginFailed { mechanism, claimed, reason } }),
        (any::<u64>(), request()).prop_map(|(ordinal, request)| EventKind::Noted { ordinal, request }),
        (any::<u64>(), option::of(request()), response())
            .prop_map(|(ordinal, request, response)| EventKind::Exchange { ordinal, request, response }),
        (any::<u64>(), name(), 0u64..5).prop_map(|(ordinal, request, stage)| {
            let stage = HeldStage::from_number(stage).expect("one of them");
            EventKind::Held { ordinal, request, stage }
        }),
        any::<u64>().prop_map(|events| EventKind::NotCaptured { events }),
        (reason, any::<(u64, u64)>())
            .prop_map(|(reason, (bytes_in, bytes_out))| { EventKind::Closed { reason, bytes_in, bytes_out } }),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let connection = prop_oneof![0u64..4, any::<u64>()].prop_map(ConnectionNo);
    (connection, any::<u64>(), kind()).prop_map(|(connection, at_ns, kind)| Event { connection, at_ns, kind })
}

fn block_of(events: &[Event]) -> (BlockHeader, Vec<u8>) {
    let mut builder = BlockBuilder::default();
    events.iter().for_each(|event| builder.push(event));
    let (first_ns, last_ns) = builder.span_ns();
    let session = |place: usize| (!place.is_multiple_of(3)).then(|| SessionId::from_u64(u64::MAX - place as u64));
    let connections = builder.connections().iter().enumerate();
    let header = BlockHeader {
        node: "weir-1".to_owned(),
        boot: 3,
        shard: 1,
        sequence: 77,
        first_ns,
        last_ns,
        events: builder.events(),
        policy_hash: [7; 32],
        connections: connections.map(|(place, (connection, _))| (*connection, session(place))).collect(),
    };
    let bytes = builder.finish(&header);
    (header, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_comes_back_from_the_journals_form(event in event()) {
        let mut room = vec![0; limits::EVENT_BYTES_MAX];
        let length = entry::encode(&event, &mut room).unwrap();
        prop_assert_eq!(entry::decode(&room[..length]).unwrap(), event);
    }

    #[test]
    fn an_event_that_does_not_fit_is_refused_and_never_cut(event in event(), share in 0usize..100) {
        let mut room = vec![0; limits::EVENT_BYTES_MAX];
        let length = entry::encode(&event, &mut room).unwrap();
        prop_assert_eq!(entry::encode(&event, &mut room[..length * share / 100]), None);
    }

    #[test]
    fn events_come_back_from_a_block_in_order(events in vec(event(), 1..60)) {
        let (header, bytes) = block_of(&events);
        let block = Block::parse(&bytes).unwrap();
        prop_assert_eq!(&block.header, &header);
        let back: Vec<Event> = block.events().unwrap().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(back, events);
    }

    #[test]
    fn a_damaged_block_gives_errors_and_never_a_panic(
        events in vec(event(), 1..40), flips in vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let (_, mut bytes) = block_of(&events);
        for (place, flip) in flips {
            *place.get_mut(&mut bytes) ^= flip;
        }
        read_all(&bytes);
    }

    #[test]
    fn random_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..400)) {
        read_all(&bytes);
        let _ = entry::decode(&bytes);
        let mut plausible = block_of(&[Event {
            connection: ConnectionNo(0), at_ns: 1, kind: EventKind::NotCaptured { events: 1 },
        }]).1;
        plausible.truncate(60);
        plausible.extend_from_slice(&bytes);
        read_all(&plausible);
    }
}

fn piece() -> impl Strategy<Value = (ConnectionNo, u64, StoredOrNot)> {
    let way = prop_oneof![Just(Way::Request), Just(Way::Response)];
    let kept = prop_oneof![
        3 => vec(any::<u8>(), 0..300).prop_map(Ok),
        1 => (any::<u64>(), prop_oneof![Just(Withheld::Secret), Just(Withheld::NotAsked)]).prop_map(Err),
    ];
    let connection = prop_oneof![0u64..4, any::<u64>()].prop_map(ConnectionNo);
    (connection, any::<u64>(), (any::<u64>(), way, any::<u64>(), kept))
}

/// A piece's ordinal, way, place, and its bytes or why they are not kept.
type StoredOrNot = (u64, Way, u64, Result<Vec<u8>, (u64, Withheld)>);

fn piece_of((ordinal, way, at, kept): &StoredOrNot) -> Piece<'_> {
    let content = match kept {
        Ok(bytes) => Content::Bytes(bytes),
        Err((bytes, why)) => Content::Withheld { bytes: *bytes, why: *why },
    };
    Piece { ordinal: *ordinal, way: *way, at: *at, content }
}

fn block_of_pieces(pieces: &[(ConnectionNo, u64, StoredOrNot)]) -> Vec<u8> {
    let mut builder = PieceBlockBuilder::default();
    pieces.iter().for_each(|(connection, at_ns, piece)| builder.push(*connection, *at_ns, &piece_of(piece)));
    let (first_ns, last_ns) = builder.span_ns();
    let header = BlockHeader {
        node: "weir-1".to_owned(),
        boot: 3,
        shard: 1,
        sequence: 77,
        first_ns,
        last_ns,
        events: builder.pieces(),
        policy_hash: [7; 32],
        connections: builder.connections().iter().map(|(connection, _)| (*connection, None)).collect(),
    };
    builder.finish(&header, &mut Packer::default())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_piece_comes_back_from_the_journals_form_or_does_not_fit((connection, at_ns, kept) in piece(), share in 0usize..100) {
        let piece = piece_of(&kept);
        let mut room = vec![0; limits::EVENT_BYTES_MAX];
        let length = entry::encode_piece(connection, at_ns, &piece, &mut room).unwrap();
        prop_assert_eq!(entry::decode_piece(&room[..length]).unwrap(), (connection, at_ns, piece));
        prop_assert_eq!(entry::encode_piece(connection, at_ns, &piece, &mut room[..length * share / 100]), None);
    }

    #[test]
    fn pieces_come_back_from_a_block_in_order(pieces in vec(piece(), 1..60)) {
        let block = PieceBlock::parse(&block_of_pieces(&pieces)).unwrap();
        prop_assert_eq!(block.pieces.len(), pieces.len());
        for (stored, (connection, at_ns, kept)) in block.pieces.iter().zip(&pieces) {
            let piece = piece_of(kept);
            prop_assert_eq!((stored.connection, stored.at_ns), (*connection, *at_ns));
            prop_assert_eq!((stored.ordinal, stored.way, stored.at), (piece.ordinal, piece.way, piece.at));
            prop_assert_eq!(block.content(stored).unwrap(), piece.content);
        }
    }

    #[test]
    fn a_damaged_block_of_pieces_gives_errors_and_never_a_panic(
        pieces in vec(piece(), 1..40), flips in vec((any::<prop::sample::Index>(), 1u8..), 0..4), end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = block_of_pieces(&pieces);
        for (place, flip) in flips {
            *place.get_mut(&mut bytes) ^= flip;
        }
        bytes.truncate(end.index(bytes.len() + 1));
        if let Ok(block) = PieceBlock::parse(&bytes) {
            for piece in &block.pieces {
                let _ = block.content(piece);
            }
        }
    }
}

fn read_all(bytes: &[u8]) {
    if let Ok(block) = Block::parse(bytes)
        && let Ok(events) = block.events()
    {
        assert!(events.count() <= block.header.events as usize);
    }
}

#[test]
fn the_largest_event_fits_its_limit_and_says_what_was_left_out() {
    let item = Item {
        resource: Resource::DelegationToken,
        name: "ü".repeat(400),
        partition: Some(i32::MIN),
        offset: Some(i64::MIN),
        records: Some(u32::MAX),
        bytes: Some(u64::MAX),
        error_code: i16::MIN,
    };
    let items = vec![item; 1000];
    let request = RequestPart { items: items.clone(), bytes: u64::MAX / 2, ..RequestPart::default() };
    let response = ResponsePart { items, items_omitted: 5, bytes: u64::MAX, ..ResponsePart::default() };
    let kind = EventKind::Exchange { ordinal: u64::MAX, request: Some(request), response };
    let event = Event { connection: ConnectionNo(u64::MAX), at_ns: u64::MAX, kind };
    let mut room = vec![0; limits::EVENT_BYTES_MAX];
    let length = entry::encode(&event, &mut room).expect("fits");
    let EventKind::Exchange { request: Some(request), response, .. } = entry::decode(&room[..length]).unwrap().kind
    else {
        panic!("an exchange went in")
    };
    assert_eq!((request.items.len(), request.items_omitted), (limits::EVENT_ITEMS_MAX, 936));
    assert_eq!((response.items.len(), response.items_omitted), (limits::EVENT_ITEMS_MAX, 941));
    assert_eq!(request.items[0].name, "ü".repeat(limits::EVENT_NAME_BYTES_MAX / 2));

    let identity = Identity {
        issuer: "i".repeat(9000),
        subject: "s".repeat(9000),
        groups: vec!["g".repeat(9000); 9000],
        mechanism: Mechanism::Anonymous,
    };
    let kind = EventKind::Identified { identity, client_id: Some("c".repeat(9000)) };
    let event = Event { connection: ConnectionNo(u64::MAX), at_ns: u64::MAX, kind };
    assert!(entry::encode(&event, &mut room).is_some());
}

#[test]
fn a_block_that_claims_to_inflate_to_gigabytes_is_refused() {
    let event = Event { connection: ConnectionNo(1), at_ns: 5, kind: EventKind::NotCaptured { events: 1 } };
    let (_, bytes) = block_of(&[event]);
    // The plain body: a count of texts, 25 columns' lengths, four one-byte values. Before it stands how it is packed.
    let header = &bytes[..bytes.len() - (1 + 25 + 4) - 1];
    let packed_of_2_to_the_62 = [1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
    let forged = [header, &packed_of_2_to_the_62].concat();
    let refused = Block::parse(&forged).expect_err("refused").to_string();
    assert!(refused.contains("a block's length"), "{refused}");
}
