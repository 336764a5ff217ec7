//! A policy that is tried on what people did with real clients, and then taken over: what was foretold is what happens.

use std::fs;
use std::process::Command;
use std::time::Duration;

use loadtest::weir::Gateway;
use loadtest::{admin, process, wait_for};
use serde_json::{Value, json};

use super::common;
use super::people::gateway;
use super::person::Person;

const LIMIT: Duration = Duration::from_secs(90);

const IN_FORCE: &str = r#"access:
  - { groups: [analysts], operations: [read, describe], topics: ["tried-*"], consumer_groups: ["analytics-*"] }
  - { groups: [makers], operations: [write, describe], topics: ["tried-*"] }
"#;

/// Readers may not join their group any more, writers may do all that they did.
const NEW: &str = r#"access:
  - { groups: [analysts], operations: [read, describe], topics: ["tried-*"], consumer_groups: ["others-*"] }
  - { groups: [makers], operations: [write, describe], topics: ["tried-*"] }
"#;

fn simulate(gateway: &Gateway, policy: &str) -> (Option<i32>, Value) {
    let tried = gateway.config_path().with_file_name("new.yaml");
    fs::write(&tried, policy).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["simulate", "--since", "1h", "--json", "--policy"]).arg(tried);
    command.arg("--config").arg(gateway.config_path());
    let (status, output) = process::run_any("weir simulate", &command, b"", LIMIT).unwrap();
    let told = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
    (status.code(), told)
}

#[test]
fn what_a_simulation_foretells_is_what_happens_once_the_policy_holds() {
    for runtime in common::RUNTIMES {
        let gateway = gateway(runtime, IN_FORCE);
        let topic = format!("tried-{runtime}");
        admin::create_topic(common::cluster(), &topic, &[1]).unwrap();
        let (analyst, maker) = (Person::of(&gateway, "analyst", "analysts"), Person::of(&gateway, "maker", "makers"));
        let run = |person: &Person, args: &[&str], input: &str| {
            process::run_any("kcat", &person.kcat_command(args), input.as_bytes(), LIMIT).unwrap().1
        };
        let write = || run(&maker, &["-P", "-q", "-t", &topic], "one\ntwo\n").stderr;
        let read = || run(&analyst, &["-q", "-e", "-G", "analytics-1", "-X", "auto.offset.reset=earliest", &topic], "");
        assert_eq!(write(), "");
        let before = read();
        assert_eq!(before.stdout.lines().count(), 2, "{}", before.stderr);

        // The same policy takes nothing away from what passed.
        let recorded = || {
            let (code, told) = simulate(&gateway, IN_FORCE);
            assert_eq!((code, &told["newly_denied"]), (Some(0), &json!(0)), "{told}");
            Ok((told["looked_at"]["sessions"].as_u64() >= Some(2)).then_some(()))
        };
        wait_for("both sessions in the recording", LIMIT, recorded).unwrap();
        let joined = || {
            let (code, told) = simulate(&gateway, NEW);
            let denied = told["denied"].as_array().unwrap().clone();
            Ok((code == Some(6) && denied.iter().any(|row| row["operation"] == "read")).then_some(denied))
        };
        let denied = wait_for("what would be denied", LIMIT, joined).unwrap();
        for row in &denied {
            let what = (&row["subject"], &row["resource"], &row["name"]);
            assert_eq!(what, (&json!("analyst"), &json!("consumer_group"), &json!("analytics-1")), "{row}");
        }

        fs::write(gateway.config_path().with_file_name("policy.yaml"), NEW).unwrap();
        assert_eq!(gateway.weir_json(&["reload"]).unwrap()[0]["changed"], true);
        assert_eq!(write(), "");
        let after = read();
        assert!(after.stderr.contains("group analytics-1"), "{} {}", after.stdout, after.stderr);
        // What is in force and what was tried are one now, and nothing more is foretold.
        let (code, told) = simulate(&gateway, NEW);
        assert_eq!((code, &told["newly_denied"], &told["newly_allowed"]), (Some(0), &json!(0), &json!(0)), "{told}");
    }
}
