//! Long work on the runtime's threads.

use tokio::runtime::{Handle, RuntimeFlavor};

/// A text of this size and more is read beside the runtime's thread: a smaller one takes less than a millisecond.
const LARGE_TEXT_BYTES: usize = 256 * 1024;

/// Does what reads the whole of so many bytes; where they are many, the thread's other tasks go on elsewhere meanwhile.
pub(crate) fn beside_the_runtime<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let can_block = || Handle::try_current().is_ok_and(|on| on.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LARGE_TEXT_BYTES && can_block() { tokio::task::block_in_place(work) } else { work() }
}
