//! Which records of an iteration are new.

use crate::record::{Fingerprint, FingerprintMap};

/// Tells new records from those that are under way to the listener already. What was delivered is known elsewhere, on
/// the disk; here is only what isn't acknowledged yet, a few batches.
#[derive(Debug, Default)]
pub struct InFlight {
    under_way: FingerprintMap<u32>,
}

impl InFlight {
    /// For each record of a page, whether it is new: the record, and how often it was delivered before. Of records that a
    /// page holds `n` times, those count that were neither delivered nor are under way: the same record on two pages is
    /// one.
    pub fn admit(&self, page: impl Iterator<Item = (Fingerprint, u32)>) -> Vec<bool> {
        let mut on_page = FingerprintMap::<u32>::default();
        let new = page.map(|(fingerprint, delivered)| {
            let seen = on_page.entry(fingerprint).or_default();
            *seen += 1;
            let under_way = self.under_way.get(&fingerprint).copied().unwrap_or_default();
            *seen > delivered.saturating_add(under_way)
        });
        new.collect()
    }

    /// Notes that a record is under way to the listener.
    pub fn send(&mut self, fingerprint: Fingerprint) {
        *self.under_way.entry(fingerprint).or_default() += 1;
    }

    /// Notes that a record is remembered as delivered, or set aside for good.
    pub fn acknowledge(&mut self, fingerprint: Fingerprint) {
        if let Some(count) = self.under_way.get_mut(&fingerprint) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&fingerprint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_identical_records_of_one_page_and_knows_them_on_the_next() {
        let (a, b) = (Fingerprint::of(&[b"a"]), Fingerprint::of(&[b"b"]));
        let mut in_flight = InFlight::default();
        assert_eq!(in_flight.admit([(a, 0), (a, 0), (b, 1)].into_iter()), [true, true, false]);
        in_flight.send(a);
        in_flight.send(a);
        assert_eq!(in_flight.admit([(a, 0), (a, 0), (a, 0)].into_iter()), [false, false, true], "under way counts");
        in_flight.acknowledge(a);
        in_flight.acknowledge(a);
        assert_eq!(in_flight.admit([(a, 2), (a, 2), (a, 2)].into_iter()), [false, false, true], "delivered counts");
        assert!(in_flight.under_way.is_empty());
    }
}
