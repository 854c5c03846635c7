//! Slots, which are what a cluster shares out instead of APIs, and who may own one.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// How many slots there are: claims are as many at any number of APIs, and a hundred members still have ten each.
pub const SLOTS: u16 = 1_024;

/// What stays as it is in a key.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Why a part of a key can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyPartError {
    /// A slot is four hex digits, and less than [`SLOTS`].
    #[error("it is not a slot")]
    Slot,
    /// A member is `MEMBER:INCARNATION`, with 16 hex digits, spelled as it is written here.
    #[error("it is not MEMBER:INCARNATION")]
    Member,
}

/// APIs that are owned together, by the hash of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
pub struct Slot(u16);

impl Slot {
    /// The slot of an API, or of whatever else has a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(u16::try_from(hash(name) % u64::from(SLOTS)).unwrap_or_default())
    }

    /// All of them, in their order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SLOTS).map(Self)
    }

    /// Its place among all of them.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl From<Slot> for u16 {
    fn from(slot: Slot) -> Self {
        slot.0
    }
}

impl TryFrom<u16> for Slot {
    type Error = KeyPartError;

    fn try_from(number: u16) -> Result<Self, KeyPartError> {
        if number < SLOTS { Ok(Self(number)) } else { Err(KeyPartError::Slot) }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl FromStr for Slot {
    type Err = KeyPartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = u16::from_str_radix(text, 16).ok().filter(|number| *number < SLOTS);
        let slot = number.map(Self).ok_or(KeyPartError::Slot)?;
        if slot.to_string() == text { Ok(slot) } else { Err(KeyPartError::Slot) }
    }
}

/// A process of a member: who restarts is another one with the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    /// Its name, which stays.
    pub member: String,
    /// Random bits of the process.
    pub incarnation: u64,
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", utf8_percent_encode(&self.member, PLAIN), self.incarnation)
    }
}

impl FromStr for MemberId {
    type Err = KeyPartError;

    /// Reads only what [`Display`](fmt::Display) writes: a claim asks whether the key of the former owner is gone, so another
    /// spelling of a name would be asked for under a key that never was.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (member, incarnation) = text.rsplit_once(':')?;
            let incarnation = u64::from_str_radix(incarnation, 16).ok()?;
            let member = percent_decode_str(member).decode_utf8().ok()?.into_owned();
            Some(Self { member, incarnation })
        };
        read().filter(|id| id.to_string() == text).ok_or(KeyPartError::Member)
    }
}

/// The first eight bytes of a text's SHA-256: the same in every version and on every machine.
pub(super) fn hash(text: &str) -> u64 {
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slot_is_the_first_eight_bytes_of_the_names_sha_256() {
        // ba7816bf8f01cfea… and e3b0c44298fc1c14….
        assert_eq!(Slot::of("abc").to_string(), "03ea");
        assert_eq!(Slot::of("").to_string(), "0014");
    }

    #[test]
    fn slots_are_read_as_they_are_written_and_in_no_other_way() {
        let all: Vec<Slot> = Slot::all().collect();
        assert_eq!(all.len(), usize::from(SLOTS));
        for (index, slot) in all.into_iter().enumerate() {
            assert_eq!(slot.index(), index);
            assert_eq!(slot.to_string().parse(), Ok(slot));
        }
        for text in ["", "3ea", "00a", "03EA", "+3ea", "0400", "ffff", "003ea", "03ea ", "x000"] {
            assert_eq!(text.parse::<Slot>(), Err(KeyPartError::Slot), "{text}");
        }
    }

    #[test]
    fn members_are_read_as_they_are_written_and_in_no_other_way() {
        let id = MemberId { member: "a:b/c %é\n".to_owned(), incarnation: 0xab };
        assert_eq!(id.to_string(), "a%3Ab%2Fc%20%25%C3%A9%0A:00000000000000ab");
        for text in [
            "",
            "a",
            "a:",
            "a:ab",
            "a:00000000000000AB",
            "a:+0000000000000ab",
            "a:000000000000000ab",
            "a/b:00000000000000ab",
            "a:b:00000000000000ab",
            "%41:00000000000000ab",
            "a%2f:00000000000000ab",
            "%FF:00000000000000ab",
        ] {
            assert_eq!(text.parse::<MemberId>(), Err(KeyPartError::Member), "{text}");
        }
    }

    #[test]
    fn every_name_comes_back_out_of_a_key_that_has_no_slash_for_it() {
        proptest!(|(member in any::<String>(), incarnation in any::<u64>())| {
            let id = MemberId { member, incarnation };
            let text = id.to_string();
            prop_assert!(!text.contains('/'));
            prop_assert_eq!(text.parse(), Ok(id));
        });
    }
}
