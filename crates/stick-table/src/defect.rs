//! Known defects, to be switched on by those who check that their tests find them.
//!
//! Without the feature `defects`, which no program has that is released, none can be switched on, and the code for them is
//! not there. They are of this crate and of those built on it, so that there is one list.

/// A defect by what goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Defect {
    /// A lesson does not tell how long its entries have left.
    LessonWithoutLifetimes,
    /// A live update never tells how long its entry has left, however long it waited.
    LiveWithoutLifetimes,
    /// What is over is pushed to peers that did not get it before, as if it were not.
    DeadEntriesReturn,
    /// A scan does not raise the mark of what readers have seen.
    NoScanMark,
    /// An acknowledgement counts for one update more.
    AckOffByOne,
    /// What a peer's process acknowledged counts for the next one, which asks for a lesson.
    AcksOutliveProcesses,
    /// A process that waited for lessons in vain teaches its successor as if it knew everything.
    PredecessorGaveUp,
    /// A new session does not go on where the one before was.
    NoResume,
    /// Batches that wait for an acknowledgement are never merged.
    EndlessInFlight,
    /// Keys that are removed leave no trace for those who follow removals.
    RemovalsLost,
    /// A follower that missed removals does not start over.
    MissedRemovalsPass,
    /// A feed that goes back to its last acknowledgement does not visit the removals since again.
    RemovalsOnce,
    /// What is written to disk is not synced.
    StoreWithoutSync,
    /// A file whose sync failed is synced again.
    StoreSyncsAgain,
    /// The files before a lap are removed when it begins.
    StoreDeletesEarly,
    /// Blocks are believed without a look at their hashes.
    StoreTrustsDamage,
    /// A lesson does not end.
    LessonNeverEnds,
    /// A peer that never confirms its lesson hears of no change any more.
    ConfirmationIsAwaited,
    /// A copy of what a peer told of another table passes for what it told of this one.
    CopiesPassForTold,
    /// A lesson leaves out what its teacher learned itself.
    LessonWithoutLearned,
    /// A lesson overwrites what came live.
    LessonOverwrites,
    /// What repeats a lesson that told no lifetimes keeps the lifetime of what it overwrites.
    StaleRepetitions,
    /// Ids of a lesson count as repeated for ever, also when they come round again.
    RepetitionsNeverEnd,
    /// The age of a frequency counter is not told.
    FrequencyRestarts,
    /// A peer that refused 2.1 once is never asked again.
    DowngradeSticks,
    /// A hub counts what a node tells in its next session beside what it told before.
    SessionsAddUp,
    /// A hub forgets a node with its session.
    ForgetsAtOnce,
    /// A hub never forgets a node.
    NeverForgets,
    /// A hub does not ask a node that it had forgotten for what it has.
    ForgottenForGood,
    /// A hub takes what comes back of its own results.
    ResultsAreInput,
    /// A hub does not teach a node its own values.
    OwnValuesNotTaught,
    /// A hub teaches a node its own values without what is left of their lives.
    OwnValuesLiveAnew,
    /// A hub teaches own values before the sums.
    OwnValuesFirst,
    /// A hub tells sums before it knows what its nodes have.
    TellsAtOnce,
    /// A sum lives as long as if all of it were new.
    SumsLiveAnew,
    /// A hub that has rates of several nodes never looks at their sum again.
    RatesStay,
    /// A hub that leaves out what a node tells calls its sums complete.
    AbsenceIsComplete,
    /// A hub that is full evicts keys that are in use for new ones, and calls its sums complete.
    FullHubEvicts,
    /// A hub keeps the definition of a table that no node has any more.
    DefinitionsStay,
    /// Who says a node's own name is taken for the process before it, whoever it is.
    StrangerIsPredecessor,
    /// A process hands over before its own predecessor has taught it.
    HandsOverUntaught,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 41] = [
        Self::LessonWithoutLifetimes,
        Self::LiveWithoutLifetimes,
        Self::DeadEntriesReturn,
        Self::NoScanMark,
        Self::AckOffByOne,
        Self::AcksOutliveProcesses,
        Self::PredecessorGaveUp,
        Self::NoResume,
        Self::EndlessInFlight,
        Self::RemovalsLost,
        Self::MissedRemovalsPass,
        Self::RemovalsOnce,
        Self::StoreWithoutSync,
        Self::StoreSyncsAgain,
        Self::StoreDeletesEarly,
        Self::StoreTrustsDamage,
        Self::LessonNeverEnds,
        Self::ConfirmationIsAwaited,
        Self::CopiesPassForTold,
        Self::LessonWithoutLearned,
        Self::LessonOverwrites,
        Self::StaleRepetitions,
        Self::RepetitionsNeverEnd,
        Self::FrequencyRestarts,
        Self::DowngradeSticks,
        Self::SessionsAddUp,
        Self::ForgetsAtOnce,
        Self::NeverForgets,
        Self::ForgottenForGood,
        Self::ResultsAreInput,
        Self::OwnValuesNotTaught,
        Self::OwnValuesLiveAnew,
        Self::OwnValuesFirst,
        Self::TellsAtOnce,
        Self::SumsLiveAnew,
        Self::RatesStay,
        Self::AbsenceIsComplete,
        Self::FullHubEvicts,
        Self::DefinitionsStay,
        Self::StrangerIsPredecessor,
        Self::HandsOverUntaught,
    ];

    /// Those that the naive twin of [`Feed`](crate::Feed) is for: no peer is told of removals.
    pub const OF_REMOVALS: [Self; 3] = [Self::RemovalsLost, Self::MissedRemovalsPass, Self::RemovalsOnce];

    /// Those that the crashes of a simulated disk are for.
    pub const OF_STORE: [Self; 5] = [
        Self::RemovalsLost,
        Self::StoreWithoutSync,
        Self::StoreSyncsAgain,
        Self::StoreDeletesEarly,
        Self::StoreTrustsDamage,
    ];

    /// The name for a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LessonWithoutLifetimes => "lesson-without-lifetimes",
            Self::LiveWithoutLifetimes => "live-without-lifetimes",
            Self::DeadEntriesReturn => "dead-entries-return",
            Self::NoScanMark => "no-scan-mark",
            Self::AckOffByOne => "ack-off-by-one",
            Self::AcksOutliveProcesses => "acks-outlive-processes",
            Self::PredecessorGaveUp => "predecessor-gave-up",
            Self::NoResume => "no-resume",
            Self::EndlessInFlight => "endless-in-flight",
            Self::RemovalsLost => "removals-lost",
            Self::MissedRemovalsPass => "missed-removals-pass",
            Self::RemovalsOnce => "removals-once",
            Self::StoreWithoutSync => "store-without-sync",
            Self::StoreSyncsAgain => "store-syncs-again",
            Self::StoreDeletesEarly => "store-deletes-early",
            Self::StoreTrustsDamage => "store-trusts-damage",
            Self::LessonNeverEnds => "lesson-never-ends",
            Self::ConfirmationIsAwaited => "confirmation-is-awaited",
            Self::CopiesPassForTold => "copies-pass-for-told",
            Self::LessonWithoutLearned => "lesson-without-learned",
            Self::LessonOverwrites => "lesson-overwrites",
            Self::StaleRepetitions => "stale-repetitions",
            Self::RepetitionsNeverEnd => "repetitions-never-end",
            Self::FrequencyRestarts => "frequency-restarts",
            Self::DowngradeSticks => "downgrade-sticks",
            Self::SessionsAddUp => "sessions-add-up",
            Self::ForgetsAtOnce => "forgets-at-once",
            Self::NeverForgets => "never-forgets",
            Self::ForgottenForGood => "forgotten-for-good",
            Self::ResultsAreInput => "results-are-input",
            Self::OwnValuesNotTaught => "own-values-not-taught",
            Self::OwnValuesLiveAnew => "own-values-live-anew",
            Self::OwnValuesFirst => "own-values-first",
            Self::TellsAtOnce => "tells-at-once",
            Self::SumsLiveAnew => "sums-live-anew",
            Self::RatesStay => "rates-stay",
            Self::AbsenceIsComplete => "absence-is-complete",
            Self::FullHubEvicts => "full-hub-evicts",
            Self::DefinitionsStay => "definitions-stay",
            Self::StrangerIsPredecessor => "stranger-is-predecessor",
            Self::HandsOverUntaught => "hands-over-untaught",
        }
    }
}

#[cfg(feature = "defects")]
mod switch {
    use super::Defect;
    use std::cell::Cell;

    thread_local! {
        static ON: Cell<Option<Defect>> = const { Cell::new(None) };
    }

    impl Defect {
        /// Switches one defect on for this thread, or none; `false` when this program has no defects.
        pub fn switch(defect: Option<Self>) -> bool {
            ON.set(defect);
            true
        }

        /// Whether this thread has the defect.
        pub fn is_on(self) -> bool {
            ON.get() == Some(self)
        }
    }
}

#[cfg(not(feature = "defects"))]
mod switch {
    use super::Defect;

    impl Defect {
        /// Switches one defect on for this thread, or none; `false` when this program has no defects.
        pub const fn switch(_: Option<Self>) -> bool {
            false
        }

        /// Whether this thread has the defect.
        #[inline(always)]
        pub const fn is_on(self) -> bool {
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `LessonNeverEnds` is `lesson-never-ends`.
    #[test]
    fn each_is_called_as_it_is_written() {
        for defect in Defect::ALL {
            let mut name = String::new();
            for letter in format!("{defect:?}").chars() {
                if letter.is_uppercase() && !name.is_empty() {
                    name.push('-');
                }
                name.push(letter.to_ascii_lowercase());
            }
            assert_eq!(defect.name(), name);
        }
    }

    /// Tests of the whole workspace are built with defects, as those of the simulator need them.
    #[test]
    fn none_is_on_but_the_one_switched_on_where_there_are_any() {
        let there = cfg!(feature = "defects");
        for defect in Defect::ALL {
            assert!(!defect.is_on());
            assert_eq!(Defect::switch(Some(defect)), there);
            for other in Defect::ALL {
                assert_eq!(other.is_on(), there && other == defect);
            }
            assert_eq!(Defect::switch(None), there);
        }
    }
}
