//! What nodes tell of a hub's sources and the sums leave out: which table, which node, and why.
//!
//! There is one list for each section. Sessions write down what they cannot take; a node's line stays until the node has
//! defined the table again *and* has told its values in a lesson that began after that, or until the node is forgotten. So the
//! list never says that all is well while values are missing that were dropped before.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use stick_table::Origin;

use super::CreateError;
use crate::{Difference, UnusableReason};

/// Tables of one node that are listed by name; all others of it share one line.
const MAX_TABLES_OF_NODE: usize = 32;

/// Something that is missing from the sums of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The node that tells it; `None` when the reason is this hub's.
    pub node: Option<Origin>,
    /// The network name of the table; `None` for all tables of the node, or those beyond the first 32 of the node that have a
    /// reason.
    pub table: Option<String>,
    /// Why.
    pub reason: LeftOutReason,
}

/// Why something that a node tells is not in the sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOutReason {
    /// No table was made from the node's definition.
    NotMade(CreateError),
    /// The definition cannot be read.
    Unusable(UnusableReason),
    /// The node defines the table otherwise than the node whose definition counts.
    Differs(Vec<Difference>),
    /// The node's table of the sums does not fit what is published: it reads nothing, or something else.
    ResultDiffers(Vec<Difference>),
    /// The node sends updates of a table that it did not define in this session.
    NotDefined,
    /// The node told the table with more different sets of data types than are kept apart.
    TooManyColumns,
    /// There is no room for some of the node's keys.
    NoRoom,
    /// The node has not told what it holds: its lesson was not asked for yet, or did not end.
    NotTold,
    /// The sums of a lower hub are not complete themselves.
    LowerHub,
    /// Results are held back, as this process began a moment ago.
    Held,
    /// The name service has not said yet who the nodes are.
    NodesUnknown,
}

impl LeftOutReason {
    /// A word that stays the same from release to release, for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::NotMade(_) => "refused",
            Self::Unusable(_) => "unusable",
            Self::Differs(_) => "differs",
            Self::ResultDiffers(_) => "result-differs",
            Self::NotDefined => "undefined",
            Self::TooManyColumns => "too-many-columns",
            Self::NoRoom => "no-room",
            Self::NotTold => "not-told",
            Self::LowerHub => "lower-hub",
            Self::Held => "held",
            Self::NodesUnknown => "nodes-unknown",
        }
    }

    /// What the operator can do about it; `None` when it passes by itself.
    pub const fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::NotMade(error) => error.remedy(),
            Self::Unusable(_) => Some("the definition is malformed: look at the version of the node"),
            Self::Differs(_) => {
                Some("give the table the same type, len, expire and store on all nodes, and reload the nodes")
            }
            Self::ResultDiffers(_) => {
                Some("give the table of the sums the type, len, expire and periods of its source on the node")
            }
            Self::NotDefined => Some("restart the node, so that it defines its tables again"),
            Self::TooManyColumns => Some("restart the node, so that it defines the table once"),
            Self::NoRoom => Some("raise \"tables memory\" or \"tables size\" of the section"),
            Self::LowerHub => Some("look at \"show aggregations\" of the lower hub"),
            Self::NotTold | Self::Held | Self::NodesUnknown => None,
        }
    }
}

impl fmt::Display for LeftOutReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |f: &mut fmt::Formatter<'_>, differences: &[Difference]| {
            differences.iter().try_for_each(|difference| write!(f, "; {}", difference.between_nodes()))
        };
        match self {
            Self::NotMade(error) => error.fmt(f),
            Self::Unusable(reason) => reason.fmt(f),
            Self::Differs(differences) => {
                f.write_str("the node defines the table differently from the other nodes")?;
                listed(f, differences)
            }
            Self::ResultDiffers(differences) => {
                f.write_str(
                    "the node reads nothing of the sums, or something else: it defines their table otherwise",
                )?;
                listed(f, differences)
            }
            Self::NotDefined => f.write_str("the node sends updates of a table that it did not define"),
            Self::TooManyColumns => {
                f.write_str("the node told the table with too many different sets of data types")
            }
            Self::NoRoom => f.write_str("there is no room for all keys of the node"),
            Self::NotTold => f.write_str("the node has not taught its entries: its lesson has not ended"),
            Self::LowerHub => f.write_str("the sums of the lower hub are not complete"),
            Self::Held => f.write_str("results are held back until the nodes have taught their entries"),
            Self::NodesUnknown => f.write_str("DNS has not listed the nodes yet"),
        }
    }
}

/// What the sums of a section leave out, by node.
#[derive(Default)]
pub(crate) struct LeftOuts {
    nodes: Mutex<BTreeMap<u16, Node>>,
    refusals: AtomicU64,
}

#[derive(Default)]
struct Node {
    /// Counts its sessions.
    session: u64,
    /// By network name; that of all beyond the limit is empty.
    tables: BTreeMap<String, Line>,
}

struct Line {
    reason: LeftOutReason,
    /// The session in which it was written down last.
    session: u64,
    /// Of [`LeftOutReason::NotTold`]: whether the lesson that is running began after it.
    is_asked: bool,
}

impl LeftOuts {
    /// How often something was left out, since the process began.
    pub(crate) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// A session of the node begins.
    pub(crate) fn session_began(&self, node: Origin) {
        self.nodes.lock().entry(node.number()).or_default().session += 1;
    }

    /// Writes down that what the node tells of a table is left out.
    pub(crate) fn refuse(&self, node: Origin, table: &str, reason: LeftOutReason) {
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(node.number()).or_default();
        let is_listed = node.tables.len() < MAX_TABLES_OF_NODE || node.tables.contains_key(table);
        let name = if is_listed { table } else { "" };
        let line = Line { reason, session: node.session, is_asked: false };
        let before = node.tables.insert(name.to_owned(), line);
        if before.is_none_or(|before| before.reason != node.tables[name].reason) {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The table of the node is taken from now on. What was left out of it before is missing until the node has told it again:
    /// in the lesson that is running, if the table is defined in it. Returns whether the node has to be asked for another one.
    pub(crate) fn accept(&self, node: Origin, table: &str, in_lesson: bool) -> bool {
        let mut nodes = self.nodes.lock();
        let Some(node) = nodes.get_mut(&node.number()) else { return false };
        let session = node.session;
        let Some(line) = node.tables.get_mut(table) else { return false };
        if line.reason == LeftOutReason::NotTold && line.session == session {
            return false;
        }
        *line = Line { reason: LeftOutReason::NotTold, session, is_asked: in_lesson };
        !in_lesson
    }

    /// A new form of the table is empty: the node's values are missing until a lesson that starts from now on has ended.
    pub(crate) fn table_replaced(&self, node: Origin, table: &str) {
        let mut nodes = self.nodes.lock();
        let node = nodes.entry(node.number()).or_default();
        let (reason, session) = (LeftOutReason::NotTold, node.session);
        node.tables.entry(table.to_owned()).or_insert(Line { reason, session, is_asked: false });
    }

    /// The node is asked for a lesson.
    pub(crate) fn lesson_requested(&self, node: Origin) {
        let mut nodes = self.nodes.lock();
        let Some(node) = nodes.get_mut(&node.number()) else { return };
        node.tables.values_mut().for_each(|line| line.is_asked = line.reason == LeftOutReason::NotTold);
    }

    /// The node's lesson ended. It had all tables of the node, so one that was left out in an earlier session and was not defined
    /// is not there any more. Returns whether the node has to be asked for another lesson.
    pub(crate) fn lesson_ended(&self, node: Origin) -> bool {
        let mut nodes = self.nodes.lock();
        let Some(node) = nodes.get_mut(&node.number()) else { return false };
        let session = node.session;
        node.tables.retain(|_, line| line.session == session && !line.is_asked);
        node.tables.values().any(|line| line.reason == LeftOutReason::NotTold)
    }

    /// Nothing that the node told counts any more.
    pub(crate) fn forget(&self, node: Origin) {
        self.nodes.lock().remove(&node.number());
    }

    /// Whether something of the node is left out.
    pub(crate) fn has(&self, node: Origin) -> bool {
        self.nodes.lock().get(&node.number()).is_some_and(|node| !node.tables.is_empty())
    }

    /// What is left out now, by node and table.
    pub(crate) fn list(&self) -> Vec<LeftOut> {
        let nodes = self.nodes.lock();
        let lines = nodes.iter().flat_map(|(number, node)| {
            node.tables.iter().map(|(table, line)| LeftOut {
                node: Some(Origin::with_number(*number)),
                table: (!table.is_empty()).then(|| table.clone()),
                reason: line.reason.clone(),
            })
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: Origin = Origin::peer(7).unwrap();

    fn reasons(list: &LeftOuts) -> Vec<(Option<String>, &'static str)> {
        list.list().into_iter().map(|left_out| (left_out.table, left_out.reason.word())).collect()
    }

    #[test]
    fn a_line_stays_until_the_values_came_again() {
        let list = LeftOuts::default();
        list.session_began(NODE);
        list.refuse(NODE, "/t", LeftOutReason::TooManyColumns);
        list.refuse(NODE, "/t", LeftOutReason::TooManyColumns);
        assert_eq!((list.refusals(), list.has(NODE), list.has(Origin::peer(8).unwrap())), (1, true, false));
        assert!(!list.lesson_ended(NODE), "a lesson alone helps nothing");
        assert_eq!(reasons(&list), [(Some("/t".to_owned()), "too-many-columns")]);
        assert!(list.accept(NODE, "/t", false), "outside of a lesson");
        assert!(list.lesson_ended(NODE), "it had begun before");
        assert_eq!(reasons(&list), [(Some("/t".to_owned()), "not-told")]);
        list.lesson_requested(NODE);
        assert!(!list.accept(NODE, "/t", false));
        assert!(!list.lesson_ended(NODE));
        assert_eq!(reasons(&list), []);
    }

    #[test]
    fn what_is_defined_in_a_lesson_is_told_by_it() {
        let list = LeftOuts::default();
        list.session_began(NODE);
        list.refuse(NODE, "/t", LeftOutReason::NotDefined);
        list.refuse(NODE, "/gone", LeftOutReason::NotDefined);
        list.refuse(NODE, "/bad", LeftOutReason::NotDefined);
        list.session_began(NODE);
        list.lesson_requested(NODE);
        assert!(!list.accept(NODE, "/t", true));
        list.refuse(NODE, "/bad", LeftOutReason::NotDefined);
        assert!(!list.lesson_ended(NODE));
        assert_eq!(reasons(&list), [(Some("/bad".to_owned()), "undefined")]);
        list.forget(NODE);
        assert_eq!(reasons(&list), []);
    }

    #[test]
    fn a_flood_of_tables_shares_a_line() {
        let list = LeftOuts::default();
        (0..1_000).for_each(|number| list.refuse(NODE, &format!("/t{number}"), LeftOutReason::NotDefined));
        assert_eq!(list.list().len(), MAX_TABLES_OF_NODE + 1);
        assert_eq!(list.list()[0].table, None);
    }
}
