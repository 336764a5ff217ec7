//! The play itself: `orders-service` produces orders, `analyst-7` consumes them, both with Kafka's own console tools.

use std::path::PathBuf;
use std::time::Duration;

use loadtest::clients::{JavaTools, Record, Target};
use loadtest::kafka::{self, Cluster};
use loadtest::metrics::{EXCHANGE_OWN_SECONDS, EXCHANGE_SECONDS, Scrape};
use loadtest::weir::{Gateway, Options, Token};
use loadtest::{During, Failure, Result, wait_for};

use crate::screen::Screen;

const PRODUCER: (&str, &str) = ("orders-service", "services");
const CONSUMER: (&str, &str) = ("analyst-7", "analysts,dev");
const TOPIC: &str = "orders";
const PARTITIONS: u32 = 4;
const ORDERS: usize = 1000;

/// Blocks of the recording reach the store within a second.
const RECORDED_LIMIT: Duration = Duration::from_secs(10);

pub struct Scene {
    // In the order in which they end: the gateway drains before its brokers go.
    gateway: Gateway,
    cluster: Cluster,
    consumer: (Token, JavaTools),
    producer: JavaTools,
}

impl Scene {
    /// Kafka, Weir, and a token for each of the two.
    pub fn set(screen: &Screen) -> Result<Self> {
        let cluster = screen.step(&format!("Kafka {}, two brokers", kafka::VERSION), || {
            let cluster = Cluster::start(2, kafka::Options::default())?;
            let at = cluster.bootstrap();
            Ok((cluster, at))
        })?;
        let gateway = screen.step("Weir in front of them", || {
            let options = Options::new(cluster.bootstrap()).auth(&["weir_token"]);
            let gateway = Gateway::start(weir_binary()?, options)?;
            let at = gateway.bootstrap();
            Ok((gateway, at))
        })?;
        let (producer, consumer) = screen.step("A token for each identity", || {
            let producer = gateway.token(PRODUCER.0, PRODUCER.1)?;
            let consumer = gateway.token(CONSUMER.0, CONSUMER.1)?;
            Ok(((producer, consumer), format!("{}, {}", PRODUCER.0, CONSUMER.0)))
        })?;
        let tools =
            |token: Token, client_id: &str| JavaTools::new(&Target::with_token(gateway.bootstrap(), client_id, token));
        let producer = tools(producer, "orders-console")?;
        let consumer = (consumer.clone(), tools(consumer, "analyst-console")?);
        Ok(Self { gateway, cluster, consumer, producer })
    }

    /// Produces and consumes, and compares.
    pub fn play(&mut self, screen: &Screen) -> Result<()> {
        let mut sent: Vec<Record> = (0..ORDERS).map(order).collect();
        screen.step(&format!("{} produces JSON events", PRODUCER.0), || {
            self.producer.create_topic(TOPIC, PARTITIONS)?;
            self.producer.produce(TOPIC, "lz4", &sent)?;
            Ok(((), format!("{ORDERS} records to topic {TOPIC}, lz4")))
        })?;
        screen.step(&format!("{} consumes them with a group", CONSUMER.0), || {
            let mut read = self.consumer.1.consume(TOPIC, "analytics", ORDERS)?;
            read.sort();
            sent.sort();
            if read != sent {
                return Err(Failure::new(format!("{} records were read, but not those that were sent", read.len())));
            }
            Ok(((), format!("{ORDERS} records, each as it was sent")))
        })
    }

    /// The session table, what one session did, and what it cost.
    pub fn show(&self, screen: &Screen) -> Result<()> {
        self.session_with(PRODUCER.0, "records_written")?;
        let session = self.session_with(CONSUMER.0, "records_read")?;
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
        wait_for(&format!("a session of {subject} with {ORDERS} {count}"), RECORDED_LIMIT, || {
            let sessions = self.gateway.weir_json(&["sessions", "--identity", subject])?;
            let whole = sessions.iter().find(|s| s[count].as_u64().is_some_and(|n| n >= ORDERS as u64));
            Ok(whole.and_then(|session| session["id"].as_str()).map(ToOwned::to_owned))
        })
    }
}

fn order(n: usize) -> Record {
    let (customer, cents) = (n * 7919 % 97, n * 104_729 % 50_000);
    let value = format!(
        "{{\"order\":\"o-{n:05}\",\"customer\":\"c-{customer:02}\",\"amount\":{}.{:02},\"currency\":\"EUR\"}}",
        cents / 100,
        cents % 100
    );
    Record {
        key: Some(format!("c-{customer:02}")),
        value: Some(value),
        headers: vec![("source".into(), Some("shop".into()))],
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
