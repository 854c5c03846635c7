//! Keeps requests that an answer leads to away from inner hosts: an API's answer must not make the fetcher ask a cloud's
//! metadata, or a service that only this machine reaches.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// The variables that name a proxy.
const PROXY_VARIABLES: [&str; 6] = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

/// A host that isn't to be connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} lies at {address}, which is a loopback, link-local or private address")]
pub struct PrivateAddress {
    /// As the link names it.
    pub host: String,
    /// The first such address of it.
    pub address: IpAddr,
}

/// Resolves names to public addresses alone. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Who runs the fetcher names them, so they may be anywhere.
    proxies: Arc<BTreeSet<String>>,
}

impl Guard {
    pub(super) fn new(proxies: BTreeSet<String>) -> Self {
        Self { proxies: Arc::new(proxies) }
    }

    /// An address needs no resolver, a proxy's own name passes it, and behind a proxy it isn't asked.
    pub(super) async fn admit(&self, url: &Url) -> Result<(), PrivateAddress> {
        let Some(host) = url.host_str() else { return Ok(()) };
        let refused = |address: IpAddr| Err(PrivateAddress { host: host.to_owned(), address });
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return if is_public(address) { Ok(()) } else { refused(address) };
        }
        if self.proxies.is_empty() {
            return Ok(());
        }
        // What this machine can't resolve is the proxy's business.
        let found = tokio::net::lookup_host((host, url.port_or_known_default().unwrap_or_default())).await;
        match found.into_iter().flatten().find(|address| !is_public(address.ip())) {
            Some(address) => refused(address.ip()),
            None => Ok(()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let is_proxy = guard.proxies.contains(&host.to_ascii_lowercase());
            let public: Vec<SocketAddr> =
                found.iter().copied().filter(|address| is_proxy || is_public(address.ip())).collect();
            match (public.is_empty(), found.first()) {
                (true, Some(address)) => Err(PrivateAddress { host, address: address.ip() }.into()),
                _ => Ok(Box::new(public.into_iter()) as Addrs),
            }
        })
    }
}

/// The hosts of the proxies that the environment names.
pub(super) fn proxy_hosts(variable: impl Fn(&str) -> Option<String>) -> BTreeSet<String> {
    let host = |value: String| {
        let url = if value.contains("://") { value } else { format!("http://{value}") };
        Url::parse(&url).ok()?.host_str().map(str::to_ascii_lowercase)
    };
    PROXY_VARIABLES.iter().filter_map(|name| variable(name)).filter_map(host).collect()
}

/// Whether an address is one of the internet (IANA's registries of special-purpose addresses), also where it stands in
/// another one: mapped, translated (RFC 6052), 6to4.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_of_protocols = a == 192 && b == 0 && c == 0;
    let is_for_benchmarks = a == 198 && (18..20).contains(&b);
    let is_special = address.is_private() || address.is_loopback() || address.is_link_local() || a == 0 || a >= 224;
    !(is_special || is_shared || is_of_protocols || is_for_benchmarks || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let inner = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        // ::, ::1 and the addresses of IPv4 in them.
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => inner(g, h),
        (0x2002, ..) => inner(b, c),
        // Teredo tunnels, and the translation of local use.
        (0x2001, 0, ..) | (0x64, 0xff9b, 1, ..) => false,
        _ => (a & 0xe000) == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn guard(proxies: &[&str]) -> Guard {
        Guard::new(proxies.iter().map(|&proxy| proxy.to_owned()).collect())
    }

    #[test]
    fn tells_the_internet_from_what_lies_within() {
        for inner in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001::1",
        ] {
            assert!(!is_public(inner.parse().expect("an address")), "{inner}");
        }
        for outer in ["1.1.1.1", "172.32.0.1", "100.63.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"] {
            assert!(is_public(outer.parse().expect("an address")), "{outer}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_within_is_refused_unless_it_is_the_proxys() {
        let name = || Name::from_str("localhost").expect("a name");
        let refused = guard(&[]).resolve(name()).await.err().expect("refused");
        let refused = refused.downcast::<PrivateAddress>().expect("by its address");
        assert!(refused.host == "localhost" && refused.address.is_loopback());
        assert!(guard(&["localhost"]).resolve(name()).await.is_ok());
    }

    #[tokio::test]
    async fn addresses_and_behind_a_proxy_names_are_looked_at_before() {
        let admits = async |proxies: &[&str], url: &str| guard(proxies).admit(&Url::parse(url).expect("a URL")).await;
        assert!(admits(&[], "https://1.1.1.1/").await.is_ok());
        for within in ["https://127.1/", "http://[::1]:8080/", "http://2852039166/", "http://[::ffff:10.0.0.1]/"] {
            assert!(admits(&[], within).await.is_err(), "{within}");
        }
        assert!(admits(&[], "https://localhost/").await.is_ok(), "its resolver sees to that");
        assert!(admits(&["proxy.example"], "https://localhost/").await.is_err(), "nobody else does");
        assert!(admits(&["localhost"], "https://localhost/").await.is_err(), "the proxy is to be passed, not asked");
    }

    #[test]
    fn proxies_are_known_however_they_are_written() {
        let of = |value: &'static str| proxy_hosts(|name| (name == "HTTPS_PROXY").then(|| value.to_owned()));
        for value in ["http://u:p@Proxy.example:3128", "proxy.example:3128", "proxy.example"] {
            assert_eq!(of(value).into_iter().collect::<Vec<_>>(), ["proxy.example"], "{value}");
        }
        assert!(of("http://").is_empty());
    }
}
