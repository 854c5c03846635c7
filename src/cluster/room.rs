//! How much of what was delivered the members of a cluster remember in its engine, and what they do near the bound.
//!
//! An engine that is full takes nothing at all, so the bound lies far below what it may hold. Each member has a share of it,
//! by the slots that it owns. What is remembered is forgotten when a window is complete: so APIs that are in the middle of
//! one go on, and others wait for their turn to begin. Nobody stands still for ever: to complete windows is what makes room.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::slot::SLOTS;

/// How many bytes all members remember: a quarter of the largest database that etcd is advised to have, some 107 million
/// records.
pub const REMEMBERED_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// How much of a share is taken, in per cent, when APIs begin to take turns.
const TIGHT_PERCENT: u64 = 80;
/// How many APIs of a member have an iteration at the same time then.
const TURNS: usize = 4;
/// How often is looked whether there is room again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How much room is left of a member's share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoomLevel {
    /// Enough.
    #[default]
    Free,
    /// Little: who begins a window takes turns.
    Tight,
    /// None: everybody takes turns.
    Spent,
}

/// The share of a member with so many slots, in bytes.
#[must_use]
pub fn remembered_share(slots: usize) -> u64 {
    REMEMBERED_BYTES_MAX / u64::from(SLOTS) * slots as u64
}

impl RoomLevel {
    /// Where a member with so many slots remembers so many bytes.
    #[must_use]
    pub fn of(bytes: u64, slots: usize) -> Self {
        let share = remembered_share(slots);
        match bytes {
            0 => Self::Free,
            bytes if bytes >= share => Self::Spent,
            bytes if bytes >= share / 100 * TIGHT_PERCENT => Self::Tight,
            _ => Self::Free,
        }
    }

    /// Whether an API takes turns with others; `is_open` where it is in the middle of a window.
    fn takes_turns(self, is_open: bool) -> bool {
        match self {
            Self::Free => false,
            Self::Tight => !is_open,
            Self::Spent => true,
        }
    }
}

/// Who may have an iteration where there is little room.
#[derive(Debug)]
pub struct RoomTurns {
    turns: Arc<Semaphore>,
    /// What the log has.
    told: AtomicU8,
}

/// The right to have one iteration.
#[derive(Debug, Default)]
pub struct RoomTurn(#[expect(dead_code, reason = "it is given back when it goes")] Option<OwnedSemaphorePermit>);

impl Default for RoomTurns {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(TURNS)), told: AtomicU8::new(0) }
    }
}

impl RoomTurns {
    /// Waits until an iteration may begin. `remembered` gives the bytes that are remembered and the slots that are owned.
    pub async fn take(&self, is_open: bool, remembered: impl Fn() -> (u64, usize)) -> RoomTurn {
        let turns = Arc::clone(&self.turns).acquire_owned();
        tokio::pin!(turns);
        loop {
            let (bytes, slots) = remembered();
            let level = RoomLevel::of(bytes, slots);
            self.tell(level, bytes, slots);
            if !level.takes_turns(is_open) {
                return RoomTurn::default();
            }
            if let Ok(turn) = timeout_at(Instant::now() + LOOK_EVERY, &mut turns).await {
                return RoomTurn(turn.ok());
            }
        }
    }

    /// Tells a change, once.
    fn tell(&self, level: RoomLevel, bytes: u64, slots: usize) {
        let before = self.told.swap(level as u8, Ordering::Relaxed);
        if before == level as u8 {
            return;
        }
        let of = remembered_share(slots);
        match level {
            RoomLevel::Free => tracing::info!(bytes, of, "there is room again for what was delivered"),
            RoomLevel::Tight | RoomLevel::Spent => tracing::warn!(
                bytes,
                of,
                "what was delivered nearly fills this member's share of etcd: APIs take turns, {TURNS} at a time, until \
                 windows are complete; where that lasts, `overlap` may be shorter or members more"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_goes_by_the_slots_and_all_shares_are_the_bound() {
        assert_eq!(remembered_share(usize::from(SLOTS)), REMEMBERED_BYTES_MAX);
        assert_eq!(remembered_share(512), 1024 * 1024 * 1024);
        let cases = [
            (0, 0, RoomLevel::Free),
            (1, 0, RoomLevel::Spent),
            (800 << 20, 512, RoomLevel::Free),
            (820 << 20, 512, RoomLevel::Tight),
            (1024 << 20, 512, RoomLevel::Spent),
        ];
        for (bytes, slots, expected) in cases {
            assert_eq!(RoomLevel::of(bytes, slots), expected, "{bytes} of {slots} slots");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_the_middle_of_a_window_goes_on_and_others_take_turns_until_there_is_room() {
        let (turns, tight) = (RoomTurns::default(), || (900 << 20, 512));
        let taken = [turns.take(false, tight).await, turns.take(false, tight).await];
        let others = [turns.take(false, tight).await, turns.take(false, tight).await];
        let waits = Duration::from_secs(60);
        let fifth = tokio::time::timeout(waits, turns.take(false, tight)).await;
        assert!(fifth.is_err(), "four have their turn");
        let open = tokio::time::timeout(waits, turns.take(true, tight)).await;
        assert!(open.is_ok(), "it is in the middle of a window");
        let spent = tokio::time::timeout(waits, turns.take(true, || (1 << 30, 512))).await;
        assert!(spent.is_err(), "nobody goes on without a turn");
        drop(taken);
        assert!(tokio::time::timeout(waits, turns.take(true, || (1 << 30, 512))).await.is_ok(), "a turn is free");
        let begun = Instant::now();
        let room = || if begun.elapsed() < waits { (1 << 30, 512) } else { (1, 512) };
        let more = [turns.take(false, room).await, turns.take(false, room).await, turns.take(false, room).await];
        assert!(begun.elapsed() >= waits, "the third of them waits for room");
        drop((others, more));
    }
}
