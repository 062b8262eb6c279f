//! What makes the tables of a section those of a hub.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use stick_aggregate::{Aggregate, Room};
use stick_table::{Millis, Origin, TableDefinition};

use super::{LeftOut, LeftOutReason, LeftOuts, TablePart, TableSet};
use crate::{Hub, HubError, LessonsTaught, Levels, NamedPart, OwnValuesTaught, PeerLevel};

/// Most entries of a table that is passed on, unless `size` says less: its bytes are reckoned as if it were full.
const PASSED_ON_SIZE: u32 = 1 << 20;
/// Part of the memory that one table which is passed on may take.
const PASSED_ON_PART: u64 = 16;

impl TableSet {
    /// Makes the section a hub: tables are made from definitions by what it says of their names.
    ///
    /// # Errors
    /// As [`Hub::check`].
    pub fn with_hub(mut self, hub: Hub) -> Result<Self, HubError> {
        hub.check()?;
        // A hub has no configured table but that of its own state.
        let configured = self.tables.get_mut().iter_mut().filter_map(Arc::get_mut);
        configured.for_each(|shared| shared.part = TablePart::State);
        self.hub = Some(hub);
        *self.holds_results.get_mut() = true;
        Ok(self)
    }

    /// Whether results are held back: a process that just started knows the values of some nodes only, and the sums of
    /// before are higher.
    pub fn holds_results(&self) -> bool {
        self.holds_results.load(Ordering::Relaxed)
    }

    /// Lets results be told.
    pub(crate) fn release_results(&self) {
        self.holds_results.store(false, Ordering::Relaxed);
        self.news.store(true, Ordering::Relaxed);
    }

    /// Whether results changed, or may be told now, without anybody having said something, since the last call: poll all
    /// sessions for bytes then.
    pub fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }

    /// What makes the section a hub.
    pub fn hub(&self) -> Option<&Hub> {
        self.hub.as_ref()
    }

    /// What is known of hubs below this one; nothing is asked of it unless the section is a hub.
    pub(crate) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// The lessons that hubs beside this one are told of.
    pub(crate) fn lessons_taught(&self) -> &LessonsTaught {
        &self.lessons_taught
    }

    /// Lets hubs beside this one know that a node has confirmed a lesson: poll their sessions for bytes.
    pub(crate) fn announce_lesson(&self, taught: OwnValuesTaught, now: Millis) {
        self.lessons_taught.add(taught, now);
        self.news.store(true, Ordering::Relaxed);
    }

    /// Whether the section is a hub.
    pub fn is_hub(&self) -> bool {
        self.hub.is_some()
    }

    /// The sums of all sources.
    pub fn aggregates(&self) -> Vec<Arc<Aggregate>> {
        self.tables.read().iter().filter_map(|shared| shared.aggregate().cloned()).collect()
    }

    /// What nodes tell and the sums leave out, by table. What is missing because a node has no session, or has not told its
    /// values yet, is in [`Section::hub_state`](crate::Section::hub_state) as well.
    pub fn left_out(&self) -> Vec<LeftOut> {
        let mut all = self.left_outs.list();
        for aggregate in self.aggregates() {
            let table = aggregate.source().network_name();
            all.extend(aggregate.left_out().into_iter().map(|left_out| LeftOut {
                node: Some(left_out.node),
                table: Some(table.to_owned()),
                reason: match left_out.reason {
                    stick_aggregate::LeftOutReason::NoRoom => LeftOutReason::NoRoom,
                    stick_aggregate::LeftOutReason::TooManyColumns => LeftOutReason::TooManyColumns,
                },
            }));
        }
        all
    }

    /// Notes whether the sums have everything that the nodes tell, which upper hubs are told; returns whether that is news: poll
    /// all sessions for bytes then.
    pub fn note_whole(&self, is_whole: bool) -> bool {
        self.levels.set_whole(is_whole)
    }

    /// Tables of nodes that were left out of the sums, and updates that found no room in them, since the process began.
    pub fn refusals(&self) -> u64 {
        let updates = self.aggregates().iter().map(|aggregate| aggregate.refused_updates()).sum::<u64>();
        self.left_outs.refusals() + updates
    }

    pub(crate) fn left_outs(&self) -> &LeftOuts {
        &self.left_outs
    }

    /// What a table is to a hub that a node of this level defines; `None` where a definition of it has no say in the sums.
    pub(crate) fn part_for(&self, name: &[u8], level: PeerLevel) -> Option<NamedPart> {
        let hub = self.hub.as_ref().filter(|_| level.is_below())?;
        match (hub.part_of(&String::from_utf8_lossy(name)), level) {
            (NamedPart::Other, _) | (NamedPart::Result(_), PeerLevel::Lower) => None,
            (part, _) => Some(part),
        }
    }

    /// A session of a peer begins: its process may be another one, which counts from nothing. That of a lower hub does not:
    /// it waits for what its nodes count, and is right whatever it says.
    pub(crate) fn session_began(&self, peer: Origin, level: PeerLevel) {
        if self.is_hub() && level.is_below() {
            self.left_outs.session_began(peer);
        }
        if self.is_hub() && level != PeerLevel::Itself {
            self.forms.session_began(peer);
        }
        if level != PeerLevel::Lower {
            self.each_aggregate(|aggregate| aggregate.process_may_have_changed(peer));
        }
    }

    /// A peer has what it was taught.
    pub(crate) fn taught(&self, peer: Origin) {
        self.each_aggregate(|aggregate| aggregate.taught(peer));
    }

    /// A hub beside this one taught a peer, in a lesson that began at `since`.
    pub(crate) fn taught_elsewhere(&self, peer: Origin, since: Millis) {
        self.each_aggregate(|aggregate| aggregate.taught_elsewhere(peer, since));
    }

    /// A peer is gone: what it told counts no more.
    pub(crate) fn forget(&self, peer: Origin) {
        self.left_outs.forget(peer);
        self.forms.forget(peer);
        self.each_aggregate(|aggregate| aggregate.forget(peer));
    }

    fn each_aggregate(&self, act: impl Fn(&Aggregate)) {
        if self.is_hub() {
            self.aggregates().iter().for_each(|aggregate| act(aggregate));
        }
    }

    /// Whether a table is a source, by its name.
    pub(super) fn is_source(&self, table: &TableDefinition) -> bool {
        self.hub.as_ref().is_some_and(|hub| matches!(hub.part_of(table.network_name()), NamedPart::Source(_)))
    }

    /// The memory that all sources and their results share.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Most entries of a table that is passed on.
    pub(super) fn passed_on_size(&self, table: &TableDefinition) -> u32 {
        let mut one = table.clone();
        one.size = 1;
        let fitting = match self.room.limit() {
            0 => u32::MAX,
            limit => u32::try_from(limit / PASSED_ON_PART / one.full_bytes().max(1)).unwrap_or(u32::MAX),
        };
        table.size.min(PASSED_ON_SIZE).min(fitting.max(1))
    }

    /// Whether some nodes are to be asked for all they have: there is room again for what was refused of them, or their
    /// definitions of tables are of a process before, and others define them otherwise.
    pub fn wants_lessons(&self) -> bool {
        let refused =
            || self.tables.read().iter().any(|it| it.aggregate().is_some_and(|it| it.wants_lessons()));
        self.is_hub() && (self.forms.wants_lessons() || refused())
    }

    /// Whether a node is to be asked, see [`wants_lessons`](Self::wants_lessons).
    pub(crate) fn wants_lesson(&self, peer: Origin) -> bool {
        self.forms.wants_lesson(peer)
            || self.aggregates().iter().any(|aggregate| aggregate.wants_lesson(peer))
    }

    /// A node is asked for all it has.
    pub(crate) fn asked(&self, peer: Origin) {
        self.forms.asked(peer);
        self.each_aggregate(|aggregate| aggregate.asked(peer));
    }

    /// A node has told all it has.
    pub(crate) fn told_all(&self, peer: Origin) {
        self.each_aggregate(|aggregate| aggregate.told_all(peer));
    }
}
