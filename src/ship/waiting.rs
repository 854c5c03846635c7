//! Batches that wait on the disk for an output that doesn't take them, where the API would not give their records again.
//!
//! One file beside the store for each batch, readable for its owner only, under the names of its output and its API. A batch
//! is on the disk before its records count as delivered, and goes once the output has it: so a crash doubles one batch at
//! most. An output has room for [`OUTPUT_BYTES_MAX`]; beyond it nothing is put there, and the API isn't asked.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::batch::{Batch, Batcher};
use crate::plan::{Config, OutputName};
use crate::record::{Fingerprint, RecordKey};
use crate::runtime::beside_the_runtime;

/// What the files' names begin with.
const FILE_NAME: &str = ".logzio-api-fetcher.waiting";
/// How much may wait for one output, in bytes: an hour or more of most sources, and little of a disk.
pub const OUTPUT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The largest file that is read: a batch and a line, with room.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How many queues without an output or an API are told of.
const TOLD_MAX: usize = 5;
/// For its owner only.
const OWNER_ONLY: u32 = 0o600;

/// What waits for all outputs in one directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct WaitingBatches(Option<Arc<WaitingRoom>>);

#[derive(Debug)]
struct WaitingRoom {
    directory: PathBuf,
    output_bytes_max: u64,
    /// How much waits for each output, where that was counted.
    bytes: Mutex<BTreeMap<OutputName, u64>>,
}

/// What waits for one output of one API, the oldest first.
#[derive(Clone, Debug)]
pub struct WaitingQueue {
    room: Arc<WaitingRoom>,
    output: OutputName,
    /// What the names of its files begin with.
    prefix: String,
}

impl WaitingBatches {
    /// Beside the config.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self::with_limit(directory, OUTPUT_BYTES_MAX)
    }

    /// The same with another limit for each output.
    #[must_use]
    pub fn with_limit(directory: &Path, output_bytes_max: u64) -> Self {
        let (directory, bytes) = (directory.to_owned(), Mutex::default());
        Self(Some(Arc::new(WaitingRoom { directory, output_bytes_max, bytes })))
    }

    /// Nothing waits.
    #[must_use]
    pub fn nowhere() -> Self {
        Self(None)
    }

    /// The queue of an output and an API, where batches may wait.
    #[must_use]
    pub fn queue(&self, output: &OutputName, api: &str) -> Option<WaitingQueue> {
        let room = Arc::clone(self.0.as_ref()?);
        Some(WaitingQueue { room, output: output.clone(), prefix: queue_prefix(output, api) })
    }

    /// The queues of a config, by what the names of their files begin with.
    #[must_use]
    pub fn queues_of(config: &Config) -> HashSet<String> {
        let names = config.names();
        let queues = names.iter().flat_map(|api| config.outputs_of(api).map(|output| queue_prefix(&output.name, api)));
        queues.collect()
    }

    /// Warns of what waits in other queues than these: for an output or an API that isn't in the config, so that nothing
    /// ships it. It waits for the disk.
    pub fn tell_left_over(&self, queues: &HashSet<String>) {
        let mut left_over = BTreeMap::<String, (usize, u64)>::new();
        for file in self.0.as_ref().and_then(|room| room.files(FILE_NAME).ok()).unwrap_or_default() {
            let name = file.file_name().and_then(|name| name.to_str());
            let prefix = name.and_then(|name| name.rsplit_once('-')).map(|(prefix, _)| format!("{prefix}-"));
            if let Some(prefix) = prefix.filter(|prefix| !queues.contains(prefix)) {
                let (batches, bytes) = left_over.entry(prefix).or_default();
                *batches += 1;
                *bytes = bytes.saturating_add(std::fs::metadata(&file).map_or(0, |about| about.len()));
            }
        }
        for (prefix, (batches, bytes)) in left_over.into_iter().take(TOLD_MAX) {
            let files = format!("{prefix}*");
            tracing::warn!(
                batches,
                bytes,
                files,
                "batches wait on the disk for an output or an API that is not in the config; put it back under its name, and \
                 they are shipped, or delete the files"
            );
        }
    }
}

impl WaitingRoom {
    fn bytes(&self) -> MutexGuard<'_, BTreeMap<OutputName, u64>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much waits for an output.
    fn bytes_of(&self, output: &OutputName) -> io::Result<u64> {
        if let Some(known) = self.bytes().get(output) {
            return Ok(*known);
        }
        let files = self.files(&prefix_of(output))?;
        let counted =
            files.iter().map(|file| std::fs::metadata(file).map(|about| about.len())).sum::<io::Result<u64>>()?;
        self.bytes().insert(output.clone(), counted);
        Ok(counted)
    }

    /// The files whose names begin so, in the order of their names.
    fn files(&self, prefix: &str) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(files),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let is_whole = name.to_str().is_some_and(|name| name.starts_with(prefix) && !name.ends_with(".new"));
            files.extend(is_whole.then(|| self.directory.join(name)));
        }
        files.sort();
        Ok(files)
    }
}

impl WaitingQueue {
    /// Whether nothing waits.
    ///
    /// # Errors
    /// Where the directory can't be read.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.room.files(&self.prefix)?.is_empty())
    }

    /// Whether there is no room for more, of all that waits for the output.
    ///
    /// # Errors
    /// Where the directory can't be read.
    pub fn is_full(&self) -> io::Result<bool> {
        Ok(self.room.bytes_of(&self.output)? >= self.room.output_bytes_max)
    }

    /// Puts a batch behind the others; it is on the disk afterwards.
    ///
    /// # Errors
    /// Where it can't be written, or there is no room: [`ErrorKind::StorageFull`].
    pub fn push(&self, batch: &Batch) -> io::Result<()> {
        beside_the_runtime(usize::MAX, || {
            if self.is_full()? {
                return Err(ErrorKind::StorageFull.into());
            }
            let last = self.room.files(&self.prefix)?.pop();
            let number =
                last.as_deref().and_then(|file| self.number(file)).map_or(0, |number| number.saturating_add(1));
            self.write(&self.room.directory.join(format!("{}{number:016x}", self.prefix)), batch.text())?;
            let added = batch.text().len() as u64;
            self.room.bytes().entry(self.output.clone()).and_modify(|bytes| *bytes = bytes.saturating_add(added));
            Ok(())
        })
    }

    /// The batch that waits longest, if one does, and its place. Its records are known by their lines.
    ///
    /// # Errors
    /// Where it can't be read.
    pub fn first(&self) -> io::Result<Option<(PathBuf, Batch)>> {
        let Some(path) = self.room.files(&self.prefix)?.into_iter().next() else { return Ok(None) };
        let mut text = Vec::new();
        File::open(&path)?.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
        let mut batcher = Batcher::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let key = RecordKey { fingerprint: Fingerprint::of(&[line]), date: None };
            // What was a batch is one again: no line is too long, and all fit.
            drop(batcher.push(|end| end.extend_from_slice(line), key));
        }
        Ok(Some((path, batcher.finish().unwrap_or_default())))
    }

    /// Writes a file whole, or not at all.
    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        // Each has its own: others are written at the same time.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(&self.room.directory)?.sync_all()
    }

    /// Has these lines alone wait of a batch that the output has but for them.
    ///
    /// # Errors
    /// Where its file can't be written, or removed.
    pub fn keep_rest(&self, place: &Path, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return self.remove(place);
        }
        let gone = beside_the_runtime(usize::MAX, || {
            let bytes = std::fs::metadata(place)?.len();
            self.write(place, lines)?;
            io::Result::Ok(bytes.saturating_sub(lines.len() as u64))
        })?;
        self.room.bytes().entry(self.output.clone()).and_modify(|known| *known = known.saturating_sub(gone));
        Ok(())
    }

    /// Lets go of a batch that the output has; its file is gone from the disk afterwards, as nothing else tells that it was
    /// shipped.
    ///
    /// # Errors
    /// Where its file can't be removed.
    pub fn remove(&self, place: &Path) -> io::Result<()> {
        let bytes = beside_the_runtime(usize::MAX, || {
            let bytes = std::fs::metadata(place)?.len();
            std::fs::remove_file(place)?;
            File::open(&self.room.directory)?.sync_all()?;
            io::Result::Ok(bytes)
        })?;
        self.room.bytes().entry(self.output.clone()).and_modify(|known| *known = known.saturating_sub(bytes));
        Ok(())
    }

    fn number(&self, file: &Path) -> Option<u64> {
        u64::from_str_radix(file.file_name()?.to_str()?.strip_prefix(&self.prefix)?, 16).ok()
    }
}

/// What the names of the files of an output and an API begin with.
fn queue_prefix(output: &OutputName, api: &str) -> String {
    format!("{}{}-", prefix_of(output), hex(&[b"api", api.as_bytes()]))
}

/// What the names of an output's files begin with.
fn prefix_of(output: &OutputName) -> String {
    format!("{FILE_NAME}-{}-", hex(&[b"output", output.as_str().as_bytes()]))
}

/// What stands for a name that may hold what no file name can.
fn hex(parts: &[&[u8]]) -> String {
    Fingerprint::of(parts).bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn batch(lines: &[&str]) -> Batch {
        let mut batcher = Batcher::default();
        for line in lines {
            let key = RecordKey { fingerprint: Fingerprint::of(&[line.as_bytes()]), date: None };
            batcher.push(|end| end.extend_from_slice(line.as_bytes()), key).expect("it is short");
        }
        batcher.finish().expect("there are lines")
    }

    #[test]
    fn batches_wait_in_their_order_and_outlive_the_process() {
        let directory = tempfile::tempdir().expect("a directory");
        let (one, other) = (OutputName::new("one".to_owned()), OutputName::new("other".to_owned()));
        let queue =
            |output: &OutputName, api: &str| WaitingBatches::new(directory.path()).queue(output, api).expect("a queue");
        assert!(
            queue(&one, "a").is_empty().expect("it reads") && queue(&one, "a").first().expect("it reads").is_none()
        );
        queue(&one, "a").push(&batch(&["1", "2"])).expect("it is kept");
        queue(&one, "a").push(&batch(&["3"])).expect("it is kept");
        queue(&one, "a/b: c").push(&batch(&["x"])).expect("it is kept");
        assert!(queue(&other, "a").is_empty().expect("it reads"), "another output's");
        let (place, first) = queue(&one, "a").first().expect("it reads").expect("one waits");
        assert_eq!((first.text(), first.len()), (b"1\n2\n".as_slice(), 2));
        assert_eq!(std::fs::metadata(&place).expect("a file").permissions().mode() & 0o777, OWNER_ONLY);
        queue(&one, "a").remove(&place).expect("it goes");
        queue(&one, "a").push(&batch(&["4"])).expect("it is kept");
        let mut texts = Vec::new();
        while let Some((place, next)) = queue(&one, "a").first().expect("it reads") {
            texts.push(String::from_utf8_lossy(next.text()).into_owned());
            queue(&one, "a").remove(&place).expect("it goes");
        }
        assert_eq!(texts, ["3\n", "4\n"]);
        assert!(!queue(&one, "a/b: c").is_empty().expect("it reads"));
    }

    #[test]
    fn what_the_output_lacks_of_a_batch_waits_in_its_place() {
        let directory = tempfile::tempdir().expect("a directory");
        let (room, one) = (WaitingBatches::with_limit(directory.path(), 6), OutputName::new("one".to_owned()));
        let queue = room.queue(&one, "a").expect("a queue");
        queue.push(&batch(&["1", "2", "3"])).expect("it is kept");
        queue.push(&batch(&["4"])).expect_err("there is no room");
        let (place, _) = queue.first().expect("it reads").expect("one waits");
        queue.keep_rest(&place, b"3\n").expect("it is written");
        queue.push(&batch(&["4"])).expect("there is room");
        let (same, rest) = queue.first().expect("it reads").expect("one waits");
        assert_eq!((same, rest.text()), (place.clone(), b"3\n".as_slice()));
        queue.keep_rest(&place, b"").expect("it is removed");
        let (next, rest) = queue.first().expect("it reads").expect("one waits");
        assert!(next != place && rest.text() == b"4\n");
        assert_eq!(std::fs::read_dir(directory.path()).expect("it reads").count(), 1);
    }

    #[test]
    fn an_output_has_so_much_room_and_no_more() {
        let directory = tempfile::tempdir().expect("a directory");
        let room = WaitingBatches::with_limit(directory.path(), 10);
        let queue = |room: &WaitingBatches, output: &OutputName, api: &str| room.queue(output, api).expect("a queue");
        let (one, other) = (OutputName::new("one".to_owned()), OutputName::new("other".to_owned()));
        queue(&room, &one, "a").push(&batch(&["12345"])).expect("there is room");
        queue(&room, &one, "b").push(&batch(&["12345"])).expect("there is room, if not for all of it");
        let full = queue(&room, &one, "a").push(&batch(&["1"])).expect_err("there is none");
        assert_eq!(full.kind(), ErrorKind::StorageFull);
        assert!(
            queue(&room, &one, "c").is_full().expect("it reads")
                && !queue(&room, &other, "a").is_full().expect("it reads")
        );
        let counted_again = WaitingBatches::with_limit(directory.path(), 10);
        assert!(queue(&counted_again, &one, "a").is_full().expect("it reads"));
        let (place, _) = queue(&room, &one, "a").first().expect("it reads").expect("one waits");
        queue(&room, &one, "a").remove(&place).expect("it goes");
        assert!(!queue(&room, &one, "a").is_full().expect("it reads"));
    }
}
