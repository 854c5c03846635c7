//! What tells records apart.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// How much is hashed at once.
const SHORT_BYTES_MAX: usize = 128;

/// What tells two records apart: 16 bytes of BLAKE3 over the event date and the id, or over the whole record.
///
/// A cryptographic hash, because a record's content may be chosen by somebody who would like another one to vanish.
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
        // An id and its date fit in here, and are hashed at once, without the large state of a hasher.
        let mut short = [0; SHORT_BYTES_MAX];
        let mut left = short.as_mut_slice();
        let mut put = |bytes: &[u8]| left.split_off_mut(..bytes.len()).map(|room| room.copy_from_slice(bytes));
        let fits = parts.iter().all(|part| put(&length(part)).and_then(|()| put(part)).is_some());
        let left = left.len();
        if let Some(all) = short.get(..SHORT_BYTES_MAX - left).filter(|_| fits) {
            return Self::cut(&blake3::hash(all));
        }
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&length(part)).update(part);
        }
        Self::cut(&hasher.finalize())
    }

    fn cut(hash: &blake3::Hash) -> Self {
        Self(hash.as_bytes().first_chunk().copied().unwrap_or_default())
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
