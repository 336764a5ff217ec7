//! schemathesis, with each role, from the gateway's own document: no answer is a 5xx or another than is documented, whatever
//! is asked.
//!
//! Left out are the check that whatever the schema allows is taken, since it cannot say what a cursor or a pattern is, and
//! the one that any wrong login is answered by 401: who tries some is slowed down by 429. Other tests are about logins.

use std::process::{Command, Output};

use loadtest::weir::Gateway;

use crate::rig::{GROUPS, gateway};

/// Below what the gateway lets one caller ask in a second.
const RATE: &str = "45/s";

fn fuzz(gateway: &Gateway, token: &str) -> Output {
    let mut command = Command::new(loadtest::cache().unwrap().join("schemathesis/bin/schemathesis"));
    command.args(["run", &format!("http://{}/api/v1/openapi.json", gateway.control())]);
    command.args(["--header", &format!("Authorization: Bearer {token}")]);
    command.args(["--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "7", "--rate-limit", RATE]);
    command.args(["--checks", "all", "--exclude-checks", "positive_data_acceptance,ignored_auth", "--no-color"]);
    // It keeps what it found beside where it runs.
    command.current_dir(gateway.config_path().parent().unwrap());
    command.output().unwrap_or_else(|e| panic!("schemathesis does not run: {e}; `make setup-test` installs it"))
}

#[test]
fn whatever_is_asked_of_the_api_it_answers_as_documented() {
    let gateway = gateway();
    let tokens = GROUPS.map(|(role, group)| gateway.token(&format!("fuzz-{role}"), group).unwrap().token);
    // Side by side, since each is slowed down to what one caller may ask.
    let outputs = std::thread::scope(|scope| {
        let runs = tokens.each_ref().map(|token| scope.spawn(|| fuzz(&gateway, token)));
        runs.map(|run| run.join().unwrap())
    });
    for ((role, _), output) in GROUPS.iter().zip(outputs) {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{role}:\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("passed") || said.contains("✅"), "{role}:\n{said}");
    }
    assert_eq!(crate::rig::send(gateway.control(), "GET", "/healthz", &[], "").status, 200);
}
