//! What a bad configuration is told: every problem at once, each with its place, what was found and what was expected.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use weir::config::Config;

/// A good file; tests break one thing of it. The line numbers below are what problems must name.
const GOOD: &str = r#"node: n1
store:
  path: ./data
control:
  bind: "127.0.0.1:9280"
clusters:
  - name: main
    bootstrap: ["127.0.0.1:19092"]
listeners:
  - name: main
    cluster: main
    bind: "127.0.0.1:9292"
    brokers: "127.0.0.1:9300-9399"
    auth: [anonymous]
"#;

/// The problems of `text`, without the folder's name.
fn problems(folder: &Path, text: &str) -> Vec<String> {
    let file = folder.join("weir.yaml");
    fs::write(&file, text).unwrap();
    let problems = Config::load(&file).expect_err("the file should have been refused");
    let prefix = format!("{}/", folder.display());
    problems.to_string().lines().map(|line| line.replace(&prefix, "")).collect()
}

fn check(cases: &[(&str, &str, &[&str])]) {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, expected) in cases {
        assert_eq!(GOOD.matches(from).count(), 1, "the case must change one place: {from}");
        let found = problems(folder.path(), &GOOD.replace(from, to));
        assert_eq!(found, *expected, "\n{from} -> {to}");
    }
}

#[test]
fn the_file_that_the_cases_start_from_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.yaml");
    fs::write(&file, GOOD).unwrap();
    Config::load(&file).unwrap();
}

#[test]
fn unknown_and_repeated_keys() {
    check(&[
        ("node: n1", "nod: n1", &["weir.yaml:1:1: nod: unknown key; did you mean `node`?"]),
        (
            "  path: ./data",
            "  path: ./data\n  path: ./other",
            &["weir.yaml:4:3: store.path: found a second time; expected once (first on line 3)"],
        ),
        (
            "  bind: \"127.0.0.1:9280\"",
            "  bind: \"127.0.0.1:9280\"\n  zzz: 1",
            &["weir.yaml:6:3: control.zzz: unknown key; expected `bind`, `url`, `socket`, `tls`, `roles` or `issuers`"],
        ),
        (
            "    auth: [anonymous]",
            "    auth: [anonymous]\n    advertized: a.example.com",
            &["weir.yaml:15:5: listeners[0].advertized: unknown key; did you mean `advertised`?"],
        ),
    ]);
}

#[test]
fn wrong_types_and_values_out_of_range() {
    const TIME: &str = "expected a time with its unit, such as 500ms, 5s, 15m, 24h or 7d, from 0s to 10m";
    let drain = |value: &str| format!("weir.yaml:2:8: drain: found {value}; {TIME}");
    check(&[
        (
            "  path: ./data",
            "  path: ./data\n  durability: safe",
            &["weir.yaml:4:15: store.durability: found `safe`; expected `flushed`, `synced` or `relaxed`"],
        ),
        (
            "  path: ./data",
            "  path: ./data\n  on_overload: drop",
            &["weir.yaml:4:16: store.on_overload: found `drop`; expected `block` or `metadata`"],
        ),
        (
            "node: n1",
            "node: n1\nshards: many",
            &["weir.yaml:2:9: shards: found `many`; expected a whole number from 1 to 1024"],
        ),
        (
            "node: n1",
            "node: n1\nshards: \"2\"",
            &["weir.yaml:2:9: shards: found `\"2\"`; expected a whole number from 1 to 1024"],
        ),
        (
            "node: n1",
            "node: n1\nshards: 0",
            &["weir.yaml:2:9: shards: found `0`; expected a whole number from 1 to 1024"],
        ),
        (
            "node: n1",
            "node: a b",
            &["weir.yaml:1:7: node: found `a b`; expected a name of 1 to 64 letters, digits, `.`, `_` or `-`"],
        ),
        (
            "node: n1",
            "node: n1\nruntime: uring",
            &["weir.yaml:2:10: runtime: found `uring`; expected `auto`, `io_uring` or `epoll`"],
        ),
        ("node: n1", "node: n1\ndrain: 10", &[&drain("`10`")]),
        ("node: n1", "node: n1\ndrain: 11m", &[&drain("`11m`")]),
        ("node: n1", "node: n1\ndrain: 99999999999999999999s", &[&drain("`99999999999999999999s`")]),
        ("node: n1", "node: n1\ndrain: [10s]", &[&drain("a list")]),
        (
            "node: n1",
            "node: n1\ndrain:",
            &["weir.yaml:2:6: drain: found nothing; \
            expected a time with its unit, such as 500ms, 5s, 15m, 24h or 7d, from 0s to 10m"],
        ),
        (
            "  path: ./data",
            "  path: ./data\n  journal: 64MB",
            &["weir.yaml:4:12: store.journal: found `64MB`; \
             expected a size with its unit, such as 64KiB, 1MiB or 2GiB, from 1MiB to 4GiB"],
        ),
        (
            "    auth: [anonymous]",
            "    auth: anonymous",
            &["weir.yaml:14:11: listeners[0].auth: found `anonymous`; \
                 expected a list of `anonymous`, `weir_token`, `scram`, `jwt` or `mtls`"],
        ),
        (
            "    auth: [anonymous]",
            "    auth: []",
            &["weir.yaml:14:11: listeners[0].auth: found an empty list; \
             expected a list of `anonymous`, `weir_token`, `scram`, `jwt` or `mtls`, at least one"],
        ),
        (
            "    auth: [anonymous]",
            "    auth: [anonymous]\n    allow_security_changes: yes",
            &["weir.yaml:15:29: listeners[0].allow_security_changes: found `yes`; expected `true` or `false`"],
        ),
        (
            "node: n1",
            "node: n1\nlimits: { gathered_request_bytes: 1KiB, connections: -1 }",
            &[
                "weir.yaml:2:35: limits.gathered_request_bytes: found `1KiB`; \
                 expected a size with its unit, such as 64KiB, 1MiB or 2GiB, from 64KiB to 32MiB",
                "weir.yaml:2:54: limits.connections: found `-1`; expected a whole number from 1 to 10000000",
            ],
        ),
    ]);
}

#[test]
fn bad_addresses_and_port_ranges() {
    const BIND: &str = "expected an IP address and a port from 1 to 65535, such as \"127.0.0.1:9292\" or \"[::]:9292\"";
    const BROKERS: &str = "expected an IP address and a range of ports from 1 to 65535, lower one first, \
                           such as \"127.0.0.1:9300-9399\"";
    const HOST: &str = "expected a host name or IP address and a port from 1 to 65535, \
                        such as \"kafka-1.example.com:9092\"";
    let bind = |value: &str| format!("weir.yaml:12:11: listeners[0].bind: found `\"{value}\"`; {BIND}");
    let brokers = |value: &str| format!("weir.yaml:13:14: listeners[0].brokers: found `\"{value}\"`; {BROKERS}");
    let host = |value: &str| format!("weir.yaml:8:17: clusters[0].bootstrap[0]: found `\"{value}\"`; {HOST}");
    for value in ["localhost:9292", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", ":9292", "256.0.0.1:1"] {
        check(&[("127.0.0.1:9292", value, &[&bind(value)])]);
    }
    for value in ["127.0.0.1:9300", "127.0.0.1:9399-9300", "127.0.0.1:0-9", "127.0.0.1:9300-70000", "a:1-2"] {
        check(&[("127.0.0.1:9300-9399", value, &[&brokers(value)])]);
    }
    for value in ["127.0.0.1", "kafka:0", "kafka:99999", "ka fka:9092", ":9092", "::1:9092", "http://kafka:9092"] {
        check(&[("127.0.0.1:19092", value, &[&host(value)])]);
    }
}

#[test]
fn what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        problems(folder.path(), "node: n1\n"),
        [
            "weir.yaml:1:1: store: missing; expected `store: { path: ./weir-data }`",
            "weir.yaml:1:1: control: missing; expected `control: { bind: \"127.0.0.1:9280\" }`",
            "weir.yaml:1:1: clusters: missing; expected a list of clusters, at least one",
            "weir.yaml:1:1: listeners: missing; expected a list of listeners, at least one",
        ]
    );
    assert_eq!(
        problems(folder.path(), "# nothing\n"),
        ["weir.yaml:1:1: the file is empty; expected `store`, `control`, `clusters` and `listeners`",]
    );
    let absent = Config::load(&folder.path().join("absent.yaml")).unwrap_err().to_string();
    assert!(absent.ends_with("absent.yaml:1:1: cannot be read: No such file or directory (os error 2)"), "{absent}");
    check(&[(
        "    cluster: main\n",
        "",
        &["weir.yaml:10:5: listeners[0].cluster: missing; expected the name of a cluster"],
    )]);
}

#[test]
fn names_that_refer_to_nothing_or_are_taken() {
    check(&[
        (
            "    cluster: main",
            "    cluster: mian",
            &["weir.yaml:11:14: listeners[0].cluster: no cluster is named `mian`; did you mean `main`?"],
        ),
        (
            "listeners:",
            "  - name: main\n    bootstrap: [\"b:1\"]\nlisteners:",
            &["weir.yaml:9:11: clusters[1].name: found `main` a second time; expected a unique name"],
        ),
    ]);
}

#[test]
fn what_is_not_in_this_version_is_told_apart_from_typing_errors() {
    const AUTH: &str = "`anonymous`, `weir_token`, `scram`, `jwt` or `mtls`";
    check(&[(
        "[anonymous]",
        "[anonymous, anonymous, jwtt]",
        &[
            "weir.yaml:14:23: listeners[0].auth[1]: found `anonymous` a second time; expected once",
            &format!("weir.yaml:14:34: listeners[0].auth[2]: found `jwtt`; expected {AUTH}"),
        ],
    )]);
}

#[test]
fn issuers_are_checked_as_far_as_files_can_tell() {
    const JWT: &str = "[jwt]\nissuers:\n";
    let issuer = |more: &str| format!("{JWT}  - {{ name: main, audience: [kafka], {more} }}");
    const URL: &str = "a URL that begins with https:// (or http:// on this machine, or with `allow_http: true`)";
    check(&[
        (
            "[anonymous]",
            "[jwt]",
            &["weir.yaml:14:11: listeners[0].auth: `jwt` needs to know whose JWTs are taken; \
               expected the top level section `issuers`"],
        ),
        (
            "[anonymous]",
            "[anonymous]\n    issuers: [main]",
            &["weir.yaml:15:14: listeners[0].issuers: issuers are asked for JWTs only; expected `jwt` in `auth`"],
        ),
        (
            "[anonymous]",
            &issuer("issuer: \"http://id.example.com\""),
            &[&format!("weir.yaml:16:46: issuers[0].issuer: found `\"http://id.example.com\"`; expected {URL}")],
        ),
        (
            "[anonymous]",
            &issuer("issuer: \"https://me:pw@id.example.com\""),
            &[&format!("weir.yaml:16:46: issuers[0].issuer: found a URL with a login in it; expected {URL}")],
        ),
        (
            "[anonymous]",
            &issuer("issuer: \"https://id.example.com\", algorithms: [RS256, none, HS256]"),
            &[
                "weir.yaml:16:92: issuers[0].algorithms[1]: found `none`; expected `RS256`, `RS384`, `RS512`, `PS256`, \
                 `PS384`, `PS512`, `ES256`, `ES384` or `EdDSA`",
                "weir.yaml:16:98: issuers[0].algorithms[2]: found `HS256`; expected `RS256`, `RS384`, `RS512`, `PS256`, \
                 `PS384`, `PS512`, `ES256`, `ES384` or `EdDSA`",
            ],
        ),
        (
            "[anonymous]",
            "[jwt]\n    issuers: [mian]\nissuers:\n  - { name: main, issuer: \"https://id.example.com\" }",
            &[
                "weir.yaml:15:15: listeners[0].issuers[0]: no issuer is named `mian`; did you mean `main`?",
                "weir.yaml:17:5: issuers[0].audience: missing; expected what its tokens have to say in `aud`, \
                 such as [\"kafka\"]",
            ],
        ),
        (
            "[anonymous]",
            &issuer("issuer: \"https://id.example.com\", groups: realm_access., clock_skew: 10m, ca: absent.pem"),
            &[
                "weir.yaml:16:80: issuers[0].groups: found `realm_access.`; expected the name of a claim, with dots \
                 into objects, such as `realm_access.roles`",
                "weir.yaml:16:107: issuers[0].clock_skew: found `10m`; expected a time with its unit, such as 500ms, \
                 5s, 15m, 24h or 7d, from 0s to 5m",
                "weir.yaml:16:116: issuers[0].ca: file absent.pem cannot be read: No such file or directory \
                 (os error 2)",
            ],
        ),
    ]);
}

#[test]
fn ports_that_clash_are_found_before_they_split_connections() {
    check(&[
        (
            "127.0.0.1:9280",
            "127.0.0.1:9292",
            &["weir.yaml:12:11: listeners[0].bind: port 9292 clashes with control.bind on line 5; \
                 expected ports of its own"],
        ),
        (
            "127.0.0.1:9280",
            "0.0.0.0:9350",
            &["weir.yaml:13:14: listeners[0].brokers: port 9350 clashes with control.bind on line 5; \
             expected ports of its own"],
        ),
        (
            "127.0.0.1:9280",
            "[::]:9350",
            &["weir.yaml:13:14: listeners[0].brokers: port 9350 clashes with control.bind on line 5; \
             expected ports of its own"],
        ),
        (
            "127.0.0.1:9300-9399",
            "127.0.0.1:9200-9300",
            &[
                "weir.yaml:13:14: listeners[0].brokers: port 9280 clashes with control.bind on line 5; \
             expected ports of its own",
                "weir.yaml:13:14: listeners[0].brokers: port 9292 clashes with listeners[0].bind on line 12; \
             expected ports of its own",
            ],
        ),
        (
            "    auth: [anonymous]\n",
            "    auth: [anonymous]\n  - name: other\n    cluster: main\n    \
          bind: \"127.0.0.1:9291\"\n    brokers: \"127.0.0.1:9390-9400\"\n    auth: [weir_token]\n",
            &["weir.yaml:18:14: listeners[1].brokers: ports 9390-9399 clash with listeners[0].brokers on line 13; \
             expected ports of its own"],
        ),
    ]);
}

#[test]
fn a_wildcard_needs_to_say_what_clients_are_told() {
    let expected = "expected the host name or IP address at which clients reach this gateway, since it listens on all";
    check(&[
        (
            "127.0.0.1:9300-9399",
            "0.0.0.0:9300-9399",
            &[&format!("weir.yaml:10:5: listeners[0].advertised: missing; {expected}")],
        ),
        (
            "    auth: [anonymous]",
            "    auth: [anonymous]\n    advertised: 0.0.0.0",
            &["weir.yaml:15:17: listeners[0].advertised: found `0.0.0.0`; \
             expected a host name or IP address that clients reach, such as \"weir.example.com\" or \
             \"weir-{node}.example.com\", with ports where they differ from those listened on, such as \
             \"weir.example.com:19300-19399\""],
        ),
    ]);
}

fn sasl(password: &str) -> String {
    let sasl =
        format!("    sasl:\n      mechanism: plain\n      username: weir\n      password: {password}\nlisteners:");
    GOOD.replace("listeners:", &sasl)
}

#[test]
fn secrets_that_are_missing_or_too_open() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let at = "weir.yaml:12:17: clusters[0].sasl.password:";
    let found = |password: &str| problems(folder.path(), &sasl(password));

    assert_eq!(
        found("{ env: WEIR_TEST_UNSET }"),
        [format!("{at} environment variable WEIR_TEST_UNSET is not set; expected it to hold the secret")]
    );
    assert_eq!(
        found("{ file: secret }"),
        [format!("{at} file secret cannot be read: No such file or directory (os error 2)")]
    );
    assert_eq!(found("{ file: . }"), [format!("{at} file . is not a regular file")]);
    for mode in [0o644, 0o604, 0o620, 0o601] {
        fs::write(&secret, "sesame").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            found("{ file: secret }"),
            [format!("{at} file secret has mode {mode:04o}, too open for a secret; run `chmod 600 {}`", "secret")]
        );
    }
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    for (text, what) in
        [("\n", "the secret is empty"), ("a\0b", "the secret holds a NUL character, which no login can carry")]
    {
        fs::write(&secret, text).unwrap();
        assert_eq!(found("{ file: secret }"), [format!("{at} {what}")]);
    }
}

#[test]
fn a_secret_written_into_the_file_is_never_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for password in [
        "sesame",
        "\"sesame\"",
        "[sesame]",
        "{ sesame }",
        "{ value: sesame }",
        "{ sesame: x, file: y }",
        "{ env: sesame }",
        "{ env: { sesame: 1 } }",
        "{ file: [sesame] }",
    ] {
        let found = problems(folder.path(), &sasl(password));
        assert_eq!(found.len(), 1, "{password}: {found:?}");
        assert!(found[0].starts_with("weir.yaml:12:17: clusters[0].sasl.password: "), "{found:?}");
        assert!(!found[0].contains("sesame"), "{password}: {found:?}");
    }
}

#[test]
fn a_policy_that_cannot_be_honoured_stops_the_start() {
    const NOT_YET: &str = "not in this version: refusing to start rather than ignore it";
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    let config = format!("policy: policy.yaml\n{GOOD}");
    let cases: &[(&str, &[&str])] = &[
        (
            "masking: []\nacess: 1\nalerts: 1\naccess:\n  - name: x\n",
            &[
                "policy.yaml:1:10: masking: found an empty list; expected a list of masking rules, at least one",
                "policy.yaml:2:1: acess: unknown key; did you mean `access`?",
                &format!("policy.yaml:3:1: alerts: {NOT_YET}"),
                "policy.yaml:5:5: access[0].operations: missing; expected a list of operations, such as [read, describe]",
            ],
        ),
        (
            "- a\n",
            &["policy.yaml:1:1: found a list; expected a mapping with `access`, `approvals`, `masking` or `recording`"],
        ),
    ];
    for (text, expected) in cases {
        fs::write(&policy, text).unwrap();
        assert_eq!(problems(folder.path(), &config), *expected, "\n{text}");
    }
}

#[test]
fn a_policy_file_that_is_there_and_cannot_be_read_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("policy: policy.yaml\n{GOOD}");
    std::os::unix::fs::symlink("nowhere", folder.path().join("policy.yaml")).unwrap();
    assert_eq!(
        problems(folder.path(), &config),
        ["policy.yaml:1:1: cannot be read: No such file or directory (os error 2)"]
    );
}

#[test]
fn what_is_not_yaml_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("store: *data\n", "weir.yaml:1:8: "),
        ("store: {path: a\ncontrol: {}\n", "weir.yaml:2:"),
        ("a: 1\n---\nb: 2\n", "weir.yaml:2:1: found a second document; expected one document in the file"),
        ("? [a]\n: b\n", "weir.yaml:1:3: found a key that is not text"),
    ] {
        let found = problems(folder.path(), text);
        assert_eq!(found.len(), 1, "{text}");
        assert!(found[0].starts_with(expected), "{text}: {found:?}");
    }
    let nested = |depth| format!("store: {}1{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(problems(folder.path(), &nested(40)), ["weir.yaml:1:39: found values nested deeper than 32"]);
    assert_eq!(problems(folder.path(), &nested(100_000)).len(), 1);
    fs::write(folder.path().join("weir.yaml"), [0xff, 0xfe]).unwrap();
    let binary = Config::load(&folder.path().join("weir.yaml")).unwrap_err().to_string();
    assert!(binary.contains("weir.yaml:1:1: cannot be read: "), "{binary}");
}

#[test]
fn everything_is_reported_in_one_run_in_the_order_of_the_lines() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), "access: []\n").unwrap();
    let text = r#"nodes: n1
policy: policy.yaml
store: { path: 1, retention: 12h, jurnal: 1MiB }
control: { bind: nowhere }
log: verbose
clusters:
  - name: main
    bootstrap: [a]
listeners:
  - cluster: other
    bind: "127.0.0.1:9300"
    brokers: "127.0.0.1:9300-9399"
"#;
    let places: Vec<String> = problems(folder.path(), text)
        .iter()
        .map(|line| line.splitn(5, ':').take(4).collect::<Vec<_>>().join(":"))
        .collect();
    assert_eq!(
        places,
        [
            "weir.yaml:1:1: nodes",
            "weir.yaml:3:30: store.retention",
            "weir.yaml:3:35: store.jurnal",
            "weir.yaml:4:18: control.bind",
            "weir.yaml:5:6: log",
            "weir.yaml:8:17: clusters[0].bootstrap[0]",
            "weir.yaml:10:5: listeners[0].name",
            "weir.yaml:10:5: listeners[0].auth",
            "weir.yaml:10:14: listeners[0].cluster",
            "weir.yaml:12:14: listeners[0].brokers",
            "policy.yaml:1:9: access",
        ]
    );
}

#[test]
fn recording_rules_that_cannot_be_read_or_never_decide() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    let config = format!("policy: policy.yaml\n{GOOD}");
    let cases: &[(&str, &[&str])] = &[
        (
            "recording:\n  - mode: sample\n",
            &[
                "policy.yaml:2:11: recording[0].mode: found `sample`; expected `mode: metadata` with `sample: { rate: 0.01, \
               max_bytes_per_second: 1MiB }` beside it",
            ],
        ),
        (
            "recording:\n  - mode: all\n  - topics: [a]\n",
            &[
                "policy.yaml:2:11: recording[0].mode: found `all`; expected `full` or `metadata`",
                "policy.yaml:3:5: recording[1].mode: missing; expected `full` or `metadata`",
            ],
        ),
        (
            "recording:\n  - listeners: [main, outer]\n    mode: full\n",
            &["policy.yaml:2:23: recording[0].listeners[1]: found `outer`; no listener has this name; expected `main`"],
        ),
        (
            "recording:\n  - topics: [\"a[\"]\n    mode: full\n",
            &[
                "policy.yaml:2:14: recording[0].topics[0]: found `\"a[\"`; error parsing glob 'a[': unclosed character class; \
               missing ']'",
            ],
        ),
        (
            "recording:\n  - mode: metadata\n    sample: { rate: 1.5, max_bytes_per_second: 1 }\n",
            &[
                "policy.yaml:3:21: recording[0].sample.rate: found `1.5`; expected a share above 0 and at most 1, such as \
                 0.01",
                "policy.yaml:3:48: recording[0].sample.max_bytes_per_second: found `1`; expected a size with its unit, such \
                 as 64KiB, 1MiB or 2GiB, from 1KiB to 1GiB",
            ],
        ),
        (
            "recording:\n  - mode: full\n    sample: { rate: 0.5, max_bytes_per_second: 1MiB }\n",
            &["policy.yaml:2:11: recording[0].mode: `full` keeps everything; `sample` goes with `mode: metadata`"],
        ),
        (
            "recording:\n  - mode: metadata\n  - name: late\n    topics: [a]\n    mode: full\n",
            &["policy.yaml:3:5: recording[1]: never decides: recording[0] matches all that it does"],
        ),
    ];
    for (text, expected) in cases {
        fs::write(&policy, text).unwrap();
        assert_eq!(problems(folder.path(), &config), *expected, "\n{text}");
    }
}
