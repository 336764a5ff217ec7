//! Share groups (KIP-932): the console's share consumer, `kafka-share-groups`; and `kafka-streams-groups`, without a group.

use crate::desk::{CONFIGS, Desk, columns, filled_topic, scene, sides, start_client};
use loadtest::scratch::Scratch;

const SHARE_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ShareGroupCommand";
const SHARE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleShareConsumer";
const STREAMS_GROUPS: &str = "org.apache.kafka.tools.streams.StreamsGroupCommand";

#[test]
fn a_share_group_reads_each_record_once_and_is_shown_reset_and_deleted() {
    let mut desk = Desk::new();
    for (gateway, name) in sides("share") {
        filled_topic(&mut desk, gateway, &name, 12);
        let earliest =
            format!("--entity-type groups --entity-name {name} --add-config share.auto.offset.reset=earliest");
        desk.through(gateway, CONFIGS, &format!("--alter {earliest}"));
        let entity = format!("--describe --entity-type groups --entity-name {name}");
        desk.until(CONFIGS, &entity, |said| said.contains("share.auto.offset.reset=earliest"));

        let read = format!("--topic {name} --group {name} --max-messages 12 --timeout-ms 60000");
        let read = desk.through(gateway, SHARE_CONSUMER, &read);
        let expected: String = (0..12).map(|n| format!("value {n}\n")).collect();
        assert_eq!(read, expected);

        let described = format!("--describe --group {name}");
        desk.until(SHARE_GROUPS, &described, |said| columns(said, &name)[4] == "0");
        desk.same(gateway, SHARE_GROUPS, &described);
        desk.same(gateway, SHARE_GROUPS, &format!("{described} --state"));
        desk.same(gateway, SHARE_GROUPS, &format!("{described} --members --verbose"));
        assert!(desk.through(gateway, SHARE_GROUPS, "--list").contains(&name));

        let reset = format!("--reset-offsets --execute --group {name} --topic {name} --to-earliest");
        let said = desk.through(gateway, SHARE_GROUPS, &reset);
        assert_eq!(columns(&said, &name)[3], "0", "{said}");
        desk.until(SHARE_GROUPS, &described, |said| columns(said, &name)[3] == "0");
        let said = desk.through(gateway, SHARE_GROUPS, &format!("--delete-offsets --group {name} --topic {name}"));
        assert!(said.contains("Successful"), "{said}");
        let said = desk.through(gateway, SHARE_GROUPS, &format!("--delete --group {name}"));
        assert!(said.contains("was successful"), "{said}");
        desk.until(SHARE_GROUPS, "--list", |said| !said.contains(&name));
    }
}

/// The member lives on one runtime and is looked at through both.
#[test]
fn the_members_of_a_share_group_are_shown() {
    let mut desk = Desk::new();
    let dir = Scratch::new("weir-members-").unwrap();
    let [(io_uring, _), (epoll, _)] = sides("");
    filled_topic(&mut desk, io_uring, "share-members", 0);
    let _member = start_client(epoll, dir.path(), SHARE_CONSUMER, "--topic share-members --group share-members");
    let members = "--describe --members --verbose --group share-members";
    desk.until(SHARE_GROUPS, members, |said| said.contains("share-members:0"));
    for gateway in &scene().gateways {
        desk.same(gateway, SHARE_GROUPS, members);
        desk.same(gateway, SHARE_GROUPS, "--describe --state --group share-members");
        desk.same(gateway, SHARE_GROUPS, "--describe --offsets --group share-members");
    }
}

#[test]
fn streams_groups_are_listed() {
    let mut desk = Desk::new();
    for gateway in &scene().gateways {
        desk.same(gateway, STREAMS_GROUPS, "--list");
        desk.same(gateway, STREAMS_GROUPS, "--list --state");
    }
}
