//! Under which keys a cluster's state stands in its engine.
//!
//! | key | holds | by |
//! |---|---|---|
//! | `v` | layout and number of slots | [`ClusterKeys::layout`] |
//! | `m/MEMBER:INCARNATION` | a member that lives; hangs on its lease | [`ClusterKeys::member`] |
//! | `n/MEMBER:INCARNATION` | the forms of its entries; hangs on the same lease | [`ClusterKeys::forms`] |
//! | `j/MEMBER/NUMBER` | that a member has joined lately; hangs on a lease of its own | [`ClusterKeys::join`] |
//! | `q/HOST` | how many seconds a host isn't to be asked with a login; hangs on a lease of that length | [`ClusterKeys::pause`] |
//! | `s/SLOT` | the member that owns a slot; the revision of its last write is the *token* | [`ClusterKeys::slot`] |
//! | `h/SLOT/LANE` | the *head*: which write of the lane was the last | [`LaneKeys::head`] |
//! | `a/SLOT/LANE` | the lane's account, deflated JSON | [`LaneKeys::account`] |
//! | `d/SLOT/LANE/LEDGER/SEQ` | record keys of one batch | [`LaneKeys::chunk`] |
//! | `r/SLOT/LANE` | rewritten when somebody edits the lane's state | [`LaneKeys::bell`] |
//! | `u` | the last changes by `state`, for its `undo` | [`ClusterKeys::changes`] |
//! | `c/LOGIN` | the refresh token that counts for a login: the one secret in it | [`ClusterKeys::login_token`] |
//! | `l/LOGIN` | the member that logs in with it at this moment | [`ClusterKeys::login_turn`] |
//!
//! A lane is an API and one of its outputs; both of one API lie in the slot of its name. Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::engine::KeyRange;
use super::slot::{MemberId, Slot};

/// What stays as it is in a key.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// The keys of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterKeys {
    prefix: String,
}

/// The keys of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneKeys {
    prefix: String,
    place: String,
}

impl ClusterKeys {
    /// Of the cluster of a name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self { prefix: format!("/logzio-api-fetcher/{}/", utf8_percent_encode(name, PLAIN)) }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> KeyRange {
        below(&self.prefix)
    }

    /// Which layout the others have.
    #[must_use]
    pub fn layout(&self) -> String {
        format!("{}v", self.prefix)
    }

    /// Of a member.
    #[must_use]
    pub fn member(&self, member: &MemberId) -> String {
        format!("{}m/{member}", self.prefix)
    }

    /// Of all members.
    #[must_use]
    pub fn members(&self) -> KeyRange {
        below(&format!("{}m/", self.prefix))
    }

    /// Of the forms of a member's entries.
    #[must_use]
    pub fn forms(&self, member: &MemberId) -> String {
        format!("{}n/{member}", self.prefix)
    }

    /// The member in a key of its forms.
    #[must_use]
    pub fn forms_in(&self, key: &str) -> Option<MemberId> {
        key.strip_prefix(&self.prefix)?.strip_prefix("n/")?.parse().ok()
    }

    /// Of one join of a member, which tells those apart that come and go all the time.
    #[must_use]
    pub fn join(&self, member: &str, number: u64) -> String {
        format!("{}{number:016x}", self.joins(member).from)
    }

    /// Of all joins of a member that aren't forgotten.
    #[must_use]
    pub fn joins(&self, member: &str) -> KeyRange {
        below(&format!("{}j/{}/", self.prefix, utf8_percent_encode(member, PLAIN)))
    }

    /// Of the wait that a host asked for; it is named by a word that tells nothing of it.
    #[must_use]
    pub fn pause(&self, host: &str) -> String {
        format!("{}q/{}", self.prefix, utf8_percent_encode(host, PLAIN))
    }

    /// The host in the key of its wait.
    #[must_use]
    pub fn pause_in(&self, key: &str) -> Option<String> {
        let host = key.strip_prefix(&self.prefix)?.strip_prefix("q/")?;
        Some(percent_decode_str(host).decode_utf8().ok()?.into_owned())
    }

    /// Of everything that tells who lives, which hosts wait, whose state was edited, and who owns what.
    #[must_use]
    pub fn membership(&self) -> KeyRange {
        KeyRange { from: self.members().from, to: self.slots().to }
    }

    /// Of who owns a slot.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> String {
        format!("{}s/{slot}", self.prefix)
    }

    /// Of all slots that are owned.
    #[must_use]
    pub fn slots(&self) -> KeyRange {
        below(&format!("{}s/", self.prefix))
    }

    /// Of all accounts of a slot.
    #[must_use]
    pub fn accounts_of(&self, slot: Slot) -> KeyRange {
        below(&format!("{}a/{slot}/", self.prefix))
    }

    /// Of all accounts.
    #[must_use]
    pub fn accounts(&self) -> KeyRange {
        below(&format!("{}a/", self.prefix))
    }

    /// Of all heads.
    #[must_use]
    pub fn heads(&self) -> KeyRange {
        below(&format!("{}h/", self.prefix))
    }

    /// Of the last changes, which `state undo` takes back.
    #[must_use]
    pub fn changes(&self) -> String {
        format!("{}u", self.prefix)
    }

    /// The same, as a range.
    #[must_use]
    pub fn changes_range(&self) -> KeyRange {
        KeyRange { from: self.changes(), to: format!("{}\0", self.changes()) }
    }

    /// Of the refresh token that counts for a login.
    #[must_use]
    pub fn login_token(&self, login: &str) -> String {
        format!("{}{}", self.login_tokens().from, utf8_percent_encode(login, PLAIN))
    }

    /// Of all refresh tokens.
    #[must_use]
    pub fn login_tokens(&self) -> KeyRange {
        below(&format!("{}c/", self.prefix))
    }

    /// The login in the key of its refresh token.
    #[must_use]
    pub fn login_in(&self, key: &str) -> Option<String> {
        let login = key.strip_prefix(&self.prefix)?.strip_prefix("c/")?;
        Some(percent_decode_str(login).decode_utf8().ok()?.into_owned())
    }

    /// Of whose turn it is to log in.
    #[must_use]
    pub fn login_turn(&self, login: &str) -> String {
        format!("{}l/{}", self.prefix, utf8_percent_encode(login, PLAIN))
    }

    /// Of all heads of a slot.
    #[must_use]
    pub fn heads_of(&self, slot: Slot) -> KeyRange {
        below(&format!("{}h/{slot}/", self.prefix))
    }

    /// Of a lane in the slot of its API, by the key of its state.
    #[must_use]
    pub fn lane(&self, slot: Slot, lane: &str) -> LaneKeys {
        LaneKeys { prefix: self.prefix.clone(), place: format!("{slot}/{}", utf8_percent_encode(lane, PLAIN)) }
    }

    /// The member in a key of one.
    #[must_use]
    pub fn member_in(&self, key: &str) -> Option<MemberId> {
        key.strip_prefix(&self.prefix)?.strip_prefix("m/")?.parse().ok()
    }

    /// The lane in the key of its bell.
    #[must_use]
    pub fn bell_in(&self, key: &str) -> Option<String> {
        key.strip_prefix(&self.prefix).filter(|rest| rest.starts_with("r/")).and_then(|_| Some(self.lane_in(key)?.1))
    }

    /// The slot in the key of its owner.
    #[must_use]
    pub fn slot_in(&self, key: &str) -> Option<Slot> {
        key.strip_prefix(&self.prefix)?.strip_prefix("s/")?.parse().ok()
    }

    /// The slot of a lane and the key of its state, in the key of its account, its head or its bell.
    #[must_use]
    pub fn lane_in(&self, key: &str) -> Option<(Slot, String)> {
        let (kind, place) = key.strip_prefix(&self.prefix)?.split_once('/')?;
        let (slot, lane) = place.split_once('/')?;
        let lane = percent_decode_str(lane).decode_utf8().ok()?.into_owned();
        if matches!(kind, "a" | "h" | "r") { Some((slot.parse().ok()?, lane)) } else { None }
    }
}

impl LaneKeys {
    /// Which write was the last.
    #[must_use]
    pub fn head(&self) -> String {
        format!("{}h/{}", self.prefix, self.place)
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> String {
        format!("{}a/{}", self.prefix, self.place)
    }

    /// What tells of edits.
    #[must_use]
    pub fn bell(&self) -> String {
        format!("{}r/{}", self.prefix, self.place)
    }

    /// What was delivered in one batch.
    #[must_use]
    pub fn chunk(&self, ledger: u64, seq: u64) -> String {
        format!("{}d/{}/{ledger:016x}/{seq:016x}", self.prefix, self.place)
    }

    /// What was delivered, all of one ledger.
    #[must_use]
    pub fn chunks_of(&self, ledger: u64) -> KeyRange {
        below(&format!("{}d/{}/{ledger:016x}/", self.prefix, self.place))
    }

    /// What was delivered, of every ledger that the lane ever had.
    #[must_use]
    pub fn chunks(&self) -> KeyRange {
        below(&format!("{}d/{}/", self.prefix, self.place))
    }

    /// The ledger and the number of a chunk, in its key.
    #[must_use]
    pub fn chunk_in(&self, key: &str) -> Option<(u64, u64)> {
        let rest = key.strip_prefix(&self.chunks().from)?;
        let (ledger, seq) = rest.split_once('/')?;
        Some((u64::from_str_radix(ledger, 16).ok()?, u64::from_str_radix(seq, 16).ok()?))
    }
}

/// All keys that begin with a text that ends in `/`; `0` is the character after it.
fn below(prefix: &str) -> KeyRange {
    let to = format!("{}0", prefix.strip_suffix('/').unwrap_or(prefix));
    KeyRange { from: prefix.to_owned(), to }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_those_of_the_layout() {
        let keys = ClusterKeys::of("prod uction");
        assert_eq!(keys.layout(), "/logzio-api-fetcher/prod%20uction/v");
        assert_eq!(keys.slots().from, "/logzio-api-fetcher/prod%20uction/s/");
        assert_eq!(keys.slots().to, "/logzio-api-fetcher/prod%20uction/s0");
        let slot = Slot::of("a/b");
        let lane = keys.lane(slot, "a/b\u{1f}second");
        assert_eq!(lane.account(), format!("/logzio-api-fetcher/prod%20uction/a/{slot}/a%2Fb%1Fsecond"));
        let chunk = lane.chunk(255, 16);
        assert!(chunk.ends_with("/00000000000000ff/0000000000000010"), "{chunk}");
        assert_eq!(lane.chunk_in(&chunk), Some((255, 16)));
    }

    proptest! {
        #[test]
        fn a_lane_is_read_out_of_its_keys(lane in ".{0,20}") {
            let keys = ClusterKeys::of("default");
            let slot = Slot::of(&lane);
            let of = keys.lane(slot, &lane);
            for key in [of.account(), of.head(), of.bell()] {
                prop_assert_eq!(keys.lane_in(&key), Some((slot, lane.clone())));
            }
            let range = keys.all();
            prop_assert!(range.from < of.account() && of.account() < range.to);
            prop_assert!(of.chunks().from < of.chunk(1, u64::MAX) && of.chunk(1, u64::MAX) < of.chunks().to);
        }

        #[test]
        fn a_host_is_read_out_of_the_key_of_its_wait_and_watched(host in ".{0,20}") {
            let keys = ClusterKeys::of("default");
            let (key, watched) = (keys.pause(&host), keys.membership());
            prop_assert!(watched.from < key && key < watched.to);
            prop_assert_eq!((keys.lane_in(&key), keys.slot_in(&key), keys.member_in(&key)), (None, None, None));
            prop_assert_eq!(keys.pause_in(&key), Some(host));
        }

        #[test]
        fn no_text_is_taken_for_a_key(key in ".{0,60}") {
            let keys = ClusterKeys::of("default");
            prop_assert_eq!((keys.lane_in(&key), keys.pause_in(&key)), (None, None));
            prop_assert_eq!(keys.lane(Slot::of("x"), "x").chunk_in(&key), None);
        }
    }
}
