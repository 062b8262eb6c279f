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
}

impl Scenario {
    /// As it is written after `--only`.
    pub(crate) fn label(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) quick: bool,
    pub(crate) scenarios: Vec<Scenario>,
    /// Time that may be spent on repeating rounds in which the machine was busy.
    pub(crate) extra: Duration,
}

impl Plan {
    /// Everything, or what `only` names.
    pub(crate) fn new(quick: bool, only: &[Scenario]) -> Self {
        let every = Scenario::value_variants();
        let scenarios = if only.is_empty() { every } else { only }.to_vec();
        let extra = if quick { Duration::from_secs(15) } else { Duration::from_mins(15) };
        Self { quick, scenarios, extra }
    }

    /// Whether a scenario is part of it.
    pub(crate) fn has(&self, scenario: Scenario) -> bool {
        self.scenarios.contains(&scenario)
    }

    /// Keys, entries and rounds of the lives to measure.
    pub(crate) fn lives(&self) -> Vec<(Keys, u64, usize)> {
        let addresses: &[(u64, usize)] = if self.quick {
            &[(10_000, 3), (100_000, 3), (1_000_000, 3), (4_000_000, 1)]
        } else {
            &[(10_000, 9), (100_000, 7), (1_000_000, 5), (4_000_000, 3), (16_000_000, 1)]
        };
        let addresses = addresses.iter().map(|&(entries, rounds)| (Keys::Ip, entries, rounds));
        let strings = (Keys::String, 1_000_000, if self.quick { 2 } else { 5 });
        let addresses = addresses.filter(|_| self.has(Scenario::Learn));
        addresses.chain(self.has(Scenario::Strings).then_some(strings)).collect()
    }

    /// Rounds of the other scenarios.
    pub(crate) fn rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }
}
