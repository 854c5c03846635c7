//! Texts, and the values at the top of the file.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::pattern::{ORIGIN, SCALAR, filled, or_filled_in, spelled_in_any_case};
use super::request::web_url;
use super::{Kind, Traits};
use crate::config::place::Place;
use crate::config::slips;
use crate::config::value::{Found, Text};
use crate::plan::Acknowledge;
use crate::text::Secret;

/// A text that may be empty, which is as good as absent.
pub(in crate::config) enum OptionalText {}

impl Kind for OptionalText {
    type Value<'v> = String;
    const TRAITS: Traits = Traits::BLANK_IS_ABSENT;

    fn read(found: &Found<'_>) -> Option<String> {
        found.text()
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR })
    }
}

/// A part of credentials: as it is written, blanks around it too.
pub(in crate::config) enum Credential {}

impl Kind for Credential {
    type Value<'v> = String;
    const TRAITS: Traits = Traits::SECRET;

    fn read(found: &Found<'_>) -> Option<String> {
        found.credential(found.as_is()?)
    }

    fn schema(_: Place) -> Value {
        json!({ "type": SCALAR })
    }
}

/// A secret that isn't empty.
pub(in crate::config) enum SecretText {}

impl Kind for SecretText {
    type Value<'v> = Secret;
    const TRAITS: Traits = Traits::SECRET;

    fn read(found: &Found<'_>) -> Option<Secret> {
        found.credential(found.filled()?).map(Secret::new)
    }

    fn schema(_: Place) -> Value {
        filled()
    }
}

/// The listener's URL.
pub(in crate::config) enum ListenerUrl {}

impl Kind for ListenerUrl {
    type Value<'v> = reqwest::Url;

    fn read(found: &Found<'_>) -> Option<reqwest::Url> {
        let text = found.filled()?;
        match web_url(&text) {
            Ok(url) if url.query().is_none() && url.fragment().is_none() => {
                slips::in_listener(&url).into_iter().for_each(|(what, hint)| found.warn(what, hint));
                Some(url)
            }
            Ok(_) => found.refuse("it should end before any `?` or `#`", Some("the token has a key of its own")),
            Err(what) => found.refuse(what, Some("like https://listener.logz.io:8071")),
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "string", "pattern": or_filled_in(&format!(r"{ORIGIN}[^?#]*\?*\s*$")) })
    }
}

/// Which answers acknowledge a batch.
pub(in crate::config) enum AcknowledgeKind {}

impl Kind for AcknowledgeKind {
    type Value<'v> = Acknowledge;
    const TRAITS: Traits = Traits::SHOWN;

    fn read(found: &Found<'_>) -> Option<Acknowledge> {
        match found.text()?.eq_ignore_ascii_case("2xx") {
            true => Some(Acknowledge::AnySuccess),
            false => {
                let hint = "`2xx`, or leave the key out: then only a listener's own answers count";
                found.refuse("it should be `2xx`", Some(hint))
            }
        }
    }

    fn schema(_: Place) -> Value {
        spelled_in_any_case(&["2xx"], None)
    }
}

/// The name of a file.
pub(in crate::config) enum FileName {}

impl Kind for FileName {
    type Value<'v> = Text;

    fn read(found: &Found<'_>) -> Option<Text> {
        Some(Text { value: found.text()?, spot: found.spot.clone() })
    }

    fn schema(_: Place) -> Value {
        filled()
    }
}

/// An address to listen on.
pub(in crate::config) enum ListenAddress {}

impl Kind for ListenAddress {
    type Value<'v> = SocketAddr;

    fn read(found: &Found<'_>) -> Option<SocketAddr> {
        match found.text()?.replacen("localhost:", "127.0.0.1:", 1).parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let hint = "an IP address and a port, like 127.0.0.1:8080";
                found.refuse("it is not an address to listen on", Some(hint))
            }
        }
    }

    fn schema(_: Place) -> Value {
        json!({ "type": "string", "pattern": or_filled_in(r"^\s*\S*:[0-9]+\s*$") })
    }
}
