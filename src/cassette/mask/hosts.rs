//! What the hosts of an API become.

use std::collections::HashMap;

use crate::config::catalog;

/// The hosts that were replaced, or are kept.
#[derive(Default)]
pub struct MaskedHosts {
    known: HashMap<String, String>,
    /// Domains of which the entry names all hosts.
    domains: Vec<(String, String)>,
    kept: Vec<String>,
}

impl MaskedHosts {
    /// Says that a host is kept, as it stands in the catalog.
    pub(super) fn keep(&mut self, host: &str) {
        self.kept.push(host.to_owned());
    }

    /// Says what a host becomes.
    pub(super) fn fix(&mut self, host: &str, replaced: &str) {
        self.known.insert(host.to_owned(), replaced.to_owned());
    }

    /// What a domain becomes, all of whose hosts are named.
    pub(super) fn domain(&mut self, domain: &str) -> String {
        let replaced = format!("domain-{}.example", self.domains.len() + 1);
        self.domains.push((domain.to_owned(), replaced.clone()));
        replaced
    }

    /// What a host becomes: a name that nobody has (RFC 2606), but for those that the catalog names in full. What a star
    /// stands for may be the name of a tenant.
    pub(super) fn replaced(&mut self, host: &str) -> String {
        let is_public =
            |host: &str| catalog::types().iter().any(|named| named.probe.hosts.iter().any(|known| known == host));
        if self.kept.iter().any(|kept| kept == host) || is_public(host) {
            return host.to_owned();
        }
        let number = self.known.len() + 1;
        let is_below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        let domain = self.domains.iter().find(|(domain, _)| is_below(domain));
        let domain = domain.map_or("example", |(_, replaced)| replaced.as_str());
        let replaced = format!("host-{number}.{domain}");
        self.known.entry(host.to_owned()).or_insert(replaced).clone()
    }
}
