//! Signatures, as the makers document them, computed of what arrived.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDateTime, Utc};
use ring::hmac;

use super::description::Sign;
use crate::harness::Asked;

const DUO_USER: &str = "DIWJ8X6AEYOR5OMC6TQ1";
const DUO_SECRET: &str = "duo-secret";
const AKAMAI_SECRET: &str = "akamai-secret";
/// How far the clock of a request may be off.
const SECONDS_OFF_MAX: i64 = 30;

impl Sign {
    /// Whether a request is signed, and lately.
    pub fn check(self, asked: &Asked) -> Result<(), String> {
        match self {
            Self::Duo => duo(asked),
            Self::EdgeGrid => edge_grid(asked),
        }
    }
}

fn is_near(date: Option<DateTime<Utc>>) -> Result<(), String> {
    let off = date.map(|date| (Utc::now() - date).num_seconds().abs());
    if off.is_some_and(|off| off <= SECONDS_OFF_MAX) {
        Ok(())
    } else {
        Err("the date of the signature is wrong".into())
    }
}

/// HMAC-SHA1 over date, method, host, path and sorted parameters, in hexadecimal digits, as the password.
fn duo(asked: &Asked) -> Result<(), String> {
    let header = |name: &str| asked.header(name).unwrap_or_default();
    is_near(DateTime::parse_from_rfc2822(header("date")).ok().map(|date| date.to_utc()))?;
    let names: Vec<&str> = asked.query.split('&').filter_map(|field| field.split('=').next()).collect();
    if !names.is_sorted() {
        return Err(format!("the parameters {names:?} are not sorted"));
    }
    let host = header("host").to_lowercase();
    let text = [header("date"), &asked.method, &host, &asked.path, &asked.query].join("\n");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, DUO_SECRET.as_bytes());
    let digits: String = hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = format!("Basic {}", STANDARD.encode(format!("{DUO_USER}:{digits}")));
    if header("authorization") == expected { Ok(()) } else { Err(format!("the signature is not that of {text:?}")) }
}

/// HMAC-SHA256 over method, scheme, host, path and the header so far, by a key that is a signature of the time.
fn edge_grid(asked: &Asked) -> Result<(), String> {
    let sha256 = |key: &str, text: &str| {
        STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), text.as_bytes()))
    };
    let header = asked.header("authorization").unwrap_or_default();
    let (base, signature) = header.split_once("signature=").ok_or("there is no signature")?;
    let timestamp = base.split("timestamp=").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default();
    is_near(NaiveDateTime::parse_from_str(timestamp, "%Y%m%dT%H:%M:%S+0000").ok().map(|date| date.and_utc()))?;
    let nonce = base.split("nonce=").nth(1).unwrap_or_default().trim_end_matches(';');
    if nonce.len() < 16 {
        return Err("the nonce is too short".to_owned());
    }
    let host = asked.header("host").unwrap_or_default();
    let text = format!("{}\thttp\t{host}\t{}?{}\t\t\t{base}", asked.method, asked.path, asked.query);
    let expected = sha256(&sha256(AKAMAI_SECRET, timestamp), &text);
    if signature == expected { Ok(()) } else { Err(format!("the signature is not that of {text:?}")) }
}
