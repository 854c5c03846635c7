//! Log lines on their way to a thread of their own: whoever logs never waits for whoever reads.
//!
//! A pipe that nobody reads blocks every write into it, for as long as nobody does. What finds no room in the queue is
//! dropped, counted, and told in its place as soon as there is a reader again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// How many lines may wait, some 1 MB: what a thousand APIs log in a few iterations.
const LINES_MAX: usize = 4096;
/// How long the end waits for a reader that takes nothing at all.
const STUCK_FOR_MAX: Duration = Duration::from_millis(500);
/// How often the end looks whether everything is written.
const LOOKED_EVERY: Duration = Duration::from_millis(2);

/// A line, and how many before it found no room.
struct QueuedText {
    dropped_before: u64,
    text: Vec<u8>,
}

/// The way to the thread.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    lines: SyncSender<QueuedText>,
    counts: Arc<QueueCounts>,
}

#[derive(Debug, Default)]
struct QueueCounts {
    /// Lines that found no room and aren't told of yet.
    dropped: AtomicU64,
    queued: AtomicU64,
    written: AtomicU64,
}

impl Queue {
    /// Starts the thread. It writes by `write`, and tells of dropped lines in the words of `told`.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(super) fn start(
        write: impl FnMut(&[u8]) + Send + 'static,
        told: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let counts = Arc::new(QueueCounts::default());
        let written = Arc::clone(&counts);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || work(&waiting, &written, write, told))?;
        Ok(Self { lines, counts })
    }

    /// Queues a line, or drops it where there is no room.
    pub(super) fn push(&self, text: &[u8]) {
        let dropped_before = self.counts.dropped.swap(0, Ordering::Relaxed);
        // Before it is queued, or it might be written before it counts.
        self.counts.queued.fetch_add(1, Ordering::SeqCst);
        let queued = self.lines.try_send(QueuedText { dropped_before, text: text.to_vec() });
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queued {
            self.counts.queued.fetch_sub(1, Ordering::SeqCst);
            self.counts.dropped.fetch_add(dropped_before + 1, Ordering::Relaxed);
        }
    }

    /// Waits until everything that is queued is written; at most so long, and only while somebody reads.
    pub(super) fn flush(&self, within: Duration) {
        let begun = Instant::now();
        let written = || self.counts.written.load(Ordering::SeqCst);
        let (mut last, mut moved_at) = (written(), begun);
        while written() < self.counts.queued.load(Ordering::SeqCst) {
            if written() != last {
                (last, moved_at) = (written(), Instant::now());
            }
            if begun.elapsed() >= within || moved_at.elapsed() >= STUCK_FOR_MAX {
                return;
            }
            std::thread::sleep(LOOKED_EVERY);
        }
        if self.counts.dropped.load(Ordering::Relaxed) > 0 {
            // Nothing but what was dropped is left to be told. To be told it takes a line, which is empty.
            self.push(b"");
            self.flush(within.saturating_sub(begun.elapsed()));
        }
    }
}

fn work(
    waiting: &Receiver<QueuedText>,
    counts: &QueueCounts,
    mut write: impl FnMut(&[u8]),
    told: impl Fn(u64) -> String,
) {
    while let Ok(line) = waiting.recv() {
        if line.dropped_before > 0 {
            write(told(line.dropped_before).as_bytes());
        }
        if !line.text.is_empty() {
            write(&line.text);
        }
        counts.written.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    /// A queue, what releases its reader for a line each, and what was read.
    fn queue() -> (Queue, std::sync::mpsc::Sender<()>, Arc<Mutex<Vec<String>>>) {
        let (release, released) = channel::<()>();
        let read = Arc::new(Mutex::new(Vec::new()));
        let reader = Arc::clone(&read);
        let write = move |line: &[u8]| {
            let _ = released.recv();
            reader.lock().expect("no panic").push(String::from_utf8_lossy(line).into_owned());
        };
        (Queue::start(write, |dropped| format!("{dropped} dropped")).expect("a thread"), release, read)
    }

    #[test]
    fn nobody_waits_for_a_reader_and_what_is_dropped_is_told_in_its_place() {
        let (queue, release, read) = queue();
        // One is in the thread's hands or in the queue still, as it happens.
        (0..LINES_MAX + 10).for_each(|number| queue.push(number.to_string().as_bytes()));
        let (flushed, ended) = channel();
        let flushing = queue.clone();
        std::thread::spawn(move || {
            flushing.flush(Duration::from_secs(3_600));
            flushed.send(()).expect("somebody waits");
        });
        ended.recv_timeout(Duration::from_secs(60)).expect("a reader that takes nothing is not waited for");
        assert_eq!(queue.counts.written.load(Ordering::SeqCst), 0, "nothing was read");
        let dropped = queue.counts.dropped.load(Ordering::Relaxed);
        assert!((9..=10).contains(&dropped), "{dropped}");
        // From now on it reads everything.
        drop(release);
        while queue.counts.written.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        queue.push(b"again");
        queue.flush(Duration::from_secs(30));
        let read = read.lock().expect("no panic").clone();
        let kept = LINES_MAX + 10 - usize::try_from(dropped).expect("few");
        let expected: Vec<String> = (0..kept).map(|number| number.to_string()).collect();
        assert_eq!(read[..kept], expected, "in their order");
        assert_eq!(read[kept..], [format!("{dropped} dropped"), "again".to_owned()]);
    }

    #[test]
    fn what_was_dropped_last_is_told_at_the_end() {
        let (queue, release, read) = queue();
        (0..LINES_MAX + 10).for_each(|_| queue.push(b"x"));
        drop(release);
        queue.flush(Duration::from_secs(30));
        let read = read.lock().expect("no panic");
        assert!(read.last().is_some_and(|line| line.ends_with("dropped")), "{:?}", read.last());
        assert_eq!(
            read.iter().filter(|line| *line == "x").count() + 10,
            LINES_MAX + 10 + usize::from(read[LINES_MAX] == "x")
        );
    }
}
