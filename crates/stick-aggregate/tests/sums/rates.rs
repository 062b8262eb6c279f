//! Sums of rates against the nodes' own counters.

use proptest::prelude::*;
use stick_aggregate::Rules;
use stick_table::{DataType, FrequencyCounter, Millis, Origin, Value};

use crate::hub::{EXPIRE, Hub};

/// `current + previous × remaining ÷ period` of a counter, times the period; and its peak.
fn exact(counter: FrequencyCounter, period: u32, now: Millis) -> (u128, u64) {
    let (elapsed, period) = ((now as u32).wrapping_sub(counter.tick), u64::from(period));
    let elapsed = u64::from(elapsed);
    let (current, previous, left) = match elapsed {
        e if e < period => (counter.current, counter.previous, period - e),
        e if e <= 2 * period => (0, counter.current, 2 * period - e),
        _ => (0, 0, 0),
    };
    let value = u128::from(current) * u128::from(period) + u128::from(previous) * u128::from(left);
    (value, current.max(previous).into())
}

fn total(counters: &[FrequencyCounter], period: u32, now: Millis) -> (f64, f64) {
    let all = counters.iter().map(|&counter| exact(counter, period, now));
    let (sum, peak) = all.fold((0, 0), |(sum, peak), (value, of)| (sum + value, peak + of));
    (sum as f64 / f64::from(period), peak as f64)
}

fn hub(period: u32, now: Millis) -> Hub {
    expiring_hub(period, now, EXPIRE)
}

fn expiring_hub(period: u32, now: Millis, expire: u32) -> Hub {
    let mut hub = Hub::with_expire(&[&format!("http_req_rate({period}ms)")], &Rules::default(), expire);
    hub.now = now;
    hub
}

#[test]
fn the_worked_rows_hold_for_one_node_and_for_many() {
    for nodes in [1, 2, 7] {
        let mut hub = hub(10_000, 100_000);
        for node in 1..=nodes {
            hub.tell_counter(node, FrequencyCounter { tick: 100_000, current: 20, previous: 10 });
        }
        for (now, expected) in [(104_000, 26), (110_000, 20), (113_000, 14), (120_000, 0), (125_000, 0)] {
            hub.now = now;
            hub.refresh();
            let read = hub.number().unwrap();
            assert!(
                read.abs_diff(expected * u64::from(nodes)) <= u64::from(nodes > 1),
                "{nodes} {now}: {read}"
            );
        }
    }
}

#[test]
fn a_single_event_is_seen_to_its_end() {
    let mut hub = hub(10_000, 100_000);
    hub.tell_counter(1, FrequencyCounter { tick: 100_000, current: 1, previous: 0 });
    hub.now = 118_000;
    hub.tell_counter(2, FrequencyCounter { tick: 99_000, current: 1, previous: 0 });
    for now in 118_000..=120_000 {
        hub.now = now;
        hub.refresh();
        assert_eq!(hub.number(), Some(1), "{now}: each node reads 1");
    }
}

#[test]
fn the_largest_and_the_smallest_are_one_nodes() {
    use stick_aggregate::Rule;
    for (rule, expected) in [(Rule::Max, 90), (Rule::Min, 20), (Rule::Last, 30)] {
        let mut rules = Rules::default();
        rules.set(DataType::HttpReqRate, rule).unwrap();
        let mut hub = Hub::with_rules(&["http_req_rate(10s)"], &rules);
        hub.now = 100_000;
        for (node, tick, current) in [(1, 92_000, 90), (2, 93_000, 20), (3, 94_000, 30)] {
            hub.tell_counter(node, FrequencyCounter { tick, current, previous: 0 });
        }
        assert_eq!(hub.number(), Some(expected), "{rule}");
        // The largest falls first: at 109 s it is at 27, the one told last at 30 × 0.5 = 15.
        hub.now = 109_000;
        hub.refresh();
        let expected = match rule {
            Rule::Max => 27,
            Rule::Min => 8,
            _ => 15,
        };
        assert!(hub.number().unwrap().abs_diff(expected) <= 1, "{rule} {:?}", hub.number());
    }
}

/// After 2^31 ms ticks are in the future, but no count comes back.
#[test]
fn old_counters_stay_at_zero() {
    let mut hub = hub(1_000, 5_000);
    hub.tell_counter(1, FrequencyCounter::set(100, 5_000));
    hub.tell_counter(2, FrequencyCounter::set(100, 5_000));
    for _ in 0..6_000 {
        hub.pass(1_000_000);
        // Somebody keeps the key alive who does not count.
        hub.tell_counter(
            1,
            FrequencyCounter { tick: (hub.now as u32 - 5_000) & !1, current: 0, previous: 0 },
        );
        hub.tell_counter(
            2,
            FrequencyCounter { tick: (hub.now as u32 - 5_000) & !1, current: 0, previous: 0 },
        );
        hub.refresh();
        assert_eq!(hub.number(), Some(0));
    }
}

/// What is due is known in advance: a look that changes nothing is the exception.
#[test]
fn a_falling_sum_is_looked_at_when_it_has_to_be_published() {
    for nodes in [2_u32, 8, 50] {
        let mut hub = hub(10_000, 100_000);
        for node in 1..=nodes {
            // Each began another time.
            let tick = 100_000 - node * 7_919 % 10_000 / 2 * 2;
            let counter = FrequencyCounter { tick, current: 30 + node, previous: 90 - node };
            hub.tell_counter(node as u16, counter);
        }
        let (mut looked, mut published) = (0, 0);
        for _ in 0..250 {
            hub.now += 100;
            let refreshed = hub.aggregate.refresh(hub.now, 1_000);
            looked += refreshed.keys;
            published += refreshed.published;
        }
        assert_eq!(hub.number(), Some(0));
        assert!(published > 1, "{nodes}: {published}");
        assert!(looked <= published + 5, "{nodes}: {looked} looks, {published} published");
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A node counts some events and tells.
    Add {
        node: usize,
        events: u32,
    },
    /// Many nodes count at once.
    Burst {
        events: u32,
    },
    /// A node's session begins anew, perhaps with a process that counts from 0.
    Restart {
        node: usize,
        forgets: bool,
    },
    Pass {
        part: u32,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..12, prop_oneof![0u32..4, 0u32..3_000, Just(4_000_000)])
            .prop_map(|(node, events)| Step::Add { node, events }),
        2 => (0u32..500).prop_map(|events| Step::Burst { events }),
        1 => (0usize..12, any::<bool>()).prop_map(|(node, forgets)| Step::Restart { node, forgets }),
        10 => (0u32..4_000).prop_map(|part| Step::Pass { part }),
    ]
}

/// Nodes that count and tell, and what comes of it.
struct Cluster {
    hub: Hub,
    period: u32,
    expire: u32,
    counters: Vec<FrequencyCounter>,
    /// What each node told last, and when that ends.
    told: Vec<Option<(FrequencyCounter, Millis)>>,
    /// What the sum is made of, since the last refresh or news.
    kept: Vec<FrequencyCounter>,
    /// The sum and the peak when the sum was last published or looked at closely.
    looked_at: (f64, f64),
    /// When there was a refresh or news.
    looked: Millis,
}

impl Cluster {
    fn new(period: u32, nodes: usize, begin: Millis, expire: u32) -> Self {
        let hub = expiring_hub(period, begin, expire);
        let counters = vec![FrequencyCounter::default(); nodes];
        let told = vec![None; nodes];
        Self { hub, period, expire, counters, told, kept: Vec::new(), looked_at: (0.0, 0.0), looked: begin }
    }

    fn published(&self) -> Option<FrequencyCounter> {
        let value = self.hub.value(DataType::HttpReqRate, 0)?;
        let Value::Frequency(counter) = value else { panic!("{value:?}") };
        Some(counter)
    }

    fn add(&mut self, node: usize, events: u32) {
        let now = self.hub.now;
        if self.told[node].is_some_and(|(_, end)| end <= now) {
            // The node's entry has ended as well.
            self.counters[node] = FrequencyCounter::default();
        }
        self.counters[node].add(events, self.period, now as u32);
        self.hub.tell_counter(node as u16 + 1, self.counters[node]);
        self.told[node] = Some((self.counters[node], now + u64::from(self.expire)));
    }

    /// What each node told last is kept, and nothing of what has ended.
    fn look(&mut self, closely: bool) {
        let (now, period) = (self.hub.now, self.period);
        let contributions = self.hub.aggregate.contributions(&Hub::key(0), now).unwrap();
        let rate = |value: &Value| match value {
            Value::Frequency(counter) => *counter,
            other => panic!("{other:?}"),
        };
        self.kept = contributions.iter().map(|one| rate(&one.values[0].2)).collect();
        for (node, told) in (1..).zip(&self.told) {
            let mut own = contributions.iter().filter(|one| one.node == Origin::peer(node).unwrap());
            match told.filter(|&(_, end)| end > now) {
                // Once it reads 0 it may be kept as 0.
                Some((counter, end)) => assert!(
                    own.any(|one| one.remaining == Some((end - now) as u32)
                        && (rate(&one.values[0].2) == counter || counter.read(period, now as u32) == 0)),
                    "{counter:?} of {node}"
                ),
                None => assert_eq!(own.next(), None, "nothing outlives its entry"),
            }
        }
        if closely {
            let own = self.published().map_or(0, |counter| exact(counter, period, now).1);
            let (sum, peak) = total(&self.kept, period, now);
            self.looked_at = (sum, peak.max(own as f64));
        }
        self.looked = now;
    }

    /// At any time.
    fn check(&self) -> Result<(), TestCaseError> {
        let (now, period) = (self.hub.now, self.period);
        let Some(read) = self.hub.number() else {
            let contributions = self.hub.aggregate.contributions(&Hub::key(0), now).unwrap();
            prop_assert_eq!(contributions, []);
            return Ok(());
        };
        let (sum, _) = total(&self.kept, period, now);
        let (before, peak) = self.looked_at;
        let late = (now - self.looked) as f64;
        let bound = 3.0 + (before / 64.0).max(1.0) + peak / 64.0 + peak * (late + 2.0) / f64::from(period);
        prop_assert!((read as f64 - sum).abs() <= bound, "{}: {} is not {} within {}", now, read, sum, bound);
        Ok(())
    }

    /// When the sum was just published.
    fn check_news(&self) -> Result<(), TestCaseError> {
        let (now, period) = (self.hub.now, self.period);
        let Some(read) = self.hub.number() else { return Ok(()) };
        let (sum, _) = total(&self.kept, period, now);
        let singles = self.kept.iter().map(|counter| counter.read(period, now as u32));
        let most = u64::from(singles.clone().max().unwrap_or(0));
        prop_assert!(read >= most, "{} is less than one node's own {}", read, most);
        prop_assert!(read as f64 >= sum.floor() && read as f64 <= sum + 1.0, "{} is not {}", read, sum);
        let readings: u64 = singles.map(u64::from).sum();
        prop_assert!(read.abs_diff(readings) <= self.kept.len() as u64, "{} is not {}", read, readings);
        Ok(())
    }

    fn run(&mut self, steps: &[Step], pause: u64) -> Result<(), TestCaseError> {
        let nodes = self.counters.len();
        let mut next = self.hub.now + pause;
        for step in steps {
            match *step {
                Step::Add { node, events } => self.add(node % nodes, events),
                Step::Burst { events } => (0..nodes).for_each(|node| self.add(node, events + node as u32)),
                Step::Restart { node, forgets } => {
                    self.hub.restart((node % nodes) as u16 + 1);
                    if forgets {
                        self.counters[node % nodes] = FrequencyCounter::default();
                    }
                    continue;
                }
                Step::Pass { part } => {
                    let until = self.hub.now + u64::from(part) * u64::from(self.period) / 1_000;
                    let stride = ((until - self.hub.now) / 40).max(1);
                    while self.hub.now < until {
                        self.hub.now = until.min(next).min(self.hub.now + stride);
                        if self.hub.now == next {
                            let looked = self.hub.aggregate.refresh(next, 1_000);
                            self.look(looked.keys > 0);
                            next += pause;
                        }
                        self.check()?;
                    }
                    continue;
                }
            }
            self.look(true);
            self.check_news()?;
        }
        Ok(())
    }
}

/// A contribution that ends while it still reads something; its node's clock wraps meanwhile.
#[test]
fn what_has_ended_does_not_count_though_its_period_has_not() {
    let steps =
        [Step::Add { node: 2, events: 1 }, Step::Pass { part: 1_573 }, Step::Add { node: 0, events: 0 }];
    for expire in [EXPIRE, 2 * EXPIRE] {
        let mut cluster = Cluster::new(38_144, 3, 4_294_947_295, expire);
        cluster.run(&steps, 100).unwrap();
        let expected = if expire == EXPIRE { (1, 0) } else { (2, 1) };
        assert_eq!((cluster.kept.len(), cluster.hub.number().unwrap()), expected);
    }
}

/// Four million events of one node and few of another, in other phases.
#[test]
fn few_events_beside_very_many() {
    let (add, pass) = (|node, events| Step::Add { node, events }, |part| Step::Pass { part });
    let steps =
        [pass(1_937), pass(3_800), add(6, 4_000_000), pass(32), add(1, 2_153), add(1, 2_485), pass(1_981)];
    Cluster::new(1_000, 2, 4_294_947_295, EXPIRE).run(&steps, 62).unwrap();
}

/// Its period is odd and its ticks are even, so a node may tell a counter whose period has just ended.
#[test]
fn a_single_event_at_the_very_end_of_a_period() {
    let add = |events| Step::Add { node: 0, events };
    let steps = [add(1), Step::Pass { part: 1_334 }, add(0)];
    let mut cluster = Cluster::new(3, 1, 4_294_947_295, EXPIRE);
    cluster.run(&steps, 1).unwrap();
    assert_eq!((cluster.counters[0].current, cluster.counters[0].previous), (0, 1));
    assert_eq!((cluster.hub.now as u32 - cluster.counters[0].tick, cluster.hub.number()), (3, Some(1)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(300)))]

    /// At publication the sum is exact but for rounding, and no less than any node's own; from then on, with a refresh
    /// every `pause` ms, within the bound that the crate states.
    #[test]
    fn a_sum_of_rates_stays_within_its_bound(
        period in prop_oneof![Just(1_000u32), Just(10_000), 2u32..50, 50u32..100_000],
        nodes in 1usize..12,
        begin in prop_oneof![Just(u64::from(u32::MAX) - 20_000), 1_000_000u64..9_000_000],
        expire in prop_oneof![Just(20_000_000u32), Just(EXPIRE), 1u32..200_000],
        pause in 1u64..20,
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let pause = (u64::from(period) / 16).clamp(1, 100 * pause);
        Cluster::new(period, nodes, begin, expire).run(&steps, pause)?;
    }
}
