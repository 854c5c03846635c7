//! Batches: as many records as fit, and which records they are.

use crate::record::RecordKey;

/// The largest batch, as NDJSON before compression. The listener takes ten times as much; smaller ones cost less to send
/// again.
pub const BATCH_BYTES_MAX: usize = 1_048_576;
/// The longest line that the listener takes.
pub const LINE_BYTES_MAX: usize = 500_000;
/// The memory of a full batch: with the line that no longer fits, as long as that is of a usual length.
const FULL_BYTES: usize = BATCH_BYTES_MAX + 16 * 1024;
/// How many empty batches are kept to be filled again: as many as are on their way while records come evenly.
const SPARE_MAX: usize = 3;

/// Lines on their way to the listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// NDJSON: each line ends with a line break.
    text: Vec<u8>,
    entries: Vec<BatchEntry>,
}

/// One line of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BatchEntry {
    /// Where the line ends, its line break included.
    end: usize,
    identity: RecordKey,
}

/// A line that no batch may hold.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Without a line break.
    pub line: Vec<u8>,
}

impl Batch {
    /// The NDJSON.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// How many lines it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How much memory it has.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.text.capacity().saturating_add(self.entries.capacity().saturating_mul(size_of::<BatchEntry>()))
    }

    /// Whether it has no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its lines without line breaks, with their records.
    pub fn lines(&self) -> impl Iterator<Item = (&[u8], RecordKey)> {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let line = self.text.get(start..entry.end.saturating_sub(1)).unwrap_or_default();
            start = entry.end;
            (line, entry.identity)
        })
    }

    /// Its records.
    pub fn identities(&self) -> impl Iterator<Item = RecordKey> {
        self.entries.iter().map(|entry| entry.identity)
    }

    /// The first lines, so many of them, and the others.
    ///
    /// # Errors
    /// The batch as it is, where one of the two would have no line.
    pub fn split_at(self, lines: usize) -> Result<(Batch, Batch), Batch> {
        let last = lines.checked_sub(1).filter(|_| lines < self.entries.len());
        let Some(BatchEntry { end: cut, .. }) = last.and_then(|last| self.entries.get(last)).copied() else {
            return Err(self);
        };
        let Batch { mut text, mut entries } = self;
        let tail_text = text.split_off(cut);
        let mut tail = entries.split_off(lines);
        for entry in &mut tail {
            entry.end -= cut;
        }
        Ok((Batch { text, entries }, Batch { text: tail_text, entries: tail }))
    }
}

/// Fills batches line by line.
#[derive(Debug, Default)]
pub struct Batcher {
    open: Batch,
    /// Empty ones, with memory.
    spare: Vec<Batch>,
}

impl Batcher {
    /// How much memory it has: of the open batch, and of those that are kept to be filled again.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.spare.iter().map(Batch::memory_bytes).fold(self.open.memory_bytes(), usize::saturating_add)
    }

    /// Adds a line, which `append` writes behind those that are there. Gives a batch that is full now, the line being the
    /// first of the next.
    ///
    /// # Errors
    /// The line, where it is longer than [`LINE_BYTES_MAX`]; it is in no batch then.
    pub fn push(&mut self, append: impl FnOnce(&mut Vec<u8>), identity: RecordKey) -> Result<Option<Batch>, TooLong> {
        let start = self.open.text.len();
        if start > BATCH_BYTES_MAX / 2 {
            // It will be full, and doubling would take a megabyte that is never filled.
            self.open.text.reserve_exact(FULL_BYTES.saturating_sub(start));
        }
        append(&mut self.open.text);
        let bytes = self.open.text.len().saturating_sub(start);
        if bytes > LINE_BYTES_MAX {
            let line = self.open.text.get(start..).unwrap_or_default().to_vec();
            self.open.text.truncate(start);
            // Such a line may be as long as a page.
            self.open.text.shrink_to(BATCH_BYTES_MAX + LINE_BYTES_MAX);
            return Err(TooLong { line });
        }
        self.open.text.push(b'\n');
        let is_full = self.open.text.len() > BATCH_BYTES_MAX && !self.open.is_empty();
        let full = if is_full { self.cut(start) } else { None };
        self.open.entries.push(BatchEntry { end: self.open.text.len(), identity });
        Ok(full)
    }

    /// The open batch without what was written behind `start`, which begins the next one.
    fn cut(&mut self, start: usize) -> Option<Batch> {
        let mut next = self.spare.pop().unwrap_or_default();
        next.text.extend_from_slice(self.open.text.get(start..)?);
        self.open.text.truncate(start);
        Some(std::mem::replace(&mut self.open, next))
    }

    /// The batch that is not full yet, if it has a line.
    pub fn finish(&mut self) -> Option<Batch> {
        (!self.open.is_empty()).then(|| std::mem::replace(&mut self.open, self.spare.pop().unwrap_or_default()))
    }

    /// Lets go of all memory that holds no line.
    pub fn drop_spare(&mut self) {
        self.spare = Vec::new();
        if self.open.is_empty() {
            self.open = Batch::default();
        }
    }

    /// Takes a batch back that is done with, to fill its memory again.
    pub fn reuse(&mut self, mut done: Batch) {
        if self.spare.len() < SPARE_MAX {
            done.text.clear();
            done.entries.clear();
            self.spare.push(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Fingerprint;
    use proptest::prelude::*;

    fn identity(number: usize) -> RecordKey {
        RecordKey { fingerprint: Fingerprint::of(&[&number.to_le_bytes()]), date: None }
    }

    #[test]
    fn batches_keep_the_limits_and_lose_nothing() {
        let length = prop_oneof![0_usize..2_000, 499_990_usize..500_010];
        proptest!(ProptestConfig::with_cases(64), |(lengths in prop::collection::vec(length, 0..60))| {
            let lines: Vec<Vec<u8>> = lengths.iter().enumerate()
                .map(|(number, length)| vec![b'a' + u8::try_from(number % 26).unwrap_or_default(); *length])
                .collect();
            let mut batcher = Batcher::default();
            let mut batches = Vec::new();
            let mut too_long = 0;
            for (number, line) in lines.iter().enumerate() {
                match batcher.push(|text| text.extend_from_slice(line), identity(number)) {
                    Ok(full) => batches.extend(full),
                    Err(error) => { prop_assert_eq!(&error.line, line); too_long += 1; }
                }
            }
            batches.extend(batcher.finish());
            prop_assert_eq!(too_long, lines.iter().filter(|line| line.len() > LINE_BYTES_MAX).count());
            let kept: Vec<&Vec<u8>> = lines.iter().filter(|line| line.len() <= LINE_BYTES_MAX).collect();
            let got: Vec<Vec<u8>> = batches.iter().flat_map(|batch| batch.lines().map(|(line, _)| line.to_vec())).collect();
            prop_assert_eq!(got.iter().collect::<Vec<_>>(), kept);
            for batch in &batches {
                prop_assert!(batch.text().len() <= BATCH_BYTES_MAX && !batch.is_empty());
            }
        });
    }

    #[test]
    fn parts_have_all_the_lines_in_order() {
        let mut batcher = Batcher::default();
        for number in 0..5_usize {
            batcher
                .push(|text| text.extend_from_slice(number.to_string().as_bytes()), identity(number))
                .expect("a short line");
        }
        let whole = batcher.finish().expect("five lines");
        let (head, tail) = whole.clone().split_at(2).expect("more than two lines");
        assert_eq!((head.text(), tail.text()), (&b"0\n1\n"[..], &b"2\n3\n4\n"[..]));
        let halves: Vec<_> = head.lines().chain(tail.lines()).collect();
        assert_eq!(halves, whole.lines().collect::<Vec<_>>());
        let (one, _) = head.split_at(1).expect("two lines");
        assert_eq!(one.clone().split_at(0), Err(one.clone()));
        assert_eq!(one.clone().split_at(1), Err(one));
    }
}
