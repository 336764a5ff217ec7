//! Share groups (KIP-932) whose reading is held.

use std::thread;
use std::time::Duration;

use loadtest::admin;
use loadtest::batch::Batch;
use serde_json::json;

use super::common::{self, RUNTIMES};
use super::desk::{CONFIGS, Desk};
use super::programs::Program;
use super::world::World;

const RULES: &str = r#"approvals:
  - name: shares
    operations: [fetch]
    topics: ["pay.*"]
    approvers: { group: sre }
    hold: 1s
    grant: { valid: 5m }
"#;

#[test]
fn a_share_consumer_that_is_held_tries_again_and_reads_each_record_once_it_is_approved() {
    for (runtime, mode) in RUNTIMES.into_iter().zip(["implicit", "explicit"]) {
        let world = World::with(runtime, RULES);
        let name = format!("pay.share-{runtime}");
        admin::create_topic(common::cluster(), &name, &[1]).unwrap();
        admin::produce(common::cluster().address(1).unwrap(), &name, 0, Batch::counting(3).bytes()).unwrap();
        let mut desk = Desk::new(&world);
        let earliest = "--add-config share.auto.offset.reset=earliest";
        desk.direct(CONFIGS, &format!("--alter --entity-type groups --entity-name {name} {earliest}"));
        let settings = world.dev.target("shares").properties();
        let scene = json!({ "bootstrap": world.gateway.bootstrap(), "topic": name, "group": name, "mode": mode,
                            "settings": settings });
        let mut reader = Program::start("Shared.java", &scene).unwrap();
        let id = world.pending(&format!("fetch {name}"));
        // Through several refusals.
        thread::sleep(Duration::from_secs(6));
        world.says(&world.ann, &["approve", &id]);
        for n in 0..3 {
            reader.says(&format!("{{\"n\": {n}}} in delivery 1")).unwrap();
        }
        reader.go_on().unwrap();
        let said = reader.ends_well().unwrap();
        let read = said.lines().filter(|line| line.contains(" in delivery ")).count();
        assert_eq!(read, 3, "{runtime}: {said}");
        let asked = world.requests();
        assert_eq!(asked.len(), 1, "{runtime}: it asks for the same again and again: {asked:?}");
    }
}
