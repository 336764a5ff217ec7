//! `kafka-consumer-groups` and `kafka-groups`, of classic groups and of KIP-848's.

use crate::common::RUNTIMES;
use crate::desk::{CONSUMER, Desk, GROUPS, OFFSETS, TOPICS, columns, filled_topic, scene, sides, start_client};
use loadtest::scratch::Scratch;

const ALL_GROUPS: &str = "org.apache.kafka.tools.GroupsCommand";
const VERIFIABLE: &str = "org.apache.kafka.tools.VerifiableConsumer";

#[test]
fn a_groups_offsets_are_shown_reset_in_every_form_and_deleted() {
    let mut desk = Desk::new();
    for (gateway, name) in sides("offsets") {
        filled_topic(&mut desk, gateway, &name, 20);
        let read = format!("--topic {name} --group {name} --from-beginning --max-messages 5 --timeout-ms 60000");
        desk.through(gateway, CONSUMER, &read);
        let of_group = format!("--group {name}");
        let described = desk.same(gateway, GROUPS, &format!("--describe {of_group}"));
        assert_eq!(columns(&described, &name)[3..6], ["5", "20", "15"], "{described}");
        desk.same(gateway, GROUPS, &format!("--describe --state {of_group}"));
        let listed = desk.through(gateway, GROUPS, "--list --state Empty");
        assert!(listed.contains(&name), "{listed}");

        for (form, expected) in [
            ("--to-earliest", 0),
            ("--to-latest", 20),
            ("--shift-by -3", 17),
            ("--to-offset 9", 9),
            ("--to-current", 9),
            ("--to-datetime 2020-01-01T00:00:00.000", 0),
            ("--by-duration PT1H", 0),
            ("--to-offset 999", 20),
        ] {
            let reset = format!("--reset-offsets {of_group} --topic {name} {form}");
            let planned = desk.through(gateway, GROUPS, &format!("{reset} --dry-run --export"));
            assert_eq!(planned.trim(), format!("{name},0,{expected}"), "{form}");
            let said = desk.through(gateway, GROUPS, &format!("{reset} --execute"));
            assert_eq!(columns(&said, &name)[3], expected.to_string(), "{form}: {said}");
            let truth = desk.direct(GROUPS, &format!("--describe {of_group}"));
            assert_eq!(columns(&truth, &name)[3], expected.to_string(), "{form}: {truth}");
        }
        desk.through(gateway, GROUPS, &format!("--reset-offsets {of_group} --all-topics --to-earliest --execute"));

        let said = desk.through(gateway, GROUPS, &format!("--delete-offsets {of_group} --topic {name}"));
        assert!(said.contains("Successful"), "{said}");
        let truth = desk.direct(GROUPS, &format!("--describe {of_group}"));
        assert!(!truth.contains(&name), "{truth}");
        let again = format!("--reset-offsets {of_group} --topic {name}:0 --to-offset 4 --execute");
        desk.through(gateway, GROUPS, &again);
        let said = desk.through(gateway, GROUPS, &format!("--delete {of_group}"));
        assert!(said.contains("was successful"), "{said}");
        desk.until(GROUPS, "--list", |said| !said.contains(&name));
    }
}

/// The classic group's member lives on one runtime and KIP-848's on the other, and both are looked at through both.
#[test]
fn members_of_a_living_group_are_shown_and_keep_it_from_being_reset_or_deleted() {
    let mut desk = Desk::new();
    let dir = Scratch::new("weir-members-").unwrap();
    let [(io_uring, _), (epoll, _)] = sides("");
    desk.through(io_uring, TOPICS, "--create --topic members --partitions 4");
    desk.until(OFFSETS, "--topic members", |said| said.lines().count() == 4);
    let classic = "--topic members --group-id members-classic --group-instance-id one";
    let modern = "--topic members --group-id members-modern --group-protocol consumer";
    let _members =
        [start_client(io_uring, dir.path(), VERIFIABLE, classic), start_client(epoll, dir.path(), VERIFIABLE, modern)];

    for (group, kind, strategy) in [("members-classic", "Classic", "range"), ("members-modern", "Consumer", "uniform")]
    {
        let of_group = format!("--group {group}");
        let members = format!("--describe --members --verbose {of_group}");
        desk.until(GROUPS, &members, |said| said.contains("members:0,1,2,3"));
        for (gateway, runtime) in scene().gateways.iter().zip(RUNTIMES) {
            desk.same(gateway, GROUPS, &members);
            desk.same(gateway, GROUPS, &format!("--describe --members {of_group}"));
            desk.same(gateway, GROUPS, &format!("--describe --offsets --verbose {of_group}"));
            let state = desk.same(gateway, GROUPS, &format!("--describe --state {of_group}"));
            assert!(state.contains(strategy) && state.contains("Stable"), "{runtime}: {state}");
            let listed = desk.through(gateway, ALL_GROUPS, "--list");
            assert_eq!(columns(&listed, group)[1], kind, "{listed}");
            let listed = desk.through(gateway, GROUPS, "--list --type --state");
            assert_eq!(columns(&listed, group)[1..], [kind, "Stable"], "{listed}");

            let said = desk.through(gateway, GROUPS, &format!("--delete {of_group}"));
            assert!(said.contains("GroupNotEmptyException"), "{runtime}: {said}");
            let reset = format!("--reset-offsets {of_group} --topic members --to-latest --execute");
            let said = desk.through(gateway, GROUPS, &reset);
            assert!(said.contains("the current state is Stable"), "{runtime}: {said}");
        }
    }
}
