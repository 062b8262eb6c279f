//! Compares what all members hold with what was sent.
//!
//! What the protocol does not promise is left out by rule, not by tolerance. A process that is new in this round has learned
//! from a neighbour, perhaps what that had missed, and HAProxy lets a lesson overwrite newer values; and what a process
//! had not pushed when it was replaced, the next one does not push. So until the next request for a key, a member may
//! differ from the key's owner when one of the two is a new process. Such entries are counted by the reason ([`Behind`]). Keys
//! that rest differ nowhere, and after a request for each key over established sessions nothing does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use stickd_testkit::EntryDump;

use crate::behind::{Behind, Knowledge, Reason, Told};
use crate::cluster::{MEMBERS, NAMES, Seen, is_haproxy};
use crate::kind::{Field, Kind};
use crate::ledger::{Ledger, Place, Truth};

/// What lifetimes and the times of rates may be apart: clocks, the way of an update, a busy machine.
pub(crate) const TOLERANCE: Duration = Duration::from_secs(1);

/// The tables of a member.
pub(crate) type Tables = BTreeMap<Kind, Seen>;

/// What happened since the last calm point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// Members whose process is new.
    pub(crate) replaced: [bool; MEMBERS],
    /// Those of them that started with nothing.
    pub(crate) killed: [bool; MEMBERS],
    /// Pairs whose connections were broken, or one of which got no time.
    pub(crate) disturbed: [[bool; MEMBERS]; MEMBERS],
    /// When all members were seen to reach all others again.
    pub(crate) joined: Option<Instant>,
}

/// Which keys were touched since the members were joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// None.
    First,
    /// All but those that rest, and the visitors'.
    Last,
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) member: usize,
    pub(crate) place: Place,
    pub(crate) what: String,
    /// Whether all that is wrong is that an update of one HAProxy reached this other one late.
    pub(crate) is_late_haproxy: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    /// Keys that were looked for.
    pub(crate) keys: u64,
    /// Entries compared, at all members.
    pub(crate) entries: u64,
    /// The largest deviation of a lifetime that nothing excuses.
    pub(crate) worst: Duration,
    /// Entries that differ until the next request as the protocol allows.
    pub(crate) behind: Behind,
    pub(crate) faults: Vec<Fault>,
    /// Entries at stickds that are behind what a member knows which the stickd can reach.
    pub(crate) avoidable: Vec<Fault>,
}

impl Round {
    /// Notes that a connection was broken.
    pub(crate) fn disturb(&mut self, a: usize, b: usize) {
        self.disturbed[a][b] = true;
        self.disturbed[b][a] = true;
    }

    /// How much later than the request its update may have come, and have started the lifetime: updates are untimed.
    fn delay(&self, truth: &Truth, touched: Instant, member: usize) -> Duration {
        let owner = truth.owner;
        let excused = self.disturbed[owner][member] || self.replaced[owner] || self.replaced[member];
        match self.joined {
            Some(joined) if excused && !truth.resting => joined.saturating_duration_since(touched),
            _ => Duration::ZERO,
        }
    }

    /// Whether a member may differ until the next request for the key.
    fn may_be_behind(&self, kind: Kind, truth: &Truth, member: usize, look: Look) -> bool {
        let owner = truth.owner;
        let untouched = !truth.resting && (look == Look::First || !kind.is_lasting());
        // The owner knows what it counted, but for visitors that came just before it was killed.
        let new = if owner == member {
            self.killed[owner] && !kind.is_lasting()
        } else {
            self.replaced[owner] || self.replaced[member]
        };
        untouched && new
    }
}

/// Compares the tables of all members, in their order.
pub(crate) fn compare(ledger: &Ledger, tables: &[Tables], round: &Round, look: Look) -> Comparison {
    let mut comparison = Comparison::default();
    for (place, truth) in ledger.keys() {
        comparison.keys += 1;
        comparison.key(place, truth, tables, round, look);
    }
    for (member, tables) in tables.iter().enumerate() {
        for (kind, seen) in tables {
            for (key, _) in seen.table.entries.iter().filter(|(_, entry)| entry.exp > 0) {
                if ledger.get(*kind, key).is_none() {
                    comparison.fault(member, &(*kind, key.clone()), "nobody made this entry".to_owned());
                }
            }
        }
    }
    comparison
}

impl Comparison {
    fn fault(&mut self, member: usize, place: &Place, what: String) {
        self.faults.push(Fault { member, place: place.clone(), what, is_late_haproxy: false });
    }

    /// Compares what all members have of a key.
    fn key(&mut self, place: &Place, truth: &Truth, tables: &[Tables], round: &Round, look: Look) {
        let Some(touched) = truth.touched else { return };
        if let Some(end) = truth.gone_by {
            (0..tables.len()).for_each(|member| self.visitor(place, end, tables, member));
            return;
        }
        let found: Vec<Found> = (0..tables.len())
            .map(|member| Found::look(place, truth, touched, tables, member, round))
            .collect();
        let told: Vec<Told> = found.iter().map(|found| found.told).collect();
        for (member, Found { is_there, deviation, wrong, .. }) in found.into_iter().enumerate() {
            self.entries += u64::from(is_there);
            match wrong {
                Some(Wrong { what, is_excusable: true })
                    if round.may_be_behind(place.0, truth, member, look) =>
                {
                    let reason = Reason::of(member, &told);
                    self.behind.count(reason);
                    if reason == Reason::SomebodyKnew {
                        let place = place.clone();
                        self.avoidable.push(Fault { member, place, what, is_late_haproxy: false });
                    }
                }
                Some(Wrong { what, is_excusable }) => {
                    let is_late_haproxy = !is_excusable && is_haproxy(member) && is_haproxy(truth.owner);
                    self.faults.push(Fault { member, place: place.clone(), what, is_late_haproxy });
                }
                None => self.worst = self.worst.max(deviation),
            }
        }
    }

    /// Looks for an entry of a visitor of an earlier round.
    fn visitor(&mut self, place: &Place, end: Instant, tables: &[Tables], member: usize) {
        let (moment, entry) = look_up(tables, member, place.0, &place.1);
        if let Some(entry) = entry
            && moment + Duration::from_millis(entry.exp) > end + TOLERANCE
        {
            let what = format!("{} ms left of an entry that ends with its round", entry.exp);
            self.fault(member, place, what);
        }
    }
}

/// What a member has of a key.
struct Found {
    is_there: bool,
    /// Of the lifetime, where nothing excuses it.
    deviation: Duration,
    wrong: Option<Wrong>,
    told: Told,
}

/// What is not as it was sent.
struct Wrong {
    what: String,
    /// Whether a member that is behind may have this.
    is_excusable: bool,
}

impl Found {
    fn look(
        place: &Place,
        truth: &Truth,
        touched: Instant,
        tables: &[Tables],
        member: usize,
        round: &Round,
    ) -> Self {
        let (moment, entry) = look_up(tables, member, place.0, &place.1);
        let tolerance = TOLERANCE.as_millis() as i64;
        let left = place.0.expire().as_millis() as i64 - (moment - touched).as_millis() as i64;
        let wrong = |what, is_excusable| Some(Wrong { what, is_excusable });
        let Some(entry) = entry else {
            let is_missing = left > tolerance;
            return Self {
                is_there: false,
                deviation: Duration::ZERO,
                wrong: is_missing
                    .then(|| wrong(format!("missing, {left} ms should be left"), true))
                    .flatten(),
                told: Told { knows: Knowledge::Nothing, ends: None },
            };
        };
        let delay = round.delay(truth, touched, member);
        let deviation = entry.exp as i64 - left;
        let wrong = if deviation > tolerance + delay.as_millis() as i64 {
            let late = delay.as_millis();
            let what =
                format!("{} ms left, {left} ms should be, an update may have been {late} ms late", entry.exp);
            wrong(what, false)
        } else if deviation < -tolerance {
            wrong(format!("{} ms left, {left} ms should be", entry.exp), true)
        } else {
            wrong_field(place, truth, tables, member, delay).and_then(|what| wrong(what, true))
        };
        let is_measured = delay.is_zero() && wrong.is_none();
        Self {
            is_there: true,
            deviation: Duration::from_millis(if is_measured { deviation.unsigned_abs() } else { 0 }),
            told: Told {
                knows: if wrong.is_none() { Knowledge::Right } else { knowledge(place.0, truth, entry) },
                ends: Some(moment + Duration::from_millis(entry.exp)),
            },
            wrong,
        }
    }
}

/// What an entry tells that is not right.
fn knowledge(kind: Kind, truth: &Truth, entry: &EntryDump) -> Knowledge {
    let counted = kind.fields().iter().find_map(|field| match field {
        Field::Counted(name) => entry.fields.get(*name)?.parse().ok(),
        _ => None,
    });
    match counted.unwrap_or(0) {
        count if count > truth.count => Knowledge::Newer,
        count => Knowledge::Older(count),
    }
}

/// A member's entry, if it lives, and when it was looked at.
fn look_up<'a>(
    tables: &'a [Tables],
    member: usize,
    kind: Kind,
    key: &str,
) -> (Instant, Option<&'a EntryDump>) {
    let seen = &tables[member][&kind];
    let moment = seen.before + (seen.after - seen.before) / 2;
    // HAProxy prints entries for a while after their end.
    (moment, seen.table.entries.get(key).filter(|entry| entry.exp > 0))
}

/// The first field of an entry that is not what it should be.
fn wrong_field(
    (kind, key): &Place,
    truth: &Truth,
    tables: &[Tables],
    member: usize,
    delay: Duration,
) -> Option<String> {
    let (moment, entry) = look_up(tables, member, *kind, key);
    let (owners_moment, owners) = look_up(tables, truth.owner, *kind, key);
    let apart = moment.max(owners_moment) - moment.min(owners_moment) + TOLERANCE + delay;
    let owner = NAMES[truth.owner];
    for field in kind.fields() {
        let of = |entry: Option<&EntryDump>, name| entry.and_then(|entry| entry.fields.get(name).cloned());
        match *field {
            Field::Counted(name) => {
                let is = of(entry, name);
                if is.as_deref() != Some(truth.count.to_string().as_str()) {
                    return Some(format!("{name} is {}, {} requests were counted", text(is), truth.count));
                }
            }
            Field::Copied(name) => {
                let (is, owners) = (of(entry, name), of(owners, name));
                if is != owners || is.is_none() {
                    return Some(format!("{name} is {}, {owner} has {}", text(is), text(owners)));
                }
            }
            Field::Rate(name, period) => {
                let number = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<u64>().ok());
                let (is, owners) = (of(entry, name), of(owners, name));
                let near = number(&is).zip(number(&owners)).is_some_and(|(is, owners)| {
                    let faded = is.max(owners) * apart.as_millis() as u64 / period;
                    is.abs_diff(owners) <= faded + 1
                });
                if !near {
                    let apart = apart.as_millis();
                    return Some(format!(
                        "{name} is {}, {owner} has {}, at most {apart} ms apart",
                        text(is),
                        text(owners)
                    ));
                }
            }
        }
    }
    None
}

fn text(value: Option<String>) -> String {
    value.unwrap_or_else(|| "missing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::HAPROXYS;
    use stickd_testkit::dump;

    /// A key of the first HAProxy in the table `array` after three requests, now.
    const KEY: &str = "0";

    struct World {
        ledger: Ledger,
        tables: Vec<Tables>,
        round: Round,
    }

    impl World {
        /// Everybody has the entry as it should be.
        fn new() -> Self {
            let mut ledger = Ledger::new();
            let place = (Kind::Array, KEY.to_owned());
            (0..3).for_each(|_| ledger.answered(&place));
            let round = Round { joined: Some(Instant::now()), ..Round::default() };
            let mut world = Self { ledger, tables: Vec::new(), round };
            world.tables = (0..MEMBERS).map(|_| world.member(899_900, 3, 7)).collect();
            world
        }

        fn member(&self, left: u64, count: u64, rate: u64) -> Tables {
            let now = Instant::now();
            let entry = |kind| match kind {
                Kind::Array => format!(
                    "0x1: key={KEY} use=0 exp={left} shard=0 gpc0={count} gpc1=0 gpc2={count} \
                     gpc0_rate(60000)={rate} gpc1_rate(60000)=0\n"
                ),
                _ => String::new(),
            };
            let table = |kind: Kind| {
                let text = format!("# table: {}, type: x, size:1, used:1\n{}", kind.name(), entry(kind));
                let table = dump::parse(&text).unwrap().remove(0);
                (kind, Seen { before: now, after: now, table })
            };
            Kind::ALL.into_iter().map(table).collect()
        }

        fn faults(&self, look: Look) -> Vec<String> {
            let comparison = compare(&self.ledger, &self.tables, &self.round, look);
            comparison.faults.into_iter().map(|fault| format!("{}: {}", fault.member, fault.what)).collect()
        }

        fn behind(&self, look: Look) -> Behind {
            compare(&self.ledger, &self.tables, &self.round, look).behind
        }
    }

    #[test]
    fn equal_tables_have_no_faults() {
        let world = World::new();
        assert_eq!(world.faults(Look::First), Vec::<String>::new());
        let comparison = compare(&world.ledger, &world.tables, &world.round, Look::Last);
        assert_eq!((comparison.entries, comparison.faults.len()), (MEMBERS as u64, 0));
        assert!(comparison.worst < TOLERANCE);
    }

    #[test]
    fn a_count_a_rate_and_a_lifetime_that_differ_are_faults() {
        for (left, count, rate, text) in [
            (899_900, 2, 7, "gpc0 is 2, 3 requests were counted"),
            (899_900, 4, 7, "gpc0 is 4, 3 requests were counted"),
            (899_900, 3, 9, "gpc0_rate(60000) is 9, ha1 has 7"),
            (890_000, 3, 7, "890000 ms left"),
            (0, 3, 7, "missing"),
        ] {
            let mut world = World::new();
            world.tables[3] = world.member(left, count, rate);
            let faults = world.faults(Look::Last);
            assert!(faults.len() == 1 && faults[0].starts_with("3: "), "{faults:?}");
            assert!(faults[0].contains(text), "{text}: {faults:?}");
        }
        let mut world = World::new();
        world.tables[3].get_mut(&Kind::Array).unwrap().table.entries.clear();
        assert!(world.faults(Look::Last)[0].contains("missing"));
    }

    #[test]
    fn an_entry_nobody_made_is_a_fault() {
        let mut world = World::new();
        let entries = &mut world.tables[1].get_mut(&Kind::Array).unwrap().table.entries;
        let entry = entries[KEY].clone();
        entries.insert("77777".to_owned(), entry);
        assert!(world.faults(Look::First)[0].contains("nobody made this entry"));
    }

    #[test]
    fn a_new_process_may_be_behind_until_the_next_request() {
        let mut world = World::new();
        world.tables[HAPROXYS] = world.member(899_900, 2, 7);
        world.tables[1] = world.member(899_900, 2, 7);
        world.round.replaced[HAPROXYS] = true;
        assert_eq!(world.faults(Look::First).len(), 1, "a member that was there all the time may not");
        world.round.replaced[1] = true;
        assert!(world.faults(Look::First).is_empty());
        let behind = Behind { haproxys: 1, too_close: 1, ..Behind::default() };
        assert_eq!(world.behind(Look::First), behind);
        assert_eq!(world.faults(Look::Last).len(), 2, "nobody may after a request for each key");
        let place = (Kind::Array, KEY.to_owned());
        world.ledger.get_mut(&place).unwrap().resting = true;
        assert_eq!(world.faults(Look::First).len(), 2, "nobody may of a key that rests");
    }

    #[test]
    fn who_is_behind_is_counted_by_what_others_knew() {
        let behind = |counts: [u64; MEMBERS]| {
            let mut world = World::new();
            world.tables = counts.iter().map(|count| world.member(899_900, *count, 7)).collect();
            world.round.replaced = [true; MEMBERS];
            world.round.killed[0] = true;
            let comparison = compare(&world.ledger, &world.tables, &world.round, Look::First);
            assert_eq!(comparison.avoidable.len() as u64, comparison.behind.somebody_knew);
            comparison.behind
        };
        let none = Behind::default();
        assert_eq!(behind([3, 3, 3, 3, 3]), none);
        assert_eq!(behind([3, 3, 3, 2, 3]), Behind { too_close: 1, ..none }, "the owner knows");
        assert_eq!(behind([3, 2, 3, 4, 3]), Behind { haproxys: 1, ahead: 1, ..none });
        let mut world = World::new();
        world.tables[3] = world.member(890_000, 2, 7);
        world.round.replaced[0] = true;
        let comparison = compare(&world.ledger, &world.tables, &world.round, Look::First);
        assert_eq!(comparison.behind, Behind { somebody_knew: 1, ..none });
        assert!(comparison.avoidable[0].what.contains("890000 ms left"), "{:?}", comparison.avoidable);
    }

    #[test]
    fn an_untimed_update_may_be_as_late_as_the_connection() {
        let mut world = World::new();
        let place = (Kind::Array, KEY.to_owned());
        let now = Instant::now();
        let touched = now.checked_sub(Duration::from_secs(6)).unwrap();
        world.ledger.get_mut(&place).unwrap().touched = Some(touched);
        world.tables = (0..MEMBERS).map(|_| world.member(894_000, 3, 7)).collect();
        world.tables[2] = world.member(899_000, 3, 7);
        assert_eq!(world.faults(Look::First).len(), 1, "nothing was late");
        world.round.disturb(0, 2);
        assert!(world.faults(Look::First).is_empty(), "{:?}", world.faults(Look::First));
        world.tables[2] = world.member(899_990 + 2_000, 3, 7);
        assert_eq!(world.faults(Look::First).len(), 1, "later than the moment all were joined");
    }
}
