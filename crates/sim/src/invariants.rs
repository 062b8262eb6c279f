//! What must always be, each in a checker of its own.

mod acknowledgements;
mod complete;
mod convergence;
mod copies;
mod downgrade;
mod frequency;
mod inputs;
mod lessons;
mod lifetimes;
mod memory;
mod own_sums;
mod own_values;
mod succession;
mod sum_lifetimes;
mod sum_rates;
mod sums;

use crate::stage::Invariant;

/// A new checker of each kind.
pub(crate) fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(convergence::Convergence),
        Box::new(lifetimes::Lifetimes::default()),
        Box::new(acknowledgements::Acknowledgements::default()),
        Box::new(memory::Memory::default()),
        Box::new(lessons::Lessons::default()),
        Box::new(frequency::Frequency::default()),
        Box::new(downgrade::Downgrade),
        Box::new(copies::Copies::default()),
        Box::new(succession::Succession::default()),
    ]
}

/// The same for a world with hubs whose nodes change the definitions of their tables: sums may lack something for a while.
pub(crate) fn of_definitions() -> Vec<Box<dyn Invariant>> {
    vec![Box::new(memory::Memory::default()), Box::new(complete::Complete)]
}

/// The same for a world with hubs.
pub(crate) fn of_hubs() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(memory::Memory::default()),
        Box::new(sums::Sums),
        Box::new(sum_rates::SumRates),
        Box::new(sum_lifetimes::SumLifetimes),
        Box::new(own_sums::OwnSums::default()),
        Box::new(own_values::OwnValues::default()),
        Box::new(inputs::Inputs::default()),
    ]
}
