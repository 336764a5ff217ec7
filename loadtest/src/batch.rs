//! Record batches (magic 2) as bytes, for tests that know every byte they send.
//!
//! The compressed formats are written with stored blocks: lawful to every reader, and as exact as the plain one. Sizes
//! are those of tests: the records of one batch stay below 64 KiB, the smallest block that all formats hold.

use bytes::Buf;

use crate::clients::Record;

/// What a batch says besides its records.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub codec: &'static str,
    /// Producer id, epoch and first sequence of an idempotent or transactional producer.
    pub producer: Option<(i64, i16, i32)>,
    /// Part of a transaction.
    pub transactional: bool,
    /// Of the first record, ms since the Unix epoch; each further record is a millisecond later.
    pub timestamp_ms: i64,
    /// What it holds.
    pub records: Vec<Record>,
}

/// Bytes before the records: offset, length, epoch, magic, CRC and what it covers of the header.
pub const HEADER_BYTES: usize = 61;

/// What the header of a stored batch says of its place and its producer.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// The offset of its first record.
    pub base_offset: i64,
    /// Producer id, epoch and first sequence; -1 each where there is none.
    pub producer: (i64, i16, i32),
    /// How many records it holds.
    pub records: i32,
}

/// The heads of whole batches (magic 2), one behind the other; a cut-off tail is left out.
pub fn heads(mut batches: &[u8]) -> Vec<Head> {
    let mut heads = Vec::new();
    while batches.len() >= HEADER_BYTES {
        let mut head = &batches[..HEADER_BYTES];
        let base_offset = head.get_i64();
        let length = usize::try_from(head.get_i32()).unwrap_or(0) + 12;
        // Leader epoch, magic, checksum, attributes, last offset and both timestamps lie between.
        head.advance(4 + 1 + 4 + 2 + 4 + 8 + 8);
        let producer = (head.get_i64(), head.get_i16(), head.get_i32());
        heads.push(Head { base_offset, producer, records: head.get_i32() });
        let Some(rest) = batches.get(length..) else { break };
        batches = rest;
    }
    heads
}

impl Batch {
    /// Uncompressed, of no particular producer, stamped 2023-11-14.
    pub fn of(records: Vec<Record>) -> Self {
        Self { codec: "none", producer: None, transactional: false, timestamp_ms: 1_700_000_000_000, records }
    }

    /// So many small records that say their number.
    pub fn counting(records: usize) -> Self {
        let record =
            |n| Record { key: Some(format!("k{n}")), value: Some(format!("{{\"n\": {n}}}")), headers: Vec::new() };
        Self::of((0..records).map(record).collect())
    }

    /// Under this codec.
    #[must_use]
    pub fn codec(mut self, codec: &'static str) -> Self {
        self.codec = codec;
        self
    }

    /// By this producer, from this sequence on.
    #[must_use]
    pub fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> Self {
        self.producer = Some((id, epoch, sequence));
        self
    }

    /// Part of the producer's transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.transactional = true;
        self
    }

    /// The batch on the wire, with base offset 0.
    pub fn bytes(&self) -> Vec<u8> {
        let last = self.records.len() as i32 - 1;
        let (id, epoch, sequence) = self.producer.unwrap_or((-1, -1, -1));
        let codec = ["none", "gzip", "snappy", "lz4", "zstd"].iter().position(|c| *c == self.codec).unwrap_or(0);
        let attributes = codec as i16 | if self.transactional { 0x10 } else { 0 };
        let mut covered = Vec::new();
        covered.extend(attributes.to_be_bytes());
        covered.extend(last.to_be_bytes());
        covered.extend(self.timestamp_ms.to_be_bytes());
        covered.extend((self.timestamp_ms + i64::from(last)).to_be_bytes());
        covered.extend(id.to_be_bytes());
        covered.extend(epoch.to_be_bytes());
        covered.extend(sequence.to_be_bytes());
        covered.extend((last + 1).to_be_bytes());
        covered.extend(compressed(self.codec, &self.plain_records()));

        let mut batch = Vec::new();
        batch.extend(0i64.to_be_bytes());
        batch.extend((9 + covered.len() as i32).to_be_bytes());
        batch.extend((-1i32).to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&covered).to_be_bytes());
        batch.extend(covered);
        batch
    }

    fn plain_records(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (delta, record) in (0i64..).zip(&self.records) {
            let mut one = vec![0];
            varint(&mut one, delta);
            varint(&mut one, delta);
            nullable(&mut one, record.key.as_deref());
            nullable(&mut one, record.value.as_deref());
            varint(&mut one, record.headers.len() as i64);
            for (name, value) in &record.headers {
                nullable(&mut one, Some(name));
                nullable(&mut one, value.as_deref());
            }
            varint(&mut all, one.len() as i64);
            all.extend(one);
        }
        all
    }
}

/// The batches of a record set, a cut-off tail last if there is one.
pub fn split(mut set: &[u8]) -> Vec<&[u8]> {
    let mut batches = Vec::new();
    while !set.is_empty() {
        let length = set
            .get(8..12)
            .and_then(|l| l.try_into().ok())
            .map_or(set.len(), |l| usize::try_from(i32::from_be_bytes(l)).map_or(set.len(), |length| 12 + length));
        let (batch, rest) = set.split_at(length.min(set.len()));
        batches.push(batch);
        set = rest;
    }
    batches
}

/// What a broker may not touch: all but the base offset and the leader epoch, which are its own to set. Empty for a tail
/// that has been cut off before that.
pub fn untouchable(batch: &[u8]) -> Vec<u8> {
    [batch.get(8..12), batch.get(16..)].into_iter().flatten().flatten().copied().collect()
}

fn nullable(out: &mut Vec<u8>, text: Option<&str>) {
    varint(out, text.map_or(-1, |t| t.len() as i64));
    out.extend(text.unwrap_or_default().bytes());
}

/// Zigzag, as the records of a batch use it.
fn varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

fn compressed(codec: &str, plain: &[u8]) -> Vec<u8> {
    let length = plain.len() as u32;
    match codec {
        // RFC 1952 around one stored block of RFC 1951.
        "gzip" => {
            let short = plain.len() as u16;
            let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
            let trailer = [crc32(plain).to_le_bytes(), length.to_le_bytes()].concat();
            [&header[..], &short.to_le_bytes(), &(!short).to_le_bytes(), plain, &trailer].concat()
        }
        // The frame of snappy-java around one block: its plain length, and a literal with a two-byte length.
        "snappy" => {
            let mut block = Vec::new();
            let mut left = length;
            while left >= 0x80 {
                block.push(left as u8 | 0x80);
                left >>= 7;
            }
            block.push(left as u8);
            block.push(61 << 2);
            block.extend((plain.len() as u16).wrapping_sub(1).to_le_bytes());
            block.extend(plain);
            let versions = [0, 0, 0, 1, 0, 0, 0, 1];
            [b"\x82SNAPPY\0", &versions[..], &(block.len() as u32).to_be_bytes(), &block].concat()
        }
        // A frame without checksums and with blocks of 64 KiB at most: one stored block and the end mark.
        "lz4" => {
            let header = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
            [&header[..], &(length | 1 << 31).to_le_bytes(), plain, &[0; 4]].concat()
        }
        // RFC 8878: a single segment that states its size in four bytes, and one raw block, which is the last.
        "zstd" => {
            let header = [0x28, 0xb5, 0x2f, 0xfd, 0xa0];
            let block = (length << 3 | 1).to_le_bytes();
            [&header[..], &length.to_le_bytes(), &block[..3], plain].concat()
        }
        _ => plain.to_vec(),
    }
}

/// The CRC of gzip, bit by bit: batches are small.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
