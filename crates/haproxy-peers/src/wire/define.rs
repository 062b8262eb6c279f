//! Table definitions: type 0x82 (peers-protocol §7).
//!
//! ```text
//! varint  sender's table id
//! varint  name length, at least 1
//! bytes   name
//! varint  key type
//! varint  key size
//! varint  data types: bit n stands for data type n
//! the tail, since HAProxy 1.8:
//!   varint  expire in ms, 0 for none
//!   for each rate and each array, in the order of their bits:
//!     varint  data type
//!     varint  number of elements, arrays only
//!     varint  period in ms, rates only
//! ```

use std::fmt;

use stick_table::{Column, DataType, KeyType, TableDefinition};

use crate::{
    DecodeError, DecodeErrorKind, EncodeError, FrameWriter, Padding, Reader, WireKeyType, class, kind, varint,
};

/// What a sender says about one of its tables. Nothing in it is checked against anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The sender's id of the table, from 1.
    pub id: u32,
    /// Network name: the proxy's name, or `/name` for a table of a peers section. Any bytes.
    pub name: Vec<u8>,
    /// Key type by number.
    pub key_type: WireKeyType,
    /// Key size in bytes; that of strings counts a terminator.
    pub key_size: u64,
    /// Bit n stands for data type n. Bits from 27 on are types this version does not know.
    pub data_types: u64,
    /// Expiry and parameters; HAProxy 1.6 and 1.7 do not send them.
    pub tail: Option<DefinitionTail>,
}

/// The part of a definition that HAProxy sends since 1.8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefinitionTail {
    /// Lifetime of the sender's entries in ms, 0 for no expiry.
    pub expire_ms: u64,
    /// The rates and arrays among the known data types, in the order of their numbers.
    pub parameters: Vec<WireColumn>,
}

/// A data type as the sender has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireColumn {
    /// Which one.
    pub data_type: DataType,
    /// Number of elements: 1 unless the type is an array. What a sender announces may be any number.
    pub count: u64,
    /// Period in ms of a rate; 0 for other types and when the sender did not tell.
    pub period: u64,
}

/// The first fields of a definition, by which a receiver knows whether the rest concerns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefineHead<'a> {
    /// The sender's id of the table.
    pub id: u32,
    /// Network name.
    pub name: &'a [u8],
}

/// What became of a definition whose mandatory fields were readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefineOutcome {
    /// Updates of the table can be decoded.
    Usable(Definition),
    /// The table is to be ignored until it is defined anew; that is no error of the session (peers-protocol §7.3).
    Unusable {
        /// What was readable; without a tail.
        definition: Definition,
        /// What was not.
        reason: UnusableReason,
    },
}

/// Why a table must be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableReason {
    /// The definition ends before the parameters of a type, or inside them.
    MissingParameters(DataType),
    /// The parameters are those of another type; holds the one expected and the number found.
    WrongParameters(DataType, u64),
    /// The table has an array, but the definition does not say of how many elements.
    ArrayWithoutTail(DataType),
    /// The key type is not known or cannot have this size, so keys cannot be told from values.
    KeyType(WireKeyType, u64),
}

impl fmt::Display for UnusableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingParameters(data_type) => write!(f, "the parameters of {data_type} are missing"),
            Self::WrongParameters(expected, found) => {
                write!(f, "the parameters of {expected} are expected, those of data type {found} found")
            }
            Self::ArrayWithoutTail(data_type) => {
                write!(f, "the number of elements of {data_type} is missing")
            }
            Self::KeyType(key_type, size) => {
                write!(f, "the key type {key_type} of {size} bytes is not supported")
            }
        }
    }
}

impl fmt::Display for WireColumn {
    /// As it stands in a `store` list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_type, count, period } = self;
        match (data_type.is_array(), data_type.has_period()) {
            (false, false) => write!(f, "{data_type}"),
            (false, true) => write!(f, "{data_type}({period}ms)"),
            (true, false) => write!(f, "{data_type}({count})"),
            (true, true) => write!(f, "{data_type}({count},{period}ms)"),
        }
    }
}

impl<'a> DefineHead<'a> {
    /// Reads id and name.
    ///
    /// # Errors
    /// When a field is incomplete, the name is empty, or nothing follows it.
    pub fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let id = reader.varint_u32("table id")?;
        let at = reader.offset();
        let length = reader.varint("name length")?;
        if length == 0 {
            return Err(DecodeError::new(at, DecodeErrorKind::EmptyTableName));
        }
        let remaining = reader.remaining();
        match usize::try_from(length) {
            Ok(count) if count < remaining => Ok(Self { id, name: reader.bytes(count, "table name")? }),
            _ => Err(DecodeError::new(at, DecodeErrorKind::TableNameReachesEnd { length, remaining })),
        }
    }

    /// Reads what follows the name.
    ///
    /// # Errors
    /// When key type, key size or data types are incomplete. A bad tail is no error.
    pub fn decode_rest(self, reader: &mut Reader<'_>) -> Result<DefineOutcome, DecodeError> {
        let mut definition = Definition {
            id: self.id,
            name: self.name.to_vec(),
            key_type: WireKeyType(reader.varint("key type")?),
            key_size: reader.varint("key size")?,
            data_types: reader.varint("data types")?,
            tail: None,
        };
        match decode_tail(reader, definition.data_types) {
            Ok(tail) => {
                definition.tail = tail;
                Ok(DefineOutcome::Usable(definition))
            }
            Err(reason) => Ok(DefineOutcome::Unusable { definition, reason }),
        }
    }
}

/// Reads the tail. An expiry that is not there, or not wholly, means a sender of before 1.8.
fn decode_tail(reader: &mut Reader<'_>, data_types: u64) -> Result<Option<DefinitionTail>, UnusableReason> {
    let Ok(expire_ms) = reader.varint("expire") else {
        let array = known_types(data_types).find(|data_type| data_type.is_array());
        return array.map_or(Ok(None), |array| Err(UnusableReason::ArrayWithoutTail(array)));
    };
    let parameters = known_types(data_types)
        .filter(|data_type| has_parameters(*data_type))
        .map(|data_type| decode_parameters(reader, data_type))
        .collect::<Result<_, _>>()?;
    Ok(Some(DefinitionTail { expire_ms, parameters }))
}

fn decode_parameters(reader: &mut Reader<'_>, data_type: DataType) -> Result<WireColumn, UnusableReason> {
    let mut next = || reader.varint("parameter").map_err(|_| UnusableReason::MissingParameters(data_type));
    let number = next()?;
    if number != u64::from(data_type.number()) {
        return Err(UnusableReason::WrongParameters(data_type, number));
    }
    let count = if data_type.is_array() { next()? } else { 1 };
    let period = if data_type.has_period() { next()? } else { 0 };
    Ok(WireColumn { data_type, count, period })
}

const fn has_parameters(data_type: DataType) -> bool {
    data_type.is_array() || data_type.has_period()
}

/// The data types of a bitfield that this version knows, in the order of their numbers.
fn known_types(data_types: u64) -> impl Iterator<Item = DataType> {
    DataType::ALL.into_iter().filter(move |data_type| data_types >> data_type.number() & 1 != 0)
}

impl Definition {
    /// The definition of a table of one's own, under the id `id` of this sender (1 to 2^31 − 1).
    ///
    /// ```
    /// use haproxy_peers::{Definition, EncodeError};
    ///
    /// let table = "table t type ip size 100 store gpc0".parse()?;
    /// assert_eq!(Definition::from_table(0, &table), Err(EncodeError::TableId(0)));
    /// # Ok::<(), stick_table::LineError>(())
    /// ```
    ///
    /// # Errors
    /// When the id is out of its range: to HAProxy 0 stands for a table that was not defined; or when the table has no name.
    pub fn from_table(id: u32, table: &TableDefinition) -> Result<Self, EncodeError> {
        let definition = Self::of_table(id, table);
        definition.check()?;
        Ok(definition)
    }

    /// As [`from_table`](Self::from_table), of a table of a section under its id there.
    pub(crate) fn of_table(id: u32, table: &TableDefinition) -> Self {
        let (key_type, key_size) = WireKeyType::from_key_type(table.key_type);
        let wire_column = |column: &Column| WireColumn {
            data_type: column.data_type(),
            count: column.count().into(),
            period: column.period().into(),
        };
        let columns = table.columns();
        Self {
            id,
            name: table.network_name().as_bytes().to_vec(),
            key_type,
            key_size,
            data_types: columns.iter().fold(0, |bits, column| bits | 1 << column.data_type().number()),
            tail: Some(DefinitionTail {
                expire_ms: table.expire.unwrap_or(0).into(),
                parameters: columns
                    .iter()
                    .map(wire_column)
                    .filter(|column| has_parameters(column.data_type))
                    .collect(),
            }),
        }
    }

    /// The same without the data types that `is_told` does not want: receivers leave those of their entries as they are.
    #[must_use]
    pub fn telling(mut self, is_told: impl Fn(DataType) -> bool) -> Self {
        let untold = known_types(self.data_types).filter(|data_type| !is_told(*data_type));
        self.data_types = untold.fold(self.data_types, |bits, data_type| bits & !(1 << data_type.number()));
        if let Some(tail) = &mut self.tail {
            tail.parameters.retain(|column| is_told(column.data_type));
        }
        self
    }

    /// Reads a whole payload: [`DefineHead::decode`] and [`DefineHead::decode_rest`].
    ///
    /// # Errors
    /// When a mandatory field is incomplete, or the name is empty or the last thing there.
    pub fn decode(reader: &mut Reader<'_>) -> Result<DefineOutcome, DecodeError> {
        DefineHead::decode(reader)?.decode_rest(reader)
    }

    /// Appends the message, without the tail when [`tail`](Self::tail) is `None`, which is the form of 1.6 and 1.7.
    ///
    /// That form is never padded: a receiver would take the zero bytes for a tail.
    ///
    /// # Errors
    /// When a receiver would not read the same, see [`EncodeError`]; nothing is appended then.
    pub fn encode(&self, padding: Padding, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.check()?;
        self.encode_unchecked(padding, out);
        Ok(())
    }

    /// As [`encode`](Self::encode), whatever a receiver makes of it: for tests of receivers.
    #[doc(hidden)]
    pub fn encode_unchecked(&self, padding: Padding, out: &mut Vec<u8>) {
        let mut frame = FrameWriter::begin(out, class::STICK_TABLE, kind::DEFINE);
        let payload = frame.payload();
        varint::encode(self.id.into(), payload);
        varint::encode(self.name.len() as u64, payload);
        payload.extend_from_slice(&self.name);
        varint::encode(self.key_type.0, payload);
        varint::encode(self.key_size, payload);
        varint::encode(self.data_types, payload);
        let Some(tail) = &self.tail else {
            frame.finish(Padding::None);
            return;
        };
        varint::encode(tail.expire_ms, payload);
        for WireColumn { data_type, count, period } in &tail.parameters {
            varint::encode(data_type.number().into(), payload);
            if data_type.is_array() {
                varint::encode(*count, payload);
            }
            if data_type.has_period() {
                varint::encode(*period, payload);
            }
        }
        frame.finish(padding);
    }

    /// Whether a receiver reads what would be written.
    fn check(&self) -> Result<(), EncodeError> {
        EncodeError::check_table_id(self.id)?;
        if self.name.is_empty() {
            return Err(EncodeError::NoTableName);
        }
        let mut wanted = known_types(self.data_types).filter(|data_type| has_parameters(*data_type));
        let Some(tail) = &self.tail else {
            // Without a tail nobody knows how many elements an array has.
            let array = wanted.find(|data_type| data_type.is_array());
            return array.map_or(Ok(()), |array| Err(EncodeError::MissingParameters(array)));
        };
        for column in &tail.parameters {
            match wanted.next() {
                Some(data_type) if data_type == column.data_type => {}
                Some(missing) if self.stores(column.data_type) => {
                    return Err(EncodeError::MissingParameters(missing));
                }
                _ => return Err(EncodeError::UnexpectedParameters(column.data_type)),
            }
        }
        wanted.next().map_or(Ok(()), |missing| Err(EncodeError::MissingParameters(missing)))
    }

    /// The key type with its size; `None` when this version cannot decode such keys.
    pub fn key_type(&self) -> Option<KeyType> {
        self.key_type.key_type(self.key_size)
    }

    /// Whether the sender's table stores a type.
    pub const fn stores(&self, data_type: DataType) -> bool {
        self.data_types >> data_type.number() & 1 != 0
    }

    /// Whether no other type follows this one in the sender's updates, not even an unknown one.
    pub const fn is_last(&self, data_type: DataType) -> bool {
        self.data_types >> data_type.number() == 1
    }

    /// The known data types in the order of their numbers, which is the order of the values in updates.
    pub fn columns(&self) -> impl Iterator<Item = WireColumn> + '_ {
        let mut parameters = self.tail.iter().flat_map(|tail| &tail.parameters).copied().peekable();
        known_types(self.data_types).map(move |data_type| {
            parameters.next_if(|column| column.data_type == data_type).unwrap_or_else(|| WireColumn {
                data_type,
                // An array without parameters makes the definition unusable, so this is about definitions made by hand.
                count: u64::from(!data_type.is_array()),
                period: 0,
            })
        })
    }

    /// The network name for people: bytes that are not UTF-8 become U+FFFD.
    pub fn display_name(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }
}

#[cfg(test)]
mod tests;
