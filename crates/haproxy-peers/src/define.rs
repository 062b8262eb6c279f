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

use crate::{DecodeError, DecodeErrorKind, FrameWriter, Padding, Reader, WireKeyType, class, kind, varint};

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
    pub fn from_table(id: u32, table: &TableDefinition) -> Self {
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
    pub fn encode(&self, padding: Padding, out: &mut Vec<u8>) {
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
mod tests {
    use super::*;
    use crate::{DEFAULT_MAX_PAYLOAD, decode_frame};
    use proptest::prelude::*;

    fn table(name: &str, key_type: KeyType, expire: u32, columns: &[&str]) -> TableDefinition {
        columns
            .iter()
            .fold(TableDefinition::new(name, key_type, 1).with_expire(Some(expire)), |table, column| {
                table.with_column(column.parse().unwrap()).unwrap()
            })
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn decode(message: &[u8]) -> Result<DefineOutcome, DecodeError> {
        let (frame, size) = decode_frame(message, 0, DEFAULT_MAX_PAYLOAD).unwrap().unwrap();
        assert_eq!((size, frame.kind), (message.len(), kind::DEFINE));
        Definition::decode(&mut frame.reader())
    }

    fn payload(bytes: &[u8]) -> Result<DefineOutcome, DecodeError> {
        Definition::decode(&mut Reader::new(bytes, 100))
    }

    fn encoded(definition: &Definition, padding: Padding) -> Vec<u8> {
        let mut out = Vec::new();
        definition.encode(padding, &mut out);
        out
    }

    /// peers-protocol §20.
    #[test]
    fn the_documented_examples() {
        for (id, table, bytes) in [
            (
                1,
                table("t1", KeyType::Ip, 1_800_000, &["server_id", "gpc0", "conn_rate(10s)"]),
                "0a 82 0f 01 02 74 31 04 04 25 f0 e5 ed 05 05 f0 e2 03",
            ),
            (
                2,
                table("s", KeyType::DEFAULT_STRING, 3_600_000, &["server_id", "server_key"]),
                "0a 82 0d 02 01 73 06 20 f1 f1 fe 00 f0 d9 dc 0c",
            ),
            (
                3,
                table("p/ga", KeyType::Integer, 60_000, &["gpt(2)", "gpc(3)", "gpc_rate(2,10s)"]),
                "0a 82 17 03 03 2f 67 61 02 04 f0 f1 fe 6e f0 97 1c 16 02 17 03 18 02 f0 e2 03",
            ),
            (4, table("v6", KeyType::Ipv6, 0, &[]), "0a 82 08 04 02 76 36 05 10 00 00"),
        ] {
            let definition = Definition::from_table(id, &table);
            let bytes = hex(bytes);
            assert_eq!(encoded(&definition, Padding::None), bytes);
            assert_eq!(decode(&bytes), Ok(DefineOutcome::Usable(definition.clone())));
            assert_eq!(definition.key_type(), Some(table.key_type));
            assert!(
                definition
                    .columns()
                    .map(|column| column.data_type)
                    .eq(table.columns().iter().map(Column::data_type))
            );
        }
    }

    /// peers-protocol §21: 1.6 and 1.7 send no expiry and no periods.
    #[test]
    fn a_definition_without_tail_is_usable() {
        let table = table("t1", KeyType::Ip, 0, &["server_id", "gpc0", "conn_rate(10s)"]);
        let definition = Definition { tail: None, ..Definition::from_table(1, &table) };
        let bytes = hex("0a 82 07 01 02 74 31 04 04 25");
        assert_eq!(encoded(&definition, Padding::None), bytes);
        assert_eq!(decode(&bytes), Ok(DefineOutcome::Usable(definition.clone())));
        assert_eq!(definition.columns().map(|column| column.period).sum::<u64>(), 0);
    }

    #[test]
    fn padding_never_makes_a_tail() {
        let mut definition =
            Definition::from_table(1, &table(&"x".repeat(150), KeyType::Ip, 0, &["conn_rate(1s)"]));
        let padded = encoded(&definition, Padding::ForOldReceivers);
        assert_eq!(padded.len(), 240 + 4);
        assert_eq!(decode(&padded), Ok(DefineOutcome::Usable(definition.clone())));
        definition.tail = None;
        let bytes = encoded(&definition, Padding::ForOldReceivers);
        assert_eq!(decode(&bytes), Ok(DefineOutcome::Usable(definition)));
    }

    #[test]
    fn unreadable_mandatory_fields_are_errors() {
        use DecodeErrorKind::{EmptyTableName, TableNameReachesEnd, Truncated};
        for (bytes, offset, kind) in [
            (&[][..], 100, Truncated { field: "table id" }),
            (&[1], 101, Truncated { field: "name length" }),
            (&[1, 0, 4, 4, 0], 101, EmptyTableName),
            (&[1, 2, b'a', b'b'], 101, TableNameReachesEnd { length: 2, remaining: 2 }),
            (&[1, 9, b'a', b'b'], 101, TableNameReachesEnd { length: 9, remaining: 2 }),
            (&[1, 1, b'a', 0xf0], 103, Truncated { field: "key type" }),
            (&[1, 1, b'a', 4], 104, Truncated { field: "key size" }),
            (&[1, 1, b'a', 4, 4], 105, Truncated { field: "data types" }),
            (&[1, 1, b'a', 4, 4, 0xf0, 0x80], 105, Truncated { field: "data types" }),
        ] {
            assert_eq!(payload(bytes), Err(DecodeError { offset, kind }), "{bytes:?}");
        }
    }

    #[test]
    fn bad_parameters_make_a_table_unusable_without_an_error() {
        let gpt = DataType::Gpt;
        let rate = DataType::Gpc0Rate;
        for (bytes, expected) in [
            ("01 01 61 04 04 08 00", UnusableReason::MissingParameters(rate)),
            ("01 01 61 04 04 08 00 03", UnusableReason::MissingParameters(rate)),
            ("01 01 61 04 04 08 00 03 f0", UnusableReason::MissingParameters(rate)),
            ("01 01 61 04 04 08 00 04 01", UnusableReason::WrongParameters(rate, 4)),
            ("01 01 61 04 04 f0 f1 fe 0e", UnusableReason::ArrayWithoutTail(gpt)),
            ("01 01 61 04 04 f0 f1 fe 0e 00 16", UnusableReason::MissingParameters(gpt)),
        ] {
            let outcome = payload(&hex(bytes)).unwrap();
            let DefineOutcome::Unusable { definition, reason } = outcome else {
                panic!("{bytes}: {outcome:?}")
            };
            assert_eq!(
                (definition.name, definition.tail, reason),
                (b"a".to_vec(), None, expected),
                "{bytes}"
            );
        }
    }

    #[test]
    fn unknown_data_types_and_trailing_bytes_are_tolerated() {
        // Bits 2 and 27 (0x8000004), expiry 0, parameters of the unknown type, more.
        let mut bytes = hex("01 01 61 04 04");
        varint::encode(1 << 27 | 4, &mut bytes);
        bytes.extend([0, 27, 99, 99]);
        let DefineOutcome::Usable(definition) = payload(&bytes).unwrap() else { panic!() };
        assert_eq!(definition.columns().count(), 1);
        assert!(definition.stores(DataType::Gpc0) && !definition.is_last(DataType::Gpc0));
    }

    #[test]
    fn sizes_are_numbers_and_nothing_is_allocated_for_them() {
        let mut bytes = hex("01 01 61 07");
        varint::encode(u64::MAX, &mut bytes);
        varint::encode(1 << 22, &mut bytes);
        bytes.extend([0, 22]);
        varint::encode(u64::MAX, &mut bytes);
        let DefineOutcome::Usable(definition) = payload(&bytes).unwrap() else { panic!() };
        assert_eq!(definition.key_type(), None);
        assert_eq!(definition.columns().next().unwrap().count, u64::MAX);
    }

    #[test]
    fn what_makes_a_table_unusable_is_told() {
        let key_type = WireKeyType(9);
        for (reason, text) in [
            (UnusableReason::MissingParameters(DataType::Gpt), "the parameters of gpt are missing"),
            (
                UnusableReason::WrongParameters(DataType::Gpt, 3),
                "the parameters of gpt are expected, those of data type 3 found",
            ),
            (UnusableReason::ArrayWithoutTail(DataType::Gpt), "the number of elements of gpt is missing"),
            (UnusableReason::KeyType(key_type, 40), "the key type number 9 of 40 bytes is not supported"),
            (
                UnusableReason::KeyType(WireKeyType::from_key_type(KeyType::Ip).0, 5),
                "the key type ip of 5 bytes is not supported",
            ),
        ] {
            assert_eq!(reason.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn definitions_come_back(
            id: u32, name in prop::collection::vec(any::<u8>(), 1..300), key_type: u64, key_size: u64, data_types: u64,
            expire_ms: u64, numbers in prop::collection::vec(any::<u64>(), 60), has_tail: bool,
        ) {
            let mut numbers = numbers.into_iter();
            let parameters = known_types(data_types).filter(|&data_type| has_parameters(data_type)).map(|data_type| {
                let count = if data_type.is_array() { numbers.next().unwrap() } else { 1 };
                WireColumn { data_type, count, period: if data_type.has_period() { numbers.next().unwrap() } else { 0 } }
            });
            let tail = DefinitionTail { expire_ms, parameters: parameters.collect() };
            let has_array = known_types(data_types).any(DataType::is_array);
            let definition = Definition {
                id, name, key_type: WireKeyType(key_type), key_size, data_types,
                tail: (has_tail || has_array).then_some(tail),
            };
            let bytes = encoded(&definition, Padding::None);
            prop_assert_eq!(decode(&bytes), Ok(DefineOutcome::Usable(definition)));
        }
    }
}
