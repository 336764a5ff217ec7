//! Whole Produce requests and Fetch and ShareFetch answers of every version under masking rules: what is sensitive never comes
//! out, and what comes out is a frame of lawful batches.
//!
//! The input is a script by which a frame is made: which message, which rules, which batches, and what is broken of it then.
//! Bytes as they are would never have the checksum without which nothing is looked into.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::input::Input;
use crate::mask::{Action, Key, Unparsable};
use crate::pipeline::describe::TopicDirectory;
use crate::pipeline::drive;
use crate::pipeline::masking::plans::{Book, ClientPlans, Plans};
use crate::pipeline::masking::{self, Masking, On, Tools};
use crate::policy::{MaskClient, MaskDirections, MaskingRule, MaskingRules, Patterns};
use crate::wire::kafka::api::{self, Api};
use crate::wire::kafka::compression::Codec;
use crate::wire::kafka::layout::{Direction, Message, messages};
use crate::wire::kafka::records::body::Frame;
use crate::wire::kafka::records::locate::{carries_records, locate};
use crate::wire::kafka::records::rewrite::Rewriter;
use crate::wire::kafka::records::{entries, open};
use crate::wire::kafka::samples::{self, deflate};

/// What no output may hold where it stands in a field that a rule names: nothing else has these bytes.
const CANARY: &str = "CANARY~4111111111111111~CANARY";
/// What of it a mask may leave.
const HEAD: &[u8] = b"CANARY~41";

/// What an output's batch may inflate to.
const CAP: usize = 64 << 20;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// Values with the canary in a field that every rule names, in what forms it may have there.
const VALUES: [&str; 6] = [
    r#"{"pan":"CANARY"}"#,
    r#"{"a":[{"pan":"CANARY"},{"p\u0061n":["CANARY",{"x":"CANARY"}]}],"note":"nothing"}"#,
    r#"{"pan":"CANARY","pan":"CANARY""#,
    "{\"id\":1}\n{\"pan\":\"CANARY\"}",
    r#"{"id":7,"note":"nothing of interest"}"#,
    "\u{feff}{ \"b\" : { \"pan\" : \"CANARY\" } }",
];

fn rule(fields: &[&str], action: Action, unparsable: Unparsable) -> MaskingRule {
    // A produced record is never left out.
    let produce = action != Action::DropRecord;
    MaskingRule {
        name: None,
        listeners: Vec::new(),
        topics: Patterns::new(vec!["*".to_owned()]).unwrap(),
        fields: fields.iter().map(|path| path.parse().unwrap()).collect(),
        detect: Vec::new(),
        action,
        on: MaskDirections { produce, fetch: true },
        groups: Vec::new(),
        unless_groups: Vec::new(),
        client_ids: Patterns::default(),
        consumer_groups: Patterns::default(),
        unparsable,
        nested_json: false,
        compression_level: Some(1),
    }
}

/// Each leaves nothing of the canary, or a part of it.
fn rules() -> Vec<MaskingRule> {
    let key = Key::new(&[7; Key::BYTES_MIN]).unwrap();
    let pan = &["**.pan", "$key.pan", "headers.pan"][..];
    vec![
        rule(pan, Action::Redact, Unparsable::Redact),
        rule(pan, Action::Hash(key), Unparsable::Redact),
        rule(pan, Action::KeepFirst(4), Unparsable::Refuse),
        rule(pan, Action::Null, Unparsable::Redact),
        rule(pan, Action::DropField, Unparsable::Redact),
        rule(pan, Action::DropRecord, Unparsable::Refuse),
        rule(&["$value", "$key", "headers.pan"], Action::KeepLast(2), Unparsable::Redact),
    ]
}

/// Compiled once a thread, as on a shard.
fn plans(choice: usize) -> ClientPlans {
    thread_local!(static PLANS: RefCell<Vec<Rc<Plans>>> = RefCell::default());
    PLANS.with_borrow_mut(|plans| {
        if plans.is_empty() {
            let book = |rule| Arc::new(Book::new(&MaskingRules::new(vec![rule]).unwrap()).unwrap());
            plans.extend(rules().into_iter().map(|rule| Plans::new(book(rule))));
        }
        let client = MaskClient { listener: "main", groups: &[], client_id: Some("a"), consumer_groups: &[] };
        plans[choice % plans.len()].of(&client).unwrap()
    })
}

/// Knows three of four topics.
struct Most;

impl TopicDirectory for Most {
    fn name(&self, id: &[u8; 16]) -> Option<Arc<str>> {
        (id[15] % 4 != 3).then(|| "known".into())
    }
    fn learn(&self, _: Vec<([u8; 16], Arc<str>)>) {}
}

/// Every message with records, in every version served.
fn with_records() -> Vec<(&'static Api, &'static Message, i16)> {
    let of = |message: &'static Message| {
        let api = api::lookup(message.api_key).filter(|api| carries_records(api.key, message.direction));
        api.into_iter()
            .flat_map(move |api| (api.served.min..=api.served.max).map(move |version| (api, message, version)))
    };
    messages().iter().flat_map(of).collect()
}

fn field(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return out.push(1) };
    let mut zigzag = (bytes.len() as u64) << 1;
    while zigzag > 0x7f {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
    out.extend(bytes);
}

/// A record with the canary where rules look, by a byte that says in which form.
fn record(offset: u8, form: u8) -> Vec<u8> {
    let value = VALUES[usize::from(form) % VALUES.len()].replace("CANARY", CANARY);
    let mut record = vec![0, 0, offset << 1];
    // Of a key, rules name what lies at its top.
    let key = VALUES[0].replace("CANARY", CANARY);
    field(&mut record, (form & 0x10 != 0).then_some(key.as_bytes()));
    field(&mut record, (form & 0x20 == 0).then_some(value.as_bytes()));
    let headers = form >> 6;
    record.push(headers << 1);
    for _ in 0..headers {
        field(&mut record, Some(b"pan"));
        field(&mut record, (form & 8 == 0).then_some(CANARY.as_bytes()));
    }
    let mut whole = Vec::new();
    field(&mut whole, Some(&record));
    whole
}

/// A batch as the script says: lawful records with the canary, or whatever bytes in place of records, compressed or not;
/// the checksum is right in any case. Of whatever bytes nobody knows where they may have the canary.
fn batch(input: &mut Input<'_>, known: &mut bool) -> Vec<u8> {
    let (shape, count) = (input.byte(), input.byte() % 6);
    let codec = CODECS[usize::from(shape) % 5];
    let mut batch = samples::batch(100, count.into(), 0);
    batch[22] = codec as u8;
    *known &= shape / 5 % 4 > 1;
    match shape / 5 % 4 {
        // What a client may claim to be records, or to be compressed.
        0 => batch.extend(deflate(codec, input.take(usize::from(shape) * 4))),
        1 => batch.extend(input.take(usize::from(shape) * 4)),
        _ => {
            let records: Vec<u8> = (0..count).flat_map(|offset| record(offset, input.byte())).collect();
            batch.extend(deflate(codec, &records));
        }
    }
    let length = batch.len() as i32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[21..]).to_be_bytes();
    batch[17..21].copy_from_slice(&checksum);
    batch
}

/// A frame as the script says, with a correlation id of 0; how long its head is, and whether only rules' fields have the canary.
fn frame(api: &Api, message: &Message, version: i16, input: &mut Input<'_>) -> (Vec<u8>, usize, bool) {
    let mut known = true;
    let (seed, partitions) = (input.byte(), input.byte() % 4);
    let given: Vec<Vec<u8>> = (0..=partitions)
        .map(|_| {
            let batches: Vec<u8> = (0..input.byte() % 4).flat_map(|_| batch(input, &mut known)).collect();
            let cut_off = usize::from(input.byte() % 16).saturating_sub(11);
            batches[..batches.len().saturating_sub(cut_off)].to_vec()
        })
        .collect();
    let head = match (message.direction, api.response_header_version(version)) {
        (Direction::Request, _) => 4,
        (Direction::Response, 1) => 9,
        (Direction::Response, _) => 8,
    };
    let mut frame = vec![0; head];
    frame.extend(samples::body_of(message, version, seed.into(), &given));
    // What is broken then.
    let breaks = input.byte() % 8;
    for _ in 0..breaks {
        let (at, by) = (input.number(), input.byte());
        let length = frame.len() - head;
        if length > 0 {
            frame[head + at % length] ^= by;
        }
    }
    let length = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    (frame, head, known)
}

/// Whether it holds enough of the canary to tell.
fn holds_canary(bytes: &[u8]) -> bool {
    bytes.windows(HEAD.len()).any(|window| window == HEAD)
}

/// A frame that came out: its length is right, its batches are whole and can be read with the right checksum, and none of
/// their records holds the canary, where that is asked.
fn is_masked((api, message, version): (&Api, &Message, i16), frame: &[u8], body_at: usize, known: bool) {
    assert_eq!(i32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4, "the frame's length");
    let body = &frame[body_at..];
    let located = locate(api.key, version, message.direction, body).unwrap();
    assert_eq!(located.fault, None);
    let mut inflated = Vec::new();
    for entry in located.fields.iter().flat_map(|field| entries(&body[field.span.clone()])) {
        assert!(entry.whole, "what is cut off does not pass");
        assert_eq!(
            (entry.bytes[16], crc32c::crc32c(&entry.bytes[21..]).to_be_bytes()),
            (2, entry.bytes[17..21].try_into().unwrap())
        );
        // Of the cluster's own records, which nobody's rules are about.
        if entry.bytes[22] & 0x20 != 0 {
            continue;
        }
        let opened = open(entry.bytes, CAP, &mut inflated).unwrap();
        for record in opened.records {
            let record = record.unwrap();
            let headers = record.headers.filter_map(|(_, value)| value);
            let parts = record.key.into_iter().chain(record.value).chain(headers);
            parts.for_each(|part| assert!(!known || !holds_canary(part), "the canary is out"));
        }
    }
}

pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let all = with_records();
    let (api, message, version) = all[input.number() % all.len()];
    let (choice, way, size) = (usize::from(input.byte()), input.byte(), usize::from(input.byte()));
    let direction = message.direction;
    let on = match (direction, way % 3) {
        (_, 0) => On::Recording,
        (Direction::Request, _) => On::Produce,
        (Direction::Response, _) => On::Fetch,
    };
    let (raw, body_at, known) = frame(api, message, version, &mut input);
    let masking = &mut plans(choice);
    if !masking.any(on) {
        return;
    }
    let asked = Frame { api_key: api.key, version, direction, bytes: (&raw[..]).into(), body_at };
    let tools = &mut Tools { masking, rewriter: &mut Rewriter::default(), topics: &Most };
    if let Ok(masked) = masking::mask(asked, on, tools) {
        is_masked((api, message, version), &masked.frame, body_at, known);
        assert!(masked.refused.iter().all(|refused| !holds_canary(refused.why.as_bytes())));
    }
    if direction == Direction::Response {
        // On its way back, with the addresses in it: the same however it comes.
        let back = |size| {
            let exchange = drive::exchange(0, api, version, None);
            drive::way_back_masked(&raw, vec![exchange], size, Some(&mut plans(choice)))
        };
        let (whole, cut) = (back(raw.len()), back(size.max(1)));
        assert_eq!(whole.bytes, cut.bytes);
        if whole.fault.is_none() {
            is_masked((api, message, version), &whole.bytes, body_at, known);
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (at, _) in with_records().iter().enumerate() {
        for plan in 0..7u8 {
            let mut script = (at as u16).to_be_bytes().to_vec();
            script.extend([plan, plan.wrapping_add(at as u8), 50, at as u8 * 7 + plan, 2]);
            for partition in 0..3u8 {
                script.push(2);
                for batch in 0..2u8 {
                    // Lawful records, under each codec in turn.
                    let (codec, count) = ((at as u8 + plan + partition + batch) % 5, 3);
                    script.extend([codec + 10, count]);
                    script.extend([plan, 0x10 | (batch + partition), 0x40 | 0x80 | batch]);
                }
                script.push(if partition == 2 { 15 } else { 0 });
            }
            script.push(u8::from(plan == 6));
            script.extend([0, 90, 1]);
            seeds.push(script);
        }
    }
    seeds
}
