//! What is left of a batch, and how to find the record in it that is refused. Pure.
//!
//! A refused batch is one of two things: a record in it is disliked (by a firewall before the listener), or the output
//! takes nothing at all (a wrong token, a wrong URL). What tells them apart is an acknowledgement: so at first a few other
//! pieces are tried, both halves and single records. Once anything is acknowledged the batch is halved down to the record;
//! where nothing is, it is the output.

use bytes::Bytes;

use super::batch::Batch;
use super::gzip::Packed;

/// How many pieces may be refused in a row while nothing is acknowledged: the batch, its halves, and two single records,
/// which are the likeliest to be taken where several are disliked.
const SEARCHED_MAX: u32 = 5;
/// The same for a small batch, whose halves are about as good as its records, and for a refusal that speaks of the token.
const SEARCHED_FEW: u32 = 3;
/// Below so many records a batch is small.
const SMALL_BELOW: usize = 4;
/// After so many refusals in a row the output is asked whether it still takes anything: more than it takes to halve the
/// largest batch down to any one record.
const ASK_AFTER: u32 = 32;

/// The pieces of a batch that are still to be sent.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The last goes next.
    rest: Vec<BatchPiece>,
    search: Option<Search>,
}

/// A batch, or a part of one.
#[derive(Debug)]
pub(super) struct BatchPiece {
    pub(super) batch: Batch,
    /// The same compressed, where it is already.
    pub(super) body: Option<Bytes>,
}

/// A search for what is refused.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// How many batches the output had acknowledged before.
    acknowledged: u64,
    /// How many records the batch had.
    records: usize,
    /// How many pieces were refused since the last one that was acknowledged.
    in_a_row: u32,
    /// Whether it is known without an acknowledgement that the output takes others. It holds for one record.
    is_trusted: bool,
}

/// What is to be done about a piece that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceStep {
    /// It is the record that is refused: it goes to `undelivered.ndjson`.
    SetAside,
    /// Find out whether the output takes others: by an acknowledgement not long ago, and an empty request now.
    Doubt,
    /// Find out by an empty request whether the output still takes others.
    Ask,
}

impl Pieces {
    /// Of a whole batch.
    #[must_use]
    pub fn of(Packed { batch, body }: Packed) -> Self {
        Self { rest: vec![BatchPiece { batch, body: Some(body) }], search: None }
    }

    /// Whether nothing is left to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the piece out whose turn it is.
    pub(super) fn pop(&mut self) -> Option<BatchPiece> {
        self.rest.pop()
    }

    /// Puts a piece back that could not be sent; its turn is next.
    pub(super) fn put_back(&mut self, batch: Batch) {
        self.rest.push(BatchPiece { batch, body: None });
    }

    /// Takes the piece out whose turn it is, to be kept elsewhere.
    pub fn take(&mut self) -> Option<Batch> {
        self.rest.pop().map(|piece| piece.batch)
    }

    /// Sends a piece's halves next, the first one first.
    pub(super) fn halve(&mut self, batch: Batch) {
        self.rest.extend(parts(batch.len() / 2, batch));
    }

    /// Sends a piece's halves last; if `narrow`, a single record of the others next.
    fn put_off(&mut self, batch: Batch, narrow: bool) {
        self.rest.splice(0..0, parts(batch.len() / 2, batch));
        if narrow {
            let middle = self.rest.remove(self.rest.len() / 2);
            self.rest.extend(parts(1, middle.batch));
        }
    }

    /// Notes that a piece was acknowledged.
    pub(super) fn acknowledge(&mut self) {
        if let Some(search) = &mut self.search {
            search.in_a_row = 0;
        }
    }

    /// Takes a refused piece back, or says what is to be done about it. `acknowledged` is how many batches the output has
    /// acknowledged so far.
    pub(super) fn refuse(&mut self, batch: Batch, is_of_token: bool, acknowledged: u64) -> Option<(PieceStep, Batch)> {
        let records = batch.len();
        let begun = Search { acknowledged, records, in_a_row: 0, is_trusted: false };
        let search = self.search.get_or_insert(begun);
        search.in_a_row = search.in_a_row.saturating_add(1);
        if acknowledged > search.acknowledged || search.is_trusted {
            if search.in_a_row.is_multiple_of(ASK_AFTER) {
                return Some((PieceStep::Ask, batch));
            }
            return self.narrow_down(batch).map(|record| (PieceStep::SetAside, record));
        }
        let is_short = is_of_token || search.records < SMALL_BELOW;
        let searched_max = if is_short { SEARCHED_FEW } else { SEARCHED_MAX };
        match search.in_a_row {
            count if count >= searched_max || (records == 1 && self.rest.is_empty()) => {
                return Some((PieceStep::Doubt, batch));
            }
            1 => self.halve(batch),
            count => self.put_off(batch, count > 2),
        }
        None
    }

    /// Halves a refused piece, given that the output takes others; gives back the one record that it is.
    pub(super) fn narrow_down(&mut self, batch: Batch) -> Option<Batch> {
        if batch.len() > 1 {
            self.halve(batch);
            return None;
        }
        if let Some(search) = &mut self.search {
            search.is_trusted = false;
        }
        Some(batch)
    }

    /// Notes that the output takes others, though it acknowledged nothing since the batch was refused.
    pub(super) fn trust(&mut self) {
        if let Some(search) = &mut self.search {
            search.is_trusted = true;
        }
    }
}

/// The lines up to a place and those behind it, which are sent in this order; a single line stays whole.
fn parts(at: usize, batch: Batch) -> impl Iterator<Item = BatchPiece> {
    let (last, first) = match batch.split_at(at) {
        Ok((head, tail)) => (Some(tail), head),
        Err(whole) => (None, whole),
    };
    last.into_iter().chain([first]).map(|batch| BatchPiece { batch, body: None })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::record::{Fingerprint, RecordKey};
    use crate::ship::{Batcher, Compressor};

    /// What became of a batch: delivered, set aside, requests, and whether it failed.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct End {
        delivered: BTreeSet<usize>,
        set_aside: BTreeSet<usize>,
        requests: u32,
        is_failed: bool,
    }

    fn batch(records: usize) -> Packed {
        let mut batcher = Batcher::default();
        for number in 0..records {
            let identity = RecordKey { fingerprint: Fingerprint::of(&[&number.to_le_bytes()]), date: None };
            batcher.push(|text| text.extend_from_slice(number.to_string().as_bytes()), identity).expect("a short line");
        }
        packed(batcher.finish().expect("a record"))
    }

    fn packed(batch: Batch) -> Packed {
        let body = Compressor::new().and_then(|mut packer| packer.pack(batch.text())).expect("it can be compressed");
        Packed { batch, body }
    }

    fn numbers(batch: &Batch) -> Vec<usize> {
        batch.lines().map(|(line, _)| String::from_utf8_lossy(line).parse().expect("a number")).collect()
    }

    /// Ships a batch as the shipper does, to an output that refuses what holds one of some records. `takes_others` is
    /// whether it acknowledged something before, and an empty request now.
    fn ship(records: usize, disliked: impl Fn(usize) -> bool, is_of_token: bool, mut takes_others: bool) -> End {
        let (mut pieces, mut end, mut acknowledged) = (Pieces::of(batch(records)), End::default(), 0);
        while let Some(BatchPiece { batch, .. }) = pieces.pop() {
            end.requests += 1;
            let all = numbers(&batch);
            if !all.iter().any(|number| disliked(*number)) {
                acknowledged += 1;
                pieces.acknowledge();
                end.delivered.extend(all);
                continue;
            }
            let record = match pieces.refuse(batch, is_of_token, acknowledged) {
                None => None,
                Some((PieceStep::SetAside, record)) => Some(record),
                Some((PieceStep::Ask, batch)) => pieces.narrow_down(batch),
                Some((PieceStep::Doubt, _)) if !std::mem::take(&mut takes_others) => {
                    end.is_failed = true;
                    return end;
                }
                Some((PieceStep::Doubt, batch)) => {
                    pieces.trust();
                    pieces.narrow_down(batch)
                }
            };
            end.set_aside.extend(record.iter().flat_map(numbers));
        }
        end
    }

    #[test]
    fn one_record_that_is_disliked_is_found_and_all_others_are_delivered() {
        for records in [2, 3, 5, 100, 1000] {
            for disliked in [0, 1, records / 2, records - 1] {
                let end = ship(records, |number| number == disliked, false, false);
                assert_eq!((end.delivered.len(), end.is_failed), (records - 1, false), "{records}, {disliked}");
                assert_eq!(end.set_aside, [disliked].into());
                assert!(end.requests <= 2 * records.ilog2() + 6, "{records}, {disliked}: {} requests", end.requests);
            }
        }
    }

    #[test]
    fn records_in_both_halves_are_found_too() {
        let end = ship(100, |number| [5, 77].contains(&number), false, false);
        assert_eq!((end.delivered.len(), end.set_aside, end.is_failed), (98, [5, 77].into(), false));
    }

    #[test]
    fn where_nothing_is_acknowledged_it_is_the_output_after_a_few_requests() {
        for (records, is_of_token, requests) in [
            (1, false, 1),
            (2, false, 3),
            (3, false, 3),
            (4, false, 5),
            (1000, false, 5),
            (1000, true, 3),
            (1, true, 1),
        ] {
            let end = ship(records, |_| true, is_of_token, false);
            assert_eq!(end, End { requests, is_failed: true, ..End::default() }, "{records}, {is_of_token}");
        }
    }

    #[test]
    fn an_acknowledgement_of_others_before_is_enough_for_one_record() {
        let alone = ship(1, |_| true, false, true);
        assert_eq!(alone, End { set_aside: [0].into(), requests: 1, ..End::default() });
        let all = ship(64, |_| true, false, true);
        assert_eq!((all.set_aside.len(), all.is_failed), (1, true), "an output that takes nothing more isn't emptied");
        assert!(all.requests < 32, "{} requests", all.requests);
    }

    #[test]
    fn whatever_is_disliked_nothing_is_lost_and_what_is_good_is_never_set_aside() {
        proptest!(ProptestConfig::with_cases(200), |(records in 1_usize..200, disliked in prop::collection::btree_set(0_usize..200, 0..20), trusted: bool, of_token: bool)| {
            let end = ship(records, |number| disliked.contains(&number), of_token, trusted);
            prop_assert!(end.set_aside.is_subset(&disliked));
            prop_assert!(end.delivered.is_disjoint(&disliked));
            if !end.is_failed {
                prop_assert_eq!(end.delivered.len() + end.set_aside.len(), records);
            }
            prop_assert!(end.requests as usize <= 4 * records + 8, "{} requests", end.requests);
        });
    }
}
