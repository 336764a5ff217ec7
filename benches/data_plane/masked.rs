//! What masking costs a consumer: the same Fetches through a gateway without rules, one whose rules look into every record and
//! find nothing, and one that masks eight fields of each, under no codec, lz4 and zstd.
//!
//! Throughput counts the events, not what they are compressed to. Fetches are of 1 MiB of the wire's bytes.

use std::net::SocketAddr;

use bytes::Bytes;
use loadtest::kafka::Cluster;
use loadtest::load::{self, Load, Shape};
use loadtest::{During, Failure, Result};
use weir::wire::kafka::compression::{Codec, Deflater, Levels};

use crate::contestants::{self, Contestant};
use crate::events;
use crate::report::{self, Sample, Unit};
use crate::{BATCH_RECORDS, FETCH_BYTES, ROUNDS, SETTLE, TURN};

const CODECS: [(&str, Codec, i16); 3] = [("none", Codec::None, 0), ("lz4", Codec::Lz4, 3), ("zstd", Codec::Zstd, 4)];
const SHAPE: Shape = Shape { connections: 4, in_flight: 2, time: TURN };
/// Bytes before the records of a batch, and where its codec stands.
const HEADER: usize = 61;
const ATTRIBUTES: std::ops::Range<usize> = 21..23;

/// A topic full of events.
struct Stored {
    name: &'static str,
    load: Load,
    /// Bytes of events for each byte on the wire.
    inflates: f64,
}

pub fn run(cluster: &Cluster) -> Result<()> {
    let stored: Vec<Stored> =
        CODECS.into_iter().map(|codec| store(cluster.address(1)?, codec)).collect::<Result<_>>()?;
    let contestants = start(cluster)?;
    for topic in &stored {
        let mut rounds: Vec<Vec<Sample>> = contestants.iter().map(|_| Vec::new()).collect();
        for _ in 0..ROUNDS {
            for (contestant, samples) in contestants.iter().zip(&mut rounds) {
                let before = contestant.cpu()?;
                let mut done = load::run(contestant.address, &topic.load, SHAPE)
                    .map_err(|failure| failure.during(format!("{}, {}", contestant.name, topic.name)))?;
                std::thread::sleep(SETTLE);
                done.bytes = (done.bytes as f64 * topic.inflates) as u64;
                samples.push(Unit::Gigabyte.sample(done, before, contestant.cpu()?));
            }
        }
        let phase = format!(
            "masked consumer: {}, 1 KiB events, 1 byte of the wire is {:.1} of events",
            topic.name, topic.inflates
        );
        let names: Vec<String> = contestants.iter().map(|contestant| contestant.name.clone()).collect();
        report::print_beside(&phase, Unit::Gigabyte, &names, &rounds, 3);
    }
    Ok(())
}

/// Without rules, with rules that find nothing, with rules that mask; on each runtime.
fn start(cluster: &Cluster) -> Result<Vec<Contestant>> {
    let rule = |names: &[String]| {
        format!("masking: [{{ topics: [\"events-*\"], fields: [{}], action: redact }}]\n", names.join(", "))
    };
    let masking = rule(&events::SENSITIVE.iter().map(|(name, _)| format!("\"**.{name}\"")).collect::<Vec<_>>());
    let looking = rule(&(0..events::SENSITIVE.len()).map(|n| format!("\"**.absent_{n}\"")).collect::<Vec<_>>());
    let mut all = Vec::new();
    for runtime in ["io_uring", "epoll"] {
        for (what, policy) in
            [("no rules", None), ("nothing found", Some(&looking)), ("8 fields masked", Some(&masking))]
        {
            all.push(contestants::weir(cluster, runtime, format!("{what}, {runtime}"), policy.map(String::as_str))?);
        }
    }
    all.iter().try_for_each(Contestant::pin)?;
    Ok(all)
}

fn store(broker: SocketAddr, (name, codec, bits): (&'static str, Codec, i16)) -> Result<Stored> {
    let topic = format!("events-{name}");
    load::create_topic(broker, &topic, &[])?;
    let events = events::sensitive();
    let plain = load::batch_of(events.iter().take(BATCH_RECORDS as usize).map(|event| Bytes::from(event.clone())))?;
    let batch = compressed(&plain, codec, bits)?;
    let produce = Load::Produce { topic: topic.clone(), records: batch.clone().into() };
    let stored = load::run(broker, &produce, Shape { connections: 4, in_flight: 5, time: TURN })?.requests;
    let step = (FETCH_BYTES as usize / batch.len()).max(1) as u64;
    let last = stored.checked_sub(2 * step).filter(|last| *last >= step);
    let last = last.ok_or_else(|| Failure::new("the broker hardly took any events"))?;
    let offset = |step_number: u64| i64::try_from(step_number * step).unwrap_or(0) * i64::from(BATCH_RECORDS);
    let offsets = (0..last / step).map(offset).collect();
    let load = Load::Fetch { topic, bytes: FETCH_BYTES, offsets };
    Ok(Stored { name, load, inflates: plain.len() as f64 / batch.len() as f64 })
}

/// The batch under a codec; length and checksum are right.
fn compressed(plain: &[u8], codec: Codec, bits: i16) -> Result<Vec<u8>> {
    let mut batch = plain[..HEADER].to_vec();
    match codec {
        Codec::None => batch.extend_from_slice(&plain[HEADER..]),
        codec => {
            Deflater::new(Levels::default()).deflate(codec, &[], &plain[HEADER..], &mut batch).during("compress")?
        }
    }
    batch[ATTRIBUTES].copy_from_slice(&bits.to_be_bytes());
    let length = i32::try_from(batch.len() - 12).during("a batch's length")?;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c::crc32c(&batch[ATTRIBUTES.start..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    Ok(batch)
}
