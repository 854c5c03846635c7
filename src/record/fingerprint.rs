//! What tells records apart.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use ring::digest;

/// What tells two records apart: 16 bytes of SHA-256 over the event date and the id, or over the whole record.
///
/// A cryptographic hash, because a record's content may be chosen by somebody who would like another one to vanish; and
/// this one, because processors have instructions for it: a record of 1.3 KB takes 0.8 µs, by BLAKE3 1.5 µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

/// A map of fingerprints, which are hashes already and aren't hashed once more.
pub type FingerprintMap<V> = HashMap<Fingerprint, V, BuildHasherDefault<FirstBytes>>;
/// A set of them.
pub type FingerprintSet = HashSet<Fingerprint, BuildHasherDefault<FirstBytes>>;

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Takes the first eight bytes for the hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= bytes.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Fingerprint {
    /// Of several byte strings, each of which counts for itself.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in parts {
            hash.update(&length(part));
            hash.update(part);
        }
        Self(hash.finish().as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// One that was written before.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As 32 hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    /// Out of such digits.
    #[must_use]
    pub fn from_hex(digits: &str) -> Option<Self> {
        let is_hex = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = if is_hex { u128::from_str_radix(digits, 16).ok() } else { None };
        number.map(|number| Self(number.to_be_bytes()))
    }

    /// The sixteen bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// What comes before a part, so that it can't be taken for another one. No page is so long that this doesn't tell.
fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes()
}
