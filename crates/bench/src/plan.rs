//! What is run: which scenarios, with how many entries, how often.

use std::time::Duration;

use clap::ValueEnum;

use crate::workload::Keys;

/// A part of the benchmark that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Learn new and known entries, teach, memory, with address keys
    Learn,
    /// The same with string keys
    Strings,
    /// Two sessions learning into one table
    Sessions,
    /// New entries into a full table
    Purge,
    /// All entries expire at once
    Expiry,
    /// One peer's updates relayed to many
    FanOut,
    /// An honest peer's latency while others attack; only when it is asked for
    Hostile,
    /// From a request on one HAProxy to the sum on another, through a hub; only when it is asked for
    HubLatency,
    /// What an update costs a hub with few and many nodes; only when it is asked for
    HubNodes,
    /// HAProxys in a full mesh, with a relay and with a hub; only when it is asked for
    HubMesh,
    /// Nodes that leave a hub at once, and what others notice; only when it is asked for
    HubDeparture,
}

impl Scenario {
    /// Whether it is no comparison with HAProxy on the same work, and so no part of a full run.
    fn is_extra(self) -> bool {
        matches!(self, Self::Hostile | Self::HubLatency | Self::HubNodes | Self::HubMesh | Self::HubDeparture)
    }

    /// As it is written after `--only`.
    pub(crate) fn label(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    scenarios: Vec<Scenario>,
    /// Whether they were named one by one.
    named: bool,
    /// Time that may be spent on repeating rounds in which the machine was busy.
    pub(crate) extra: Duration,
}

impl Plan {
    /// Everything, or what `only` names.
    pub(crate) fn new(quick: bool, only: &[Scenario]) -> Self {
        let every = Scenario::value_variants().iter().copied().filter(|it| !it.is_extra());
        let scenarios = if only.is_empty() { every.collect() } else { only.to_vec() };
        let extra = if quick { Duration::from_secs(15) } else { Duration::from_mins(2) };
        Self { quick, scenarios, named: !only.is_empty(), extra }
    }

    /// Whether a scenario is part of it.
    pub(crate) fn has(&self, scenario: Scenario) -> bool {
        self.scenarios.contains(&scenario)
    }

    /// Whether somebody asked for this scenario by its name.
    pub(crate) fn is_named(&self, scenario: Scenario) -> bool {
        self.named && self.has(scenario)
    }

    /// Keys, entries and rounds of the lives to measure.
    pub(crate) fn lives(&self) -> Vec<(Keys, u64, usize)> {
        let addresses: &[(u64, usize)] = if self.quick {
            &[(10_000, 2), (100_000, 2), (1_000_000, 3), (4_000_000, 1)]
        } else {
            &[(10_000, 5), (100_000, 5), (1_000_000, 7), (4_000_000, 3), (16_000_000, 1)]
        };
        let addresses = addresses.iter().map(|&(entries, rounds)| (Keys::Ip, entries, rounds));
        let strings = (Keys::String, 1_000_000, if self.quick { 2 } else { 3 });
        let addresses = addresses.filter(|_| self.has(Scenario::Learn));
        addresses.chain(self.has(Scenario::Strings).then_some(strings)).collect()
    }

    /// Whether a subject, by its place among all, takes part in a round with so many entries. The first HAProxy, which needs
    /// the least, and stickd, the last, do everything; the others, which take minutes for it, three rounds at most, one round with 4 M
    /// and none with more, and in the quick run one round with fewer.
    pub(crate) fn takes_part(&self, subject: usize, subjects: usize, entries: u64, round: usize) -> bool {
        let always = subject == 0 || subject + 1 == subjects;
        let most = if self.quick { 1_000_000 } else { 4_000_000 };
        let several = !self.quick && entries < most && round < 3;
        always || several || (entries <= most && round == 0)
    }

    /// Rounds of the other scenarios.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_asked_for_is_all_that_runs() {
        let plan = Plan::new(true, &[Scenario::Strings]);
        assert!(plan.lives().iter().all(|life| life.0 == Keys::String));
        assert!(plan.is_named(Scenario::Strings) && !plan.has(Scenario::Purge));
        let all = Plan::new(false, &[]);
        assert!(all.has(Scenario::FanOut) && !all.is_named(Scenario::FanOut));
        assert_eq!(all.lives().len(), 6);
        let hubs = [Scenario::HubLatency, Scenario::HubNodes, Scenario::HubMesh, Scenario::HubDeparture];
        for extra in hubs.into_iter().chain([Scenario::Hostile]) {
            assert!(!all.has(extra) && Plan::new(false, &[extra]).is_named(extra), "{}", extra.label());
        }
    }

    #[test]
    fn what_takes_long_is_done_by_few() {
        let quick = Plan::new(true, &[]);
        assert!((0..2).all(|round| quick.takes_part(0, 3, 4_000_000, round)));
        assert!(quick.takes_part(2, 3, 4_000_000, 1));
        assert!(quick.takes_part(1, 3, 1_000_000, 0));
        assert!(!quick.takes_part(1, 3, 1_000_000, 1) && !quick.takes_part(1, 3, 4_000_000, 0));
        let full = Plan::new(false, &[]);
        assert!(full.takes_part(1, 3, 1_000_000, 2) && !full.takes_part(1, 3, 1_000_000, 3));
        assert!(full.takes_part(1, 3, 4_000_000, 0));
        assert!(!full.takes_part(1, 3, 4_000_000, 1) && !full.takes_part(1, 3, 16_000_000, 0));
        assert!(full.takes_part(0, 3, 16_000_000, 0) && full.takes_part(2, 3, 16_000_000, 0));
        assert!(quick.lives().iter().all(|life| life.1 <= 4_000_000));
    }

    #[test]
    fn scenarios_are_named_as_on_the_command_line() {
        assert_eq!(Scenario::FanOut.label(), "fan-out");
        assert_eq!(Scenario::HubLatency.label(), "hub-latency");
    }
}
