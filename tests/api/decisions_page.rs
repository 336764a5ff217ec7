//! The page that a link leads to: what it is without a login, and how people decide on it in a real browser.

use std::time::Duration;

use loadtest::wait_for;
use loadtest::weir::{Gateway, Token};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::links::{self, HELD, delete, file};
use crate::rig::{Answer, ROLES, gateway_under, login, post, send};

const SOON: Duration = Duration::from_secs(30);

const HOSTILE: &str = "<img src=x onerror=alert(document.domain)><script>alert(1)</script>\u{202e}drowssap";

fn gateway() -> Gateway {
    gateway_under(HELD, &[ROLES], &[])
}

/// A gateway with a request of dev's to delete `prod.orders`.
fn with_request() -> (Gateway, Token, String) {
    let gateway = gateway();
    let dev = gateway.token("dev", "dev,overseers").unwrap();
    let id = file(&gateway, &dev, "prod.orders", "nobody reads it");
    (gateway, dev, id)
}

fn page(gateway: &Gateway, method: &str, name: &str, headers: &[&str]) -> Answer {
    send(gateway.control(), method, &format!("/requests/{name}"), headers, "")
}

fn request(gateway: &Gateway, id: &str) -> Value {
    gateway.weir_json(&["requests", id]).unwrap().remove(0)
}

/// The link to a request which changes no more by itself: it is known what it would come to.
fn link(gateway: &Gateway, id: &str) -> String {
    let known = || Ok(Some(request(gateway, id)).filter(|request| !request["effect"].is_null()));
    let request = wait_for("what a request would come to", SOON, known).unwrap();
    request["url"].as_str().unwrap().to_owned()
}

#[test]
fn the_page_runs_nothing_but_its_own_file_and_is_kept_and_framed_by_nobody() {
    let (gateway, _, id) = with_request();
    for (name, kind) in [(id.as_str(), "text/html"), ("page.css", "text/css"), ("page.js", "text/javascript")] {
        let answer = page(&gateway, "GET", name, &[]);
        assert_eq!(answer.status, 200, "{name}");
        let policy = answer.header("content-security-policy").unwrap();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.split("; ").any(|one| one == directive), "{name}: {directive}: {policy}");
        }
        assert_eq!(answer.header("content-type").unwrap(), format!("{kind}; charset=utf-8"));
        for (header, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(header), Some(value), "{name}: {header}");
        }
    }
    let html = page(&gateway, "GET", &id, &[]).body;
    assert_eq!(html.matches("<script").count(), 1, "one program, from a file");
    let handler = |word: &str| word.starts_with("on") && word.contains('=');
    assert!(!html.contains("style=") && !html.contains("<style") && !html.split_whitespace().any(handler), "{html}");
}

#[test]
fn without_a_login_the_page_tells_nothing_and_is_there_for_links_only() {
    let (gateway, dev, id) = with_request();
    let html = page(&gateway, "GET", &id, &[]);
    let told = format!("Authorization: Bearer {}", dev.token);
    for other in [
        page(&gateway, "GET", "r-aaaaaaaa", &[]),
        page(&gateway, "GET", &id, &[&told]),
        page(
            &gateway,
            "GET",
            &format!("{id}?decide=approve"),
            &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"],
        ),
    ] {
        assert_eq!((other.status, &other.body), (200, &html.body));
    }
    assert_eq!(page(&gateway, "HEAD", &id, &[]).body, "");
    for wrong in
        ["", "r-aaaaaaa", "R-AAAAAAAA", "r-aaaa%61aaa", "g-aaaaaaaa", "r-aaaaaaaa/", "page.html", "..%2fmetrics"]
    {
        let answer = page(&gateway, "GET", wrong, &[]);
        assert_eq!(answer.status, 404, "{wrong}");
        answer.problem();
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = page(&gateway, method, &id, &[]);
        assert_eq!(answer.status, 405, "{method}");
        answer.problem();
    }
    let rebound = page(&gateway, "GET", &id, &["Host: rebound.evil.example"]);
    assert_eq!(rebound.status, 421);
    rebound.problem();
}

#[test]
fn whoever_follows_a_link_has_decided_nothing() {
    let (gateway, _, id) = with_request();
    let ann = login(&gateway, "ann", "sre");
    for method in ["GET", "HEAD"] {
        for name in [id.clone(), format!("{id}?said=approve"), format!("{id}/decisions?said=approve")] {
            page(&gateway, method, &name, &[&ann, "Sec-Purpose: prefetch", "Purpose: prefetch"]);
        }
        let asked = format!("/api/v1/requests/{id}/decisions?said=approve");
        assert_eq!(send(gateway.control(), method, &asked, &[&ann], "").status, 405);
    }
    let request = request(&gateway, &id);
    assert_eq!((&request["state"], &request["decisions"]), (&"pending".into(), &json!([])));
}

#[test]
fn where_nobody_may_decide_there_is_no_page() {
    let gateway = gateway_under(HELD, &[], &[]);
    let answer = page(&gateway, "GET", "r-aaaaaaaa", &[]);
    assert_eq!(answer.status, 404);
    assert!(answer.problem().contains("control.roles"), "{answer:?}");
}

#[test]
fn people_decide_on_the_page_that_a_link_opens() {
    let gateway = links::gateway(&[ROLES], &[]);
    let (dev, ann) = (gateway.token("dev", "dev").unwrap(), gateway.token("ann", "sre").unwrap());
    let told = delete(&gateway, &dev, &format!("{HOSTILE};reason={HOSTILE}"), "prod.hostile");
    let opened = told.split_whitespace().last().unwrap();
    let id = opened.rsplit('/').next().unwrap();
    assert_eq!(opened, link(&gateway, id));

    let mut browser = Browser::start();
    browser.open(opened);
    assert_eq!(browser.count("#request:visible"), 0);
    browser.log_in("weir_aaaaaaaa_nothing");
    assert_eq!(browser.count("#request:visible"), 0);
    assert!(!browser.told("token").contains("aaaaaaaa"));
    browser.complaints();

    browser.log_in(&ann.token);
    assert!(browser.text("#title").starts_with("Delete topics prod.hostile"));
    let shown = browser.text("#request");
    for words in ["pending", "dev", "127.0.0.1", "production topics", "1 of sre", "15 min and 2 uses", "partitions"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let text = HOSTILE.replace('\u{202e}', "⟨U+202E⟩");
    assert_eq!(browser.text("#reason"), text);
    assert!(browser.text("#asks").contains(&text), "{shown}");
    assert_eq!((browser.count("img"), browser.count("script")), (0, 1));
    let kept = browser.step(&json!({ "do": "kept" }));
    assert_eq!(kept, json!([opened, "", 0, 0]));

    browser.fill("Comment (optional)", "go ahead");
    browser.fill("Good for, minutes", "5");
    browser.fill("Uses", "1");
    browser.press("Approve");
    browser.told("Approved");
    let approved = request(&gateway, id);
    let said = &approved["decisions"][0];
    assert_eq!(
        (&approved["state"], &said["by"]["subject"], &said["comment"]),
        (&"approved".into(), &"ann".into(), &"go ahead".into())
    );
    assert_eq!(approved["grant"]["uses"], 1);
    assert!(browser.text("#grant").contains("in force"));
    browser.press("Revoke the grant");
    browser.told("Revoked");
    assert_eq!(request(&gateway, id)["grant"]["revoked_by"]["subject"], "ann");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_no_is_told_with_its_reason_and_nobody_decides_on_their_own() {
    let gateway = gateway();
    let (ann, bob) = (gateway.token("ann", "sre").unwrap(), gateway.token("bob", "sre").unwrap());
    let id = file(&gateway, &ann, "prod.orders", "nobody reads it");
    let mut browser = Browser::start();
    browser.open(&link(&gateway, &id));
    browser.log_in(&ann.token);
    browser.press("Approve");
    browser.told("another person has to decide");
    assert_eq!(request(&gateway, &id)["state"], "pending");

    browser.press("Log out");
    assert_eq!(browser.count("#request:visible"), 0);
    browser.log_in(&bob.token);
    browser.text("#title");
    browser.press("Deny");
    assert_eq!(request(&gateway, &id)["state"], "pending", "a no needs its reason");
    browser.fill("Why not", "somebody does read it");
    browser.press("Deny");
    browser.told("Denied");
    let denied = request(&gateway, &id);
    let said = &denied["decisions"][0];
    assert_eq!((&denied["state"], &said["by"]["subject"]), (&"denied".into(), &"bob".into()));
    assert_eq!(said["comment"], "somebody does read it");

    let dev = gateway.token("dev", "dev").unwrap();
    browser.press("Log out");
    browser.log_in(&dev.token);
    browser.told("this needs the role");
    assert_eq!(browser.count("#request:visible"), 0);
}

#[test]
fn what_changes_meanwhile_is_shown_and_a_decision_is_on_what_is_shown() {
    let rules = HELD.replace("{ group: sre }", "{ group: sre, count: 2 }");
    let gateway = gateway_under(&rules, &[ROLES], &[]);
    let (dev, ann) = (gateway.token("dev", "dev,oncall").unwrap(), gateway.token("ann", "sre").unwrap());
    let id = file(&gateway, &dev, "prod.orders", "nobody reads it");
    let mut browser = Browser::start();
    browser.open(&link(&gateway, &id));
    browser.log_in(&ann.token);
    browser.press("Approve");
    browser.told("It takes others as well");
    browser.fill("Why not", "I was mistaken");

    let bob = login(&gateway, "bob", "sre");
    let yes = post(&gateway, &format!("requests/{id}/decisions"), &bob, r#"{"said":"approve","comment":"mine, too"}"#);
    assert_eq!(yes.status, 200, "{yes:?}");
    browser.told("changed");
    assert!(browser.text("#decisions").contains("mine, too"));
    assert_eq!(browser.count("#decide:visible"), 0, "it is decided");

    let again = file(&gateway, &dev, "prod.others", "it is on fire");
    let (broke, output) = gateway.weir_as(&dev, &["break-glass", &again, "--reason", "it is on fire"]).unwrap();
    assert!(broke.success(), "{}", output.stderr);
    browser.open(&link(&gateway, &again));
    browser.log_in(&ann.token);
    assert!(browser.text("#state").contains("to be reviewed"));
    browser.press("Mark as reviewed");
    browser.told("reviewed");
    assert_eq!(request(&gateway, &again)["to_be_reviewed"], false);
}

#[test]
fn behind_a_proxy_people_decide_by_the_name_in_control_url() {
    let mut browser = Browser::start();
    let port = browser.step(&json!({ "do": "proxy", "folder": "/ops" }));
    let url = format!("http://localhost:{port}/ops");
    let gateway = gateway_under(HELD, &[ROLES, &format!("url: \"{url}\"")], &[]);
    browser.step(&json!({ "do": "forward", "to": gateway.control().to_string() }));
    let (dev, ann) = (gateway.token("dev", "dev").unwrap(), gateway.token("ann", "sre").unwrap());
    let id = file(&gateway, &dev, "prod.orders", "nobody reads it");
    assert_eq!(link(&gateway, &id), format!("{url}/requests/{id}"));
    browser.open(&link(&gateway, &id));
    // By the keyboard alone: it begins where the token is wanted.
    browser.type_in(&format!("{}\n", ann.token));
    browser.text("#title");
    browser.press("Approve");
    browser.told("Approved");
    assert_eq!(request(&gateway, &id)["decisions"][0]["by"]["subject"], "ann");

    let admin = login(&gateway, "adam", "platform");
    let elsewhere = format!("Origin: http://localhost:{}", gateway.control().port());
    assert_eq!(send(gateway.control(), "GET", "/api/v1/policy", &[&admin, &elsewhere], "").status, 403);
}
