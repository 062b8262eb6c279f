//! The invariants find known defects, each its own, within a few seeds.

use stick_table::defect::Defect;
use stickd_sim::{Profile, run_seed};

/// A defect, the invariant that it is for, the profile under which that finds it, and within how many seeds.
const CASES: [(Defect, &str, &str, u64); 34] = [
    (Defect::LessonWithoutLifetimes, "lifetimes", "restarts", 20),
    (Defect::LiveWithoutLifetimes, "lifetimes", "links", 20),
    (Defect::DeadEntriesReturn, "lifetimes", "links", 100),
    (Defect::NoScanMark, "convergence", "scans", 2_200),
    (Defect::AckOffByOne, "convergence", "floods", 400),
    (Defect::AcksOutliveProcesses, "convergence", "storm", 400),
    (Defect::PredecessorGaveUp, "convergence", "restarts", 1_000),
    (Defect::NoResume, "acknowledgements", "links", 20),
    (Defect::EndlessInFlight, "memory", "floods", 100),
    (Defect::LessonNeverEnds, "lessons", "calm", 20),
    (Defect::CopiesPassForTold, "copies", "copies", 40),
    (Defect::ConfirmationIsAwaited, "convergence", "unconfirmed", 40),
    (Defect::LessonWithoutLearned, "lessons", "restarts", 20),
    (Defect::LessonOverwrites, "convergence", "restarts", 200),
    (Defect::StaleRepetitions, "lifetimes", "mixed", 400),
    (Defect::RepetitionsNeverEnd, "lifetimes", "revolutions", 400),
    (Defect::FrequencyRestarts, "frequency", "restarts", 20),
    (Defect::DowngradeSticks, "downgrade", "versions", 100),
    (Defect::SessionsAddUp, "sums", "two-hubs", 400),
    (Defect::ForgetsAtOnce, "sums", "hub-restarts", 400),
    (Defect::NeverForgets, "sums", "hub-restarts", 400),
    (Defect::ForgottenForGood, "sums", "two-hubs", 400),
    (Defect::ResultsAreInput, "inputs", "hub-restarts", 400),
    (Defect::OwnValuesNotTaught, "own-values", "hub-restarts", 400),
    (Defect::OwnValuesLiveAnew, "own-values", "hub-restarts", 400),
    (Defect::OwnValuesFirst, "own-sums", "hub-restarts", 400),
    (Defect::TellsAtOnce, "own-sums", "hub-restarts", 400),
    (Defect::SumsLiveAnew, "sum-lifetimes", "hub", 400),
    (Defect::RatesStay, "sum-rates", "hub", 400),
    (Defect::FullHubEvicts, "own-sums", "full-hubs", 400),
    (Defect::AbsenceIsComplete, "complete", "hub-definitions", 400),
    (Defect::DefinitionsStay, "complete", "hub-definitions", 400),
    (Defect::StrangerIsPredecessor, "convergence", "reloads", 200),
    (Defect::HandsOverUntaught, "succession", "reloads", 100),
];

/// The first seed at which an invariant finds a defect.
fn found_at(defect: Defect, invariant: &str, profile: &str, seeds: u64) -> Option<u64> {
    let profile = Profile::of_name(profile).unwrap();
    (0..seeds).find(|seed| {
        let report = run_seed(profile, *seed, Some(defect));
        report.violations.iter().any(|violation| violation.invariant == invariant)
    })
}

#[test]
fn each_defect_is_found_by_its_invariant() {
    let is_known = |defect: &Defect| CASES.iter().any(|(known, ..)| known == defect);
    // Of those, tests of their own crates are in charge.
    let others = [&Defect::OF_REMOVALS[..], &Defect::OF_STORE[..]].concat();
    assert!(Defect::ALL.iter().all(|defect| is_known(defect) || others.contains(defect)));
    assert!(Defect::switch(None), "tests are built with defects");
    let missed: Vec<_> = CASES
        .into_iter()
        .filter(|(defect, invariant, profile, seeds)| {
            let found = found_at(*defect, invariant, profile, *seeds);
            println!("{} by {invariant} of {profile}: {found:?}", defect.name());
            found.is_none()
        })
        .map(|(defect, ..)| defect.name())
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
