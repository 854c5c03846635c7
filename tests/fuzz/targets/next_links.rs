//! Any text as a next link: it stays within the configured origin, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logzio_api_fetcher::paging::next_link;
use reqwest::Url;

fuzz_target!(|link: &str| {
    let configured = Url::parse("https://me:secret@api.example:8443/v1/events").expect("a URL");
    let page = Url::parse("https://api.example:8443/v1/events?offset=500").expect("a URL");
    if let Ok(next) = next_link(link, &page, &configured, &[]) {
        assert_eq!(next.origin(), configured.origin(), "{link:?}");
        assert_eq!((next.username(), next.password()), ("me", Some("secret")), "{link:?}");
        assert_eq!(Url::parse(next.as_str()).as_ref(), Ok(&next), "{link:?}");
    }
});
