//! The receiving side of a session: definitions and updates become changes of tables.

mod binding;
pub(crate) use binding::{Binding, Times};

mod update;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use stick_table::{Batch, Millis, Origin};

use super::event::SessionEvent;
use super::refused::Refused;
use super::relays::Relays;
use super::repetition::Repetition;
use super::{Limits, Resume};
use crate::{
    Ack, Agreement, DecodeError, DefineHead, DefineOutcome, Definition, Difference, Frame, LeftOutReason,
    NamedPart, PeerLevel, Reader, ReceiveDictionary, SharedTable, Switch, TablePart, TableSet,
};

/// Different tables that are reported once per session as unknown or in disagreement.
const MAX_REPORTS: usize = 256;

/// Bytes held for changes of tables other than the current one; beyond that they are given back after each input. A peer
/// that goes from table to table must not leave a full batch behind in each.
pub(super) const MAX_IDLE_BATCHES: usize = 1 << 20;

/// Longest definition that is kept to be compared with the next one, in bytes; those of HAProxy have up to 400.
pub(super) const MAX_KEPT_DEFINITION: usize = 1_024;

/// Where the lesson from this peer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learning {
    /// None was asked for in this session.
    Not,
    /// Asked for, not ended.
    Running,
    /// Ended; what the peer repeats from it is recognised (see [`Repetition`](super::repetition::Repetition)).
    Over,
}

/// Counts of what was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Updates of tables that are shared.
    pub updates: u64,
    /// Updates without a table here.
    pub ignored_updates: u64,
    /// Updates that found their table full.
    pub refused_updates: u64,
    /// Definitions.
    pub definitions: u64,
    /// Strings of `server_key` that were too long to be kept.
    pub ignored_strings: u64,
}

pub(crate) struct Learner {
    tables: Arc<TableSet>,
    /// Set where changes of other peers are passed on.
    relays: Option<Relays>,
    origin: Origin,
    level: PeerLevel,
    /// Whether lessons carry remaining lifetimes.
    timed: bool,
    pub(crate) dictionary: ReceiveDictionary,
    pub(crate) bindings: Vec<Binding>,
    /// The sender's table ids, as places in `bindings`.
    by_id: HashMap<u32, usize>,
    pub(crate) current: Option<usize>,
    /// The sender's id of the table that it selected.
    selected: u32,
    /// What [`TableSet::version`] was when it was last looked for tables that took the place of others, and at what was refused.
    looked_at: u64,
    /// Whether a definition of before is looked at again: what the peer told by it is missing, also what it told in this lesson.
    retakes: bool,
    /// In a hub, the definitions that are refused, and an id that the peer selected without having defined it.
    refused: Refused,
    undefined: Option<u32>,
    /// The sender's ids of tables of which nothing is taken: there is no such table here, or none was made.
    ignored: BTreeSet<u32>,
    /// Whether the peer has to tell what it holds again, as some of it was left out.
    pub(crate) wants_lesson: bool,
    /// Whether the first id of a table was none that follows those of the peer's sessions before.
    pub(crate) ids_start_over: bool,
    pub(crate) learning: Learning,
    pub(crate) times: Times,
    resume: Resume,
    /// Hashes of the names of tables that were reported.
    reported: HashSet<u64>,
    pub(crate) received: Received,
}

impl Learner {
    pub(crate) fn new(
        tables: Arc<TableSet>,
        (origin, level): (Origin, PeerLevel),
        timed: bool,
        limits: Limits,
        (relays, resume): (Option<Relays>, Resume),
        now: Millis,
    ) -> Self {
        Self {
            tables,
            relays,
            origin,
            level,
            timed,
            dictionary: ReceiveDictionary::with_buffer_size(limits.buffer_size)
                .keeping(limits.max_server_key),
            bindings: Vec::new(),
            by_id: HashMap::new(),
            current: None,
            selected: 0,
            looked_at: 0,
            retakes: false,
            refused: Refused::default(),
            undefined: None,
            ignored: BTreeSet::new(),
            wants_lesson: false,
            ids_start_over: false,
            learning: Learning::Not,
            times: Times { began: now, asked: now },
            resume,
            reported: HashSet::new(),
            received: Received::default(),
        }
    }

    /// Notes that a lesson was asked for.
    pub(crate) fn lesson_asked_for(&mut self) {
        self.learning = Learning::Running;
        self.bindings.iter_mut().for_each(|binding| binding.repetition.lesson_asked_for());
    }

    /// Takes a definition (peers-protocol §7.3).
    pub(crate) fn define(
        &mut self,
        frame: &Frame<'_>,
        now: Millis,
    ) -> Result<Option<SessionEvent>, DecodeError> {
        let mut reader = frame.reader();
        let payload = reader.rest();
        let head = DefineHead::decode(&mut reader)?;
        self.received.definitions += 1;
        self.selected = head.id;
        // A sender defines a table each time it turns to it, most often as before.
        self.current = self.by_id.get(&head.id).copied().filter(|&at| *self.bindings[at].payload == *payload);
        if self.current.is_some() || self.refused.is_known(head.id, payload) {
            return Ok(None);
        }
        let event = self.take_definition(head, payload, reader, now)?;
        if self.current.is_none() && self.feeds_a_hub() {
            self.refused.note(head.id, payload);
        }
        Ok(event)
    }

    /// Looks again at the definitions that were refused, if what they were refused for may have changed, and at those of tables
    /// whose place others took.
    pub(crate) fn reconsider(&mut self, now: Millis) -> Vec<SessionEvent> {
        let mut events = Vec::new();
        let version = self.tables.version();
        if std::mem::replace(&mut self.looked_at, version) == version {
            return events;
        }
        for payload in self.refused.take() {
            self.retake(&payload, now, &mut events);
        }
        for place in 0..self.bindings.len() {
            let binding = &self.bindings[place];
            if self.by_id.get(&binding.remote_id) != Some(&place) || self.tables.is_current(&binding.shared) {
                continue;
            }
            // What it held before is in the new table, as far as that has columns for it.
            self.wants_lesson |= binding.taken;
            let payload = binding.payload.clone();
            if payload.is_empty() {
                // Too long to be kept: the table is unknown until the peer defines it again.
                self.by_id.remove(&self.bindings[place].remote_id);
            } else {
                self.retake(&payload, now, &mut events);
            }
        }
        self.current = self.by_id.get(&self.selected).copied();
        events
    }

    /// Takes a definition of before.
    fn retake(&mut self, payload: &[u8], now: Millis, events: &mut Vec<SessionEvent>) {
        let mut reader = Reader::new(payload, 0);
        let Ok(head) = DefineHead::decode(&mut reader) else { return };
        self.retakes = true;
        if let Ok(event) = self.take_definition(head, payload, reader, now) {
            events.extend(event);
        }
        self.retakes = false;
        if self.current.is_none() && self.feeds_a_hub() {
            self.refused.note(head.id, payload);
        }
    }

    /// Binds the table of a definition, or says why not.
    fn take_definition(
        &mut self,
        head: DefineHead<'_>,
        payload: &[u8],
        mut reader: Reader<'_>,
        now: Millis,
    ) -> Result<Option<SessionEvent>, DecodeError> {
        self.by_id.remove(&head.id);
        self.refused.remove(head.id);
        self.ignored.remove(&head.id);
        self.current = None;
        let part = self.tables.part_for(head.name, self.level);
        let name = crate::shown(head.name);
        let is_source = matches!(part, Some(NamedPart::Source(_)));
        if self.tables.left_outs().has(self.origin) {
            self.accept(&undefined_table(head.id));
        }
        let mut shared = self.tables.by_network_name(head.name);
        let (definition, unusable) = match head.decode_rest(&mut reader)? {
            DefineOutcome::Usable(definition) => (definition, None),
            DefineOutcome::Unusable { definition, reason } => (definition, Some(reason)),
        };
        let mut created = false;
        if shared.is_none() && unusable.is_none() {
            match self.tables.create(&definition, self.level) {
                Ok(table) => (shared, created) = (Some(table), true),
                Err(reason) if reason.is_expected() => return Ok(None),
                Err(reason) if is_source => {
                    self.ignore(head.id);
                    return Ok(Some(self.refuse(name, LeftOutReason::NotMade(reason))));
                }
                Err(reason) => {
                    self.ignore(head.id);
                    let event = SessionEvent::TableIgnored { table: name, reason: reason.to_string() };
                    return Ok(self.report(&definition.name, event));
                }
            }
        }
        let table = name;
        if let Some(reason) = unusable {
            self.ignore(head.id);
            if is_source {
                return Ok(Some(self.refuse(table, LeftOutReason::Unusable(reason))));
            }
            let reason = reason.to_string();
            return Ok(self.report(&definition.name, SessionEvent::TableIgnored { table, reason }));
        }
        let Some(mut shared) = shared else { return Ok(None) };
        if self.tables.is_open(&shared) {
            (shared, created) = self.tables.fill_open(shared, &definition, now);
        }
        self.tables.note_form(self.origin, self.level, &shared, &definition);
        let mut agreement = definition.agreement(shared.definition());
        if !self.tables.is_configured(&shared) {
            agreement = agreement.with_made_table();
        }
        let usable = agreement.is_usable();
        let disagrees = !agreement.differences().is_empty();
        let text = agreement.to_string();
        let remedy = self.remedy(&definition, &shared, &agreement);
        let left_out = part.is_some().then(|| left_out(&agreement, is_source));
        let place = self.bind(shared, &definition, payload, agreement, now);
        if usable {
            self.by_id.insert(definition.id, place);
            self.current = Some(place);
        }
        match left_out {
            Some(Some(reason)) => return Ok(Some(self.refuse(table, reason))),
            Some(None) if self.tables.left_outs().has(self.origin) => self.accept(&table),
            _ if !usable => {
                return Ok(self.report(&definition.name, SessionEvent::TableIgnored { table, reason: text }));
            }
            _ => {}
        }
        if created {
            return Ok(Some(SessionEvent::TableCreated { table }));
        }
        Ok(if let Some(remedy) = remedy {
            self.report(&definition.name, SessionEvent::TableLoses { table, differences: text, remedy })
        } else if disagrees {
            self.report(&definition.name, SessionEvent::TableDiffers { table, differences: text })
        } else {
            None
        })
    }

    /// Notes that nothing is taken of a table of the sender.
    fn ignore(&mut self, id: u32) {
        if self.ignored.len() < MAX_REPORTS {
            self.ignored.insert(id);
        }
    }

    /// Tables of the sender of which nothing is taken, at most 256.
    pub(crate) fn ignored_tables(&self) -> usize {
        self.ignored.len()
    }

    /// What to change where a table loses values of the peer, if it does.
    fn remedy(&self, definition: &Definition, shared: &SharedTable, agreement: &Agreement) -> Option<String> {
        let lost: Vec<_> = agreement.lost().collect();
        if !lost.is_empty() && self.tables.is_open(shared) {
            let name = &shared.definition().name;
            return Some(format!(
                "table {name} has no store list here and stores what the first peer defined: let all peers store the same"
            ));
        }
        if !lost.is_empty() && self.tables.is_configured(shared) {
            let columns = definition.columns().filter(|column| lost.contains(&column.data_type));
            let words: Vec<_> = columns.map(|column| column.to_string()).collect();
            let name = &shared.definition().name;
            return Some(format!("add {} to the store list of table {name} here", words.join(",")));
        }
        if !lost.is_empty() {
            return Some("the table was made as another peer defines it: let both store the same".to_owned());
        }
        let is_period = |difference: &Difference| matches!(difference, Difference::Period { .. });
        agreement.differences().iter().any(is_period).then(|| {
            "events are counted over one period and read over the other: give both sides the same".to_owned()
        })
    }

    /// What the process before this one told nothing of, by its definitions: tables, and data types of tables. Peers are not
    /// taught those data types until one of them told what it has.
    pub(crate) fn note_lacking(&self) -> Vec<String> {
        let mut lacking = Vec::new();
        let tables = self.tables.all();
        for shared in tables.iter().filter(|shared| matches!(shared.part(), TablePart::Shared)) {
            let name = &shared.definition().name;
            let binding = self.bindings.iter().find(|binding| binding.shared.id() == shared.id());
            let Some(binding) = binding.filter(|binding| binding.agreement.is_usable()) else {
                lacking.push(format!("table {name}"));
                continue;
            };
            let types = binding.agreement.differences().iter().filter_map(|difference| match difference {
                Difference::NotSent(data_type) if shared.keeps(*data_type) => Some(*data_type),
                _ => None,
            });
            let types: Vec<_> = types.collect();
            if !types.is_empty() {
                shared.note_untold(types.iter().fold(0, |bits, data_type| bits | 1 << data_type.number()));
                let words: Vec<_> = types.iter().map(ToString::to_string).collect();
                lacking.push(format!("{} of table {name}", words.join(",")));
            }
        }
        lacking
    }

    /// Notes that the peer told all it has.
    pub(crate) fn note_told(&self) {
        let usable = self.bindings.iter().filter(|binding| binding.agreement.is_usable());
        usable.for_each(|binding| binding.shared.note_told(binding.data_types));
    }

    /// Writes down that a hub leaves out what the peer tells of a table.
    fn refuse(&self, table: String, reason: LeftOutReason) -> SessionEvent {
        let text = reason.to_string();
        self.tables.left_outs().refuse(self.origin, &table, reason);
        SessionEvent::LeftOut { table, reason: text }
    }

    /// Writes down that a table is taken from now on.
    fn accept(&mut self, table: &str) {
        let in_lesson = self.learning == Learning::Running && !self.retakes;
        self.wants_lesson |= self.tables.left_outs().accept(self.origin, table, in_lesson);
    }

    /// Whether what the peer tells is summed.
    fn feeds_a_hub(&self) -> bool {
        self.tables.is_hub() && self.level.is_below()
    }

    /// An update came while no table was selected that is taken: in a hub it may be one to be summed.
    fn note_undefined(&mut self) {
        let id = self.selected;
        if self.undefined == Some(id) || !self.feeds_a_hub() || self.refused.has(id) {
            return;
        }
        self.undefined = Some(id);
        self.refuse(undefined_table(id), LeftOutReason::NotDefined);
    }

    /// Binds a table anew; what was received for it before is applied and keeps its ids.
    fn bind(
        &mut self,
        shared: Arc<SharedTable>,
        definition: &Definition,
        payload: &[u8],
        agreement: Agreement,
        now: Millis,
    ) -> usize {
        let known = self.bindings.iter().position(|binding| binding.shared.id() == shared.id());
        let taken = shared.takes_from(self.level);
        let mut binding =
            Binding::new(shared, definition, payload, agreement, (self.origin, taken), self.resume.clone());
        match known {
            Some(place) => {
                let old = &mut self.bindings[place];
                if !old.batch.is_empty() {
                    self.received.refused_updates += old.apply(self.times, now).refused;
                }
                (binding.last_id, binding.due_ack, binding.sent_ack) =
                    (old.last_id, old.due_ack, old.sent_ack);
                binding.repetition = std::mem::take(&mut old.repetition);
                binding.heard_before = old.heard_before;
                // A table has one id at a time, so a peer cannot fill the memory with ids.
                if self.by_id.get(&old.remote_id) == Some(&place) {
                    self.by_id.remove(&old.remote_id);
                }
                self.bindings[place] = binding;
                place
            }
            None => {
                self.bindings.push(binding);
                self.bindings.len() - 1
            }
        }
    }

    /// An event for a table, once per session and table.
    fn report(&mut self, name: &[u8], event: SessionEvent) -> Option<SessionEvent> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        (self.reported.len() < MAX_REPORTS && self.reported.insert(hasher.finish())).then_some(event)
    }

    /// Selects the table of a SWITCH (peers-protocol §11.2).
    pub(crate) fn switch(&mut self, frame: &Frame<'_>) -> Result<(), DecodeError> {
        let switch = Switch::decode(&mut frame.reader())?;
        self.selected = switch.table_id;
        self.current = self.by_id.get(&switch.table_id).copied();
        Ok(())
    }

    /// Applies everything gathered.
    pub(crate) fn apply(&mut self, now: Millis) {
        let mut idle = 0;
        for (place, binding) in self.bindings.iter_mut().enumerate() {
            if !binding.batch.is_empty() {
                self.received.refused_updates += binding.apply(self.times, now).refused;
            }
            if self.current != Some(place) {
                idle += binding.memory();
            }
        }
        if idle > MAX_IDLE_BATCHES {
            let current = self.current;
            let others = self.bindings.iter_mut().enumerate().filter(|(place, _)| current != Some(*place));
            others.flat_map(|(_, binding)| binding.batches_mut()).for_each(Batch::give_back);
        }
    }

    /// Bytes held for changes of tables and for strings.
    pub(crate) fn memory(&self) -> usize {
        let bindings = self.bindings.iter().map(Binding::memory).sum::<usize>();
        bindings + self.repetitions() + self.dictionary.memory() + self.refused.memory()
    }

    /// The same, of each part no more than it may be.
    pub(crate) fn memory_within_bounds(&self) -> usize {
        let current = self.current.and_then(|place| self.bindings.get(place));
        let held = current.map_or(0, Binding::memory);
        let bound = current.map_or(0, |binding| binding.batches().map(Batch::memory_bound).sum());
        let idle = self.bindings.iter().map(Binding::memory).sum::<usize>() - held;
        let kept = self.dictionary.memory_within_bounds() + self.refused.memory().min(Refused::MOST_MEMORY);
        let repetitions = self.repetitions().min(self.bindings.len() * Repetition::MOST_MEMORY);
        held.min(bound) + idle.min(MAX_IDLE_BATCHES) + kept + repetitions
    }

    /// Bytes held to recognise what comes again after lessons.
    fn repetitions(&self) -> usize {
        self.bindings.iter().map(|binding| binding.repetition.memory()).sum()
    }

    /// The next acknowledgement that is due, for a table from place `from` on, and that place.
    pub(crate) fn next_ack(&mut self, from: usize) -> Option<(usize, Ack)> {
        let (place, binding) = self
            .bindings
            .iter_mut()
            .enumerate()
            .skip(from)
            .find(|(_, binding)| binding.due_ack != binding.sent_ack)?;
        binding.sent_ack = binding.due_ack;
        Some((place, Ack { table_id: binding.remote_id, update_id: binding.due_ack }))
    }
}

/// What stands for a table whose name is not known in the list of what is left out.
fn undefined_table(id: u32) -> String {
    format!("(id {id})")
}

/// Why a definition that differs like this leaves something out of a hub's sums, if it does: that of a source, or that of a
/// result, by which a node reads them.
fn left_out(agreement: &Agreement, is_source: bool) -> Option<LeftOutReason> {
    let counts = if is_source { Difference::leaves_out } else { Difference::hides_results };
    let differences: Vec<_> = agreement.differences().iter().copied().filter(counts).collect();
    let reason = if is_source { LeftOutReason::Differs } else { LeftOutReason::ResultDiffers };
    (!differences.is_empty()).then(|| reason(differences))
}
