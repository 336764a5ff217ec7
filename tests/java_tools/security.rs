//! `kafka-acls` and `kafka-delegation-tokens`: refused, unless the listener allows changes of security.

use crate::common::RUNTIMES;
use crate::desk::{Desk, before, scene, sides};

const ACLS: &str = "org.apache.kafka.tools.AclCommand";
const TOKENS: &str = "org.apache.kafka.tools.DelegationTokenCommand";

#[test]
fn acls_are_shown_to_whoever_asks_and_changed_only_where_the_listener_allows_it() {
    let mut desk = Desk::new();
    for ((gateway, name), runtime) in sides("acl").into_iter().zip(RUNTIMES) {
        let open = before(&scene().cluster, runtime, &["allow_security_changes: true"]);
        let rule = format!("--allow-principal User:{name} --operation Read --topic {name} --group {name}");
        let list = format!("--list --principal User:{name}");

        let given = format!("(principal=User:{name}, host=*, operation=READ, permissionType=ALLOW)");

        let said = desk.refused(gateway, ACLS, &format!("--add {rule}"));
        assert!(said.contains("does not support CREATE_ACLS"), "{said}");
        assert!(!desk.direct(ACLS, &list).contains(&given));

        desk.through(&open, ACLS, &format!("--add {rule}"));
        desk.until(ACLS, &list, |said| said.matches(&given).count() == 2);
        desk.same(gateway, ACLS, &list);
        desk.same(gateway, ACLS, &format!("--list --topic {name}"));

        let said = desk.refused(gateway, ACLS, &format!("--remove --force {rule}"));
        assert!(said.contains("does not support DELETE_ACLS"), "{said}");
        desk.through(&open, ACLS, &format!("--remove --force {rule}"));
        desk.until(ACLS, &list, |said| !said.contains(&given));
    }
}

#[test]
fn delegation_tokens_are_refused_with_the_name_of_what_is_not_served() {
    let mut desk = Desk::new();
    let nothing = desk.file("nothing.properties", &serde_json::json!({}));
    for gateway in &scene().gateways {
        for (asked, api) in [
            ("--create --max-life-time-period -1", "CREATE_DELEGATION_TOKEN"),
            ("--renew --renew-time-period -1 --hmac aGVsbG8=", "RENEW_DELEGATION_TOKEN"),
            ("--expire --expiry-time-period -1 --hmac aGVsbG8=", "EXPIRE_DELEGATION_TOKEN"),
            ("--describe", "DESCRIBE_DELEGATION_TOKEN"),
        ] {
            let said = desk.refused(gateway, TOKENS, &format!("{asked} --command-config {nothing}"));
            assert!(said.contains(&format!("does not support {api}")), "{said}");
        }
    }
}
