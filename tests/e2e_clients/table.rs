//! The clients, and what each cannot do by itself: with a broker behind it directly it could not either.

#![allow(dead_code, reason = "two test binaries have clients play, and neither uses all of it")]

use std::collections::BTreeMap;
use std::process::Command;

use loadtest::clients::{CODECS, Client, Record, Script, Step};

/// Something a record may have that not every client can send or tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trait {
    NullHeader,
    EmptyValue,
    NeitherKeyNorValue,
}

/// A client.
#[derive(Debug)]
pub struct Row {
    pub client: Client,
    /// Steps that it has no call for, and why.
    pub cannot: &'static [(Step, &'static str)],
    /// What its records cannot have, and why.
    pub lacks: &'static [(Trait, &'static str)],
    /// With what its logins by SCRAM fail, and why: it comes by PLAIN instead.
    pub no_scram: Option<(&'static str, &'static str)>,
    /// The highest versions of Produce and Fetch that it knows: through Weir it speaks no lower ones.
    pub speaks: (i64, i64),
}

pub const TABLE: [Row; 9] = [
    Row { client: Client::JavaConsole, cannot: &[], lacks: &[], no_scram: None, speaks: (13, 18) },
    Row { client: Client::ConfluentKafka, cannot: &[], lacks: &[], no_scram: None, speaks: (10, 16) },
    Row {
        client: Client::Kcat,
        cannot: &[
            (Step::Create, "has no admin client"),
            (Step::Transaction, "makes its own with -X transactional.id, and aborts it on Ctrl-C only"),
            (Step::DeleteRecords, "has no admin client"),
            (Step::DescribeConfigs, "has no admin client"),
            (Step::DescribeGroup, "has no admin client"),
        ],
        lacks: &[],
        no_scram: Some(("librdkafka 2.0.2", "puts its nonce twice into its proof, which Kafka refuses as well")),
        speaks: (7, 11),
    },
    Row { client: Client::FranzGo, cannot: &[], lacks: &[], no_scram: None, speaks: (13, 18) },
    Row { client: Client::Sarama, cannot: &[], lacks: &[], no_scram: None, speaks: (10, 12) },
    Row {
        client: Client::KafkaGo,
        cannot: &[(Step::Transaction, "its writer knows none"), (Step::DeleteRecords, "has no request for it")],
        lacks: &[(Trait::EmptyValue, "reads an empty value as null")],
        no_scram: None,
        speaks: (8, 10),
    },
    Row {
        client: Client::KafkaPython,
        cannot: &[],
        lacks: &[
            (Trait::NullHeader, "refuses a header without a value"),
            (Trait::NeitherKeyNorValue, "refuses to send it"),
        ],
        no_scram: None,
        speaks: (9, 12),
    },
    Row {
        client: Client::Aiokafka,
        cannot: &[],
        lacks: &[
            (Trait::NullHeader, "does not encode a header without a value"),
            (Trait::NeitherKeyNorValue, "refuses to send it"),
        ],
        no_scram: None,
        speaks: (7, 11),
    },
    Row {
        client: Client::KafkaJs,
        cannot: &[],
        lacks: &[(Trait::NullHeader, "does not encode a header without a value")],
        no_scram: None,
        speaks: (7, 11),
    },
];

pub const RECORDS_PER_CODEC: usize = 12;

impl Row {
    /// Those of `steps` that the client can play.
    pub fn can(&self, steps: &[Step]) -> Vec<Step> {
        steps.iter().copied().filter(|step| self.cannot.iter().all(|(other, _)| other != step)).collect()
    }

    /// Whether the client that is installed here is one whose logins by SCRAM fail.
    pub fn cannot_scram(&self) -> bool {
        self.no_scram.is_some_and(|(within, _)| {
            let told = Command::new(self.client.name()).arg("-V").output().expect("a version");
            String::from_utf8_lossy(&[told.stdout, told.stderr].concat()).contains(within)
        })
    }

    /// Keys and none, values, empty values and tombstones, headers, repeated names, null values and no headers at all.
    /// Every record compresses well by itself: some clients send a batch bare when its codec gains nothing.
    pub fn script(&self) -> Script {
        let records = |codec: &str| (0..RECORDS_PER_CODEC).map(|n| self.record(codec, n)).collect();
        BTreeMap::from(CODECS.map(|codec| (codec, records(codec))))
    }

    fn record(&self, codec: &str, n: usize) -> Record {
        let can = |what: Trait| self.lacks.iter().all(|(other, _)| *other != what);
        let padding = "weir ".repeat(40 + n);
        let header = |name: &str, value: String| (name.to_owned(), Some(value));
        let mut headers = vec![
            header("codec", codec.to_owned()),
            header("repeated", format!("first {padding}")),
            header("repeated", format!("sécond {n}")),
        ];
        if can(Trait::NullHeader) {
            headers.push(("null".to_owned(), None));
        }
        let value = match n % 6 {
            0 => None,
            1 if can(Trait::EmptyValue) => Some(String::new()),
            2 => {
                headers.clear();
                Some(format!("{codec} {n} {padding}"))
            }
            _ => Some(format!("{{\"n\": {n}, \"codec\": \"{codec}\", \"ünïcode\": \"{padding}\"}}")),
        };
        let keyless = n % 4 == 2 && (value.is_some() || can(Trait::NeitherKeyNorValue));
        Record { key: (!keyless).then(|| format!("{codec}-{n}")), value, headers }
    }
}
