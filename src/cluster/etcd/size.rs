//! How large a transaction may be.

use crate::cluster::engine::{Compare, Operation, Transaction};

/// How many conditions, and how many operations on each side, a transaction may have: etcd's default (`--max-txn-ops`).
pub const REQUEST_OPERATIONS_MAX: usize = 128;
/// How large a transaction may be: etcd's default (`--max-request-bytes`).
pub const REQUEST_BYTES_MAX: usize = 1_536 * 1_024;

/// What a condition, an operation or the whole of a request needs at most beside its keys and values.
const FRAME_BYTES_MAX: usize = 64;

/// Why etcd would not take a transaction, if so.
#[must_use]
pub fn excess(transaction: &Transaction) -> Option<String> {
    let Transaction { compare, then, otherwise } = transaction;
    let operations = compare.len().max(then.len()).max(otherwise.len());
    if operations > REQUEST_OPERATIONS_MAX {
        return Some(format!("{operations} operations at once are more than {REQUEST_OPERATIONS_MAX}"));
    }
    let compare = compare.iter().map(compare_bytes);
    let parts = compare.chain(then.iter().chain(otherwise).map(operation_bytes));
    let bytes = FRAME_BYTES_MAX + parts.map(|bytes| bytes + FRAME_BYTES_MAX).sum::<usize>();
    (bytes > REQUEST_BYTES_MAX).then(|| format!("{bytes} bytes at once are more than {REQUEST_BYTES_MAX}"))
}

/// How long the key of a condition is.
fn compare_bytes(compare: &Compare) -> usize {
    match compare {
        Compare::WrittenAt { key, .. } | Compare::Leased { key, .. } => key.len(),
    }
}

/// How long the keys and the value of an operation are.
fn operation_bytes(operation: &Operation) -> usize {
    match operation {
        Operation::Put { key, value, .. } => key.len() + value.len(),
        Operation::Delete { key } | Operation::Get { key } => key.len(),
        Operation::DeleteRange(range) => range.from.len() + range.to.len(),
    }
}
