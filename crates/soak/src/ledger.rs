//! The truth: what the driver sent, by key.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::cluster::{HAPROXYS, MEMBERS, is_haproxy};
use crate::kind::Kind;

/// Lasting keys of each HAProxy, by table; and of each stickd, in the table `web`.
const KEYS: [(Kind, u32); 3] = [(Kind::Web, 120), (Kind::Array, 60), (Kind::Stick, 60)];
const KEYS_OF_STICKD: u32 = 40;
/// Of so many lasting keys one rests in each round.
const RESTS: u32 = 3;
/// Of so many requests one is a new visitor's.
const VISITS: u32 = 4;

/// A table and a key in it.
pub(crate) type Place = (Kind, String);

/// What is known of a key.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    /// The member that counts it; only this one has requests for it.
    pub(crate) owner: usize,
    /// Not touched since the last calm point, where all agreed.
    pub(crate) resting: bool,
    /// Requests that were answered.
    pub(crate) count: u64,
    /// Requests without an answer, counted or not: their HAProxy was killed.
    pub(crate) doubtful: u64,
    /// The most that anybody may know of: what was counted before the owner was killed, others may have and teach it.
    pub(crate) most: u64,
    /// When the last answer came; `None` when nothing needs to be left of the entry.
    pub(crate) touched: Option<Instant>,
    /// A visitor of an earlier round: the entry must be gone by then, whatever it is now.
    pub(crate) gone_by: Option<Instant>,
    number: u32,
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    keys: BTreeMap<Place, Truth>,
    /// By owner: what it may touch in this round.
    active: [Vec<Place>; MEMBERS],
    visitors: u32,
    requests: u64,
}

/// A ledger that sources of traffic share.
#[derive(Debug, Default)]
pub(crate) struct SharedLedger(Mutex<Ledger>);

impl SharedLedger {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    /// The keys of the run, not touched yet.
    pub(crate) fn new() -> Self {
        let mut ledger = Self::default();
        for owner in 0..MEMBERS {
            let kinds = if is_haproxy(owner) { &KEYS[..] } else { &[(Kind::Web, KEYS_OF_STICKD)] };
            for &(kind, count) in kinds {
                let first = owner as u32 * 1_000;
                (first..first + count).for_each(|number| ledger.insert(kind, number, owner));
            }
        }
        ledger.activate();
        ledger
    }

    fn insert(&mut self, kind: Kind, number: u32, owner: usize) {
        let truth = Truth {
            owner,
            resting: false,
            count: 0,
            doubtful: 0,
            most: 0,
            touched: None,
            gone_by: None,
            number,
        };
        self.keys.insert((kind, kind.key(number)), truth);
    }

    /// Every key with what is known of it.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&Place, &Truth)> {
        self.keys.iter()
    }

    /// What is known of a key.
    pub(crate) fn get(&self, kind: Kind, key: &str) -> Option<&Truth> {
        self.keys.get(&(kind, key.to_owned()))
    }

    /// For what a member holds after it lost its memory.
    pub(crate) fn get_mut(&mut self, place: &Place) -> Option<&mut Truth> {
        self.keys.get_mut(place)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Visitors so far.
    pub(crate) fn visitors(&self) -> u32 {
        self.visitors
    }

    /// A key for the next request to `owner`: a lasting one, or a new visitor's.
    pub(crate) fn pick(&mut self, owner: usize, rng: &mut Rng) -> Place {
        let active = &self.active[owner];
        if !active.is_empty() && (!is_haproxy(owner) || rng.u32(..VISITS) > 0) {
            return active[rng.usize(..active.len())].clone();
        }
        self.visitors += 1;
        let number = self.visitors;
        self.insert(Kind::Brief, number, owner);
        (Kind::Brief, Kind::Brief.key(number))
    }

    /// What a request is to make of the counters of a key.
    pub(crate) fn next_count(&self, place: &Place) -> u64 {
        self.keys.get(place).map_or(1, |truth| truth.count + 1)
    }

    /// A request was answered now.
    pub(crate) fn answered(&mut self, place: &Place) {
        self.requests += 1;
        if let Some(truth) = self.keys.get_mut(place) {
            truth.count += 1;
            truth.most = truth.most.max(truth.count + truth.doubtful);
            truth.touched = Some(Instant::now());
        }
    }

    /// A request had no answer.
    pub(crate) fn unanswered(&mut self, place: &Place) {
        if let Some(truth) = self.keys.get_mut(place) {
            truth.doubtful += 1;
            truth.most = truth.most.max(truth.count + truth.doubtful);
            if !place.0.is_lasting() {
                // It may have come to be all the same.
                truth.count = 1;
                truth.touched = Some(Instant::now());
            }
        }
    }

    /// The lasting keys that are in use, for a request each.
    pub(crate) fn active(&self) -> Vec<(usize, Place)> {
        let of = |(owner, places): (usize, &Vec<Place>)| {
            places.iter().map(move |place| (owner, place.clone())).collect::<Vec<_>>()
        };
        self.active.iter().enumerate().flat_map(of).collect()
    }

    /// After a calm point: some clients go to another HAProxy, others rest, visitors are forgotten in time. Entries of
    /// visitors that came before `joined` end within their lifetime after it.
    pub(crate) fn begin_round(&mut self, round: u32, joined: Instant, rng: &mut Rng) {
        let now = Instant::now();
        for ((kind, _), truth) in &mut self.keys {
            if kind.is_lasting() {
                truth.most = truth.count;
                truth.resting = (truth.number + round).is_multiple_of(RESTS) && truth.touched.is_some();
                if is_haproxy(truth.owner) && rng.u32(..10) == 0 {
                    truth.owner = rng.usize(..HAPROXYS);
                }
            } else if truth.gone_by.is_none() {
                truth.gone_by = Some(joined + kind.expire());
            }
        }
        // What HAProxy was taught it may print for a whole lifetime after its end.
        let forgotten = |truth: &Truth| {
            truth.gone_by.is_some_and(|end| now > end + 2 * Kind::Brief.expire() + Duration::from_secs(10))
        };
        self.keys.retain(|_, truth| !forgotten(truth));
        self.activate();
    }

    fn activate(&mut self) {
        self.active = Default::default();
        for (place, truth) in &self.keys {
            if place.0.is_lasting() && !truth.resting {
                self.active[truth.owner].push(place.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_the_keys_rests_and_is_not_picked() {
        let (mut ledger, mut rng) = (Ledger::new(), Rng::with_seed(1));
        for (_, place) in ledger.active() {
            ledger.answered(&place);
        }
        ledger.begin_round(1, Instant::now(), &mut rng);
        let resting = ledger.keys().filter(|(_, truth)| truth.resting).count();
        let all = ledger.keys().count();
        assert!(all / 4 < resting && resting < all / 2, "{resting} of {all}");
        for _ in 0..2_000 {
            let place = ledger.pick(0, &mut rng);
            let truth = ledger.get(place.0, &place.1).unwrap();
            assert!(!truth.resting && truth.owner == 0);
        }
        assert!(ledger.visitors() > 300);
    }

    #[test]
    fn answers_count() {
        let mut ledger = Ledger::new();
        let place = (Kind::Web, Kind::Web.key(0));
        assert_eq!(ledger.next_count(&place), 1);
        ledger.answered(&place);
        ledger.unanswered(&place);
        let truth = ledger.get(place.0, &place.1).unwrap();
        assert_eq!((truth.count, truth.doubtful, truth.most, ledger.requests()), (1, 1, 2, 1));
        assert!(truth.touched.is_some());
    }
}
