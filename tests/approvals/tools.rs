//! What people read in their terminals: Kafka's own tools, kcat, and Weir's commands.

use super::common::RUNTIMES;
use super::world::{RULES, World, exists, make};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";

/// All that a tool said.
fn words(world: &World, class: &str, args: &[&str]) -> String {
    let ran = world.dev.java("tools").tool(class, args, b"");
    ran.map_or_else(|failed| failed.to_string(), |output| format!("{}{}", output.stdout, output.stderr))
}

#[test]
fn kafkas_own_tools_tell_what_happened_and_what_to_do() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, RULES);
        let topic = format!("prod.tool-{runtime}");
        let create = ["--create", "--topic", &topic, "--partitions", "2", "--replication-factor", "1"];
        let said = words(&world, TOPICS, &create);
        let id = world.pending(&format!("create topics {topic}"));
        assert!(said.contains(&id) && said.contains("needs approval by 1 of sre"), "{said}");
        let shown = world.says(&world.ann, &["requests", &id]);
        for fact in ["num_partitions: 2", "dev", "production topics", &format!("weir approve {id}")] {
            assert!(shown.contains(fact), "{fact}:\n{shown}");
        }
        world.says(&world.ann, &["approve", &id]);
        words(&world, TOPICS, &create);
        assert!(exists(&topic));

        let alter =
            ["--alter", "--entity-type", "topics", "--entity-name", &topic, "--add-config", "retention.ms=1000"];
        let said = words(&world, CONFIGS, &alter);
        let id = world.pending(&format!("alter configs {topic}"));
        assert!(said.contains(&id), "{said}");
        let shown = world.says(&world.ann, &["requests", &id]);
        assert!(shown.contains("config retention.ms: set 1000"), "{shown}");
        world.says(&world.ann, &["approve", &id]);
        assert!(!words(&world, CONFIGS, &alter).contains("needs approval"));
    }
}

#[test]
fn a_topic_that_would_come_to_be_by_being_named_waits_for_approval_too() {
    for runtime in RUNTIMES {
        let world = World::with(runtime, &RULES.replace(", produce]", "]"));
        let topic = format!("prod.named-{runtime}");
        let written = std::thread::scope(|scope| {
            let args = ["-q", "-P", "-t", &topic, "-X", "allow.auto.create.topics=true"];
            let command = world.dev.kcat_command(&args);
            let limit = std::time::Duration::from_secs(90);
            let written = scope.spawn(move || loadtest::process::run_any("kcat", &command, b"one\n", limit).unwrap().1);
            let id = world.pending(&format!("create topics {topic}"));
            assert!(!exists(&topic));
            world.says(&world.ann, &["approve", &id]);
            written.join().unwrap()
        });
        assert_eq!(written.stderr, "");
        assert!(exists(&topic));
    }
}

#[test]
fn a_session_shows_what_was_held_and_what_came_of_it() {
    let world = World::with("epoll", RULES);
    make("prod.shown");
    super::world::delete(&mut world.connection(&world.dev), "prod.shown");
    let id = world.pending("delete topics prod.shown");
    world.says(&world.ann, &["approve", &id]);
    super::world::delete(&mut world.connection(&world.dev), "prod.shown");
    let all = || {
        let sessions = world.gateway.weir_json(&["sessions"]).unwrap();
        let ids = sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned());
        let (mut stages, mut shown) = (Vec::new(), String::new());
        for session in ids {
            let events = world.gateway.weir_json(&["show", &session]).unwrap();
            let held = events.iter().filter(|event| event["event"] == "held" && event["request"] == id.as_str());
            stages.extend(held.map(|event| event["stage"].as_str().unwrap().to_owned()));
            shown += &world.gateway.weir(&["show", &session]).unwrap().stdout;
        }
        stages.sort();
        Ok((stages == ["asked", "granted", "undecided"] && shown.contains("held")).then_some(()))
    };
    loadtest::wait_for("the session to show it", super::world::SOON, all).unwrap();
}
