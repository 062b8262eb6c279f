//! What is summed of a source, and where it goes.

use stick_table::{DataType, DefinitionError, Schema, Storage, Table};
use thiserror::Error;

use crate::rule::{Rule, Rules};

/// Why a table cannot be summed into another.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AggregateError {
    #[error("{0} cannot be a table: {1}")]
    Definition(String, DefinitionError),
    #[error("the keys of {0} and {1} are of different types: give both the same")]
    KeyType(String, String),
    #[error("{0} has the periods {1} ms and {2} ms: give it the same in both tables")]
    Period(DataType, u32, u32),
    #[error("{0} has the brates-factors {1} and {2}: give both tables the same")]
    BratesFactor(DataType, u32, u32),
    #[error("{0} expires and {1} does not: give {1} an expire")]
    NoExpire(String, String),
    #[error("{1} stores nothing of what {0} stores")]
    NothingInCommon(String, String),
}

/// What the values of two processes of one node become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lives {
    /// Their sum: what only rises, and rates.
    Add,
    /// The newer one's.
    Newest,
    /// The bits of both.
    Or,
}

/// A data type of the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) data_type: DataType,
    pub(crate) rule: Rule,
    pub(crate) lives: Lives,
    /// Elements, words of each, and where they begin in the source's data words.
    pub(crate) count: usize,
    pub(crate) width: usize,
    pub(crate) from: usize,
    pub(crate) period: u32,
    /// Where they begin in the output's data words, and how many of them are there.
    pub(crate) to: Option<(usize, usize)>,
}

impl Column {
    pub(crate) const fn storage(&self) -> Storage {
        self.data_type.storage()
    }

    /// Offsets of the elements in the source's data words.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = usize> {
        let (from, width) = (self.from, self.width);
        (0..self.count).map(move |element| from + element * width)
    }
}

/// All data types of a source.
pub(crate) struct Columns {
    pub(crate) all: Vec<Column>,
    pub(crate) data_words: usize,
    /// The word of `server_key`.
    pub(crate) string: Option<usize>,
    /// Whether it matters who told a key last.
    pub(crate) is_ordered: bool,
    /// Whether it matters if a node told nothing or 0.
    pub(crate) needs_sets: bool,
}

impl Columns {
    pub(crate) fn new(schema: &Schema, output: &Table, rules: &Rules) -> Result<Self, AggregateError> {
        let (source, target) = (schema.definition(), output.definition());
        let names = || (source.name.clone(), target.name.clone());
        if source.key_type != target.key_type {
            let (source, target) = names();
            return Err(AggregateError::KeyType(source, target));
        }
        if source.expire.is_some() && target.expire.is_none() {
            let (source, target) = names();
            return Err(AggregateError::NoExpire(source, target));
        }
        let mut all = Vec::new();
        for &(column, from) in schema.layout().columns() {
            let data_type = column.data_type();
            let mut to = None;
            if let Some(other) = target.column(data_type) {
                if column.period() != other.period() {
                    return Err(AggregateError::Period(data_type, column.period(), other.period()));
                }
                let (one, two) = (source.brates_factor, target.brates_factor);
                if data_type.is_byte_rate() && one != two {
                    return Err(AggregateError::BratesFactor(data_type, one, two));
                }
                let count = column.count().min(other.count()) as usize;
                to = output.layout().offset(data_type, 0).map(|to| (to, count));
            }
            let rule = rules.get(data_type);
            all.push(Column {
                data_type,
                rule,
                lives: lives(data_type, rule),
                count: column.count() as usize,
                width: data_type.storage().words(),
                from,
                period: column.period(),
                to,
            });
        }
        if all.iter().all(|column| column.to.is_none()) {
            let (source, target) = names();
            return Err(AggregateError::NothingInCommon(source, target));
        }
        let (mut is_ordered, mut needs_sets) = (false, false);
        for column in &all {
            is_ordered |= column.rule == Rule::Last && column.to.is_some();
            // Where 0 is the least there is, nothing and 0 are the same to a sum, a largest value and to bits.
            needs_sets |=
                matches!(column.rule, Rule::Last | Rule::Min) || column.storage() == Storage::Signed;
        }
        let string = schema.layout().offset(DataType::ServerKey, 0);
        Ok(Self { all, data_words: schema.layout().data_words(), string, is_ordered, needs_sets })
    }
}

const fn lives(data_type: DataType, rule: Rule) -> Lives {
    match (data_type, rule) {
        (DataType::ConnCur | DataType::ServerId | DataType::ServerKey, _) | (_, Rule::Last) => Lives::Newest,
        (_, Rule::Or) => Lives::Or,
        (DataType::Gpt0 | DataType::Gpt, _) => Lives::Newest,
        _ => Lives::Add,
    }
}
