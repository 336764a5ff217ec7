//! A memory-mapped ring of bytes with one writer and one reader: what a shard appends to without a system call.
//!
//! Positions count bytes since the ring was made and never wrap; a position's place is its remainder by the capacity. The
//! head (all before it is complete) lives in the file, so that it survives the process; the tail lives in memory, for the
//! store knows it better.
//!
//! Invariants:
//! - `tail <= head <= tail + capacity`. The producer alone moves the head, the consumer alone moves the tail.
//! - The producer touches only places in `[head, tail + capacity)`, the consumer only `[tail, head)`: never the same byte.
//! - A slice never crosses the end of the ring; whoever needs more starts at the next lap.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// Where the ring's bytes start in its file; before it is room for the file's header.
pub const DATA_START: u64 = 4096;
/// Where in the file the head is kept, apart from the header's text so that it owns its cache line.
pub const HEAD_AT: u64 = 2048;

#[derive(Debug)]
struct Ring {
    map: MmapRaw,
    capacity: u64,
    tail: AtomicU64,
    entries: AtomicU64,
}

/// The writing end.
#[derive(Debug)]
pub struct Producer {
    ring: Arc<Ring>,
    head: u64,
    entries: u64,
}

/// The reading end.
#[derive(Debug)]
pub struct Consumer {
    ring: Arc<Ring>,
    tail: u64,
}

/// Looks at how far the reader is behind, from any thread.
#[derive(Debug, Clone)]
pub struct Gauge(Arc<Ring>);

/// Maps `file`, which must be `DATA_START + capacity` bytes long with its space set aside, and hold head 0.
pub fn map(file: &File, capacity: u64) -> std::io::Result<(Producer, Consumer)> {
    let length = usize::try_from(DATA_START + capacity).map_err(std::io::Error::other)?;
    if file.metadata()?.len() != length as u64 {
        return Err(std::io::Error::other("the journal's file does not have the length of its ring"));
    }
    let map = MmapOptions::new().len(length).map_raw(file)?;
    let ring = Arc::new(Ring { map, capacity, tail: AtomicU64::new(0), entries: AtomicU64::new(0) });
    Ok((Producer { ring: Arc::clone(&ring), head: 0, entries: 0 }, Consumer { ring, tail: 0 }))
}

impl Ring {
    /// The head, in the file.
    #[allow(unsafe_code)]
    fn head(&self) -> &AtomicU64 {
        // SAFETY: the map is at least DATA_START long (checked in `map`) and page-aligned, HEAD_AT is a multiple of 8
        // below DATA_START, so the pointer is valid and aligned for as long as `self.map`, which `self` owns. Within this
        // process every access to these eight bytes is atomic: no other code touches the map below DATA_START.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().add(HEAD_AT as usize).cast()) }
    }

    /// How many bytes from `position` to the ring's end.
    fn lap_left(&self, position: u64) -> u64 {
        self.capacity - position % self.capacity
    }

    fn pointer(&self, position: u64) -> *mut u8 {
        let place = DATA_START + position % self.capacity;
        self.map.as_mut_ptr().wrapping_add(place as usize)
    }
}

impl Producer {
    /// The position of the next byte.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// How many bytes are left until the ring's end, free or not.
    pub fn lap_left(&self) -> u64 {
        self.ring.lap_left(self.head)
    }

    /// How many bytes are free, in one piece or two.
    pub fn room(&self) -> u64 {
        self.ring.capacity - (self.head - self.ring.tail.load(Ordering::Acquire))
    }

    /// The free bytes from the head on, as far as they lie in one piece.
    #[inline]
    #[allow(unsafe_code)]
    pub fn free(&mut self) -> &mut [u8] {
        let used = self.head - self.ring.tail.load(Ordering::Acquire);
        let length = self.lap_left().min(self.ring.capacity - used);
        // SAFETY: the range starts inside the ring's data and `lap_left` keeps it there; the map lives as long as
        // `self.ring`. It lies in [head, tail + capacity): the consumer reads below the head only, and gave these bytes up
        // with the Release store of the tail that was loaded above. `&mut self` keeps a second slice of this, the only,
        // producer from existing. The file cannot shrink: it is ours, locked, and nothing truncates it.
        unsafe { std::slice::from_raw_parts_mut(self.ring.pointer(self.head), length as usize) }
    }

    /// Hands the first `length` of the free bytes to the consumer; `entries` says how many entries they are.
    #[inline]
    pub fn publish(&mut self, length: usize, entries: u64) {
        self.head += length.min(self.free().len()) as u64;
        self.entries += entries;
        self.ring.entries.store(self.entries, Ordering::Relaxed);
        self.ring.head().store(self.head, Ordering::Release);
    }
}

impl Consumer {
    /// The position up to which bytes are complete.
    pub fn head(&self) -> u64 {
        self.ring.head().load(Ordering::Acquire)
    }

    /// The complete bytes from `from` on, as far as they lie in one piece; none where `from` is not between tail and head.
    #[allow(unsafe_code)]
    pub fn committed(&self, from: u64) -> &[u8] {
        let head = self.head();
        if from < self.tail || from >= head {
            return &[];
        }
        let length = self.ring.lap_left(from).min(head - from);
        // SAFETY: as in `free`, within the ring's data. It lies in [tail, head): the producer wrote these bytes before its
        // Release store of the head that was loaded above, and writes them again only after the tail has passed, which
        // needs `&mut self` and so cannot happen while this slice lives.
        unsafe { std::slice::from_raw_parts(self.ring.pointer(from), length as usize) }
    }

    /// Gives all bytes before `position` back to the producer.
    pub fn release_to(&mut self, position: u64) {
        self.tail = position.clamp(self.tail, self.head());
        self.ring.tail.store(self.tail, Ordering::Release);
    }

    /// A view of the lag for other threads.
    pub fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.ring))
    }
}

impl Gauge {
    /// Bytes published and not released yet.
    pub fn lag_bytes(&self) -> u64 {
        let tail = self.0.tail.load(Ordering::Acquire);
        self.0.head().load(Ordering::Acquire).saturating_sub(tail)
    }

    /// Entries published since the ring was made.
    pub fn entries(&self) -> u64 {
        self.0.entries.load(Ordering::Relaxed)
    }
}
