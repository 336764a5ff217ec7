//! Kafka's own tools under approval, case by case: what a tool does is held and told, and the same command does it once
//! somebody has said yes.

use std::fs;
use std::path::PathBuf;

use loadtest::clients::{JavaTools, Toolbox};
use loadtest::scratch::Scratch;
use loadtest::wait_for;
use serde_json::Value;

use super::common;
use super::world::{SOON, World};

pub const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
pub const CONFIGS: &str = "kafka.admin.ConfigCommand";
pub const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
pub const SHARE_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ShareGroupCommand";
pub const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";

/// What somebody does with a tool.
pub struct Case {
    /// What the request for approval is called.
    pub asks: String,
    /// The tool and its arguments.
    pub does: (&'static str, String),
    /// How it is told.
    pub told: Told,
    /// The tool that shows at the brokers whether it was done, and what it then says.
    pub shows: (&'static str, String, Says),
}

/// What a terminal tells of what is held.
pub enum Told {
    /// The request's id, who has to say yes, and what to do.
    Words,
    /// The answer has no room for words: this error's name.
    Error(&'static str),
}

/// What a tool says of a thing that was done, with one space between words.
pub enum Says {
    This(String),
    Nothing(String),
}

/// One test's JVM, and files for the tools that take some.
pub struct Desk<'a> {
    world: &'a World,
    toolbox: Toolbox,
    login: JavaTools,
    dir: Scratch,
}

impl<'a> Desk<'a> {
    pub fn new(world: &'a World) -> Self {
        let toolbox = Toolbox::start().unwrap();
        Desk { world, toolbox, login: world.dev.java("tools"), dir: Scratch::new("weir-desk-").unwrap() }
    }

    /// Writes a file that a tool takes.
    pub fn file(&self, name: &str, json: &Value) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, json.to_string()).unwrap();
        path
    }

    /// Runs a tool through the gateway, and gives all that it said.
    pub fn through(&mut self, tool: &str, args: &str) -> String {
        let login = self.login.properties_path().display().to_string();
        let bootstrap = self.world.gateway.bootstrap();
        let place = ["--bootstrap-server", &bootstrap, "--command-config", &login];
        let words: Vec<&str> = place.into_iter().chain(args.split_whitespace()).collect();
        let ran = self.toolbox.run(tool, &words, "").unwrap();
        format!("{}{}", ran.stdout, ran.stderr)
    }

    /// Runs a tool at the brokers themselves.
    pub fn direct(&mut self, tool: &str, args: &str) -> String {
        let bootstrap = common::cluster().bootstrap();
        let words: Vec<&str> = ["--bootstrap-server", &bootstrap].into_iter().chain(args.split_whitespace()).collect();
        let ran = self.toolbox.run(tool, &words, "").unwrap();
        format!("{}{}", ran.stdout, ran.stderr)
    }

    /// Held and told; not done before a yes, and done by the same command after it.
    pub fn plays(&mut self, case: &Case) {
        let (asks, (tool, args)) = (&case.asks, &case.does);
        let (done, said) = self.is_done(case);
        assert!(!done, "{asks}: done before anything: {said}");
        let said = self.through(tool, args);
        let id = self.world.pending(asks);
        match case.told {
            Told::Words => {
                for words in [&*id, "needs approval by 1 of sre", "once it is approved, do it again"] {
                    assert!(said.contains(words), "{asks}: {words}: {said}");
                }
            }
            Told::Error(name) => assert!(said.contains(name), "{asks}: {name}: {said}"),
        }
        let (done, told) = self.is_done(case);
        assert!(!done, "{asks}: done before anybody has said yes: {told}");
        self.world.says(&self.world.ann, &["approve", &id]);
        let said = self.through(tool, args);
        let mut shown = String::new();
        let waited = wait_for("what was approved to be done", SOON, || {
            let (done, now) = self.is_done(case);
            shown = now;
            Ok(done.then_some(()))
        });
        waited.unwrap_or_else(|e| panic!("{asks}: {e}: {said}: {shown}"));
        let pending = self.world.gateway.weir_json(&["requests", "--state", "pending"]).unwrap();
        assert!(pending.is_empty(), "{asks}: the same command is the same action: {pending:?}");
    }

    fn is_done(&mut self, case: &Case) -> (bool, String) {
        let (tool, args, says) = &case.shows;
        let said = self.direct(tool, args).split_whitespace().collect::<Vec<_>>().join(" ");
        let done = match says {
            Says::This(words) => said.contains(&**words),
            Says::Nothing(words) => !said.contains(&**words),
        };
        (done, said)
    }
}
