//! A gateway whose API is used, and as little HTTP as it takes to send it what no client library would.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use loadtest::weir::{Gateway, Options};
use serde_json::Value;

/// Longer than the gateway lets anything take.
const TIMEOUT: Duration = Duration::from_secs(60);

pub const ROLES: &str = "roles: { viewer: [overseers], reviewer: [sre], auditor: [audit], admin: [platform] }";

/// The groups that have the roles, with them.
pub const GROUPS: [(&str, &str); 4] =
    [("viewer", "overseers"), ("reviewer", "sre"), ("auditor", "audit"), ("admin", "platform")];

/// A gateway that needs no cluster, with these lines at the top of its configuration.
pub fn gateway_with(control: &[&str], top: &[String]) -> Gateway {
    gateway_under("recording: [{ mode: metadata }]\n", control, top)
}

/// The same under this policy.
pub fn gateway_under(policy: &str, control: &[&str], top: &[String]) -> Gateway {
    let mut options = Options::new("127.0.0.1:1").auth(&["weir_token"]).policy(policy);
    options.control = control.iter().map(|&key| key.to_owned()).collect();
    options.top = top.to_vec();
    let mut gateway = Gateway::prepare(env!("CARGO_BIN_EXE_weir"), options).unwrap();
    gateway.start_unready().unwrap();
    gateway
}

pub fn gateway() -> Gateway {
    gateway_with(&[ROLES], &[])
}

/// A token of somebody in these groups, as the header that logs in with it.
pub fn login(gateway: &Gateway, subject: &str, groups: &str) -> String {
    format!("Authorization: Bearer {}", gateway.token(subject, groups).unwrap().token)
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    /// The detail of a problem, which is one in every respect.
    pub fn problem(&self) -> String {
        let problem = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(problem["title"].is_string(), "{self:?}");
        problem["detail"].as_str().unwrap().to_owned()
    }

    pub fn parse(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}

/// Sends a request with just these headers beside `Host`, `Content-Length` and `Connection`.
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
    let host = format!("Host: {address}");
    let has_host = headers.iter().any(|header| header.starts_with("Host:"));
    let mut lines: Vec<&str> = headers.to_vec();
    if !has_host {
        lines.push(&host);
    }
    let length = format!("Content-Length: {}", body.len());
    lines.extend(["Connection: close", &length]);
    raw(address, &format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n{body}", lines.join("\r\n")))
}

pub fn raw(address: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    // Whoever sends too much may be answered before all of it was taken.
    let _sent = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _reset_after_the_answer = stream.read_to_end(&mut answer);
    Answer::parse(&String::from_utf8(answer).unwrap())
}

pub fn get(gateway: &Gateway, path: &str, login: &str) -> Answer {
    send(gateway.control(), "GET", &format!("/api/v1/{path}"), &[login], "")
}

pub fn post(gateway: &Gateway, path: &str, login: &str, body: &str) -> Answer {
    send(gateway.control(), "POST", &format!("/api/v1/{path}"), &[login, "Content-Type: application/json"], body)
}
