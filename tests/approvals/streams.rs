//! Kafka Streams, whose own topics are held: by the classic protocol the application makes them, by streams groups (KIP-1071)
//! the broker does.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use loadtest::kafka;
use loadtest::process::Process;
use loadtest::scratch::Scratch;

use super::common::RUNTIMES;
use super::world::{World, exists, make};

const RULES: &str = r#"approvals:
  - name: topics of applications
    operations: [create_topics]
    topics: ["counting-*"]
    approvers: { group: sre }
    hold: 1s
"#;

/// Java starts, and groups settle.
const LIMIT: Duration = Duration::from_secs(60);

/// Each protocol on one runtime.
#[test]
fn an_application_whose_topics_are_held_is_told_and_runs_once_they_are_approved() {
    thread::scope(|scope| {
        for (runtime, protocol) in RUNTIMES.into_iter().zip(["classic", "streams"]) {
            scope.spawn(move || runs_once_approved(runtime, protocol));
        }
    });
}

/// Topics are approved one at a time, so that an application that needs several is told several times.
fn runs_once_approved(runtime: &str, protocol: &str) {
    let world = World::with(runtime, RULES);
    let name = format!("counting-{protocol}");
    let dir = Scratch::new("weir-streams-").unwrap();
    let command = application(&world, &name, protocol, dir.path());
    let mut approved = 0;
    loop {
        let mut app = Process::start(&name, &command, &dir.path().join(format!("log-{approved}"))).unwrap();
        let told = until_it_runs_or_is_told(&world, &mut app);
        app.kill();
        let Some(id) = told else { break };
        world.says(&world.ann, &["approve", &id]);
        approved += 1;
        assert!(approved <= 3, "{name}: {:?}", world.requests());
    }
    // With the classic protocol both changelogs are one request.
    let asked = if protocol == "classic" { 2 } else { 3 };
    assert_eq!((approved, world.requests().len()), (asked, asked), "{name}: each is asked for once");
    for topic in ["words-repartition", "counts-changelog"] {
        assert!(exists(&format!("{name}-{topic}")), "{name}-{topic}");
    }
}

/// `tests/clients/java/Counts.java`, which has a repartition topic and a changelog.
fn application(world: &World, name: &str, protocol: &str, dir: &Path) -> Command {
    let topics = ["words", "names", "counts"].map(|of| format!("{of}-{name}"));
    topics.iter().for_each(|topic| make(topic));
    let properties = dir.join("properties");
    let text = format!(
        "{}bootstrap.servers={}\napplication.id={name}\nstate.dir={}\ngroup.protocol={protocol}\n",
        world.dev.target(name).properties(),
        world.gateway.bootstrap(),
        dir.join("state").display()
    );
    fs::write(&properties, text).unwrap();
    let mut command = kafka::java(128).unwrap();
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java/Counts.java"));
    command.arg(properties).args(topics);
    command
}

/// None once it runs; one of the requests that it waits for once it has said so in its log.
fn until_it_runs_or_is_told(world: &World, app: &mut Process) -> Option<String> {
    let path = app.log_path().to_owned();
    let comes_to = || {
        let log = fs::read_to_string(&path).unwrap();
        if log.lines().any(|line| line == "state RUNNING") {
            return Ok(Some(None));
        }
        let pending = world.gateway.weir_json(&["requests", "--state", "pending"]).unwrap();
        let mut ids = pending.iter().map(|request| request["id"].as_str().unwrap().to_owned());
        Ok(ids.find(|id| log.contains(&format!("this needs approval by 1 of sre: request {id} is open"))).map(Some))
    };
    app.wait_ready("that it runs, or is told", LIMIT, comes_to).unwrap()
}
