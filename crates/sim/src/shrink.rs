//! A run that fails, with as few steps as it needs.

use crate::{Plan, Step, World};

/// Leaves steps out of a plan while `invariant` still fails, with at most `reruns` runs; returns the plan that is left.
pub fn shrink(plan: &Plan, invariant: &str, reruns: usize) -> Plan {
    let fails = |plan: &Plan| {
        World::run(plan, false).violations.iter().any(|violation| violation.invariant == invariant)
    };
    shrink_by(plan, reruns, fails)
}

/// Delta debugging: tries to go without ever smaller parts of the steps.
fn shrink_by(plan: &Plan, mut reruns: usize, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut size = best.steps.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let mut shorter = false;
        while from < best.steps.len() {
            if reruns == 0 {
                return best;
            }
            let steps = without(&best.steps, from, size);
            if steps.len() == best.steps.len() {
                from += size;
                continue;
            }
            reruns -= 1;
            let candidate = Plan { steps, ..best.clone() };
            if fails(&candidate) {
                best = candidate;
                shorter = true;
            } else {
                from += size;
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if !shorter {
            return best;
        }
    }
}

/// The steps but `size` of them from a place on, and but those that must stay.
fn without(steps: &[Step], from: usize, size: usize) -> Vec<Step> {
    let goes = |place: usize, step: &Step| (from..from + size).contains(&place) && step.may_go();
    steps.iter().enumerate().filter(|(place, step)| !goes(*place, step)).map(|(_, step)| *step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Profile, What};

    #[test]
    fn only_the_steps_that_matter_are_left() {
        let plan = Plan::new(&Profile::ALL[2], 3);
        let cuts =
            |plan: &Plan| plan.steps.iter().filter(|step| matches!(step.what, What::Cut { .. })).count();
        assert!(cuts(&plan) > 2);
        let mut runs = 0;
        let shrunk = shrink_by(&plan, 2_000, |plan| {
            runs += 1;
            cuts(plan) >= 2
        });
        assert_eq!(cuts(&shrunk), 2);
        assert_eq!(shrunk.steps.iter().filter(|step| step.may_go()).count(), 2);
        assert!(runs < 500, "{runs}");
        let bounded = shrink_by(&plan, 1, |_| true);
        assert!(bounded.steps.iter().any(Step::may_go), "no more runs than allowed");
    }
}
