//! New text for a file that can't be replaced by another one, as where the file itself is a mount.
//!
//! Whatever a crash leaves of the steps, the file says what it said, or what it is to say. First the new text is appended as
//! one line that says nothing to anybody else, with its hash: as soon as that is on the disk, it counts instead of
//! everything before it. Then the text is written over the beginning, with blank lines up to that line; then the file is cut
//! behind the text. Each step is on the disk before the next begins. Pure.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::record::Fingerprint;

/// What a line begins with that holds a whole text. No checkpoint's line does, and it has no colon, so that no piece of it
/// reads as one.
const MARK: &str = "#=rewritten=";

/// A step, which is on the disk before the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteStep {
    /// Append.
    Append(Vec<u8>),
    /// Write over the beginning.
    Overwrite(Vec<u8>),
    /// Cut to so many bytes.
    Cut(u64),
}

/// The steps from a file's text to another one.
pub(super) fn steps(old: &[u8], new: &str) -> Vec<WriteStep> {
    // A line end for whatever stands last, and room for the new text.
    let padding = new.len().saturating_sub(old.len()).max(1);
    let mut room = new.as_bytes().to_vec();
    room.resize(old.len() + padding, b'\n');
    vec![
        WriteStep::Append(vec![b'\n'; padding]),
        WriteStep::Append(line_of(new).into_bytes()),
        WriteStep::Overwrite(room),
        WriteStep::Cut(new.len() as u64),
    ]
}

fn line_of(text: &str) -> String {
    format!("{MARK}{}={}\n", hash(text), STANDARD_NO_PAD.encode(text))
}

fn hash(text: &str) -> String {
    Fingerprint::of(&[text.as_bytes()]).bytes().iter().fold(String::new(), |mut hash, byte| {
        let _ = write!(hash, "{byte:02x}");
        hash
    })
}

/// What a file's text says, whatever a crash has left of the steps.
pub(super) fn read(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.strip_prefix(MARK) {
            None => said.push_str(line),
            // A line that isn't whole says nothing yet, or no more.
            Some(rest) => {
                if let Some(whole) = whole(rest.trim_end()) {
                    said = whole;
                }
            }
        }
    }
    said
}

fn whole(line: &str) -> Option<String> {
    let (hashed, encoded) = line.split_once('=')?;
    let text = String::from_utf8(STANDARD_NO_PAD.decode(encoded).ok()?).ok()?;
    (hash(&text) == hashed).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::state::checkpoint_text::{Checkpoint, Checkpoints};

    type Said = HashMap<String, Checkpoint>;

    fn said(file: &[u8]) -> Said {
        Checkpoints::parse(&String::from_utf8_lossy(file)).by_name()
    }

    fn apply(file: &mut Vec<u8>, step: &WriteStep) {
        match step {
            WriteStep::Append(bytes) => file.extend_from_slice(bytes),
            WriteStep::Overwrite(bytes) => file[..bytes.len()].copy_from_slice(bytes),
            WriteStep::Cut(length) => file.truncate(usize::try_from(*length).expect("small")),
        }
    }

    /// What a crash may leave of a step: any beginning of what is appended, any mixture of what is overwritten, any length
    /// on the way to the cut.
    fn crashes(file: &[u8], step: &WriteStep) -> Vec<Vec<u8>> {
        let after = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut file = file.to_vec();
            change(&mut file);
            file
        };
        match step {
            WriteStep::Append(bytes) => {
                (0..=bytes.len()).map(|length| after(&|file| file.extend_from_slice(&bytes[..length]))).collect()
            }
            WriteStep::Overwrite(bytes) => {
                let till = (0..=bytes.len()).map(|at| after(&|file| file[..at].copy_from_slice(&bytes[..at])));
                let from =
                    (0..=bytes.len()).map(|at| after(&|file| file[at..bytes.len()].copy_from_slice(&bytes[at..])));
                let random = (0..200).map(|seed| {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut mixed = file.to_vec();
                    bytes.iter().enumerate().filter(|_| random.bool()).for_each(|(at, byte)| mixed[at] = *byte);
                    mixed
                });
                till.chain(from).chain(random).collect()
            }
            WriteStep::Cut(length) => (usize::try_from(*length).expect("small")..=file.len())
                .map(|length| after(&|file| file.truncate(length)))
                .collect(),
        }
    }

    /// Names that end in one another: a piece of one's line is another's.
    const OLD: &str = "aaa: 2024-05-01T00:00:00Z\nba: 2030-01-01\n# mine\naa: 2024-05-02T10:00:00Z\naaa: 2024-05-03T00:00:00Z\n\
                       b: 2024-05-04T00:00:00Z\naaa: 2024-05-05T00:00:00Z\ntorn: 2024-0";

    #[test]
    fn whatever_a_crash_leaves_says_what_was_said_or_what_is_to_be_said() {
        let compacted = Checkpoints::parse(OLD).compacted();
        let without_aaa = compacted.replace("aaa: 2024-05-05T00:00:00Z\n", "");
        let longer = format!("{compacted}{}: 2024-05-04T00:00:00Z\n", "long".repeat(100));
        for new in [compacted.as_str(), &without_aaa, &longer, ""] {
            let (before, after) = (said(OLD.as_bytes()), said(new.as_bytes()));
            let mut file = OLD.as_bytes().to_vec();
            for step in steps(OLD.as_bytes(), new) {
                for (number, crashed) in crashes(&file, &step).into_iter().enumerate() {
                    let found = said(&crashed);
                    assert!(found == before || found == after, "{}", String::from_utf8_lossy(&crashed));
                    // The next start does it again, and may crash as well; here at some places.
                    if number % 29 > 0 {
                        continue;
                    }
                    let again = Checkpoints::parse(&String::from_utf8_lossy(&crashed)).compacted();
                    let mut file = crashed.clone();
                    for step in steps(&crashed, &again) {
                        for crashed in crashes(&file, &step).iter().step_by(17) {
                            assert_eq!(said(crashed), found, "{}", String::from_utf8_lossy(crashed));
                        }
                        apply(&mut file, &step);
                    }
                    assert_eq!(file, again.as_bytes());
                }
                apply(&mut file, &step);
            }
            assert_eq!(file, new.as_bytes());
        }
    }

    #[test]
    fn what_follows_such_a_line_counts_and_one_that_is_not_whole_does_not() {
        let line = line_of("a: 2024-05-01T00:00:00Z\n");
        assert_eq!(read(&format!("x\n{line}b: 2024-05-02\n")), "a: 2024-05-01T00:00:00Z\nb: 2024-05-02\n");
        assert_eq!(read(&format!("x\n{}", line.replace("=Y", "=X"))), "x\n");
        assert_eq!(read(&format!("x\n{}", &line[..line.len() - 4])), "x\n");
        assert_eq!(read("x\n#=other\n"), "x\n#=other\n");
    }
}
