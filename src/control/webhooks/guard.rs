//! Keeps webhooks from leading into the network they start in (SSRF): addresses are checked after names were looked up, and
//! it is the checked address that is connected to, while TLS and the request keep the name.
//!
//! Invariant: without `allow_private`, no connection is made to an address that `policy::confined` names a reason for.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Url, dns};

use crate::policy::confined;

/// Looks names up for a webhook's client.
pub(super) struct Guard {
    pub(super) allow_private: bool,
}

/// Why an address is not connected to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} is {address}, which is {class}: a webhook leads there only with `allow_private: true`, as one that leads out must not \
     be turned inwards"
)]
pub(super) struct Forbidden {
    host: String,
    address: IpAddr,
    class: &'static str,
}

impl Guard {
    /// Refuses a URL whose host is an address: nobody looks those up.
    pub(super) fn check(&self, url: &Url) -> Result<(), Forbidden> {
        let host = url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse() {
            Ok(address) => self.admit(host, &[SocketAddr::new(address, 0)]),
            Err(_) => Ok(()),
        }
    }

    /// All of a name's addresses have to be admissible: which of them is connected to is a matter of chance.
    fn admit(&self, host: &str, addresses: &[SocketAddr]) -> Result<(), Forbidden> {
        if self.allow_private {
            return Ok(());
        }
        let forbidden = addresses.iter().find_map(|address| Some((address.ip(), confined(address.ip())?)));
        forbidden.map_or(Ok(()), |(address, class)| Err(Forbidden { host: host.to_owned(), address, class }))
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Guard { allow_private: self.allow_private };
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.collect();
            guard.admit(name.as_str(), &addresses)?;
            let addresses: dns::Addrs = Box::new(addresses.into_iter());
            Ok::<Addrs, Box<dyn Error + Send + Sync>>(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GUARD: Guard = Guard { allow_private: false };

    #[test]
    fn an_address_in_the_url_is_refused_however_it_is_written() {
        for url in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a9fe:a9fe]/",
            "https://169.254.169.254/latest/meta-data/",
        ] {
            assert!(GUARD.check(&Url::parse(url).unwrap()).is_err(), "{url}");
            assert_eq!(Guard { allow_private: true }.check(&Url::parse(url).unwrap()), Ok(()));
        }
        assert_eq!(GUARD.check(&Url::parse("https://93.184.215.14/").unwrap()), Ok(()));
        assert_eq!(GUARD.check(&Url::parse("https://hooks.example.com/").unwrap()), Ok(()));
    }

    #[test]
    fn one_private_address_among_a_names_is_one_too_many() {
        let of = |addresses: &[&str]| -> Vec<SocketAddr> { addresses.iter().map(|a| a.parse().unwrap()).collect() };
        assert_eq!(GUARD.admit("a", &of(&["93.184.215.14:0", "[2606:4700::1]:0"])), Ok(()));
        let refused = GUARD.admit("hooks.example.com", &of(&["93.184.215.14:0", "10.0.0.8:0"])).unwrap_err();
        assert!(refused.to_string().starts_with("hooks.example.com is 10.0.0.8, which is private"), "{refused}");
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_resolved() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = GUARD.resolve(name()).await.err().unwrap();
        assert!(refused.to_string().contains("loopback"), "{refused}");
        assert!(Guard { allow_private: true }.resolve(name()).await.is_ok());
    }
}
