//! Situations and what follows from them.

use super::*;
use crate::cluster::assign::Targets;
use crate::cluster::forms::EntryForms;
use crate::cluster::reach::Reach;
use crate::cluster::restless::Standing::{self, Leaving, Reluctant, Willing};
use crate::cluster::slot::MemberId;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn id(name: &str) -> MemberId {
    MemberId { member: name.to_owned(), incarnation: 1 }
}

/// A view of `a` that has seen members at second 100.
fn view(members: &[(&str, Standing)]) -> ClusterView {
    let mut view = ClusterView::new(id("a"), ms(100_000));
    for (name, standing) in members {
        view.member_came(id(name), *standing, ms(100_000));
    }
    view
}

/// All slots are claimed by one, at revision 1000 and on.
fn with_all_taken_by(mut view: ClusterView, owner: &str) -> ClusterView {
    for (slot, revision) in Slot::all().zip(1_000..) {
        view.slot_taken(slot, id(owner), revision, ms(100_000));
    }
    view
}

fn slots_of(name: &str, members: &[&str]) -> Vec<Slot> {
    let ids: Vec<MemberId> = members.iter().map(|name| id(name)).collect();
    let targets = Targets::among(&ids);
    Slot::all().filter(|slot| targets.of(*slot) == Some(&id(name))).collect()
}

fn taken(decision: &Decision) -> Vec<Slot> {
    decision.take.iter().map(|take| take.slot).collect()
}

fn nothing_until(at: Option<u64>) -> Decision {
    Decision { next_look: at.map(ms), ..Decision::default() }
}

#[test]
fn the_first_member_takes_all_slots_at_once() {
    let decision = view(&[("a", Willing)]).decide(ms(100_000));
    assert_eq!(taken(&decision), Slot::all().collect::<Vec<_>>());
    assert!(decision.take.iter().all(|take| take.written_at == ABSENT && take.owner.is_none()));
    assert_eq!(Decision { take: Vec::new(), ..decision }, nothing_until(None));
}

#[test]
fn nothing_is_decided_before_the_own_key_is_there() {
    let mut view = with_all_taken_by(view(&[("b", Willing)]), "a");
    assert_eq!(view.decide(ms(200_000)), nothing_until(None));
    view.member_left(&id("b"), ms(200_000));
    assert_eq!(view.decide(ms(300_000)), nothing_until(None));
}

#[test]
fn of_free_slots_each_takes_its_own() {
    let decision = view(&[("a", Willing), ("b", Willing), ("c", Willing)]).decide(ms(100_000));
    assert_eq!(taken(&decision), slots_of("a", &["a", "b", "c"]));
}

#[test]
fn who_does_not_want_slots_is_counted_out_unless_nobody_wants_any() {
    let all: Vec<Slot> = Slot::all().collect();
    for (mine, other, expected) in [
        (Willing, Reluctant, all.clone()),
        (Willing, Leaving, all.clone()),
        (Reluctant, Willing, Vec::new()),
        (Reluctant, Reluctant, slots_of("a", &["a", "b"])),
        (Reluctant, Leaving, all),
        (Leaving, Leaving, Vec::new()),
        (Leaving, Willing, Vec::new()),
    ] {
        let decision = view(&[("a", mine), ("b", other)]).decide(ms(100_000));
        assert_eq!(taken(&decision), expected, "{mine:?}, {other:?}");
    }
}

#[test]
fn slots_of_an_owner_whose_key_is_gone_are_taken_after_the_grace() {
    let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing)]), "b");
    view.member_left(&id("b"), ms(150_000));
    assert_eq!(view.orphaned(), 1_024);
    assert_eq!(view.decide(ms(150_699)), nothing_until(Some(150_700)));
    let decision = view.decide(ms(150_700));
    assert_eq!(taken(&decision), Slot::all().collect::<Vec<_>>());
    assert!(
        decision.take.iter().zip(1_000..).all(|(take, seen)| take.written_at == seen && take.owner == Some(id("b")))
    );
}

#[test]
fn an_owner_that_is_back_within_the_grace_keeps_its_slots() {
    let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing)]), "b");
    view.member_left(&id("b"), ms(150_000));
    view.member_came(id("b"), Willing, ms(150_500));
    assert_eq!((view.orphaned(), view.decide(ms(160_000))), (0, nothing_until(None)));
}

#[test]
fn an_owner_that_was_never_seen_alive_has_its_grace_from_when_its_claim_was_seen() {
    let mut view = view(&[("a", Willing)]);
    for (slot, revision) in Slot::all().zip(1_000..) {
        view.slot_taken(slot, id("old"), revision, ms(120_000));
    }
    assert_eq!(view.decide(ms(120_000)), nothing_until(Some(120_700)));
    assert_eq!(view.decide(ms(120_700)).take.len(), 1_024);
}

#[test]
fn a_restarted_owner_takes_its_own_slots_when_the_old_key_is_gone() {
    let mut view = view(&[("b", Willing)]);
    let new = MemberId { incarnation: 2, ..id("a") };
    view.me = new.clone();
    view.member_came(new, Willing, ms(100_000));
    for (slot, revision) in slots_of("a", &["a", "b"]).into_iter().zip(1_000..) {
        view.slot_taken(slot, id("a"), revision, ms(100_000));
    }
    for (slot, revision) in slots_of("b", &["a", "b"]).into_iter().zip(3_000..) {
        view.slot_taken(slot, id("b"), revision, ms(100_000));
    }
    assert_eq!(view.decide(ms(100_699)), nothing_until(Some(100_700)));
    assert_eq!(taken(&view.decide(ms(100_700))), slots_of("a", &["a", "b"]));
}

#[test]
fn what_was_asked_for_is_asked_for_again_only_after_a_while_or_when_the_own_key_is_back() {
    let mut view = view(&[("a", Willing)]);
    let decision = view.decide(ms(100_000));
    view.decided(&decision, ms(100_000));
    assert_eq!(view.decide(ms(101_999)), nothing_until(Some(102_000)));
    assert_eq!(view.decide(ms(102_000)), decision);
    view.member_left(&id("a"), ms(100_100));
    view.member_came(id("a"), Willing, ms(100_110));
    assert_eq!(view.decide(ms(100_110)), decision);
}

#[test]
fn a_claim_that_came_through_late_is_the_own() {
    let mut view = view(&[("a", Willing), ("b", Willing)]);
    let slot = slots_of("a", &["a", "b"])[0];
    view.slot_taken(slot, id("a"), 77, ms(100_000));
    assert_eq!(view.mine().collect::<Vec<_>>(), [(slot, 77)]);
    assert!(!taken(&view.decide(ms(100_000))).contains(&slot));
}

#[test]
fn old_news_of_a_slot_changes_nothing() {
    let mut view = view(&[("a", Willing), ("b", Willing)]);
    let slot = Slot::of("x");
    view.slot_taken(slot, id("a"), 100, ms(100_000));
    view.slot_taken(slot, id("b"), 90, ms(100_000));
    view.slot_freed(slot, 95);
    assert_eq!(view.mine().collect::<Vec<_>>(), [(slot, 100)]);
    view.slot_freed(slot, 110);
    view.slot_taken(slot, id("a"), 100, ms(100_000));
    assert_eq!(view.mine().count(), 0);
}

#[test]
fn slots_go_to_a_newcomer_when_all_is_calm_ten_a_second() {
    let mut view = with_all_taken_by(view(&[("a", Willing)]), "a");
    view.member_came(id("b"), Willing, ms(200_000));
    let due = slots_of("b", &["a", "b"]);
    assert_eq!(view.decide(ms(209_999)), nothing_until(Some(210_000)));
    let mut at = 210_000;
    for ten in due.chunks(10) {
        let decision = view.decide(ms(at));
        let more = due.last() != ten.last();
        let expected = Decision { hand_over: ten.to_vec(), ..nothing_until(more.then_some(at + 1_000)) };
        assert_eq!(decision, expected);
        view.decided(&decision, ms(at));
        assert_eq!(view.decide(ms(at + 999)), nothing_until(more.then_some(at + 1_000)));
        at += 1_000;
    }
    assert_eq!(view.decide(ms(at)), nothing_until(None));
}

#[test]
fn handovers_wait_for_those_of_the_last_second() {
    let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing)]), "a");
    let due = slots_of("b", &["a", "b"]);
    let [four, three] =
        [&due[..4], &due[4..7]].map(|slots| Decision { hand_over: slots.to_vec(), ..Decision::default() });
    view.decided(&four, ms(120_000));
    view.decided(&three, ms(120_600));
    let decision = view.decide(ms(120_700));
    assert_eq!(decision, Decision { hand_over: due[7..10].to_vec(), ..nothing_until(Some(121_000)) });
    view.decided(&decision, ms(120_700));
    assert_eq!(view.decide(ms(121_000)).hand_over, due[10..14]);
}

#[test]
fn whoever_comes_goes_or_changes_its_mind_begins_the_calm_anew_and_a_key_that_says_the_same_does_not() {
    let due = |change: fn(&mut ClusterView)| {
        let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing), ("c", Willing)]), "a");
        change(&mut view);
        view.decide(ms(110_000)).next_look
    };
    assert_eq!(due(|_| ()), Some(ms(111_000)));
    assert_eq!(due(|view| view.member_came(id("c"), Willing, ms(105_000))), Some(ms(111_000)));
    assert_eq!(due(|view| view.member_came(id("c"), Reluctant, ms(105_000))), Some(ms(115_000)));
    assert_eq!(due(|view| view.member_came(id("d"), Willing, ms(105_000))), Some(ms(115_000)));
    assert_eq!(due(|view| view.member_left(&id("c"), ms(105_000))), Some(ms(115_000)));
    assert_eq!(due(|view| view.member_left(&id("d"), ms(105_000))), Some(ms(111_000)));
}

#[test]
fn a_living_owner_is_never_taken_from() {
    let view = with_all_taken_by(view(&[("a", Willing), ("b", Leaving)]), "b");
    assert_eq!(view.decide(ms(500_000)), nothing_until(None));
}

#[test]
fn who_leaves_hands_everything_over_at_once_and_takes_nothing() {
    let mut view = view(&[("a", Willing), ("b", Willing)]);
    let [first, second] = ["x", "y"].map(Slot::of);
    view.slot_taken(first, id("a"), 7, ms(100_000));
    view.leave();
    let decision = view.decide(ms(100_000));
    assert_eq!(decision, Decision { hand_over: vec![first], ..Decision::default() });
    view.decided(&decision, ms(100_000));
    assert_eq!(view.decide(ms(100_000)), nothing_until(None));
    // Asked for before, and answered late.
    view.slot_taken(second, id("a"), 8, ms(100_100));
    assert_eq!(view.decide(ms(100_100)).hand_over, [second]);
    view.slot_freed(first, 9);
    assert_eq!(view.mine().collect::<Vec<_>>(), [(second, 8)]);
}

#[test]
fn a_slot_that_was_handed_over_and_is_the_own_again_can_be_handed_over_again() {
    let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing)]), "a");
    let decision = view.decide(ms(110_000));
    view.decided(&decision, ms(110_000));
    let slot = decision.hand_over[0];
    view.slot_freed(slot, 5_000);
    view.slot_taken(slot, id("a"), 5_001, ms(110_500));
    assert!(view.decide(ms(111_000)).hand_over.contains(&slot));
}

#[test]
fn what_is_read_anew_replaces_what_was_known() {
    let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing), ("c", Willing)]), "b");
    let [mine, old, late] = ["x", "y", "z"].map(Slot::of);
    view.slot_taken(late, id("a"), 6_000, ms(100_000));
    let members = [(id("a"), Willing), (id("d"), Reluctant)].into();
    let owners = [(mine, (id("a"), 4_000)), (old, (id("c"), 4_001))].into();
    view.read(members, owners, 5_000, ms(130_000));
    assert_eq!(view.members().keys().cloned().collect::<Vec<_>>(), [id("a"), id("d")]);
    // What this process has heard of that is newer than what was read still holds.
    let mut expected = [(mine, 4_000), (late, 6_000)];
    expected.sort();
    assert_eq!(view.mine().collect::<Vec<_>>(), expected);
    let decision = view.decide(ms(130_000));
    assert_eq!(decision.take.len(), 1_024 - 3);
    assert!(decision.take.iter().all(|take| take.written_at == ABSENT));
    assert_eq!(decision.next_look, Some(ms(130_700)));
}

#[test]
fn what_its_owner_declines_is_handed_over_at_once_to_who_can_run_it() {
    let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing)]), "b");
    let mine: Vec<Slot> = slots_of("a", &["a", "b"]).into_iter().take(HANDOVERS_PER_SECOND + 2).collect();
    for (slot, revision) in mine.iter().zip(3_000..) {
        view.slot_taken(*slot, id("a"), revision, ms(100_000));
    }
    view.member_declines(&id("a"), mine.iter().copied().collect());
    assert!(mine.iter().all(|slot| view.targets().of(*slot) == Some(&id("b"))));
    let decision = view.decide(ms(100_001));
    assert_eq!(decision.hand_over, mine[..HANDOVERS_PER_SECOND], "so many at once, and without calm");
    view.decided(&decision, ms(100_001));
    let decision = view.decide(ms(101_002));
    assert_eq!(decision.hand_over, mine[HANDOVERS_PER_SECOND..]);
    view.member_declines(&id("a"), [].into());
    assert!(mine.iter().all(|slot| view.targets().of(*slot) == Some(&id("a"))), "it gets them back");
}

#[test]
fn the_forms_of_those_count_that_may_own_slots() {
    let mut view = view(&[("a", Willing), ("b", Willing), ("c", Reluctant), ("d", Leaving)]);
    for name in ["a", "b", "c", "d"] {
        view.forms_came(id(name), EntryForms::of([("api", 1)]));
    }
    assert_eq!(view.others().keys().map(|id| id.member.as_str()).collect::<Vec<_>>(), ["b"]);
    view.forms_left(&id("b"));
    assert!(view.others().is_empty());
}

#[test]
fn who_has_ceded_hands_everything_over_at_once_and_takes_nothing() {
    let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing)]), "b");
    let mine = slots_of("a", &["a", "b"]);
    for (slot, revision) in mine.iter().zip(3_000..) {
        view.slot_taken(*slot, id("a"), revision, ms(100_000));
    }
    view.member_reaches(&id("a"), Reach::Cut);
    assert!(view.is_anybody_cut() && !view.is_reached_by_another());
    view.member_reaches(&id("b"), Reach::Reached);
    assert!(view.is_reached_by_another());
    view.member_came(id("a"), Reluctant, ms(100_000));
    view.cede(true);
    assert_eq!(view.decide(ms(100_001)).hand_over, mine);
    view.slot_freed(mine[0], 5_000);
    assert_eq!(taken(&view.decide(ms(100_002))), []);
    // Where nobody is left who is willing, it keeps its part.
    view.member_left(&id("b"), ms(100_003));
    let decision = view.decide(ms(200_000));
    assert_eq!(decision.hand_over, []);
    assert_eq!(taken(&decision).len(), 1_024 - (mine.len() - 1));
}

#[test]
fn a_slot_that_the_engine_says_is_lost_is_no_longer_ours_and_later_news_of_it_is_heard() {
    let slot = Slot::of("api");
    let token = 1_000 + i64::try_from(slot.index()).unwrap();
    let mine = |view: &ClusterView| view.mine().any(|(other, _)| other == slot);
    let lost = |token| {
        let mut view = with_all_taken_by(view(&[("a", Willing), ("b", Willing)]), "a");
        view.slot_lost(slot, token);
        view
    };
    assert!(mine(&lost(token - 1)), "it was taken anew since");
    assert_eq!((mine(&lost(token)), lost(token).mine().count()), (false, 1_023));
    let (mut freed, mut taken) = (lost(token), lost(token));
    freed.slot_taken(slot, id("a"), token, ms(100_000));
    assert!(!mine(&freed), "what was known before is no news");
    freed.slot_freed(slot, token + 1);
    freed.slot_taken(slot, id("a"), token + 2, ms(100_000));
    assert!(mine(&freed));
    taken.slot_taken(slot, id("b"), token + 1, ms(100_000));
    assert_eq!(taken.seat(slot).and_then(|seat| seat.owner.clone()), Some(id("b")));
    let mut of_another = with_all_taken_by(view(&[("a", Willing), ("b", Willing)]), "b");
    of_another.slot_lost(slot, token);
    assert_eq!(of_another.seat(slot).and_then(|seat| seat.owner.clone()), Some(id("b")));
}
