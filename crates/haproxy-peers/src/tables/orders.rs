//! What a hub orders its nodes to do with their own entries.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;

use stick_aggregate::{Aggregate, Contribution, Told};
use stick_table::{
    DataType, DefinitionError, KeyError, Lifetime, Millis, Origin, Storage, Table, TableDefinition,
    UpdateError, Value,
};
use thiserror::Error;

use super::{SharedTable, TablePart, TableSet};

/// How long an entry lives that nodes are ordered to clear, in ms: long enough for a node whose session was cut to come back
/// and hear of it.
pub const ORDER_MS: u32 = Table::EXPIRE_MS;

/// Most keys of which nodes are ordered something within a few seconds.
const MAX_ORDERS: u32 = 1 << 20;

/// Most different sets of data types that nodes are ordered to set at a time, for each source.
const MAX_SETS: usize = 16;

/// What all nodes are to do with their entry of a key.
///
/// The protocol has no message for either: both are updates of the nodes' own table, which a stock HAProxy takes from
/// anybody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Order<'a> {
    /// All values become 0, and the entry ends after [`ORDER_MS`].
    Clear,
    /// These elements get these values; those of other data types stay as they are. The entry lives on.
    Set(&'a [(DataType, u32, Value)]),
}

/// Why nodes are ordered nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderError {
    /// The update of an array has all of its elements.
    #[error("the protocol tells an array as a whole: give all {count} elements of {data_type}")]
    PartOfArray {
        /// The array.
        data_type: DataType,
        /// How many elements it has.
        count: u32,
    },
    /// The table does not store it, or it is text.
    #[error("{0} cannot be set in this table")]
    NotSettable(DataType),
    /// Each set of data types needs a table of its own on the wire, as long as nodes are told by it.
    #[error("more than {MAX_SETS} different sets of data types within a few seconds: try again after that")]
    TooManySets,
    /// The table of orders is full.
    #[error("too many orders at once: try again in a few seconds")]
    Full,
    /// Nodes of lower hubs are theirs to order.
    #[error("lower hubs sum some of the nodes: give the command to them ({0})")]
    LowerHubs(String),
    /// The key is none of the table's.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The table of orders cannot be made.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// There is no such hub.
    #[error("there is no such aggregations section any more")]
    Gone,
}

/// One order, for the nodes of a source, to be given for any number of keys.
pub struct Orders<'a> {
    source: Arc<Aggregate>,
    nodes: Vec<Origin>,
    order: Order<'a>,
    /// The table by which nodes are told.
    shared: Arc<SharedTable>,
    /// Keeps others from using the table for something else.
    _in_use: Arc<()>,
}

impl TableSet {
    /// Prepares an order to all nodes of a source, of which `nodes` have a session now.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn orders<'a>(
        &self,
        source: &Arc<Aggregate>,
        nodes: Vec<Origin>,
        order: Order<'a>,
    ) -> Result<Orders<'a>, OrderError> {
        let definition = definition(source.source(), order)?;
        let mut list = self.tables.write();
        let shared = self.orders_table(&mut list, definition, matches!(order, Order::Clear))?;
        let TablePart::Orders { in_use, .. } = shared.part() else { return Err(OrderError::Gone) };
        let in_use = Arc::clone(in_use);
        Ok(Orders { source: Arc::clone(source), nodes, order, shared, _in_use: in_use })
    }

    /// The table by which nodes are told orders of this kind: the one there is, one that nobody uses any more, or a new one.
    fn orders_table(
        &self,
        list: &mut Vec<Arc<SharedTable>>,
        definition: TableDefinition,
        tells_lifetimes: bool,
    ) -> Result<Arc<SharedTable>, OrderError> {
        let its: Vec<_> = list
            .iter()
            .filter(|shared| shared.is_of_orders() && shared.definition().name == definition.name)
            .cloned()
            .collect();
        if let Some(there) = its.iter().find(|shared| *shared.definition() == definition) {
            return Ok(Arc::clone(there));
        }
        let seed = self.seed.wrapping_add(self.version());
        let table = Arc::new(Table::new(definition, seed)?);
        let part = TablePart::Orders { tells_lifetimes, in_use: Arc::default() };
        if its.len() <= MAX_SETS {
            return Ok(self.push(list, table, None, part));
        }
        let idle = its.iter().find(|shared| is_idle(shared)).ok_or(OrderError::TooManySets)?;
        Ok(self.reuse(list, idle, table, part))
    }
}

/// Whether nobody is told anything by a table of orders, and nobody is about to be.
fn is_idle(shared: &SharedTable) -> bool {
    let is_used = |in_use: &Arc<()>| Arc::strong_count(in_use) > 1;
    shared.table().is_empty() && !matches!(shared.part(), TablePart::Orders { in_use, .. } if is_used(in_use))
}

impl Orders<'_> {
    /// Lets all nodes do it with their entry of a canonical key, and counts them, and all others that told the key, as if
    /// they had told so. Poll all sessions for bytes afterwards.
    ///
    /// A node that has no session for [`ORDER_MS`] does not hear of it: what it tells when it comes back counts again.
    ///
    /// # Errors
    /// When there is no room for the order; nothing is changed then.
    pub fn give(&self, key: &[u8], now: Millis) -> Result<(), OrderError> {
        let Self { source, order, shared, .. } = self;
        let lifetime = match order {
            Order::Clear => Lifetime::Exactly(ORDER_MS),
            Order::Set(_) => Lifetime::Restart,
        };
        let told = shared.table().update(key, Origin::LOCAL, lifetime, now, |entry| {
            entry.reset();
            if let Order::Set(values) = order {
                values
                    .iter()
                    .for_each(|(data_type, element, value)| _ = entry.set(*data_type, *element, value));
            }
        });
        told.map_err(|error| match error {
            UpdateError::Key(error) => OrderError::Key(error),
            UpdateError::Full => OrderError::Full,
        })?;
        match order {
            Order::Clear => _ = source.clear(key, lifetime, now)?,
            Order::Set(set) => self.count(key, set, lifetime, now)?,
        }
        Ok(())
    }

    /// Counts values that all nodes are told to set as told by them.
    fn count(
        &self,
        key: &[u8],
        set: &[(DataType, u32, Value)],
        lifetime: Lifetime,
        now: Millis,
    ) -> Result<(), KeyError> {
        let known = self.source.contributions(key, now)?;
        if known.iter().any(|known| known.former) {
            // What a former process of a node told would be added to what is set.
            self.source.clear(key, lifetime, now)?;
        }
        let nodes = self.nodes.iter().copied().chain(known.iter().map(|known| known.node));
        for node in nodes.collect::<HashSet<_>>() {
            let last = known.iter().rev().find(|known: &&Contribution| known.node == node);
            let mut values = last.map_or_else(Vec::new, |known| known.values.clone());
            values.retain(|(data_type, ..)| set.iter().all(|(it, ..)| it != data_type));
            values.extend_from_slice(set);
            tell(&self.source, node, key, lifetime, &values, now);
        }
        Ok(())
    }
}

/// The table by which nodes of a source are told an order: theirs, with no more columns than are set.
fn definition(source: &TableDefinition, order: Order<'_>) -> Result<TableDefinition, OrderError> {
    let size = source.size.min(MAX_ORDERS);
    let mut definition = TableDefinition::new(&source.name, source.key_type, size);
    definition.brates_factor = source.brates_factor;
    // An order that was not told must not make place for another one.
    definition.no_purge = true;
    // Orders are forgotten soon, so that no process that comes later is told old ones. A lifetime is told that is less than
    // a whole one.
    definition.expire = Some(if matches!(order, Order::Clear) { 2 * ORDER_MS } else { ORDER_MS });
    for column in source.columns() {
        let (data_type, count) = (column.data_type(), column.count());
        let is_in = match order {
            // What a node counts for itself goes on: HAProxy up to 2.4 would take the 0 (peers-protocol §16).
            Order::Clear => !data_type.is_local_only(),
            Order::Set(values) => {
                let given = values.iter().filter(|(it, ..)| *it == data_type).map(|(_, element, _)| *element);
                let given: BTreeSet<_> = given.collect();
                let is_given = !given.is_empty();
                if is_given && !given.into_iter().eq(0..count) {
                    return Err(OrderError::PartOfArray { data_type, count });
                }
                is_given
            }
        };
        if is_in {
            // It is right in the source.
            definition.add_column(*column).map_err(|_| OrderError::NotSettable(data_type))?;
        }
    }
    if let Order::Set(values) = order {
        let is_settable = |data_type: DataType| {
            definition.column(data_type).is_some() && data_type.storage() != Storage::Dictionary
        };
        if let Some((data_type, ..)) = values.iter().find(|(data_type, ..)| !is_settable(*data_type)) {
            return Err(OrderError::NotSettable(*data_type));
        }
    }
    Ok(definition)
}

/// Counts values as told by a node.
fn tell(
    source: &Aggregate,
    node: Origin,
    key: &[u8],
    lifetime: Lifetime,
    values: &[(DataType, u32, Value)],
    now: Millis,
) {
    let mut batch = source.batch();
    let mut places: Vec<(Range<usize>, &Value)> = values
        .iter()
        .filter_map(|(data_type, element, value)| {
            let offset = source.layout().offset(*data_type, *element)?;
            Some((offset..offset + data_type.storage().words(), value))
        })
        .collect();
    places.sort_by_key(|(range, _)| range.start);
    batch.set_known_columns(places.iter().map(|(range, _)| range.clone()));
    let words = batch.push_canonical(key, lifetime);
    let mut text = None;
    for (range, value) in places {
        match value {
            Value::Dictionary(string) => text = string.clone(),
            value => value.write(&mut words[range]),
        }
    }
    if let Some(text) = text {
        batch.set_string(&text);
    }
    source.absorb(&mut batch, node, Told::Live, now);
}
