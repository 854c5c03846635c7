//! The engine's words in etcd's, and back.

use etcd_client::proto::{PbEvent, PbKeyValue, PbTxnOpResponse, PbTxnResponse};
use etcd_client::{Compare as EtcdCompare, CompareOp, DeleteOptions, PutOptions, Txn, TxnOp};

use super::fault::Fault;
use crate::cluster::engine::{
    Compare, EngineChange, EngineEntry, KeyRange, Operation, Transaction, TransactionOutcome,
};

/// The number of a deletion among the kinds of events.
const DELETED: i32 = 1;

/// A transaction in etcd's words.
pub(super) fn request(transaction: &Transaction) -> Txn {
    let compare: Vec<_> = transaction.compare.iter().map(condition).collect();
    let [then, otherwise] =
        [&transaction.then, &transaction.otherwise].map(|list| list.iter().map(operation).collect::<Vec<_>>());
    Txn::new().when(compare).and_then(then).or_else(otherwise)
}

fn condition(compare: &Compare) -> EtcdCompare {
    match compare {
        Compare::WrittenAt { key, revision } => EtcdCompare::mod_revision(key.as_str(), CompareOp::Equal, *revision),
        Compare::Leased { key, lease } => EtcdCompare::lease(key.as_str(), CompareOp::Equal, *lease),
    }
}

fn operation(operation: &Operation) -> TxnOp {
    match operation {
        Operation::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease));
            TxnOp::put(key.as_str(), value.as_slice(), options)
        }
        Operation::Delete { key } => TxnOp::delete(key.as_str(), None),
        Operation::DeleteRange(KeyRange { from, to }) => {
            TxnOp::delete(from.as_str(), Some(DeleteOptions::new().with_range(to.as_str())))
        }
        Operation::Get { key } => TxnOp::get(key.as_str(), None),
    }
}

/// What became of a transaction.
pub(super) fn outcome(answer: PbTxnResponse) -> Result<TransactionOutcome, Fault> {
    let revision = answer.header.ok_or_else(unreadable)?.revision;
    let mut read = Vec::new();
    for part in answer.responses {
        if let PbTxnOpResponse::ResponseRange(range) = part.response.ok_or_else(unreadable)? {
            read.push(range.kvs.into_iter().next().map(entry).transpose()?);
        }
    }
    Ok(TransactionOutcome { held: answer.succeeded, revision, read })
}

/// A key as etcd has it.
pub(super) fn entry(of: PbKeyValue) -> Result<EngineEntry, Fault> {
    let key = key_of(of.key)?;
    let lease = (of.lease != 0).then_some(of.lease);
    Ok(EngineEntry { key, value: of.value, written_at: of.mod_revision, lease })
}

/// A change that etcd tells of.
pub(super) fn change(event: PbEvent) -> Result<EngineChange, Fault> {
    let of = event.kv.ok_or_else(unreadable)?;
    if event.r#type == DELETED {
        let revision = of.mod_revision;
        return Ok(EngineChange::Deleted { key: key_of(of.key)?, revision });
    }
    Ok(EngineChange::Put(entry(of)?))
}

fn key_of(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|_| Fault::said(None, "a key is not text; others write there too"))
}

/// An answer that etcd wouldn't give.
pub(super) fn unreadable() -> Fault {
    Fault::said(None, "the answer is not understood")
}
