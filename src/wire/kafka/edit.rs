//! Edits of a body: spans replaced, everything else byte for byte as it came.
//!
//! Whoever edits knows only the fields it cares for; that the tagged fields around them grow or shrink with their
//! content is seen to here.

use super::fields::put_unsigned_varint;
use super::walk::{Span, TaggedField};

/// Tags of padding, by the bytes that their number takes. Far beyond any number that Kafka has given out.
const PADDING_TAGS: [u32; 2] = [0x7f, 0x3fff];

/// Replacements in one body, of spans that do not overlap.
#[derive(Debug)]
pub(super) struct Edits {
    flexible: bool,
    replaced: Vec<(Span, Vec<u8>)>,
    /// In the order they opened, so that what lies within another comes after it.
    tagged: Vec<TaggedField>,
}

impl Edits {
    /// No edits yet, of a body with compact lengths or not.
    pub fn new(flexible: bool) -> Edits {
        Edits { flexible, replaced: Vec::new(), tagged: Vec::new() }
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty()
    }

    /// How many there are: to be given back to [`Edits::take_back`].
    pub fn mark(&self) -> usize {
        self.replaced.len()
    }

    /// Forgets the edits since the mark.
    pub fn take_back(&mut self, mark: usize) {
        self.replaced.truncate(mark);
    }

    /// A tagged field whose content may be edited.
    pub fn tagged(&mut self, field: TaggedField) {
        self.tagged.push(field);
    }

    /// Replaces bytes.
    pub fn replace(&mut self, span: Span, with: Vec<u8>) {
        self.replaced.push((span, with));
    }

    /// Replaces a number by one of the same width.
    pub fn int(&mut self, span: Span, value: i64) {
        let bytes = value.to_be_bytes();
        let width = (span.len() as usize).min(bytes.len());
        self.replace(span, bytes[bytes.len() - width..].to_vec());
    }

    /// Replaces a string, its length included.
    pub fn text(&mut self, span: Span, text: Option<&str>) {
        let length = text.map(|text| text.len() as u32);
        let mut bytes = match (self.flexible, length) {
            (true, length) => varint(length.map_or(0, |length| length + 1)),
            (false, length) => length.map_or(-1, |length| length as i16).to_be_bytes().to_vec(),
        };
        bytes.extend(text.unwrap_or_default().bytes());
        self.replace(span, bytes);
    }

    /// Replaces an array's count.
    pub fn count(&mut self, span: Span, count: u32) {
        let bytes = if self.flexible { varint(count + 1) } else { count.to_be_bytes().to_vec() };
        self.replace(span, bytes);
    }

    /// The body with the edits made.
    pub fn splice(self, body: &[u8]) -> Vec<u8> {
        let mut edited = Vec::with_capacity(body.len() + 256);
        self.splice_into(body, &mut edited);
        edited
    }

    /// Appends the body with the edits made.
    pub fn splice_into(mut self, body: &[u8], edited: &mut Vec<u8>) {
        for field in std::mem::take(&mut self.tagged).iter().rev() {
            self.resize(field);
        }
        self.replaced.sort_by_key(|(span, _)| span.start);
        let mut from = 0;
        for (span, with) in &self.replaced {
            // What lies in something that is replaced already goes with it.
            if (span.start as usize) < from {
                continue;
            }
            edited.extend_from_slice(&body[from..span.start as usize]);
            edited.extend_from_slice(with);
            from = span.end as usize;
        }
        edited.extend_from_slice(&body[from..]);
    }

    fn resize(&mut self, field: &TaggedField) {
        let inside = |span: &Span| span.start >= field.size.end && span.end <= field.end;
        let changes = self.replaced.iter().filter(|(span, _)| inside(span));
        let size_before = field.end - field.size.end;
        let (mut size, mut any) = (size_before, false);
        for (span, with) in changes {
            size = size + with.len() as u64 - span.len();
            any = true;
        }
        if any && size != size_before {
            self.replace(field.size, varint(size as u32));
        }
    }
}

/// An unsigned varint.
pub(super) fn varint(value: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5);
    put_unsigned_varint(&mut bytes, value);
    bytes
}

/// A tagged field that no reader knows and every reader passes over, of exactly this size; none below two bytes.
pub(super) fn padding(size: usize) -> Option<Vec<u8>> {
    PADDING_TAGS.iter().find_map(|tag| {
        let mut field = varint(*tag);
        let widths = (1..=5).filter_map(|width| Some((width, size.checked_sub(field.len() + width)?)));
        let lengths = widths.map(|(width, content)| (width, varint(content as u32), content));
        let (_, length, content) = lengths.into_iter().find(|(width, length, _)| length.len() == *width)?;
        field.extend(length);
        field.resize(field.len() + content, 0);
        Some(field)
    })
}

/// Brings a body that ends in a tagged section at `tags_at` to a length, by padding at its end. None when it is too
/// long already, or when the difference is too small for a tagged field.
pub(super) fn pad(mut body: Vec<u8>, tags_at: usize, len: usize) -> Option<Vec<u8>> {
    if body.len() == len {
        return Some(body);
    }
    let width = 1 + body.get(tags_at..)?.iter().position(|byte| byte & 0x80 == 0)?;
    let bits = |(at, byte): (usize, &u8)| u64::from(byte & 0x7f) << (7 * at.min(4));
    let count: u64 = body[tags_at..tags_at + width].iter().enumerate().map(bits).sum();
    body.splice(tags_at..tags_at + width, varint(u32::try_from(count + 1).ok()?));
    body.extend(padding(len.checked_sub(body.len())?)?);
    Some(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn padding_has_every_size_from_two_bytes_on() {
        assert_eq!(padding(0), None);
        assert_eq!(padding(1), None);
        for size in (2..400).chain(16_300..16_500) {
            assert_eq!(padding(size).unwrap().len(), size);
        }
    }

    #[test]
    fn a_tagged_field_grows_with_what_lies_within_another_in_it() {
        // outer field of 6 bytes: 1, an inner field of 2 bytes, 2
        let body = [1, 0, 6, 0xa1, 1, 0, 2, 0xb1, 0xb2];
        let mut edits = Edits::new(true);
        edits.tagged(TaggedField { start: 1, size: Span { start: 2, end: 3 }, end: 9 });
        edits.tagged(TaggedField { start: 5, size: Span { start: 6, end: 7 }, end: 9 });
        edits.replace(Span { start: 7, end: 8 }, vec![0xbb; 130]);
        let edited = edits.splice(&body);
        // the inner size takes two bytes now, which the outer one counts
        assert_eq!(edited[..7], [1, 0, 136, 1, 0xa1, 1, 0]);
        assert_eq!(edited[7..9], [131, 1]);
        assert_eq!(edited.len(), body.len() + 129 + 2);
    }
}
