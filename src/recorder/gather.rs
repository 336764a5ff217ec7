//! Pieces on their way into blocks: gathered for a moment, so that each connection's stand together.
//!
//! A shard serves many connections at a time. Were its pieces stored as they come, reading one session's frames would mean
//! reading everybody's; so what came in the meantime is put in the order of connections before blocks are cut.
//!
//! Invariants:
//! - A connection's pieces keep their order.

use crate::event::ConnectionNo;
use crate::event::piece::{Content, Piece, Way, Withheld};
use crate::event::piece_block::PieceBlockBuilder;
use crate::limits::PIECES_GATHERED_BYTES;

/// Pieces of one shard.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    heads: Vec<Head>,
    data: Vec<u8>,
    span_ns: Option<(u64, u64)>,
    builder: PieceBlockBuilder,
}

#[derive(Debug)]
struct Head {
    connection: ConnectionNo,
    at_ns: u64,
    ordinal: u64,
    way: Way,
    at: u64,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Bytes { start: usize, length: usize },
    Withheld { bytes: u64, why: Withheld },
}

impl Gathered {
    /// Adds a piece.
    pub(super) fn push(&mut self, connection: ConnectionNo, at_ns: u64, piece: &Piece<'_>) {
        let kept = match piece.content {
            Content::Bytes(bytes) => {
                let start = self.data.len();
                self.data.extend_from_slice(bytes);
                Kept::Bytes { start, length: bytes.len() }
            }
            Content::Withheld { bytes, why } => Kept::Withheld { bytes, why },
        };
        let Piece { ordinal, way, at, .. } = *piece;
        self.heads.push(Head { connection, at_ns, ordinal, way, at, kept });
        let (first_ns, last_ns) = self.span_ns.unwrap_or((at_ns, at_ns));
        self.span_ns = Some((first_ns.min(at_ns), last_ns.max(at_ns)));
    }

    /// True when so much has come together that it should be cut.
    pub(super) fn is_full(&self) -> bool {
        self.data.len() + self.heads.len() * size_of::<Head>() >= PIECES_GATHERED_BYTES
    }

    /// How long all of it would span with a piece of `at_ns`.
    pub(super) fn would_span_ns(&self, at_ns: u64) -> u64 {
        self.span_ns.map_or(0, |(first_ns, last_ns)| last_ns.max(at_ns) - first_ns.min(at_ns))
    }

    /// Gives what was gathered to `close`, a block at a time, which must empty it.
    pub(super) fn cut(&mut self, mut close: impl FnMut(&mut PieceBlockBuilder)) {
        // Stable, so that each connection's order stays.
        self.heads.sort_by_key(|head| head.connection);
        for head in self.heads.drain(..) {
            let content = match head.kept {
                Kept::Bytes { start, length } => Content::Bytes(&self.data[start..start + length]),
                Kept::Withheld { bytes, why } => Content::Withheld { bytes, why },
            };
            let Head { connection, at_ns, ordinal, way, at, .. } = head;
            self.builder.push(connection, at_ns, &Piece { ordinal, way, at, content });
            if self.builder.is_full() {
                close(&mut self.builder);
            }
        }
        if !self.builder.is_empty() {
            close(&mut self.builder);
        }
        self.data.clear();
        self.span_ns = None;
    }
}
