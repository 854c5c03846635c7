//! Logins that use up a refresh token, one at a time in the whole cluster.
//!
//! A server that takes each refresh token once revokes all of them where an old one comes again, so whoever logs in must
//! know the latest, and nobody else may log in meanwhile. Several APIs may log in with the same token, and different
//! members may own them, so their slots don't tell whose turn it is: a login has a key of its own for that. Like a slot it
//! is claimed by a member whose key is there, hangs on no lease, and is taken over only in a transaction that finds the key
//! of its holder gone. Who gives it back leaves the key, so that a late copy of a claim finds another revision. Its
//! revision fences the one write that follows: the next token gets through only where nobody has taken the turn since, and
//! the token is the one that was read with it. So neither a former holder nor a late copy of a write puts an old token in
//! the place of a newer one; and who has lost its API, but not its turn, still hands on what it got. Pure.

use super::engine::{ABSENT, Compare, Operation, Transaction, TransactionOutcome};
use super::keys::ClusterKeys;
use super::slot::MemberId;

/// What stands between the holder and what tells its claims apart.
const SEPARATOR: char = ' ';
/// What a turn's key holds that nobody has.
const FREE: &[u8] = b"free";

/// One login, as one claim of a member's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginClaim {
    keys: ClusterKeys,
    login: String,
    me: MemberId,
    /// No two claims have the same one.
    number: u64,
}

/// How a login stands, as somebody sees it who wants its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenTurn {
    /// When our own key was put; [`ABSENT`] where it is gone.
    me_at: i64,
    turn_at: i64,
    /// Who else has the turn.
    holder: Option<MemberId>,
}

/// A turn that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginTurn {
    turn_key: String,
    token_key: String,
    turn_at: i64,
    token_at: i64,
    /// The refresh token that counts, as it was saved; nothing where none was.
    pub saved: Option<Vec<u8>>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// The turn is given back, and what was to be saved is.
    Done,
    /// Somebody else has taken the turn: nothing was saved.
    Lost,
}

impl LoginClaim {
    /// Of a login, by the text that tells it from others. `number` is chosen anew for each claim.
    #[must_use]
    pub fn new(keys: ClusterKeys, login: &str, me: MemberId, number: u64) -> Self {
        Self { keys, login: login.to_owned(), me, number }
    }

    /// Reads how it stands.
    #[must_use]
    pub fn look(&self) -> Transaction {
        let get = |key| Operation::Get { key };
        let then = vec![get(self.keys.member(&self.me)), get(self.keys.login_turn(&self.login))];
        Transaction { then, ..Transaction::default() }
    }

    /// How it stands, by the answer.
    #[must_use]
    pub fn seen(&self, outcome: &TransactionOutcome) -> SeenTurn {
        let read = |at: usize| outcome.read.get(at).and_then(Option::as_ref);
        let written_at = |at| read(at).map_or(ABSENT, |entry| entry.written_at);
        // What can't be read is nobody's: whoever writes it in another way has another layout.
        let holder = read(1).and_then(|entry| {
            let text = std::str::from_utf8(&entry.value).ok()?;
            text.split_once(SEPARATOR)?.0.parse::<MemberId>().ok()
        });
        SeenTurn { me_at: written_at(0), turn_at: written_at(1), holder: holder.filter(|holder| *holder != self.me) }
    }

    /// Takes the turn, where nobody has it who lives. A turn that an earlier claim of this process has is ours. Who isn't a
    /// member at this moment takes none.
    #[must_use]
    pub fn take(&self, seen: &SeenTurn) -> Option<Transaction> {
        if seen.me_at == ABSENT {
            return None;
        }
        let (turn, token) = (self.keys.login_turn(&self.login), self.keys.login_token(&self.login));
        let written_at = |key, revision| Compare::WrittenAt { key, revision };
        let mut compare =
            vec![written_at(self.keys.member(&self.me), seen.me_at), written_at(turn.clone(), seen.turn_at)];
        compare.extend(seen.holder.iter().map(|holder| written_at(self.keys.member(holder), ABSENT)));
        let get = |key: &String| Operation::Get { key: key.clone() };
        Some(Transaction {
            compare,
            then: vec![Operation::Put { key: turn.clone(), value: self.value(), lease: None }, get(&token)],
            otherwise: vec![get(&token), get(&turn)],
        })
    }

    /// Whether the turn is ours, by the answer to [`LoginClaim::take`] or to a later copy of the same.
    #[must_use]
    pub fn taken(&self, outcome: &TransactionOutcome) -> Option<LoginTurn> {
        let mut read = outcome.read.iter();
        let token = read.next().and_then(Option::as_ref);
        let turn_at = if outcome.held {
            outcome.revision
        } else {
            // An earlier try got through. As the turn is ours, nobody has written the token since.
            read.next().and_then(Option::as_ref).filter(|turn| turn.value == self.value())?.written_at
        };
        Some(LoginTurn {
            turn_key: self.keys.login_turn(&self.login),
            token_key: self.keys.login_token(&self.login),
            turn_at,
            token_at: token.map_or(ABSENT, |entry| entry.written_at),
            saved: token.map(|entry| entry.value.clone()),
        })
    }

    fn value(&self) -> Vec<u8> {
        format!("{}{SEPARATOR}{:016x}", self.me, self.number).into_bytes()
    }
}

impl SeenTurn {
    /// Who else has the turn, be it alive or not.
    #[must_use]
    pub fn holder(&self) -> Option<&MemberId> {
        self.holder.as_ref()
    }
}

impl LoginTurn {
    /// Saves the next token, where one came, and gives the turn back.
    #[must_use]
    pub fn end(&self, next: Option<&[u8]>) -> Transaction {
        let mut compare = vec![Compare::WrittenAt { key: self.turn_key.clone(), revision: self.turn_at }];
        let put = |key: &String, value: &[u8]| Operation::Put { key: key.clone(), value: value.to_vec(), lease: None };
        let mut then = vec![put(&self.turn_key, FREE)];
        if let Some(next) = next {
            compare.push(Compare::WrittenAt { key: self.token_key.clone(), revision: self.token_at });
            then.push(put(&self.token_key, next));
        }
        Transaction { compare, then, otherwise: vec![Operation::Get { key: self.token_key.clone() }] }
    }

    /// What became of that, by the answer to it or to a later copy of the same. No two tokens are the same bytes.
    #[must_use]
    pub fn ended(next: Option<&[u8]>, outcome: &TransactionOutcome) -> TurnEnd {
        let saved = outcome.read.first().and_then(Option::as_ref).map(|entry| entry.value.as_slice());
        match next {
            _ if outcome.held => TurnEnd::Done,
            // Nothing was to be saved, and the turn is no longer ours, whoever ended it.
            None => TurnEnd::Done,
            Some(_) if saved == next => TurnEnd::Done,
            Some(_) => TurnEnd::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cluster::claim::join;
    use crate::cluster::engine::LeaseId;
    use crate::cluster::memory::MemoryStore;

    fn member(name: &str) -> MemberId {
        MemberId { member: name.to_owned(), incarnation: 1 }
    }

    fn claim(name: &str, number: u64) -> LoginClaim {
        LoginClaim::new(ClusterKeys::of("default"), "login", member(name), number)
    }

    fn joined(store: &mut MemoryStore, name: &str) -> LeaseId {
        let lease = store.grant();
        store.commit(&join(&ClusterKeys::of("default"), &member(name), lease, Vec::new()));
        lease
    }

    fn take(store: &mut MemoryStore, claim: &LoginClaim) -> Option<LoginTurn> {
        let seen = claim.seen(&store.commit(&claim.look()));
        claim.taken(&store.commit(&claim.take(&seen)?))
    }

    fn end(store: &mut MemoryStore, turn: &LoginTurn, next: Option<&str>) -> TurnEnd {
        let next = next.map(str::as_bytes);
        LoginTurn::ended(next, &store.commit(&turn.end(next)))
    }

    #[test]
    fn one_has_the_turn_at_a_time_and_the_next_one_knows_what_came() {
        let mut store = MemoryStore::default();
        joined(&mut store, "a");
        joined(&mut store, "b");
        let first = take(&mut store, &claim("a", 1)).expect("it is free");
        assert_eq!(first.saved, None);
        assert_eq!(take(&mut store, &claim("b", 2)), None, "its holder lives");
        assert_eq!(end(&mut store, &first, Some("t1")), TurnEnd::Done);
        assert_eq!(end(&mut store, &first, Some("t1")), TurnEnd::Done, "a second copy");
        let second = take(&mut store, &claim("b", 3)).expect("it is free");
        assert_eq!(second.saved.as_deref(), Some(&b"t1"[..]));
        assert_eq!(end(&mut store, &second, None), TurnEnd::Done);
        assert_eq!(take(&mut store, &claim("a", 4)).and_then(|turn| turn.saved).as_deref(), Some(&b"t1"[..]));
    }

    #[test]
    fn a_turn_is_taken_over_from_a_dead_member_who_then_saves_nothing() {
        let mut store = MemoryStore::default();
        let lease = joined(&mut store, "a");
        joined(&mut store, "b");
        let fenced = take(&mut store, &claim("a", 1)).expect("it is free");
        store.end_lease(lease);
        assert_eq!(take(&mut store, &claim("a", 2)), None, "who isn't a member takes none");
        let turn = take(&mut store, &claim("b", 3)).expect("its holder is gone");
        assert_eq!(end(&mut store, &fenced, Some("stale")), TurnEnd::Lost);
        assert_eq!(end(&mut store, &turn, Some("t1")), TurnEnd::Done);
        assert_eq!(end(&mut store, &fenced, Some("stale")), TurnEnd::Lost);
        joined(&mut store, "a");
        let turn = take(&mut store, &claim("a", 4)).expect("it is free");
        assert_eq!(turn.saved.as_deref(), Some(&b"t1"[..]));
    }

    #[test]
    fn who_was_thought_dead_and_lost_no_turn_still_hands_on_what_it_got() {
        let mut store = MemoryStore::default();
        let lease = joined(&mut store, "a");
        let turn = take(&mut store, &claim("a", 1)).expect("it is free");
        store.end_lease(lease);
        assert_eq!(end(&mut store, &turn, Some("t1")), TurnEnd::Done);
    }

    #[test]
    fn a_late_copy_takes_no_turn_that_was_given_back_and_a_left_one_is_adopted() {
        let mut store = MemoryStore::default();
        joined(&mut store, "a");
        let first = claim("a", 1);
        let seen = first.seen(&store.commit(&first.look()));
        let copy = first.take(&seen).expect("it is a member");
        let turn = first.taken(&store.commit(&copy)).expect("it is free");
        assert_eq!(first.taken(&store.commit(&copy)).as_ref(), Some(&turn), "an earlier try got through");
        end(&mut store, &turn, Some("t1"));
        // Applied seconds later.
        assert!(!store.commit(&copy).held, "nobody waits for its answer, and nobody would give it back");
        let left = take(&mut store, &claim("a", 2)).expect("it is free");
        let second = take(&mut store, &claim("a", 3)).expect("it is this process' own");
        assert_eq!(end(&mut store, &left, Some("stale")), TurnEnd::Lost);
        assert_eq!(end(&mut store, &second, Some("t2")), TurnEnd::Done);
    }

    /// What happens next.
    #[derive(Clone, Debug)]
    enum Happening {
        /// A member takes the turn, or ends it.
        Step(usize),
        /// Something that was asked before is done once more.
        Copy(usize),
        /// A member's key goes, while it waits for the server.
        Lapse(usize),
        /// The same, and it never wakes up.
        Death(usize),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            12 => (0..3_usize).prop_map(Happening::Step),
            4 => any::<usize>().prop_map(Happening::Copy),
            1 => (0..3_usize).prop_map(Happening::Lapse),
            1 => (0..3_usize).prop_map(Happening::Death),
        ]
    }

    /// A member that may be dead, and what it does.
    struct Player {
        name: &'static str,
        lease: Option<LeaseId>,
        turn: Option<LoginTurn>,
        /// What the server has answered.
        answer: Option<u64>,
    }

    #[derive(Default)]
    struct Play {
        store: MemoryStore,
        asked: Vec<Transaction>,
        /// The token that the server gave last.
        latest: u64,
        /// How many it gave that nobody may have saved.
        unsaved: u64,
    }

    impl Play {
        fn ask_server(&mut self, turn: &LoginTurn) -> u64 {
            let saved = turn.saved.as_deref().map(|saved| std::str::from_utf8(saved).unwrap());
            let given: u64 = saved.map_or(0, |saved| saved.parse().unwrap());
            assert!(given + self.unsaved >= self.latest, "{given} is used, and {} counts", self.latest);
            self.latest += 1;
            self.unsaved += 1;
            self.latest
        }

        fn step(&mut self, player: &mut Player, number: u64) {
            if player.lease.is_none() {
                player.lease = Some(joined(&mut self.store, player.name));
            }
            let Some(turn) = player.turn.take() else {
                let claim = claim(player.name, number);
                let seen = claim.seen(&self.store.commit(&claim.look()));
                let take = claim.take(&seen).expect("it is a member");
                player.turn = claim.taken(&self.store.commit(&take));
                return self.asked.push(take);
            };
            let was_paused = player.answer.is_some();
            let next = player.answer.take().unwrap_or_else(|| self.ask_server(&turn)).to_string();
            let end = turn.end(Some(next.as_bytes()));
            match LoginTurn::ended(Some(next.as_bytes()), &self.store.commit(&end)) {
                TurnEnd::Done => self.unsaved = 0,
                TurnEnd::Lost => assert!(was_paused, "who lives and has the turn saves what came"),
            }
            self.asked.push(end);
        }

        fn lapse(&mut self, player: &mut Player) {
            if let (Some(turn), None) = (&player.turn, player.answer) {
                player.answer = Some(self.ask_server(turn));
            }
            player.lease.take().into_iter().for_each(|lease| self.store.end_lease(lease));
        }
    }

    proptest! {
        /// Members log in as they please, copies of what they asked are done at any later time, and members die or stand
        /// still while they wait for the server.
        #[test]
        fn no_token_is_used_but_the_latest_that_could_be_saved(
            happenings in prop::collection::vec(happening(), 1..200)
        ) {
            let mut play = Play::default();
            let player = |name| Player { name, lease: None, turn: None, answer: None };
            let mut players = ["a", "b", "c"].map(player);
            for (number, happening) in (0..).zip(happenings) {
                match happening {
                    Happening::Step(at) => play.step(&mut players[at], number),
                    Happening::Copy(at) => {
                        let copy = play.asked.get(at % play.asked.len().max(1)).cloned();
                        copy.into_iter().for_each(|copy| drop(play.store.commit(&copy)));
                    }
                    Happening::Lapse(at) => play.lapse(&mut players[at]),
                    Happening::Death(at) => {
                        play.lapse(&mut players[at]);
                        (players[at].turn, players[at].answer) = (None, None);
                    }
                }
            }
        }
    }
}
