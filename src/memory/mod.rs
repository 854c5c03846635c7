//! How many bytes of pages, records and batches may be in memory, for all APIs together.
//!
//! When a thousand APIs have much to tell at the same time, after a night without network or while the listener is down,
//! their pages would take gigabytes. So a page takes bytes of one [`MemoryBudget`], piece by piece as its body comes in,
//! and gives them back as its batches are acknowledged.
//!
//! The page that began first gets bytes first. A piece is given while the budget isn't exceeded: so the page whose turn it
//! is may exceed it, and whoever did gets the rest of its page, too. That is one page at a time, and the reason why nobody
//! waits for ever: who has a whole page needs nothing more to ship it and give its bytes back, and of those who have a part
//! of one the first may always go on.
//!
//! A request takes its first bytes before it is sent, as an answer lies in the buffers of its connection before it is
//! read; where the answer keeps it waiting it gives them back ([`Permit::patiently`]).

mod outage;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

pub use outage::{Outage, TRIAL_EVERY};

/// The budget where the config names none.
pub const BUDGET_BYTES_DEFAULT: u64 = 128 * 1024 * 1024;
/// The smallest budget: below it one usual page would take all of it.
pub const BUDGET_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// The largest: what no machine has.
pub const BUDGET_BYTES_MAX: u64 = 1 << 40;

/// What a request takes before it is sent; a small answer takes no more besides its body.
const FIRST_BYTES: u64 = 64 * 1024;
/// What the buffers of a connection and of its decoder hold of a larger answer while it is read.
const CONNECTION_BYTES: u64 = 1024 * 1024;
/// How much more is taken at a time.
const PIECE_BYTES: u64 = 256 * 1024;
/// How long a request keeps what it took while nothing comes.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether somebody waits for bytes.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(200);
/// What a record takes besides its text: its place, date, fingerprint and whether it is known, some of it twice.
const RECORD_BYTES: u64 = 400;
/// The most that the batches of one iteration take: more aren't made before earlier ones are delivered.
const BATCHES_BYTES_MAX: u64 = 6 * 1024 * 1024;
/// How many times as large as its text a page is as a tree of values, measured with small records.
const TREE_FACTOR: u64 = 20;

/// The budget, shared by all APIs.
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<BudgetState>,
    next_ticket: AtomicU64,
    patience: Duration,
}

/// Who has how much; decides alone, and waits for nobody.
#[derive(Debug)]
struct BudgetState {
    limit: u64,
    used: u64,
    used_max: u64,
    /// By their tickets: the first began first.
    waiting: BTreeMap<u64, Arc<Notify>>,
    /// The page that has exceeded the limit.
    exceeding: Option<u64>,
}

/// What of the budget is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The budget.
    pub limit_bytes: u64,
    /// What is taken of it now. It may be more than the budget by one page.
    pub used_bytes: u64,
    /// The most that was ever taken.
    pub used_max_bytes: u64,
}

/// The bytes of one page, and of the batches that are made of it.
#[derive(Debug)]
pub struct Permit {
    budget: MemoryBudget,
    ticket: u64,
    bytes: u64,
    wake: Arc<Notify>,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self::new(BUDGET_BYTES_DEFAULT)
    }
}

impl MemoryBudget {
    /// Of so many bytes.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        Self::with_patience(limit_bytes, PATIENCE)
    }

    fn with_patience(limit: u64, patience: Duration) -> Self {
        let state = BudgetState { limit, used: 0, used_max: 0, waiting: BTreeMap::new(), exceeding: None };
        Self(Arc::new(Shared { state: Mutex::new(state), next_ticket: AtomicU64::default(), patience }))
    }

    /// Sets another limit. What is taken stays taken.
    pub fn set_limit(&self, limit_bytes: u64) {
        let mut state = self.state();
        state.limit = limit_bytes;
        state.wake_first();
    }

    /// What of it is in use.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.state();
        Usage { limit_bytes: state.limit, used_bytes: state.used, used_max_bytes: state.used_max }
    }

    /// A place in the order of those who take bytes, with none yet.
    #[must_use]
    pub fn permit(&self) -> Permit {
        let ticket = self.0.next_ticket.fetch_add(1, Ordering::Relaxed);
        Permit { budget: self.clone(), ticket, bytes: 0, wake: Arc::default() }
    }

    /// Whether somebody waits for bytes.
    #[must_use]
    pub fn is_short(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Returns once somebody waits for bytes.
    pub async fn shortage(&self) {
        while !self.is_short() {
            tokio::time::sleep(LOOKED_AT_EVERY).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BudgetState {
    /// Gives bytes, if it is that page's turn and there are some.
    fn take(&mut self, ticket: u64, bytes: u64) -> bool {
        let is_exceeding = self.exceeding == Some(ticket);
        let is_first = self.waiting.keys().next().is_none_or(|first| *first >= ticket);
        let is_its_turn = is_first && self.used <= self.limit;
        if !is_exceeding && !is_its_turn {
            return false;
        }
        self.add(bytes);
        if self.used > self.limit {
            self.exceeding = Some(ticket);
        }
        true
    }

    fn add(&mut self, bytes: u64) {
        self.used = self.used.saturating_add(bytes);
        self.used_max = self.used_max.max(self.used);
    }

    fn give_back(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
        if self.used <= self.limit {
            self.exceeding = None;
        }
        self.wake_first();
    }

    /// Who is woken wakes the next one when it has got what it wants.
    fn wake_first(&self) {
        if let Some((_, first)) = self.waiting.first_key_value() {
            first.notify_one();
        }
    }
}

/// Takes somebody out of those who wait, also where the wait is given up.
struct PermitWait<'a> {
    budget: &'a MemoryBudget,
    ticket: u64,
}

impl Drop for PermitWait<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.waiting.remove(&self.ticket);
        state.wake_first();
    }
}

impl Permit {
    /// The budget that it is part of.
    #[must_use]
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes so many more bytes; waits until it gets them. To give up the wait loses nothing.
    pub async fn take(&mut self, bytes: u64) {
        if self.budget.state().take(self.ticket, bytes) {
            self.bytes = self.bytes.saturating_add(bytes);
            return;
        }
        let waits = PermitWait { budget: &self.budget, ticket: self.ticket };
        loop {
            {
                let mut state = self.budget.state();
                if state.take(self.ticket, bytes) {
                    break;
                }
                state.waiting.insert(self.ticket, Arc::clone(&self.wake));
            }
            self.wake.notified().await;
        }
        drop(waits);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Takes what a request needs before it is sent.
    pub async fn take_first(&mut self) {
        self.take(FIRST_BYTES.saturating_sub(self.bytes)).await;
    }

    /// Takes what is needed before an answer is read, where it may be a large one: more may be in the buffers than was asked
    /// for.
    pub async fn take_for_answer(&mut self, bytes_promised: Option<u64>) {
        if bytes_promised.is_none_or(|bytes| bytes > FIRST_BYTES) {
            self.take(CONNECTION_BYTES.saturating_sub(self.bytes)).await;
        }
    }

    /// Takes what is missing for a body of so many bytes, in pieces. `has_tree`: it will be parsed to a tree of values.
    pub async fn take_for_body(&mut self, body_bytes: usize, has_tree: bool) {
        let wanted = page_bytes(body_bytes as u64, has_tree);
        if wanted > self.bytes {
            self.take((wanted - self.bytes).next_multiple_of(PIECE_BYTES)).await;
        }
    }

    /// Counts a page anew once it is parsed. What it takes is in memory already, so nothing waits.
    pub fn count_page(&mut self, text_bytes: usize, records: usize) {
        let records = (records as u64).saturating_mul(RECORD_BYTES);
        self.set(page_bytes(text_bytes as u64, false).saturating_add(with_holes(records)));
    }

    /// Counts nothing but batches of so many bytes.
    pub fn count_batches(&mut self, batches_bytes: usize) {
        self.set(with_holes(batches_bytes as u64));
    }

    /// The same where they may have become less since they were counted last.
    pub fn shrink_to_batches(&mut self, batches_bytes: usize) {
        self.shrink(with_holes(batches_bytes as u64));
    }

    /// Gives everything back, and keeps the place in the order.
    pub fn give_back(&mut self) {
        self.set(0);
    }

    /// Does what may keep it waiting, with so many bytes of a body in memory. When that takes long, what it has beyond them
    /// is given back meanwhile.
    pub async fn patiently<T>(&mut self, body_bytes: usize, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        match timeout(self.budget.0.patience, work.as_mut()).await {
            Ok(done) => done,
            Err(_) => {
                self.shrink(body_bytes as u64);
                work.await
            }
        }
    }

    fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.set(bytes);
        }
    }

    fn set(&mut self, bytes: u64) {
        let mut state = self.budget.state();
        if bytes > self.bytes {
            state.add(bytes - self.bytes);
        } else {
            state.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// What a body takes: its text, the batches that are made of it, and the buffers of its connection.
fn page_bytes(body: u64, has_tree: bool) -> u64 {
    let tree = if has_tree { body.saturating_mul(TREE_FACTOR) } else { 0 };
    let page = body.saturating_add(body.min(BATCHES_BYTES_MAX)).saturating_add(tree);
    let connection = if body <= FIRST_BYTES { FIRST_BYTES } else { CONNECTION_BYTES };
    with_holes(page).saturating_add(connection)
}

/// As much again: what the allocator keeps between what is in use, as measured with pages of 0.7 to 1.5 MB.
fn with_holes(bytes: u64) -> u64 {
    bytes.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::yield_now;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    fn budget(limit: u64) -> MemoryBudget {
        MemoryBudget::with_patience(limit, LONG)
    }

    /// Whether it gets them without a wait.
    async fn gets(permit: &mut Permit, bytes: u64) -> bool {
        tokio::select! {
            biased;
            () = permit.take(bytes) => true,
            () = yield_now() => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_page_may_exceed_the_budget_and_the_others_wait_until_it_is_kept_again() {
        let budget = budget(100);
        let (mut one, mut other) = (budget.permit(), budget.permit());
        assert!(gets(&mut other, 60).await);
        assert!(gets(&mut one, 60).await, "the first may exceed it");
        assert!(gets(&mut one, 1_000).await, "and have the rest of its page");
        assert!(!gets(&mut other, 1).await, "one at a time");
        one.give_back();
        assert!(gets(&mut other, 1).await);
        assert_eq!(budget.usage(), Usage { limit_bytes: 100, used_bytes: 61, used_max_bytes: 1_120 });
    }

    #[tokio::test(start_paused = true)]
    async fn who_began_first_comes_first_and_everybody_gets_there() {
        let budget = budget(10);
        let mut full = budget.permit();
        full.set(11);
        let order = Mutex::new(Vec::new());
        let one_after_the_other = async |mut permit: Permit, name: u32| {
            permit.take(8).await;
            order.lock().expect("nobody panics").push(name);
        };
        let (first, second, third) = (budget.permit(), budget.permit(), budget.permit());
        let all = async {
            tokio::join!(one_after_the_other(third, 3), one_after_the_other(first, 1), one_after_the_other(second, 2))
        };
        let freed = async {
            yield_now().await;
            assert!(budget.is_short());
            full.give_back();
        };
        tokio::join!(all, freed);
        assert_eq!(*order.lock().expect("nobody panics"), [1, 2, 3]);
        assert!(!budget.is_short());
        assert_eq!(budget.usage().used_bytes, 0, "a permit that is dropped gives back what it had");
    }

    #[tokio::test(start_paused = true)]
    async fn two_pages_that_each_have_a_part_and_want_the_rest_are_no_deadlock() {
        let budget = budget(100);
        let parts = (0..10).map(|_| budget.permit()).collect::<Vec<_>>();
        let mut pages = Vec::new();
        for mut page in parts {
            assert!(gets(&mut page, 10).await, "a tenth each, and the budget is used up");
            pages.push(page);
        }
        let rest = pages.into_iter().map(|mut page| async move { page.take(500).await });
        timeout(LONG, futures_util::future::join_all(rest)).await.expect("one after the other");
        assert_eq!(budget.usage().used_bytes, 0);
        assert!(budget.usage().used_max_bytes <= 100 + 500, "one at a time: {:?}", budget.usage());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_a_wait_holds_nobody_up() {
        let budget = budget(10);
        let (mut first, mut second, mut full) = (budget.permit(), budget.permit(), budget.permit());
        full.set(20);
        assert!(timeout(SHORT, first.take(5)).await.is_err(), "given up from outside");
        full.give_back();
        assert!(gets(&mut second, 5).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_kept_waiting_gives_its_bytes_back_meanwhile() {
        let budget = MemoryBudget::with_patience(10, SHORT);
        let (mut slow, mut next) = (budget.permit(), budget.permit());
        slow.take(20).await;
        tokio::select! {
            () = slow.patiently(3, pending()) => {}
            () = next.take(5) => {}
        }
        assert_eq!((slow.bytes(), next.bytes()), (3, 5), "all but what is in memory");
        assert_eq!(slow.patiently(3, async { 7 }).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lower_limit_takes_nothing_away_and_a_higher_one_wakes() {
        let budget = budget(10);
        let (mut one, mut other) = (budget.permit(), budget.permit());
        one.set(8);
        budget.set_limit(5);
        assert!(!gets(&mut other, 1).await);
        tokio::join!(other.take(1), async { budget.set_limit(20) });
        assert_eq!(budget.usage().used_bytes, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_takes_its_text_its_batches_and_its_records() {
        let budget = budget(1 << 30);
        let mut permit = budget.permit();
        permit.take_first().await;
        assert_eq!(permit.bytes(), FIRST_BYTES);
        permit.take_for_answer(Some(FIRST_BYTES)).await;
        assert_eq!(permit.bytes(), FIRST_BYTES);
        permit.take_for_answer(None).await;
        assert_eq!(permit.bytes(), CONNECTION_BYTES);
        permit.take_for_body(1_000_000, false).await;
        assert!((5_000_000..5_500_000).contains(&permit.bytes()), "{}", permit.bytes());
        permit.take_for_body(1_000_000, true).await;
        assert!(permit.bytes() > 20_000_000, "as a tree: {}", permit.bytes());
        permit.count_page(1_000_000, 1_000);
        assert_eq!(permit.bytes(), 4_800_000 + CONNECTION_BYTES);
        permit.count_batches(100);
        assert_eq!(permit.bytes(), 200);
    }
}
