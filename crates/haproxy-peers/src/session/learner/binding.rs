//! A table of the sender that is bound to one of ours: how its updates are read, and what was gathered of them.

use std::ops::Range;
use std::sync::Arc;

use stick_aggregate::Told;
use stick_table::defect::Defect;
use stick_table::{Ages, Applied, Batch, Millis, Origin, Precedence};

use super::MAX_KEPT_DEFINITION;
use crate::section::RECONNECT_MS;
use crate::session::plan::Plan;
use crate::session::repetition::Repetition;
use crate::session::{Resume, SILENCE_MS};
use crate::{Agreement, Definition, SharedTable};

/// How long a pushed update may have waited for a session, in ms: a dead one is noticed after the silence, and the next attempt
/// follows one pause later.
const WAITED_MS: u32 = (SILENCE_MS + RECONNECT_MS) as u32;

/// What the lifetimes of a lesson are compared by, as points on the table's clock in ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When the session began.
    pub(crate) began: Millis,
    /// When a lesson was asked for last, or the session began: a lesson's updates are encoded later.
    pub(crate) asked: Millis,
}

/// A table of the sender that is bound to one of ours.
pub(crate) struct Binding {
    pub(crate) shared: Arc<SharedTable>,
    /// The definition as it came, to recognise when it comes again; nothing when it was too long to be kept.
    pub(super) payload: Box<[u8]>,
    /// The sender's id of the table.
    pub(crate) remote_id: u32,
    /// The sender's data types as a bitfield.
    pub(crate) data_types: u64,
    pub(crate) agreement: Agreement,
    /// Id of the last update received.
    pub(crate) last_id: u32,
    /// Id of the last update that is to be acknowledged, and the one that was.
    pub(super) due_ack: u32,
    pub(super) sent_ack: u32,
    /// What sessions before left, and this one leaves.
    resume: Resume,
    /// Id of the last live update in sessions before, until the first one of this session.
    pub(super) heard_before: Option<u32>,
    /// What may come again after a lesson.
    pub(super) repetition: Repetition,
    /// Whether the sender says how long its entries live after a touch.
    pub(super) tells_expire: bool,
    /// Whether the sender's entries do not expire: its remaining lifetimes of 0 mean nothing then.
    pub(super) endless: bool,
    pub(super) plan: Plan,
    pub(super) batch: Batch,
    pub(super) precedence: Precedence,
    /// The `write-to` table.
    pub(super) copy: Option<(Plan, Batch)>,
    /// Who made the changes of the batch: the sender, unless that is a relay.
    pub(super) writer: Origin,
    /// Whether what comes is taken: of a hub's own results it is not.
    pub(super) taken: bool,
}

impl Binding {
    pub(super) fn new(
        shared: Arc<SharedTable>,
        definition: &Definition,
        payload: &[u8],
        agreement: Agreement,
        (writer, taken): (Origin, bool),
        resume: Resume,
    ) -> Self {
        let kept = if payload.len() <= MAX_KEPT_DEFINITION { payload } else { &[] };
        let table = shared.table();
        let plan = Plan::new(definition, table.layout(), |data_type| shared.keeps(data_type));
        let mut batch = shared.aggregate().map_or_else(|| Batch::new(table), |aggregate| aggregate.batch());
        batch.set_known_columns(plan.columns());
        // Releases before 1.8 do not say how long their entries live.
        let tells_expire = definition.tail.is_some();
        if let Some(tail) = &definition.tail {
            shared.lives().note(tail.expire_ms);
        }
        let copy = shared.copy().map(|target| {
            let plan = Plan::new(definition, target.layout(), stick_table::DataType::is_as_is);
            let mut batch = Batch::new(target);
            batch.set_known_columns(plan.columns());
            (plan, batch)
        });
        Self {
            payload: kept.into(),
            remote_id: definition.id,
            data_types: definition.data_types,
            agreement,
            last_id: 0,
            due_ack: 0,
            sent_ack: 0,
            heard_before: resume.heard(&shared),
            resume,
            repetition: Repetition::default(),
            tells_expire,
            endless: definition.tail.as_ref().is_some_and(|tail| tail.expire_ms == 0),
            plan,
            batch,
            precedence: Precedence::Newest,
            copy,
            writer,
            taken,
            shared,
        }
    }

    /// Notes the id of a live update; whether it shows that the sender's ids start over. They ascend, and go on in the next session
    /// after the last one that was acknowledged (peers-protocol §12.3). `is_first` says whether no lesson used ids of this session.
    #[inline]
    pub(super) fn note_live(&mut self, id: u32, is_first: bool) -> bool {
        self.due_ack = id;
        self.heard_before.take().is_some_and(|heard| {
            let follows = id.wrapping_sub(heard).cast_signed() > 0;
            if follows && is_first {
                self.resume.note_ids_go_on();
            }
            is_first && !follows && self.resume.ids_go_on()
        })
    }

    /// Id of the last live update, of this session or one before.
    pub(super) fn heard(&self) -> Option<u32> {
        self.heard_before.or_else(|| Some(self.due_ack).filter(|id| *id != 0))
    }

    /// Whether what the sender tells is summed.
    pub(super) fn is_summed(&self) -> bool {
        self.shared.aggregate().is_some()
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.is_full() || self.copy.as_ref().is_some_and(|(_, batch)| batch.is_full())
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        std::iter::once(&self.batch).chain(self.copy.as_ref().map(|(_, batch)| batch))
    }

    pub(super) fn batches_mut(&mut self) -> impl Iterator<Item = &mut Batch> {
        std::iter::once(&mut self.batch).chain(self.copy.as_mut().map(|(_, batch)| batch))
    }

    /// Bytes held for changes.
    pub(super) fn memory(&self) -> usize {
        self.batches().map(Batch::memory).sum()
    }

    /// Applies what was gathered.
    pub(super) fn apply(&mut self, times: Times, now: Millis) -> Applied {
        let origin = self.writer;
        let since = |then: Millis| u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX);
        let ages = || Ages {
            spread: self.shared.lives().spread(),
            under_way: since(times.asked),
            waited: WAITED_MS,
            session: since(times.began),
        };
        self.batch.set_ages(self.tells_expire.then(ages));
        self.batch.set_refreshes(!self.resume.had_other_process());
        if let Some((_, batch)) = &mut self.copy
            && let Some(target) = self.shared.copy()
        {
            // Not by the number of who told the table that is copied: this one it told nothing of.
            let origin = if Defect::CopiesPassForTold.is_on() { origin } else { Origin::COPY };
            target.apply(batch, origin, self.precedence, now);
        }
        if self.precedence == Precedence::FillGaps {
            let untold = self.shared.untold() & self.data_types;
            let columns = self.shared.table().layout().columns().iter();
            let gaps = columns.filter(|(column, _)| untold >> column.data_type().number() & 1 != 0);
            let gaps: Vec<_> = gaps.map(|(column, offset)| *offset..offset + column.words()).collect();
            let is_gap = |range: &Range<usize>| gaps.iter().any(|gap| gap.contains(&range.start));
            let filled = self.batch.fill_gaps(self.plan.columns().filter(is_gap));
            debug_assert_eq!(filled, Ok(()), "a plan is made for the layout");
        }
        match self.shared.aggregate() {
            None => self.shared.table().apply(&mut self.batch, origin, self.precedence, now),
            Some(aggregate) => {
                let live = self.precedence == Precedence::Newest;
                let told = if live { Told::Live } else { Told::Lesson };
                let absorbed = aggregate.absorb(&mut self.batch, origin, told, now);
                Applied {
                    created: absorbed.created,
                    updated: absorbed.updated,
                    refused: absorbed.refused,
                    skipped: absorbed.skipped,
                }
            }
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        if self.heard_before.is_none() && self.due_ack != 0 {
            self.resume.set_heard(&self.shared, self.due_ack);
        }
    }
}
