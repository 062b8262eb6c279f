//! What must always be, each in a checker of its own.

mod acknowledgements;
mod convergence;
mod downgrade;
mod frequency;
mod lessons;
mod lifetimes;
mod memory;

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
    ]
}
