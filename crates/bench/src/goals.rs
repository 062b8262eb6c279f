//! What is to be reached, beside what was.

use crate::report::{Table, count, times};
use crate::results::{Results, Task};
use crate::workload::Keys;

/// One line of the table of goals.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) work: String,
    /// Who is compared with, and its result.
    pub(crate) other: String,
    pub(crate) stickd: String,
    pub(crate) reached: f64,
    pub(crate) at_least: f64,
    pub(crate) aim: f64,
    pub(crate) unit: Unit,
}

/// What `reached`, `at_least` and `aim` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A factor, the larger the better.
    Times,
    /// A share, the smaller the better.
    Share,
    /// Milliseconds, the fewer the better.
    Milliseconds,
    /// Microseconds, the fewer the better.
    Microseconds,
}

impl Goal {
    fn verdict(&self) -> &'static str {
        let better = |limit: f64| match self.unit {
            Unit::Times => self.reached >= limit,
            Unit::Share | Unit::Milliseconds | Unit::Microseconds => self.reached <= limit,
        };
        match (better(self.at_least), better(self.aim)) {
            (_, true) => "aim reached",
            (true, false) => "reached",
            (false, false) => "short",
        }
    }
}

impl Unit {
    fn value(self, value: f64) -> String {
        match self {
            Self::Times => times(value),
            Self::Share => format!("{value:.2}"),
            Self::Milliseconds => format!("{value:.1} ms"),
            Self::Microseconds => format!("{value:.0} µs"),
        }
    }

    fn limit(self, value: f64) -> String {
        match self {
            Self::Times => self.value(value),
            Self::Share | Self::Milliseconds | Self::Microseconds => format!("≤ {}", self.value(value)),
        }
    }
}

/// The table of all goals that were measured.
pub(crate) fn table(goals: &[Goal]) -> Table {
    let header = ["work", "compared with", "it", "stickd", "reached", "at least", "aim", "verdict"];
    let mut table = Table::new("Goals", &header);
    for goal in goals {
        let (other, it) = goal.other.split_once(": ").unwrap_or((&goal.other, "–"));
        table.row([
            goal.work.clone(),
            other.to_owned(),
            it.to_owned(),
            goal.stickd.clone(),
            goal.unit.value(goal.reached),
            goal.unit.limit(goal.at_least),
            goal.unit.limit(goal.aim),
            goal.verdict().to_owned(),
        ]);
    }
    table.note(
        "Factors are CPU of the HAProxy that needs the least ÷ CPU of stickd; shares are stickd ÷ that HAProxy.",
    );
    table
}

/// The goals that lives measure.
pub(crate) fn of_results(results: &Results) -> Vec<Goal> {
    let ip = Keys::Ip;
    let cpu = [
        ("learn new", Task::LearnNew, ip, 1_000_000, 8.0, 12.0),
        ("learn new", Task::LearnNew, ip, 4_000_000, 12.0, 20.0),
        ("learn known", Task::LearnKnown, ip, 1_000_000, 8.0, 12.0),
        ("learn new", Task::LearnNew, Keys::String, 1_000_000, 8.0, 12.0),
        ("learn known", Task::LearnKnown, Keys::String, 1_000_000, 8.0, 12.0),
        ("teach", Task::Teach, ip, 1_000_000, 4.0, 6.0),
        ("teach", Task::Teach, ip, 4_000_000, 4.0, 6.0),
    ];
    let cpu = cpu.into_iter().filter_map(|(work, task, keys, entries, at_least, aim)| {
        let ((label, haproxy), stickd) = results.fastest(task, keys, entries)?;
        Some(Goal {
            work: format!("{work}, {}, {}", count(entries), keys.label()),
            other: format!("{label}: {haproxy:.0} ns"),
            stickd: format!("{stickd:.0} ns"),
            reached: haproxy / stickd,
            at_least,
            aim,
            unit: Unit::Times,
        })
    });
    let memory = results.smallest(ip, 4_000_000).map(|((label, haproxy), stickd)| Goal {
        work: format!("memory, 4 M, {}", ip.label()),
        other: format!("{label}: {haproxy:.1} B"),
        stickd: format!("{stickd:.1} B"),
        reached: stickd / haproxy,
        at_least: 0.30,
        aim: 0.22,
        unit: Unit::Share,
    });
    cpu.chain(memory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(reached: f64, at_least: f64, aim: f64, unit: Unit) -> Goal {
        let text = || "HAProxy 2.6: 1 ns".to_owned();
        Goal { work: text(), other: text(), stickd: text(), reached, at_least, aim, unit }
    }

    #[test]
    fn verdicts_know_which_way_is_better() {
        for (reached, verdict) in [(7.9, "short"), (8.0, "reached"), (12.0, "aim reached")] {
            assert_eq!(goal(reached, 8.0, 12.0, Unit::Times).verdict(), verdict);
        }
        for (reached, verdict) in [(0.31, "short"), (0.30, "reached"), (0.2, "aim reached")] {
            assert_eq!(goal(reached, 0.30, 0.22, Unit::Share).verdict(), verdict);
        }
        assert_eq!(goal(4.0, 10.0, 3.0, Unit::Milliseconds).verdict(), "reached");
        assert_eq!(goal(201.0, 200.0, 200.0, Unit::Microseconds).verdict(), "short");
    }

    #[test]
    fn the_table_says_who_is_compared() {
        let text = table(&[goal(0.25, 0.30, 0.22, Unit::Share)]).plain();
        assert!(text.contains("HAProxy 2.6") && text.contains("≤ 0.30") && text.contains("1 ns"), "{text}");
    }
}
