//! One GET, for `/readyz` and `/metrics`: as little HTTP as that takes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::{During, Failure, Result};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Status code and body of `GET path`. HTTP/1.0, so that the body ends with the connection and is never chunked.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let doing = format!("GET http://{address}{path}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).during(&doing)?;
    stream.set_read_timeout(Some(TIMEOUT)).during(&doing)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").during(&doing)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).during(&doing)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| Failure::new(format!("{doing}: no HTTP answer")))?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| Failure::new(format!("{doing}: no status in {head:?}")))?;
    Ok((status, body.to_owned()))
}
