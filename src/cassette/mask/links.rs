//! Links: their hosts, the parts of their paths, and the fields of their queries.

use reqwest::Url;

use super::Mask;
use super::words;

impl Mask {
    /// Whether a text is a link: a URL, or a path or query that leads on.
    pub(super) fn is_link(&self, text: &str) -> bool {
        let is_url = text.starts_with("https://") || text.starts_with("http://");
        let is_relative = (text.starts_with('/') || text.starts_with('?')) && !text.contains(char::is_whitespace);
        is_url || (is_relative && text.len() > 1)
    }

    /// A link as it is kept: scheme, port and the names in its query stay.
    pub(super) fn link(&mut self, link: &str) -> String {
        let base = Url::parse("https://relative.invalid/").ok();
        let is_whole = link.contains("://");
        let url = if is_whole { Url::parse(link).ok() } else { base.and_then(|base| base.join(link).ok()) };
        let Some(mut url) = url.filter(|url| url.has_host()) else { return self.replaced(link) };
        if is_whole && self.mask_host(&mut url).is_none() {
            return self.replaced(link);
        }
        let has_path = !link.starts_with('?');
        let path: Vec<String> = url.path().split('/').map(|part| self.path_part(part)).collect();
        url.set_path(&path.join("/"));
        if let Some(query) = url.query() {
            let fields: Vec<String> = query.split('&').map(|field| self.field(field)).collect();
            url.set_query(Some(&fields.join("&")));
        }
        url.set_fragment(None);
        match (is_whole, has_path) {
            (true, _) => url.to_string(),
            (false, true) => format!("{}{}", url.path(), with_mark(url.query())),
            (false, false) => with_mark(url.query()),
        }
    }

    fn mask_host(&mut self, url: &mut Url) -> Option<()> {
        let host = self.hosts.replaced(url.host_str()?);
        url.set_host(Some(&host)).ok()?;
        url.set_username("").ok()?;
        url.set_password(None).ok()
    }

    fn path_part(&mut self, part: &str) -> String {
        let decoded = percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        self.text(&decoded)
    }

    /// A field of a query: its name is kept.
    fn field(&mut self, field: &str) -> String {
        let (name, value) = field.split_once('=').map_or((field, None), |(name, value)| (name, Some(value)));
        let name = self.key(&crate::text::form_decoded(name));
        let encode = |text: &str| crate::template::query::encode_component(text);
        let Some(value) = value else { return encode(&name) };
        let value = crate::text::form_decoded(value);
        let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let value = match is_number && words::is_kept_number(&name, &value, self.now) {
            true => value,
            false => self.parts(&value),
        };
        format!("{}={}", encode(&name), encode(&value))
    }

    /// A text that may hold dates and numbers beside words (`createdDateTime ge 2024-05-28T13:08:54Z`): blank by blank.
    pub(super) fn parts(&mut self, text: &str) -> String {
        if words::is_date(text) || self.is_link(text) || !text.contains(' ') {
            return self.text(text);
        }
        text.split(' ').map(|part| self.text(part)).collect::<Vec<_>>().join(" ")
    }

    /// A `Link` header (RFC 8288): the URLs in it are links, their relations stay.
    pub(super) fn link_header(&mut self, text: &str) -> String {
        let mut out = String::new();
        for part in text.split_inclusive('>') {
            match part.rsplit_once('<') {
                Some((before, link)) => {
                    out.push_str(&relations(before));
                    out.push('<');
                    out.push_str(&self.link(link.trim_end_matches('>')));
                    out.push('>');
                }
                None => out.push_str(&relations(part)),
            }
        }
        out
    }
}

/// The parameters between two links that say what they are.
fn relations(text: &str) -> String {
    const KEPT: [&str; 10] = ["rel", "next", "prev", "self", "first", "last", "results", "true", "false", "previous"];
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let mut out = String::new();
    for part in text.split_inclusive(|c: char| !is_word(c)) {
        let word = part.trim_end_matches(|c: char| !is_word(c));
        let mark = part.get(word.len()..).unwrap_or_default();
        out.push_str(if word.is_empty() || KEPT.contains(&word) { word } else { "x" });
        out.extend(mark.chars().filter(char::is_ascii));
    }
    out
}

fn with_mark(query: Option<&str>) -> String {
    query.map(|query| format!("?{query}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::text::{Redactor, Secret};

    fn mask() -> Mask {
        let now = DateTime::from_timestamp(1_716_900_000, 0).expect("a date");
        Mask::new(Redactor::new([Secret::new("the-secret-key")]), now)
    }

    #[test]
    fn a_link_keeps_what_leads_on_and_nothing_else() {
        let mut mask = mask();
        mask.hosts.keep("api.vendor.example");
        let (token, id) = (mask.text("abcDEF=="), mask.text("acme-corp"));
        let masked = mask.link("https://u:p@acme.example:8443/api/v1/acme-corp/events?limit=50&after=abcDEF%3D%3D&since=2024-05-28T13:00:00Z#x");
        let url = Url::parse(&masked).expect("a URL");
        assert_eq!(url.origin().ascii_serialization(), "https://host-1.example:8443");
        assert_eq!(url.path(), format!("/api/v1/{id}/events"));
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(query, [pair("limit", "50"), pair("after", &token), pair("since", "2024-05-28T13:00:00Z")]);
        assert_eq!(mask.link("https://api.vendor.example/v1/events"), "https://api.vendor.example/v1/events");
        assert_eq!(mask.link("/v1/acme-corp?page=2"), format!("/v1/{id}?page=2"));
        assert_eq!(mask.link("?page=2"), "?page=2");
        assert!(!mask.link("https://x.example/the-secret-key?key=the-secret-key").contains("the-secret-key"));
    }

    #[test]
    fn a_link_header_keeps_its_relations() {
        let masked = mask().link_header(
            "<https://acme.example/v1/logs?after=alice>; rel=\"next\"; title=\"Alice\", </x>; rel=\"self\"",
        );
        assert!(masked.contains("; rel=\"next\"; x=\"x\", <") && masked.ends_with("; rel=\"self\""), "{masked}");
        assert!(!masked.contains("alice") && masked.contains("<https://host-1.example/v1/logs?after="), "{masked}");
    }
}
