//! What the API refuses whoever asks: what a browser could be made to send, what has the wrong form, what takes too long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::rig::{ROLES, gateway, gateway_with, get, login, raw, send};

const NEW_TOKEN: &str = r#"{"subject":"x","ttl_seconds":60}"#;
const JSON: &str = "Content-Type: application/json";

#[test]
fn a_foreign_page_can_neither_read_nor_change_anything() {
    let gateway = gateway();
    let admin = login(&gateway, "ann", "platform");
    let own = format!("Origin: http://{}", gateway.control());
    let ask = |more: &[&str]| {
        send(gateway.control(), "POST", "/api/v1/tokens", &[&[admin.as_str(), JSON], more].concat(), NEW_TOKEN)
    };
    assert_eq!(ask(&[&own, "Sec-Fetch-Site: same-origin"]).status, 201);
    for foreign in
        ["Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"]
    {
        let refused = ask(&[foreign]);
        assert_eq!(refused.status, 403, "{foreign}");
        refused.problem();
        assert_eq!(refused.header("access-control-allow-origin"), None);
        assert_eq!(send(gateway.control(), "GET", "/api/v1/tokens", &[&admin, foreign], "").status, 403, "{foreign}");
    }
    let cookie = admin.replace("Authorization: Bearer ", "Cookie: token=");
    assert_eq!(send(gateway.control(), "POST", "/api/v1/tokens", &[&cookie, JSON], NEW_TOKEN).status, 401);
    for form in ["Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "X-Nothing: 1"] {
        let refused = send(gateway.control(), "POST", "/api/v1/tokens", &[&admin, form], NEW_TOKEN);
        assert_eq!(refused.status, 415, "{form}");
        refused.problem();
    }
    let asked_first =
        send(gateway.control(), "OPTIONS", "/api/v1/tokens", &["Access-Control-Request-Method: POST"], "");
    assert_eq!((asked_first.status, asked_first.header("access-control-allow-origin")), (405, None));
}

#[test]
fn a_loopback_address_answers_to_names_of_its_machine_only() {
    let gateway = gateway();
    let viewer = login(&gateway, "vic", "overseers");
    let ask = |host: &str| send(gateway.control(), "GET", "/api/v1/policy", &[&viewer, &format!("Host: {host}")], "");
    for host in ["localhost", "localhost:9280", "127.0.0.1", "[::1]:80"] {
        assert_eq!(ask(host).status, 200, "{host}");
    }
    for host in ["rebound.evil.example", "localhost.evil.example:9280", "10.0.0.1"] {
        let refused = ask(host);
        assert_eq!(refused.status, 421, "{host}");
        refused.problem();
    }
    let nameless = format!("GET /api/v1/policy HTTP/1.0\r\n{viewer}\r\n\r\n");
    assert_eq!(raw(gateway.control(), &nameless).status, 421);
}

#[test]
fn every_failure_is_a_problem() {
    let gateway = gateway();
    let (admin, auditor) = (login(&gateway, "ann", "platform"), login(&gateway, "aud", "audit"));
    let large = format!("{{\"subject\":\"{}\"}}", "x".repeat(2 << 20));
    let bearer = |login: &str| vec![login.to_owned(), JSON.to_owned()];
    for (method, path, headers, body, status) in [
        ("GET", "/", bearer(&admin), "", 404),
        ("GET", "/api/v1/nothing", bearer(&admin), "", 404),
        ("GET", "/api/v1/sessions/0000000000000", bearer(&auditor), "", 400),
        ("GET", "/api/v1/sessions/%ff", bearer(&auditor), "", 400),
        ("GET", "/api/v1/sessions/00000000000000", bearer(&auditor), "", 404),
        ("GET", "/api/v1/sessions/00000000000000/events", bearer(&auditor), "", 404),
        ("GET", "/api/v1/sessions?limit=0", bearer(&auditor), "", 400),
        ("GET", "/api/v1/sessions?limit=1001", bearer(&auditor), "", 400),
        ("GET", "/api/v1/sessions?limit=1&limit=2", bearer(&auditor), "", 400),
        ("GET", "/api/v1/sessions?color=red", bearer(&auditor), "", 400),
        ("GET", "/api/v1/sessions?cursor=x", bearer(&auditor), "", 400),
        ("GET", "/api/v1/topics?cursor=1-1-0", bearer(&auditor), "", 400),
        ("DELETE", "/api/v1/tokens/nosuch", bearer(&admin), "", 404),
        ("PUT", "/api/v1/tokens", bearer(&admin), "", 405),
        ("POST", "/metrics", bearer(&admin), "", 405),
        ("POST", "/api/v1/tokens", bearer(&admin), "{", 400),
        ("POST", "/api/v1/tokens", bearer(&admin), "{}", 422),
        ("POST", "/api/v1/tokens", bearer(&admin), r#"{"subject":"a","ttl_seconds":0}"#, 400),
        ("POST", "/api/v1/tokens", bearer(&admin), r#"{"subject":"a","ttl_seconds":1,"roles":["admin"]}"#, 422),
        ("POST", "/api/v1/tokens", bearer(&admin), &large, 413),
        ("GET", "/api/v1/policy", vec!["Authorization: Basic YTpi".to_owned()], "", 401),
        ("GET", "/api/v1/policy", vec!["Authorization: Bearer".to_owned()], "", 401),
        ("GET", "/api/v1/policy", vec!["Authorization: Bearer eyJhbGciOiJub25lIn0.e30.".to_owned()], "", 401),
    ] {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let answer = send(gateway.control(), method, path, &headers, body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(!answer.problem().is_empty());
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    }
    assert_eq!(send(gateway.control(), "PUT", "/api/v1/tokens", &[], "").header("allow"), Some("GET, POST"));
}

#[test]
fn an_answer_that_is_known_is_not_sent_again_and_one_that_changed_is() {
    let gateway = gateway();
    let admin = login(&gateway, "ann", "platform");
    let first = get(&gateway, "tokens", &admin);
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.header("cache-control"), Some("private, no-cache"));
    let again = || send(gateway.control(), "GET", "/api/v1/tokens", &[&admin, &format!("If-None-Match: {tag}")], "");
    let known = again();
    assert_eq!((known.status, known.body.as_str(), known.header("etag")), (304, "", Some(tag.as_str())));
    gateway.token("somebody-new", "dev").unwrap();
    let changed = again();
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
}

#[test]
fn whoever_is_slow_is_let_go_and_holds_up_nobody() {
    let gateway = gateway();
    let viewer = login(&gateway, "vic", "overseers");
    let slow: Vec<TcpStream> = (0..40)
        .map(|nth| {
            let mut stream = TcpStream::connect(gateway.control()).unwrap();
            let begun = if nth % 2 == 0 {
                "GET /api/v1/policy HTTP/1.1\r\nHost: local".to_owned()
            } else {
                format!("POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\n{viewer}\r\n{JSON}\r\nContent-Length: 9\r\n\r\n{{")
            };
            stream.write_all(begun.as_bytes()).unwrap();
            stream
        })
        .collect();
    let asked = Instant::now();
    assert_eq!(get(&gateway, "policy", &viewer).status, 200);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // A problem or nothing, and then the end.
        let _reset_is_an_end =
            stream.read_to_end(&mut Vec::new()).map_err(|e| assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock));
    }
}

#[test]
fn monitoring_needs_no_login_and_no_name() {
    let gateway = gateway_with(&[ROLES], &[]);
    for path in ["/metrics", "/healthz"] {
        assert_eq!(send(gateway.control(), "GET", path, &["Host: weir.monitoring.example"], "").status, 200, "{path}");
    }
    // Its cluster cannot be reached.
    assert_eq!(send(gateway.control(), "GET", "/readyz", &["Host: weir.monitoring.example"], "").status, 503);
}
