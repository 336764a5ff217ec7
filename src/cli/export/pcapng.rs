//! Writes a capture file of one Ethernet interface with times in nanoseconds.
//!
//! Source: the PCAP Next Generation format, draft-ietf-opsawg-pcapng; numbers are little-endian, blocks and options are
//! padded to four bytes.

use std::io::{self, Write};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const LINK_ETHERNET: u16 = 1;

/// Options: a comment, the program that wrote the section, an interface's name, the resolution of its times.
const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;

/// An option's value has a length of 16 bits.
const OPTION_BYTES_MAX: usize = u16::MAX as usize;

/// A capture file in the making.
pub(super) struct Writer<'a, W> {
    out: &'a mut W,
}

impl<'a, W: Write> Writer<'a, W> {
    /// Writes what stands before all packets.
    pub(super) fn new(out: &'a mut W) -> io::Result<Self> {
        let mut writer = Self { out };
        let mut section = BYTE_ORDER.to_le_bytes().to_vec();
        section.extend(1u16.to_le_bytes()); // major version
        section.extend(0u16.to_le_bytes()); // minor version
        section.extend((-1i64).to_le_bytes()); // the section's length is not said
        option(&mut section, USER_APPLICATION, concat!("weir ", env!("CARGO_PKG_VERSION")).as_bytes());
        writer.block(SECTION_HEADER, section)?;
        let mut interface = LINK_ETHERNET.to_le_bytes().to_vec();
        interface.extend(0u16.to_le_bytes());
        interface.extend(0u32.to_le_bytes()); // packets are never cut
        option(&mut interface, INTERFACE_NAME, b"weir");
        option(&mut interface, TIME_RESOLUTION, &[9]); // 10^-9 s
        writer.block(INTERFACE_DESCRIPTION, interface)?;
        Ok(writer)
    }

    /// Writes one packet with a comment on it, if there is one.
    pub(super) fn packet(&mut self, at_ns: u64, packet: &[u8], comment: Option<&str>) -> io::Result<()> {
        let length = packet.len() as u32;
        let mut body = Vec::with_capacity(packet.len() + 64);
        body.extend(0u32.to_le_bytes()); // the interface
        body.extend(((at_ns >> 32) as u32).to_le_bytes());
        body.extend((at_ns as u32).to_le_bytes());
        body.extend(length.to_le_bytes()); // captured
        body.extend(length.to_le_bytes()); // on the wire
        padded(&mut body, packet);
        if let Some(comment) = comment {
            option(&mut body, COMMENT, comment.as_bytes());
        }
        self.block(ENHANCED_PACKET, body)
    }

    fn block(&mut self, kind: u32, mut body: Vec<u8>) -> io::Result<()> {
        body.extend([0; 4]); // the end of its options
        let length = (body.len() as u32 + 12).to_le_bytes();
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length)?;
        self.out.write_all(&body)?;
        self.out.write_all(&length)
    }
}

fn option(to: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(OPTION_BYTES_MAX)];
    to.extend(code.to_le_bytes());
    to.extend((value.len() as u16).to_le_bytes());
    padded(to, value);
}

fn padded(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(bytes);
    to.resize(to.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn blocks_are_whole_words_and_say_their_length_twice() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out).unwrap();
        writer.packet(0x1_0000_0002, b"seven b", Some("note")).unwrap();
        writer.packet(3, b"", None).unwrap();
        let (mut rest, mut kinds) = (out.as_slice(), Vec::new());
        while !rest.is_empty() {
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let length = word(4) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(word(length - 4) as usize, length);
            kinds.push(word(0));
            if kinds.len() == 3 {
                assert_eq!((word(12), word(16), word(20)), (1, 2, 7));
            }
            rest = &rest[length..];
        }
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET, ENHANCED_PACKET]);
    }
}
