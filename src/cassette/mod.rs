//! Cassettes: iterations of one API in one readable file, its requests and answers, and what makes them happen again.
//!
//! Enters: a tape ([`crate::transport`]) and the entry of the config, or the text of a file. Leaves: the text of a file, or
//! what the pipeline would ship. What always holds: the file keeps by permission (`mask`); a replay opens no other file
//! and no socket, expands no `${…}`, and goes by the recorded clock; it asks as was recorded, or it says where it doesn't.

mod file;
mod mask;
mod packed;
mod play;
mod record;
mod words;

pub use file::{CASSETTE_BYTES_MAX, Cassette, CassetteError, CassetteKind, RecordedIteration};
pub use mask::Entry;
pub use play::{PlayError, PlayOutcome, PlayedIteration, play};
pub use record::{RecordError, Recorded, cassette_of, record};
pub use words::{difference_in_words, summary_in_words};
