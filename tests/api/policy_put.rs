//! The policy changed over the API: by whoever has seen it, whole or not at all, and where rules hold it by nobody alone.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use loadtest::weir::{Gateway, Options};
use serde_json::{Value, json};

use crate::rig::{Answer, ROLES, gateway, get, login, post, send};

const METADATA: &str = "recording: [{ mode: metadata }]\n";
const FULL: &str = "recording: [{ mode: full }]\n";

/// Holds changes of the policy for everybody.
const HELD: &str = "approvals:\n  - name: policy\n    operations: [change_policy]\n    approvers: { group: sre }\n    \
                    reason: required\n    break_glass: [oncall]\n";

fn started(policy: Option<&str>, top: &[&str], prepare: impl Fn(&Gateway)) -> Gateway {
    let mut options = Options::new("127.0.0.1:1").auth(&["weir_token"]);
    options.policy = policy.map(str::to_owned);
    options.control = vec![ROLES.to_owned()];
    options.top = top.iter().map(|&line| line.to_owned()).collect();
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    prepare(&gateway);
    gateway.start_unready().unwrap();
    gateway
}

fn body(files: &[(&str, &str)]) -> Value {
    let files: Vec<Value> = files.iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
    json!({ "files": files })
}

fn put(gateway: &Gateway, login: &str, seen: &str, body: &Value) -> Answer {
    let seen = format!("If-Match: {seen}");
    let headers = [login, "Content-Type: application/json", &seen];
    send(gateway.control(), "PUT", "/api/v1/policy/text", &headers, &body.to_string())
}

fn put_one(gateway: &Gateway, login: &str, text: &str) -> Answer {
    put(gateway, login, &hash(gateway, login), &body(&[("policy.yaml", text)]))
}

fn hash(gateway: &Gateway, login: &str) -> String {
    get(gateway, "policy", login).json()["hash"].as_str().unwrap().to_owned()
}

fn file(gateway: &Gateway) -> std::path::PathBuf {
    gateway.config_path().with_file_name("policy.yaml")
}

#[test]
fn a_policy_is_changed_by_whoever_has_seen_it_and_whole_or_not_at_all() {
    let gateway = gateway();
    let (admin, reviewer) = (login(&gateway, "ann", "platform"), login(&gateway, "rev", "sre"));
    fs::set_permissions(file(&gateway), fs::Permissions::from_mode(0o640)).unwrap();
    let new = "recording: [{ mode: full, topics: [\"orders.*\"] }, { mode: metadata }]\n";
    let whole = body(&[("policy.yaml", new)]);
    let tag = get(&gateway, "policy/text", &admin).header("etag").unwrap().to_owned();
    for (seen, status) in [("", 428), ("*", 428), ("\"0123\"", 412), (&format!("W/{tag}"), 412)] {
        let refused = put(&gateway, &admin, seen, &whole);
        assert_eq!(refused.status, status, "{seen}: {refused:?}");
        refused.problem();
    }
    assert_eq!(put(&gateway, &reviewer, &tag, &whole).status, 403);

    let wrong = put(&gateway, &admin, &tag, &body(&[("policy.yaml", "recording: 1\naccess: 2\n")]));
    assert!(wrong.status == 422 && wrong.problem().contains("policy.yaml:2:9"), "{wrong:?}");
    let problems = wrong.json()["problems"].clone();
    assert_eq!((problems[0]["line"].as_u64(), problems[1]["line"].as_u64()), (Some(1), Some(2)), "{problems}");
    for files in [vec![("other.yaml", new)], vec![("policy.yaml", new), ("b.yaml", "")], vec![("../policy.yaml", new)]]
    {
        assert_eq!(put(&gateway, &admin, &tag, &body(&files)).status, 422, "{files:?}");
    }
    let secret = format!("{new}masking: [{{ fields: [a], action: {{ hash: {{ key: {{ file: /nowhere }} }} }} }}]\n");
    let unread = put(&gateway, &admin, &tag, &body(&[("policy.yaml", &secret)]));
    assert!(unread.status == 422 && unread.problem().contains("/nowhere"), "{unread:?}");
    assert_eq!(fs::read_to_string(file(&gateway)).unwrap(), METADATA, "the policy in force stays");

    let changed = put(&gateway, &admin, &tag, &whole);
    assert_eq!((changed.status, &changed.json()["changed"]), (200, &json!(true)), "{changed:?}");
    assert_eq!(changed.json()["recording_rules"], 2);
    assert_eq!(hash(&gateway, &admin), changed.json()["hash"].as_str().unwrap());
    assert_eq!(get(&gateway, "policy/text", &admin).json()["files"][0]["text"], new);
    let written = fs::metadata(file(&gateway)).unwrap();
    assert_eq!((fs::read_to_string(file(&gateway)).unwrap().as_str(), written.mode() & 0o777), (new, 0o640));

    assert_eq!(put(&gateway, &admin, &tag, &body(&[("policy.yaml", METADATA)])).status, 412, "somebody changed it");
    let same = put_one(&gateway, &admin, new).json();
    assert_eq!(same["changed"], false);
    fs::write(file(&gateway), METADATA).unwrap();
    let edited = put_one(&gateway, &admin, FULL);
    assert!(edited.status == 412 && edited.problem().contains("POST policy/reload"), "{edited:?}");
    assert_eq!(fs::read_to_string(file(&gateway)).unwrap(), METADATA);
}

#[test]
fn what_cannot_be_written_is_told_and_stays() {
    let none = started(None, &[], |_| {});
    let admin = login(&none, "ann", "platform");
    let refused = put(&none, &admin, "\"x\"", &body(&[("policy.yaml", METADATA)]));
    assert!(refused.status == 409 && refused.problem().contains("names no policy file"), "{refused:?}");

    let link = started(None, &["policy: ./policy.yaml"], |gateway| {
        fs::write(file(gateway).with_file_name("elsewhere"), METADATA).unwrap();
        std::os::unix::fs::symlink("elsewhere", file(gateway)).unwrap();
    });
    let admin = login(&link, "ann", "platform");
    let refused = put_one(&link, &admin, FULL);
    assert!(refused.status == 409 && refused.problem().contains("is a link"), "{refused:?}");
    assert!(file(&link).is_symlink());
}

#[test]
fn a_folder_becomes_just_the_files_that_were_sent() {
    let folder = |gateway: &Gateway| gateway.config_path().with_file_name("policies");
    let gateway = started(None, &["policy: ./policies"], |gateway| {
        fs::create_dir(folder(gateway)).unwrap();
        fs::write(folder(gateway).join("a.yaml"), METADATA).unwrap();
        fs::write(folder(gateway).join("b.yaml"), "# nothing\n").unwrap();
        fs::write(folder(gateway).join("README"), "not a policy").unwrap();
    });
    let admin = login(&gateway, "ann", "platform");
    let seen = hash(&gateway, &admin);
    for name in ["x/a.yaml", ".a.yaml", "a.txt", "..yaml"] {
        assert_eq!(put(&gateway, &admin, &seen, &body(&[(name, METADATA)])).status, 422, "{name}");
    }
    let changed = put(&gateway, &admin, &seen, &body(&[("c.yaml", METADATA), ("a.yaml", "# nothing\n")]));
    assert_eq!(changed.status, 200, "{changed:?}");
    let mut names: Vec<String> = fs::read_dir(folder(&gateway))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["README", "a.yaml", "c.yaml"]);
    assert_eq!(post(&gateway, "policy/reload", &admin, "").json()["changed"], false);
}

#[test]
fn a_change_that_rules_hold_is_made_once_others_have_approved_just_that() {
    let gateway = started(Some(HELD), &[], |_| {});
    let [admin, other, reviewer] = [("ann", "platform,sre"), ("amy", "platform"), ("rev", "sre")]
        .map(|(subject, groups)| login(&gateway, subject, groups));
    let without = FULL;
    let held = put_one(&gateway, &admin, without);
    assert_eq!((held.status, &held.json()["state"]), (202, &json!("pending")), "{held:?}");
    let id = held.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(put_one(&gateway, &admin, without).json()["id"], id.as_str(), "the same joins it");
    assert_ne!(put_one(&gateway, &admin, METADATA).json()["id"], id.as_str(), "another text is another request");
    assert_ne!(put_one(&gateway, &other, without).json()["id"], id.as_str(), "somebody else is somebody else");
    assert_eq!(fs::read_to_string(file(&gateway)).unwrap(), HELD);

    let shown = get(&gateway, &format!("requests/{id}"), &reviewer).json();
    assert_eq!((&shown["summary"], &shown["address"]), (&json!("change policy policy.yaml"), &json!("127.0.0.1")));
    let diff = shown["resources"][0]["parameters"]["diff"].as_str().unwrap();
    assert!(
        diff.contains("-    operations: [change_policy]\n") && diff.contains("+recording: [{ mode: full }]\n"),
        "{diff}"
    );
    assert_eq!(shown["parameters"]["from"], hash(&gateway, &admin).as_str());
    let page = gateway.weir(&["requests", &id]).unwrap().stdout;
    assert!(page.contains("           -    operations: [change_policy]\n"), "{page}");

    let decide =
        |login: &str, said: &Value| post(&gateway, &format!("requests/{id}/decisions"), login, &said.to_string());
    let yes = json!({ "said": "approve" });
    assert_eq!(decide(&reviewer, &yes).status, 409, "nobody has said why");
    let why = json!({ "reason": "OPS-12" }).to_string();
    assert_eq!(post(&gateway, &format!("requests/{id}/reason"), &admin, &why).status, 200);
    assert_eq!(decide(&admin, &yes).status, 409, "their own, though they are in the group");
    assert_eq!(decide(&reviewer, &yes).json()["state"], "approved");
    assert_eq!(put_one(&gateway, &admin, METADATA).status, 202, "it is no grant of another text");
    assert_eq!(put_one(&gateway, &other, without).status, 202, "nor anybody else's");
    let changed = put_one(&gateway, &admin, without);
    assert_eq!((changed.status, &changed.json()["approval_rules"]), (200, &json!(0)), "{changed:?}");
    assert_eq!(fs::read_to_string(file(&gateway)).unwrap(), without);
    let used = get(&gateway, &format!("requests/{id}"), &reviewer).json()["grant"]["used"].clone();
    assert!(
        used.as_array().is_some_and(|used| used.len() == 1 && used[0]["by"] == "the API, from 127.0.0.1"),
        "{used}"
    );

    // A grant is over one policy: held again, the same text takes another.
    assert_eq!(put_one(&gateway, &admin, HELD).status, 200);
    fs::write(file(&gateway), HELD.replace("required", "optional")).unwrap();
    assert_eq!(post(&gateway, "policy/reload", &admin, "").json()["changed"], true);
    let again = put_one(&gateway, &admin, without);
    assert_eq!(again.status, 202);
    assert_ne!(again.json()["id"], id.as_str());
}

#[test]
fn a_change_may_be_denied_and_in_an_emergency_made_alone() {
    let gateway = started(Some(HELD), &[], |_| {});
    let (admin, reviewer) = (login(&gateway, "ann", "platform,oncall"), login(&gateway, "rev", "sre"));
    let decide = |id: &str, login: &str, said: Value| {
        post(&gateway, &format!("requests/{id}/decisions"), login, &said.to_string())
    };
    let with_reason = |text: &str| {
        let mut body = body(&[("policy.yaml", text)]);
        body["reason"] = json!("OPS-13");
        put(&gateway, &admin, &hash(&gateway, &admin), &body)
    };
    let held = with_reason(METADATA).json();
    assert_eq!(held["reason"], "OPS-13");
    let denied =
        decide(held["id"].as_str().unwrap(), &reviewer, json!({ "said": "deny", "comment": "not on a Friday" }));
    assert_eq!(denied.json()["state"], "denied");
    let refused = with_reason(METADATA);
    assert!(refused.status == 403 && refused.problem().contains("not on a Friday"), "{refused:?}");

    let id = with_reason(FULL).json()["id"].as_str().unwrap().to_owned();
    let broke = decide(&id, &admin, json!({ "said": "break_glass", "comment": "all is down" })).json();
    assert_eq!((&broke["state"], &broke["to_be_reviewed"]), (&json!("approved"), &json!(true)));
    assert_eq!(with_reason(FULL).status, 200);

    let ann = gateway.token("ann", "platform").unwrap();
    let (status, said) = gateway.weir_as(&ann, &["request", "--op", "change_policy", "--topic", "x"]).unwrap();
    assert!(!status.success() && said.stderr.contains("PUT /api/v1/policy/text"), "{said:?}");
}

#[test]
fn nobody_in_particular_changes_the_policy() {
    let gateway = gateway();
    let admin = login(&gateway, "ann", "platform");
    let ask = |more: &str| {
        let body = body(&[("policy.yaml", FULL)]).to_string();
        let mut stream = UnixStream::connect(gateway.store_path().join("weir.sock")).unwrap();
        let (length, seen) = (body.len(), hash(&gateway, &admin));
        write!(
            stream,
            "PUT /api/v1/policy/text HTTP/1.1\r\nHost: weir\r\nConnection: close\r\nContent-Type: application/json\r\n\
             If-Match: {seen}\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        Answer::parse(&answer)
    };
    let refused = ask("");
    assert!(refused.status == 400 && refused.problem().contains("WEIR_TOKEN"), "{refused:?}");
    assert_eq!(ask(&format!("{admin}\r\n")).status, 200);
}

#[test]
fn a_rule_about_the_policy_names_no_listener() {
    let gateway = gateway();
    let admin = login(&gateway, "ann", "platform");
    let rule = "name: a, operations: [change_policy], approvers: { group: sre }";
    let check = |more: &str| {
        let text = format!("approvals: [{{ {rule}{more} }}]\n");
        post(&gateway, "policy/check", &admin, &body(&[("policy.yaml", &text)]).to_string()).json()
    };
    assert_eq!(check("")["valid"], true);
    let wrong = check(", listeners: [main]");
    let reason = wrong["problems"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("approvals[0]: `listeners` is about what clients do"), "{wrong}");
}
