//! What the recording holds, read back: entries, pieces and blocks of both kinds. Damage is an error, never more.

use super::input::Input;
use crate::event::block::{Block, BlockBuilder, BlockHeader};
use crate::event::piece::{Content, Piece, Way, Withheld};
use crate::event::piece_block::{Packer, PieceBlock, PieceBlockBuilder};
use crate::event::{
    ConnectionNo, Event, EventKind, Identity, Item, Mechanism, RequestPart, ResponsePart, SessionId, entry,
};
use crate::limits;

/// A byte chooses what the rest is read as.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 4 {
        0 => an_entry(input.rest()),
        1 => a_piece(input.rest()),
        2 => {
            let Ok(block) = Block::parse(input.rest()) else { return };
            let Ok(events) = block.events() else { return };
            let stated = block.header.events as usize;
            assert!(events.count() <= stated, "never more than the block's header states");
        }
        _ => {
            let Ok(block) = PieceBlock::parse(input.rest()) else { return };
            for piece in &block.pieces {
                if let Ok(Content::Bytes(bytes)) = block.content(piece) {
                    assert_eq!(bytes.len() as u64, piece.bytes);
                }
            }
        }
    }
}

/// What can be read can be written, and is then read as the same.
fn an_entry(bytes: &[u8]) {
    let Ok(event) = entry::decode(bytes) else { return };
    let mut room = vec![0; limits::EVENT_BYTES_MAX];
    let length = entry::encode(&event, &mut room).expect("no event is longer");
    // What was longer than its limit is cut, once.
    let kept = entry::decode(&room[..length]).expect("what was written can be read");
    let mut again = vec![0; limits::EVENT_BYTES_MAX];
    let length_again = entry::encode(&kept, &mut again).expect("no event is longer");
    assert_eq!(room[..length], again[..length_again]);
}

fn a_piece(bytes: &[u8]) {
    let Ok((connection, at_ns, piece)) = entry::decode_piece(bytes) else { return };
    let mut room = vec![0; bytes.len() + entry::PIECE_HEAD_BYTES_MAX];
    let length = entry::encode_piece(connection, at_ns, &piece, &mut room).expect("there is room");
    assert_eq!(entry::decode_piece(&room[..length]), Ok((connection, at_ns, piece)));
}

/// One of each kind.
pub fn events() -> Vec<Event> {
    let item = Item { name: "prod.orders".into(), partition: Some(3), offset: Some(7), ..Item::default() };
    let wide = Item { records: Some(5), bytes: Some(700), error_code: 29, ..item.clone() };
    let request = RequestPart {
        api_key: 1,
        api_version: 18,
        bytes: 200,
        items: vec![item, wide.clone()],
        ..RequestPart::default()
    };
    let response = ResponsePart { bytes: 900, items: vec![wide], throttle_ms: 5, ..ResponsePart::default() };
    let identity = Identity {
        issuer: "https://issuer.example".into(),
        subject: "analyst-7".into(),
        groups: vec!["analysts".into()],
        mechanism: Mechanism::Jwt,
    };
    let kinds = [
        EventKind::Opened { listener: "main".into(), peer: ([127, 0, 0, 1], 40_000).into(), broker: Some(2) },
        EventKind::Identified { identity, client_id: Some("console".into()) },
        EventKind::LoginFailed { mechanism: "PLAIN".into(), claimed: None, reason: "no such token".into() },
        EventKind::Noted { ordinal: 4, request: request.clone() },
        EventKind::Exchange { ordinal: 4, request: None, response: response.clone() },
        EventKind::Exchange { ordinal: 5, request: Some(request), response },
        EventKind::Held { ordinal: 5, request: "r-abcdefgh".into(), stage: crate::event::HeldStage::Asked },
        EventKind::NotCaptured { events: 9 },
        EventKind::Closed { reason: crate::event::CloseReason::Client, bytes_in: 1000, bytes_out: 2000 },
    ];
    let event = |(at, kind)| Event { connection: ConnectionNo(at as u64 % 2), at_ns: 1_000 + at as u64, kind };
    kinds.into_iter().enumerate().map(event).collect()
}

fn pieces() -> [Piece<'static>; 3] {
    let piece = |at, content| Piece { ordinal: 3, way: Way::Response, at, content };
    [
        piece(0, Content::Bytes(b"the bytes of a frame, which were passed on")),
        piece(42, Content::Withheld { bytes: 100, why: Withheld::Secret }),
        piece(142, Content::Bytes(&[0xee; 300])),
    ]
}

fn header(count: u32) -> BlockHeader {
    BlockHeader {
        node: "weir-1".into(),
        boot: 2,
        shard: 1,
        sequence: 5,
        first_ns: 1_000,
        last_ns: 1_007,
        events: count,
        policy_hash: [7; 32],
        connections: vec![(ConnectionNo(0), Some(SessionId::from_u64(77))), (ConnectionNo(1), None)],
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut room = vec![0; limits::EVENT_BYTES_MAX];
    for event in events() {
        let length = entry::encode(&event, &mut room).expect("fits");
        seeds.push([&[0], &room[..length]].concat());
    }
    for piece in pieces() {
        let length = entry::encode_piece(ConnectionNo(9), 77, &piece, &mut room).expect("fits");
        seeds.push([&[1], &room[..length]].concat());
    }
    for rounds in [1, 20] {
        let mut block = BlockBuilder::default();
        (0..rounds).for_each(|_| events().iter().for_each(|event| block.push(event)));
        seeds.push([vec![2], block.finish(&header(block.events()))].concat());
        let mut block = PieceBlockBuilder::default();
        for connection in 0..2 {
            (0..rounds).for_each(|_| pieces().iter().for_each(|piece| block.push(ConnectionNo(connection), 77, piece)));
        }
        let count = block.pieces();
        seeds.push([vec![3], block.finish(&header(count), &mut Packer::default())].concat());
    }
    seeds
}
