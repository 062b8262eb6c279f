//! Which nodes define which table, and how.
//!
//! The first definition of a table makes it. It stays as long as a node that is connected, or counts still, defines it so. When
//! none does any more, the table becomes what the nodes define by now; [`TableSet::follow_definitions`](super::TableSet) does it.
//!
//! A node's definition counts until the node defines the table otherwise, a lesson of it ends without the table, or the node is
//! forgotten. HAProxy defines a table when it has something to tell of it. So a new process may say nothing for long, and the
//! definition of the one before it counts on; where another node defines the table otherwise, it is asked for a lesson.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use stick_table::{Column, Origin, TableDefinition};

use crate::{Definition, Difference};

/// The definitions of all nodes.
#[derive(Default)]
pub(super) struct Forms {
    nodes: Mutex<BTreeMap<u16, Node>>,
    /// Whether tables have to be looked at.
    changed: AtomicBool,
}

#[derive(Default)]
struct Node {
    /// Counts its sessions.
    session: u64,
    /// By network name.
    tables: BTreeMap<Vec<u8>, Form>,
    doubt: Doubt,
}

/// Whether definitions of a node are of a session before its present one while another node defines otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doubt {
    #[default]
    None,
    /// The node is to be asked for a lesson.
    Wanted,
    /// It was asked in this session.
    Asked(u64),
}

struct Form {
    definition: Definition,
    /// The session in which the node defined it last.
    session: u64,
}

impl Forms {
    /// A session of the node begins.
    pub(super) fn session_began(&self, node: Origin) {
        self.nodes.lock().entry(node.number()).or_default().session += 1;
        self.note_change();
    }

    /// The node defines a table that there is.
    pub(super) fn note(&self, node: Origin, definition: &Definition) {
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(node.number()).or_default();
        // Each node has ids of its own.
        let definition = Definition { id: 0, ..definition.clone() };
        let (name, session) = (definition.name.clone(), node.session);
        node.tables.insert(name, Form { definition, session });
        drop(nodes);
        self.note_change();
    }

    /// The node's lesson ended: what it did not define in this session it has no more.
    pub(super) fn lesson_ended(&self, node: Origin) {
        if let Some(node) = self.nodes.lock().get_mut(&node.number()) {
            let session = node.session;
            node.tables.retain(|_, form| form.session == session);
            node.doubt = Doubt::None;
        }
        self.note_change();
    }

    /// Nothing that the node said counts any more.
    pub(super) fn forget(&self, node: Origin) {
        self.nodes.lock().remove(&node.number());
        self.note_change();
    }

    /// Lets all tables be looked at again.
    pub(super) fn note_change(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Whether a definition changed since the last call.
    pub(super) fn take_changed(&self) -> bool {
        self.changed.swap(false, Ordering::Relaxed)
    }

    /// The nodes that define a table.
    pub(super) fn definers(&self, table: &[u8]) -> Vec<Origin> {
        let nodes = self.nodes.lock();
        let those = nodes.iter().filter(|(_, node)| node.tables.contains_key(table));
        those.map(|(number, _)| Origin::with_number(*number)).collect()
    }

    /// What a table that is `now` is to become; `None` for what it is. Where nodes disagree, those whose definition is of an earlier session are to be
    /// asked.
    pub(super) fn next_of(&self, table: &[u8], now: &TableDefinition) -> Option<TableDefinition> {
        let mut nodes = self.nodes.lock();
        let defined = nodes.values().filter_map(|node| Some(&node.tables.get(table)?.definition));
        let all = counted(defined);
        let next = next_of(&all, now);
        if all.iter().any(|(definition, _)| !fits(definition, now)) {
            for node in nodes.values_mut() {
                let is_old = node.tables.get(table).is_some_and(|form| form.session != node.session);
                if is_old && node.doubt != Doubt::Asked(node.session) {
                    node.doubt = Doubt::Wanted;
                }
            }
        }
        next
    }

    /// Whether some node is to be asked how it defines its tables.
    pub(super) fn wants_lessons(&self) -> bool {
        self.nodes.lock().values().any(|node| node.doubt == Doubt::Wanted)
    }

    /// Whether a node is to be asked.
    pub(super) fn wants_lesson(&self, node: Origin) -> bool {
        self.nodes.lock().get(&node.number()).is_some_and(|node| node.doubt == Doubt::Wanted)
    }

    /// A node is asked.
    pub(super) fn asked(&self, node: Origin) {
        if let Some(node) = self.nodes.lock().get_mut(&node.number())
            && node.doubt == Doubt::Wanted
        {
            node.doubt = Doubt::Asked(node.session);
        }
    }
}

/// Different definitions, in the order in which they come first, and how many nodes have each.
fn counted<'a>(all: impl Iterator<Item = &'a Definition>) -> Vec<(&'a Definition, usize)> {
    let mut counted: Vec<(&Definition, usize)> = Vec::new();
    for definition in all {
        match counted.iter_mut().find(|(known, _)| *known == definition) {
            Some((_, count)) => *count += 1,
            None => counted.push((definition, 1)),
        }
    }
    counted
}

/// Whether a table that is `now` takes all that a node tells by its definition.
fn fits(definition: &Definition, now: &TableDefinition) -> bool {
    !definition.agreement(now).differences().iter().any(Difference::leaves_out)
}

/// What a table that is `now` is to become by the definitions of all nodes that have it.
///
/// As long as some take it as it is, it loses what none of them stores; else it becomes what the others define.
fn next_of(all: &[(&Definition, usize)], now: &TableDefinition) -> Option<TableDefinition> {
    let fitting: Vec<_> = all.iter().map(|(definition, _)| *definition).filter(|it| fits(it, now)).collect();
    if !fitting.is_empty() {
        let kept: Vec<_> = now.columns().iter().filter_map(|column| kept(column, &fitting)).collect();
        let less = with_columns(now, &kept)?;
        return (!kept.is_empty() && less != *now).then_some(less);
    }
    let forms = all.iter().filter(|(definition, _)| definition.tail.is_some()).filter_map(|(it, count)| {
        let form = it.to_table(&now.name, now.size).ok()?;
        (!form.columns().is_empty()).then_some((form, *count))
    });
    let forms: Vec<_> = forms.collect();
    if forms.iter().any(|(form, _)| form == now) {
        // Who defines it so tells a data type besides that is not known here.
        return None;
    }
    // What most nodes define; of several definitions that come first.
    let mut best: Option<&(TableDefinition, usize)> = None;
    for form in &forms {
        if best.is_none_or(|best| form.1 > best.1) {
            best = Some(form);
        }
    }
    best.map(|(form, _)| form.clone())
}

/// What is left of a column where these are all definitions of the table; `None` when none of them stores it.
fn kept(column: &Column, definitions: &[&Definition]) -> Option<Column> {
    let counts = definitions.iter().filter_map(|definition| {
        let theirs = definition.columns().find(|it| it.data_type == column.data_type())?;
        // Without a tail nothing but the data type is told.
        Some(if definition.tail.is_some() { theirs.count } else { column.count().into() })
    });
    let count = u32::try_from(counts.max()?).unwrap_or(u32::MAX).min(column.count());
    let data_type = column.data_type();
    let count = data_type.is_array().then_some(count);
    Column::new(data_type, count, data_type.has_period().then_some(column.period())).ok()
}

/// A definition with other columns.
fn with_columns(now: &TableDefinition, columns: &[Column]) -> Option<TableDefinition> {
    let mut definition = TableDefinition::new(&now.name, now.key_type, now.size).with_expire(now.expire);
    definition.brates_factor = now.brates_factor;
    columns.iter().try_for_each(|column| definition.add_column(*column)).ok()?;
    Some(definition)
}

#[cfg(test)]
mod tests {
    use stick_table::KeyType;

    use super::*;

    fn table(key_type: KeyType, expire: u32, columns: &[&str]) -> TableDefinition {
        columns
            .iter()
            .fold(TableDefinition::new("t", key_type, 100).with_expire(Some(expire)), |table, column| {
                table.with_column(column.parse().unwrap()).unwrap()
            })
    }

    fn ip(columns: &[&str]) -> TableDefinition {
        table(KeyType::Ip, 1_000, columns)
    }

    fn define(table: &TableDefinition) -> Definition {
        Definition::from_table(1, table).unwrap()
    }

    #[test]
    fn a_table_stays_as_long_as_nodes_define_all_of_it() {
        let now = ip(&["gpc0", "http_req_rate(10s)"]);
        let next = |forms: &[TableDefinition]| {
            let all: Vec<_> = forms.iter().map(define).collect();
            next_of(&counted(all.iter()), &now)
        };
        let more = ip(&["gpc0", "gpc1", "http_req_rate(10s)"]);
        assert_eq!(next(&[]), None, "nobody says what it should be");
        assert_eq!(next(std::slice::from_ref(&now)), None);
        assert_eq!(next(&[more.clone(), more.clone(), now.clone()]), None, "one defines it so");
        assert_eq!(next(&[ip(&["gpc0"]), ip(&["http_req_rate(10s)"])]), None, "both together do");
        assert_eq!(next(&[ip(&["gpc0"]), ip(&["gpc0"])]), Some(ip(&["gpc0"])));
        assert_eq!(next(std::slice::from_ref(&more)), Some(more.clone()));
        let period = ip(&["gpc0", "http_req_rate(1m)"]);
        let others = [period.clone(), more.clone(), more.clone()];
        assert_eq!(next(&others), Some(more), "what most define");
        assert_eq!(next(&[table(KeyType::Integer, 1_000, &["gpc0"])]).unwrap().key_type, KeyType::Integer);
        assert_eq!(next(&[table(KeyType::Ip, 2_000, &["gpc0"])]).unwrap().expire, Some(2_000));
        assert_eq!(next(&[ip(&[])]), None, "of a table without data nothing is summed");
    }

    #[test]
    fn arrays_shrink_with_the_longest() {
        let now = ip(&["gpc(4)"]);
        let [two, three] = ["gpc(2)", "gpc(3)"].map(|gpc| define(&ip(&[gpc])));
        assert_eq!(next_of(&[(&two, 1), (&three, 1)], &now), Some(ip(&["gpc(3)"])));
        assert_eq!(next_of(&[(&define(&ip(&["gpc(5)"])), 1)], &now), Some(ip(&["gpc(5)"])));
    }

    #[test]
    fn a_data_type_that_is_not_known_here_changes_nothing() {
        let mut theirs = define(&ip(&["gpc0"]));
        theirs.data_types |= 1 << 40;
        assert_eq!(next_of(&[(&theirs, 1)], &ip(&["gpc0"])), None);
        assert_eq!(next_of(&[(&theirs, 1)], &ip(&["gpc1"])), Some(ip(&["gpc0"])));
        let untold = Definition { tail: None, ..define(&ip(&["gpc0"])) };
        assert_eq!(next_of(&[(&untold, 1)], &ip(&["gpc0"])), None);
        assert_eq!(next_of(&[(&untold, 1)], &ip(&["gpc1"])), None, "it does not say when entries expire");
    }

    #[test]
    fn what_a_former_process_defined_is_asked_for_when_others_disagree() {
        let forms = Forms::default();
        let [a, b] = [1, 2].map(Origin::with_number);
        let now = ip(&["gpc0"]);
        for node in [a, b] {
            forms.session_began(node);
            forms.note(node, &define(&now));
        }
        forms.session_began(a);
        assert_eq!(forms.next_of(b"t", &now), None);
        assert!(!forms.wants_lessons(), "they agree");
        let other = ip(&["gpc0", "gpc1"]);
        forms.note(b, &define(&other));
        assert_eq!(forms.next_of(b"t", &now), None);
        assert!(forms.wants_lesson(a) && !forms.wants_lesson(b));
        forms.asked(a);
        forms.next_of(b"t", &now);
        assert!(!forms.wants_lessons(), "once in a session");
        // Its lesson has no such table.
        forms.lesson_ended(a);
        assert!(forms.take_changed() && !forms.take_changed());
        assert_eq!(forms.next_of(b"t", &now), Some(other));
        assert_eq!(forms.definers(b"t"), [b]);
        forms.forget(b);
        assert_eq!(forms.next_of(b"t", &now), None);
    }
}
