//! What a cluster is made of: the nodes of etcd that hold its state, and its names.

use std::collections::HashSet;

use reqwest::Url;
use serde_json::{Value, json};

use super::Kind;
use super::pattern::{SCALAR, or_filled_in};
use super::request::web_url;
use crate::config::place::Place;
use crate::config::value::Found;

/// The most nodes: etcd advises seven at most.
const NODES_MAX: usize = 9;
/// The longest name of a cluster or of a member.
const NAME_CHARS_MAX: usize = 100;
/// A node, with nothing behind its host and port but perhaps a slash.
const NODE: &str = r"^\s*[Hh][Tt][Tt][Pp][Ss]?://[^/\\\s?#@]+/?\s*$";

/// The URLs of etcd's nodes: a list, or one.
pub(in crate::config) enum EtcdUrls {}

impl Kind for EtcdUrls {
    type Value<'v> = Vec<Url>;

    fn read(found: &Found<'_>) -> Option<Vec<Url>> {
        match found.value {
            serde_yaml::Value::Sequence(nodes) if nodes.is_empty() => {
                return found.refuse("it is empty", Some("like [https://etcd-0.etcd:2379]"));
            }
            serde_yaml::Value::Sequence(nodes) if nodes.len() > NODES_MAX => {
                return found.refuse(&format!("there may be {NODES_MAX} URLs at most"), None);
            }
            _ => {}
        }
        let mut known = HashSet::new();
        // Each of them is read, so that all that is wrong is told.
        let read: Vec<Option<Url>> = found
            .items()
            .iter()
            .map(|item| {
                let url = node(item)?;
                let place = (url.host_str().map(str::to_owned), url.port_or_known_default());
                match known.insert(place) {
                    true => Some(url),
                    false => item.refuse("this node is there twice", Some("name each node of etcd once")),
                }
            })
            .collect();
        read.into_iter().collect()
    }

    fn schema(_: Place) -> Value {
        let node = json!({ "type": "string", "pattern": or_filled_in(NODE) });
        json!({
            "anyOf": [node, { "type": "array", "minItems": 1, "maxItems": NODES_MAX, "uniqueItems": true, "items": node }]
        })
    }
}

/// The URL of a node, in which nothing is said but where it is.
fn node(found: &Found<'_>) -> Option<Url> {
    const LIKE: &str = "like https://etcd-0.etcd:2379";
    let text = found.filled()?;
    let url = found.or_refuse(web_url(&text), LIKE)?;
    let Some((_, rest)) = text.split_once("://") else { return found.refuse("it is not a valid URL", Some(LIKE)) };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        let hint = "cluster.user and cluster.password are for them";
        return found.refuse("it holds a user or a password", Some(hint));
    }
    if rest.contains(['/', '\\', '?', '#']) || rest.contains(char::is_whitespace) {
        return found.refuse("nothing may stand behind host and port", Some(LIKE));
    }
    Some(url)
}

/// The name of a cluster or of one of its members.
pub(in crate::config) enum ClusterName {}

impl Kind for ClusterName {
    type Value<'v> = String;

    fn read(found: &Found<'_>) -> Option<String> {
        let name = found.filled()?;
        if name.chars().any(char::is_control) {
            return found.refuse("a name has no line breaks or control characters in it", None);
        }
        if name.chars().count() > NAME_CHARS_MAX {
            return found.refuse(&format!("it may have {NAME_CHARS_MAX} characters at most"), None);
        }
        Some(name)
    }

    fn schema(_: Place) -> Value {
        let plain = r"\x00-\x1f\x7f-\x9f";
        let more = NAME_CHARS_MAX - 1;
        let pattern = format!(r"^\s*[^\s{plain}][^{plain}]{{0,{more}}}\s*$");
        json!({ "type": SCALAR, "pattern": or_filled_in(&pattern) })
    }
}
