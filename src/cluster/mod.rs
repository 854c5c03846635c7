//! Several fetchers that share one config's APIs: who runs which, and how no write of a former owner gets through.
//!
//! Pure, but for the engine's own module: what is decided here is played against a model of an engine that loses, delays
//! and reorders.

mod assign;
mod claim;
mod client;
mod counters;
mod engine;
#[cfg(feature = "cluster")]
pub mod etcd;
mod fence;
mod forms;
mod keys;
mod lease;
mod leave;
mod login;
mod member;
mod memory;
mod moves;
mod ownership;
mod pause;
mod queue;
mod reach;
mod restless;
mod room;
mod share;
#[cfg(test)]
mod simulation;
mod slot;
mod status;
mod thread;
mod unwritten;
mod view;

pub use assign::Targets;
pub use claim::{SeenSlot, TakenSlot, join, release, take, taken};
pub use client::{Engine, EngineWatch};
pub use counters::{ANSWER_BOUNDS, AnswerTimes, ClusterCounters, ClusterTotals, EngineOperation};
pub use engine::{
    ABSENT, Compare, EngineChange, EngineEntry, EngineError, EngineNode, EngineRoom, EntryPage, KeyRange, LeaseId,
    LeaseState, Operation, RangePages, Transaction, TransactionOutcome,
};
pub use fence::{Fence, FencedWrite, FoldedChunks, LaneChange, LaneHead, WriteVerdict, together, verdicts};
pub use forms::{EntryForms, FORMS_MAX, OtherForms};
pub use keys::{ClusterKeys, LaneKeys};
pub use lease::{
    BORDER_AFTER, CALM, GRACE, HANDOVERS_PER_SECOND, LEASE_TTL, LeaseClock, RENEW_EVERY, RESTLESS_FOR, RESTLESS_JOINS,
    RESTLESS_WITHIN, SEND_UNTIL, TRY_WITHIN,
};
pub use leave::{SendLeave, since_boot};
pub use login::{LoginClaim, LoginTurn, SeenTurn, TurnEnd};
pub use member::{
    AboutMember, ClusterSummary, JoinError, Joined, MemberEntries, MemberHandle, Membership, SlotEvent, tell_pauses,
};
pub use memory::{MemoryEngine, MemoryStore, MemoryWatch};
pub use moves::Decision;
pub use ownership::Ownership;
pub use pause::{PAUSE_MAX, ToldPause, UNTOLD_MAX, UntoldPause};
pub use queue::{BYTES_MAX, EndedWrite, OPERATIONS_MAX, Ticket, WriteEnd, WriteQueue};
pub use reach::{CEDE_AFTER, Reach, ReachClock};
pub use restless::{Joins, Standing};
pub use room::{REMEMBERED_BYTES_MAX, RoomLevel, RoomTurn, RoomTurns, remembered_share};
pub use share::ShareClock;
pub use slot::{KeyPartError, MemberId, SLOTS, Slot};
pub use status::{ClusterStatus, cluster_status};
pub use thread::EngineThread;
pub use unwritten::UnwrittenError;
pub use view::ClusterView;
