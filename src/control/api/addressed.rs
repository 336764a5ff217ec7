//! Whether a request was meant for this door, by what it says in `Host` and `Origin`.
//!
//! Invariants:
//! - On a loopback address only names of this machine and the one in `control.url` are answered to, so that no name of
//!   somebody else's can be made to mean it (DNS rebinding).
//! - What a browser marks as a page's is of a page of ours: its origin is the Host that it asks, or that of `control.url`,
//!   where a proxy asks by a Host of its own.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use reqwest::Url;

use super::guard::text;
use crate::control::problem::Problem;

/// By which names a door is reached.
pub(in crate::control) struct Addressed {
    /// The door is on a loopback address.
    local_names_only: bool,
    /// Where people reach it, where that is known.
    url: Option<Url>,
}

impl Addressed {
    pub(in crate::control) fn new(bound: SocketAddr, url: Option<&str>) -> Addressed {
        let url = url.and_then(|url| Url::parse(url).ok());
        Addressed { local_names_only: bound.ip().to_canonical().is_loopback(), url }
    }

    /// Refuses a Host that is somebody else's name.
    pub(in crate::control) fn is_for_us(&self, request: &Parts) -> Result<(), Problem> {
        let host = host(&request.uri, &request.headers);
        let ours = |host: &str| is_local_name(host) || self.url.as_ref().and_then(Url::host_str) == Some(name(host));
        if !self.local_names_only || host.is_some_and(|host| ours(&host.to_ascii_lowercase())) {
            return Ok(());
        }
        let what = "this address answers to `localhost`, loopback addresses and the host of control.url only, not to the \
                    Host that was asked for";
        Err(Problem::of(StatusCode::MISDIRECTED_REQUEST, what))
    }

    /// Refuses what a page of another origin asks.
    pub(in crate::control) fn is_from_us(&self, request: &Parts) -> Result<(), Problem> {
        let headers = &request.headers;
        let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
        let site = text(headers, HeaderName::from_static("sec-fetch-site")).unwrap_or("none");
        let own = |origin: &str| {
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let asked = host(&request.uri, headers);
            rest.is_some_and(|rest| asked.is_some_and(|host| rest.eq_ignore_ascii_case(host)))
                || self.url.as_ref().is_some_and(|url| url.origin().ascii_serialization() == origin)
        };
        if origin.is_none_or(own) && matches!(site, "none" | "same-origin") {
            return Ok(());
        }
        Err(Problem::of(StatusCode::FORBIDDEN, "pages of other origins may not use this API"))
    }
}

fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    uri.authority().map(|authority| authority.as_str()).or_else(|| text(headers, header::HOST))
}

/// A Host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a Host means this machine, whoever asks.
fn is_local_name(host: &str) -> bool {
    let name = name(host);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::Request;

    use super::*;

    fn asked(headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn door(url: Option<&str>) -> Addressed {
        Addressed::new("127.0.0.1:9280".parse().unwrap(), url)
    }

    #[test]
    fn only_names_of_this_machine_mean_it() {
        for host in ["localhost", "LOCALHOST:9280", "127.0.0.1", "127.0.0.1:9280", "127.9.9.9:1", "[::1]", "[::1]:9280"]
        {
            assert!(door(None).is_for_us(&asked(&[("host", host)])).is_ok(), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1:9280", "a:b"] {
            for url in [None, Some("https://weir.example.com/ops"), Some("http://127.0.0.1:9280")] {
                assert!(door(url).is_for_us(&asked(&[("host", host)])).is_err(), "{host}");
            }
        }
    }

    #[test]
    fn the_name_in_control_url_is_one_more() {
        let door = door(Some("https://weir.example.com:8443/ops"));
        for host in ["weir.example.com", "WEIR.example.com:8443", "weir.example.com:9", "localhost"] {
            assert!(door.is_for_us(&asked(&[("host", host)])).is_ok(), "{host}");
        }
        for host in ["weir.example.com.evil.example", "example.com", "weir.example.com:x", "weir.example.com."] {
            assert!(door.is_for_us(&asked(&[("host", host)])).is_err(), "{host}");
        }
    }

    #[test]
    fn behind_a_proxy_the_page_s_own_origin_is_that_of_control_url_and_no_other() {
        let door = door(Some("https://weir.example.com/ops"));
        let from = |origin: &str, site: &str| {
            let (host, origin, site) = (("host", "127.0.0.1:9280"), ("origin", origin), ("sec-fetch-site", site));
            door.is_from_us(&asked(&[host, origin, site])).is_ok()
        };
        assert!(from("https://weir.example.com", "same-origin"));
        assert!(from("http://127.0.0.1:9280", "same-origin"));
        for origin in
            ["http://weir.example.com", "https://weir.example.com:8443", "https://example.com", "null", "https://"]
        {
            assert!(!from(origin, "same-origin"), "{origin}");
        }
        assert!(!from("https://weir.example.com", "same-site"));
        assert!(!from("https://weir.example.com", "cross-site"));
    }
}
