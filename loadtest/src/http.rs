//! One request, for `/readyz`, `/metrics` and an identity provider's API, and one read by a server of a test's own: as little
//! HTTP as that takes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::{During, Failure, Result};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Status code and body of `GET path`.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    request(address, &format!("GET {path}"), &[], "")
}

/// Status code and body of `POST path`, with these headers beside the body's length.
pub fn post(address: SocketAddr, path: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String)> {
    request(address, &format!("POST {path}"), headers, body)
}

/// HTTP/1.0, so that the body ends with the connection and is never chunked.
fn request(address: SocketAddr, what: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, String)> {
    let doing = format!("{what} at {address}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).during(&doing)?;
    stream.set_read_timeout(Some(TIMEOUT)).during(&doing)?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(stream, "{what} HTTP/1.0\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .during(&doing)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).during(&doing)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Failure::new(format!("{doing}: no HTTP answer")))?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| Failure::new(format!("{doing}: no status in {head:?}")))?;
    Ok((status, body.to_owned()))
}

/// A request as a server reads it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method, path and version.
    pub line: String,
    /// Header fields by their name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, as long as the header says.
    pub body: String,
}

/// The next request of a connection; none at its end.
pub fn read_request<S: Read>(reader: &mut BufReader<S>) -> Result<Option<Request>> {
    let mut next = || {
        let mut line = String::new();
        reader.read_line(&mut line).during("read a request").map(|_| line.trim_end().to_owned())
    };
    let line = next()?;
    if line.is_empty() {
        return Ok(None);
    }
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = next()?.split_once(": ") {
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).during("read a request's body")?;
    let body = String::from_utf8(body).map_err(|_| Failure::new("a request that is not UTF-8"))?;
    Ok(Some(Request { line, headers, body }))
}
