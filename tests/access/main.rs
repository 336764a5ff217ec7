//! Access as people meet it: what no rule allows is refused in Kafka's own words and hidden from every listing; rights end
//! with the policy that gave them; and a broker with ACLs says the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;
mod equivalence;
mod folder;
mod people;
#[path = "../common/person.rs"]
mod person;
#[path = "../differential/reading.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod reading;
#[path = "../differential/sample.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod sample;
mod simulate;
