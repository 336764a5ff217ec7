//! The bytes of a fuzz target, taken apart: some to choose with, the rest to be fed.

use crate::wire::kafka::layout::{Direction, Message, messages};

/// Bytes, taken from the front. What is not there reads as zero.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Input(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn number(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
    }

    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// Every message of a direction in every version that has a layout, in the table's order.
pub fn every_version(direction: Direction) -> Vec<(&'static Message, i16)> {
    let of_direction = messages().iter().filter(|message| message.direction == direction);
    let versions = |message: &'static Message| message.versions.first..=message.versions.last;
    of_direction.flat_map(|message| versions(message).map(move |version| (message, version))).collect()
}

/// A seed: where the choice stands among `all`, how it is cut, and what is fed.
pub fn seed(place: usize, cut: u8, fed: &[u8]) -> Vec<u8> {
    [&(place as u16).to_be_bytes()[..], &[cut], fed].concat()
}
