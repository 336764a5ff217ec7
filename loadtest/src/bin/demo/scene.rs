//! The play itself: `orders-service` produces orders, `analyst-7` and `fraud-desk` consume them, all with Kafka's own console
//! tools; one of the two sees the cards that were paid with.

use std::path::PathBuf;
use std::time::Duration;

use loadtest::clients::{JavaTools, Record, Target};
use loadtest::kafka::{self, Cluster};
use loadtest::metrics::{EXCHANGE_OWN_SECONDS, EXCHANGE_SECONDS, Scrape};
use loadtest::weir::{Gateway, Options, Token};
use loadtest::{During, Failure, Result, wait_for};

use crate::orders::{self, COUNT, TOPIC};
use crate::screen::Screen;

const PRODUCER: (&str, &str) = ("orders-service", "services");
const CONSUMER: (&str, &str) = ("analyst-7", "analysts,dev");
const READER: (&str, &str) = ("fraud-desk", orders::CARD_READERS);
const PARTITIONS: u32 = 4;
/// The order that is shown as each of them has it.
const SHOWN: &str = "o-00004";

/// Blocks of the recording reach the store within a second.
const RECORDED_LIMIT: Duration = Duration::from_secs(10);

pub struct Scene {
    // In the order in which they end: the gateway drains before its brokers go.
    gateway: Gateway,
    cluster: Cluster,
    consumer: (Token, JavaTools),
    producer: JavaTools,
    reader: JavaTools,
    /// The order that is shown: for whom, and how.
    seen: Vec<(&'static str, String)>,
}

impl Scene {
    /// Kafka, Weir, and a token for each of the three.
    pub fn set(screen: &Screen) -> Result<Self> {
        let cluster = screen.step(&format!("Kafka {}, two brokers", kafka::VERSION), || {
            let cluster = Cluster::start(2, kafka::Options::default())?;
            let at = cluster.bootstrap();
            Ok((cluster, at))
        })?;
        let gateway = screen.step("Weir in front of them", || {
            let options = Options::new(cluster.bootstrap()).auth(&["weir_token"]).policy(orders::POLICY);
            let gateway = Gateway::start(weir_binary()?, options)?;
            let at = gateway.bootstrap();
            Ok((gateway, at))
        })?;
        let [producer, consumer, reader] = screen.step("A token for each identity", || {
            let token = |(subject, groups)| gateway.token(subject, groups);
            let tokens = [token(PRODUCER)?, token(CONSUMER)?, token(READER)?];
            Ok((tokens, format!("{}, {}, {}", PRODUCER.0, CONSUMER.0, READER.0)))
        })?;
        let tools =
            |token: Token, client_id: &str| JavaTools::new(&Target::with_token(gateway.bootstrap(), client_id, token));
        let producer = tools(producer, "orders-console")?;
        let consumer = (consumer.clone(), tools(consumer, "analyst-console")?);
        let reader = tools(reader, "fraud-console")?;
        Ok(Self { gateway, cluster, consumer, producer, reader, seen: Vec::new() })
    }

    /// Produces and consumes, and compares.
    pub fn play(&mut self, screen: &Screen) -> Result<()> {
        let mut sent: Vec<Record> = (0..COUNT).map(orders::order).collect();
        screen.step(&format!("{} produces JSON events", PRODUCER.0), || {
            self.producer.create_topic(TOPIC, PARTITIONS)?;
            self.producer.produce(TOPIC, "lz4", &sent)?;
            Ok(((), format!("{COUNT} records to topic {TOPIC}, lz4")))
        })?;
        sent.sort();
        let mut masked: Vec<Record> = sent.iter().map(orders::masked).collect();
        masked.sort();
        for (who, tools, expected, outcome) in [
            (CONSUMER.0, &self.consumer.1, masked, "their cards masked"),
            (READER.0, &self.reader, sent, "each as it was sent"),
        ] {
            let mut read = screen.step(&format!("{who} consumes them with a group"), || {
                let read = tools.consume(TOPIC, &format!("{who}s-group"), COUNT)?;
                Ok((read, format!("{COUNT} records, {outcome}")))
            })?;
            read.sort();
            if read != expected {
                return Err(Failure::new(format!("{who} read {} records, but not those expected", read.len())));
            }
            let shown = read.into_iter().filter_map(|record| record.value).find(|value| value.contains(SHOWN));
            self.seen.extend(shown.map(|value| (who, value)));
        }
        Ok(())
    }

    /// The session table, what one session did, and what it cost.
    pub fn show(&self, screen: &Screen) -> Result<()> {
        self.session_with(PRODUCER.0, "records_written")?;
        let session = self.session_with(CONSUMER.0, "records_read")?;
        let readers = self.session_with(READER.0, "records_read")?;
        self.show_one_order(screen, [&session, &readers])?;
        screen.section("Sessions", "weir sessions", &self.gateway.weir(&["sessions"])?.stdout);
        let shown = self.gateway.weir(&["show", &session])?.stdout;
        if !shown.contains(TOPIC) {
            return Err(Failure::new(format!("`weir show {session}` does not name the topic {TOPIC}:\n{shown}")));
        }
        screen.section(&format!("What {} did", CONSUMER.0), &format!("weir show {session}"), &shown);
        // Shards hand out what they counted once a second.
        let latency = wait_for(&format!("latencies in /metrics ({EXCHANGE_OWN_SECONDS})"), RECORDED_LIMIT, || {
            Ok(latency_table(&self.gateway.metrics()?))
        })?;
        screen.section("Latency Weir added", &format!("http://{}/metrics", self.gateway.control()), &latency);
        Ok(())
    }

    /// One order: as each of the two got it, and as the recording has it of both.
    fn show_one_order(&self, screen: &Screen, sessions: [&str; 2]) -> Result<()> {
        let mut text: String = self.seen.iter().map(|(who, value)| format!("{who:<12}{value}\n")).collect();
        for ((who, _), session) in self.seen.iter().zip(sessions) {
            let shown = self.gateway.weir(&["show", session, "--records", "--grep", SHOWN, "--json"])?.stdout;
            let kept = shown.lines().find(|line| line.contains(SHOWN) && line.contains("************1111"));
            if kept.is_none() || shown.contains("4111111111111111") {
                return Err(Failure::new(format!("the recording of {who} does not have the order masked:\n{shown}")));
            }
        }
        text += "both recordings hold the masked form";
        screen.section("One order, read by two", "policy.yaml, masking: card data", &text);
        let explained = self.gateway.weir(&["explain", "--as", CONSUMER.0, "--op", "fetch", "--topic", TOPIC])?.stdout;
        if !explained.contains("card data") || !explained.contains(orders::CARD_READERS) {
            return Err(Failure::new(format!("`weir explain` does not tell why:\n{explained}")));
        }
        let command = format!("weir explain --as {} --op fetch --topic {TOPIC}", CONSUMER.0);
        screen.section(&format!("Why {} sees it so", CONSUMER.0), &command, &explained);
        Ok(())
    }

    /// Commands that work while the demo stays up.
    pub fn suggest(&self, screen: &Screen) {
        let Ok(binary) = weir_binary() else { return };
        let (config, control) = (self.gateway.config_path(), self.gateway.control());
        let (token, tools) = &self.consumer;
        let text = format!(
            "alias weir='{binary}'\n\
             export WEIR_CONFIG={config}\n\
             weir sessions --topic {TOPIC}\n\
             weir sessions --identity {subject} --json\n\
             weir token create --subject me --groups dev --ttl 1h\n\
             curl -s http://{control}/metrics | grep weir_exchange\n\
             {console_consumer}",
            binary = binary.display(),
            config = config.display(),
            subject = token.subject,
            console_consumer = console_consumer(&self.gateway, tools),
        );
        screen.section("Try next", "in another terminal", &text);
        let login = format!(
            "bootstrap.servers={}\nsecurity.protocol=SASL_PLAINTEXT, sasl.mechanism=PLAIN\nuser name {}, password {}",
            self.gateway.bootstrap(),
            token.subject,
            token.token
        );
        screen.section("A client of your own", "", &login);
        screen.line("All of it stays up; Ctrl-C ends it and leaves nothing behind.");
    }

    /// Drains the gateway, which must end well, then the brokers.
    pub fn end(mut self, screen: &Screen) -> Result<()> {
        screen.step("Weir drains and stops", || {
            self.gateway.stop()?;
            Ok(((), "exit code 0".to_owned()))
        })?;
        screen.step("Kafka stops", || {
            drop(self.cluster);
            Ok(((), "no process and no file left".to_owned()))
        })?;
        screen.blank();
        Ok(())
    }

    /// The session of a subject, once the recording tells all orders in this count of it.
    fn session_with(&self, subject: &str, count: &str) -> Result<String> {
        wait_for(&format!("a session of {subject} with {COUNT} {count}"), RECORDED_LIMIT, || {
            let sessions = self.gateway.weir_json(&["sessions", "--identity", subject])?;
            let whole = sessions.iter().find(|s| s[count].as_u64().is_some_and(|n| n >= COUNT as u64));
            Ok(whole.and_then(|session| session["id"].as_str()).map(ToOwned::to_owned))
        })
    }
}

/// Built beside this program.
fn weir_binary() -> Result<PathBuf> {
    let own = std::env::current_exe().during("cannot tell where this program is")?;
    let binary = own.with_file_name("weir");
    if binary.exists() { Ok(binary) } else { Err(Failure::new(format!("{} is missing: make build", binary.display()))) }
}

fn console_consumer(gateway: &Gateway, tools: &JavaTools) -> String {
    let libs = kafka::class_path().map_or_else(|e| e.to_string(), |path| path.display().to_string());
    format!(
        "java -cp '{libs}' org.apache.kafka.tools.consumer.ConsoleConsumer \\\n    --bootstrap-server {} --topic {TOPIC} \
         --from-beginning \\\n    --command-config {}",
        gateway.bootstrap(),
        tools.properties_path().display()
    )
}

/// Weir's own share beside the whole exchange, for the APIs that carry the load and for all of them; none as long as one of
/// them is missing.
fn latency_table(scrape: &Scrape) -> Option<String> {
    let mut table =
        format!("{:<16}{:>10}{:>14}{:>14}{:>16}\n", "API", "exchanges", "Weir p50", "Weir p99", "exchange p50");
    for (name, labels) in
        [("Produce", vec![("api", "Produce")]), ("Fetch", vec![("api", "Fetch")]), ("every API", vec![])]
    {
        let count = scrape.sum(&format!("{EXCHANGE_OWN_SECONDS}_count"), &labels);
        let quantile = |metric: &str, q: f64| scrape.quantile(metric, &labels, q);
        let own = quantile(EXCHANGE_OWN_SECONDS, 0.5).zip(quantile(EXCHANGE_OWN_SECONDS, 0.99));
        let (count, (p50, p99), whole) = (count?, own?, quantile(EXCHANGE_SECONDS, 0.5)?);
        table += &format!("{name:<16}{count:>10}{:>14}{:>14}{:>16}\n", human(p50), human(p99), human(whole));
    }
    Some(table)
}

/// Seconds in the unit that fits.
fn human(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
