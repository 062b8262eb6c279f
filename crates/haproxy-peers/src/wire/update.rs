//! Entry updates: types 0x80, 0x81, 0x85 and 0x86 (peers-protocol §8).
//!
//! ```text
//! u32     update id, not in the incremental forms
//! u32     remaining lifetime in ms, timed forms only
//! key     see decode_key
//! values  of every data type of the definition, in the order of their numbers; arrays element by element
//! ```

use stick_table::{DataType, KeyType, Storage, units};

use crate::{
    DecodeError, Definition, EncodeError, FrameWriter, Padding, Reader, WireColumn, WireValue, class,
    decode_key, encode_key, kind,
};

/// Which of the optional fields an update has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpdateForm {
    /// 0x80: with an id; the receiver gives the entry its table's whole lifetime.
    Explicit,
    /// 0x81: the id is the previous one of the table plus 1.
    Incremental,
    /// 0x85: with an id and the remaining lifetime; protocol 2.1.
    ExplicitTimed,
    /// 0x86: with the remaining lifetime; protocol 2.1.
    IncrementalTimed,
}

impl UpdateForm {
    /// The type byte.
    #[inline]
    pub const fn kind(self) -> u8 {
        match self {
            Self::Explicit => kind::UPDATE,
            Self::Incremental => kind::INCREMENTAL_UPDATE,
            Self::ExplicitTimed => kind::TIMED_UPDATE,
            Self::IncrementalTimed => kind::INCREMENTAL_TIMED_UPDATE,
        }
    }

    /// The form of a message type; `None` when the type is no update.
    #[inline]
    pub const fn from_kind(kind: u8) -> Option<Self> {
        match kind {
            kind::UPDATE => Some(Self::Explicit),
            kind::INCREMENTAL_UPDATE => Some(Self::Incremental),
            kind::TIMED_UPDATE => Some(Self::ExplicitTimed),
            kind::INCREMENTAL_TIMED_UPDATE => Some(Self::IncrementalTimed),
            _ => None,
        }
    }

    /// Whether the update carries its id.
    #[inline]
    pub const fn has_id(self) -> bool {
        matches!(self, Self::Explicit | Self::ExplicitTimed)
    }

    /// Whether the update carries the remaining lifetime.
    #[inline]
    pub const fn is_timed(self) -> bool {
        matches!(self, Self::ExplicitTimed | Self::IncrementalTimed)
    }
}

/// What precedes the key of an update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UpdateHeader {
    /// Update id; `None` in the incremental forms. Senders do best to give it always (peers-protocol §18.1).
    pub id: Option<u32>,
    /// Remaining lifetime in ms as sent; `None` in the untimed forms. See [`remaining_ms`](Self::remaining_ms).
    pub lifetime_ms: Option<u32>,
}

impl UpdateHeader {
    /// Reads the fields that the form has.
    ///
    /// # Errors
    /// When one is incomplete.
    #[inline]
    pub fn decode(form: UpdateForm, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = if form.has_id() { Some(reader.u32_be("update id")?) } else { None };
        let lifetime_ms = if form.is_timed() { Some(reader.u32_be("remaining lifetime")?) } else { None };
        Ok(Self { id, lifetime_ms })
    }

    /// The form that carries the fields present.
    #[inline]
    pub const fn form(self) -> UpdateForm {
        match (self.id, self.lifetime_ms) {
            (Some(_), None) => UpdateForm::Explicit,
            (None, None) => UpdateForm::Incremental,
            (Some(_), Some(_)) => UpdateForm::ExplicitTimed,
            (None, Some(_)) => UpdateForm::IncrementalTimed,
        }
    }

    /// The remaining lifetime in ms, 0 to 2^31 − 1; `None` in the untimed forms, where the table's own applies.
    ///
    /// A number over 2^31 − 1 is negative to HAProxy, an entry already expired, so it becomes 0; and 0 means just
    /// that, never "without expiry" (peers-protocol §8.3).
    #[inline]
    pub const fn remaining_ms(self) -> Option<u32> {
        match self.lifetime_ms {
            Some(lifetime) if lifetime > i32::MAX as u32 => Some(0),
            lifetime => lifetime,
        }
    }

    /// Starts an update message with these fields; key and values follow.
    #[inline]
    pub fn begin(self, out: &mut Vec<u8>) -> FrameWriter<'_> {
        let mut frame = FrameWriter::begin(out, class::STICK_TABLE, self.form().kind());
        for field in [self.id, self.lifetime_ms].into_iter().flatten() {
            frame.payload().extend_from_slice(&field.to_be_bytes());
        }
        frame
    }
}

/// A whole update, for those who do not decode straight into their rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Id and remaining lifetime.
    pub header: UpdateHeader,
    /// Canonical bytes of the key.
    pub key: Vec<u8>,
    /// The elements of each data type, in the order of their numbers. `server_key` has none when the payload ended
    /// before it, which is how HAProxy 2.0 sends an unset one (peers-protocol §18.4).
    pub values: Vec<(DataType, Vec<WireValue>)>,
    /// What follows the last known value: values of unknown types, or padding.
    pub trailing: Vec<u8>,
}

impl Update {
    /// Reads the payload of an update of the table of `definition`, whose keys are of `key_type`.
    ///
    /// What it holds is bounded by the payload, not by what the definition or the payload announce.
    ///
    /// # Errors
    /// When a field is incomplete, or a dictionary value impossible.
    pub fn decode(
        form: UpdateForm,
        definition: &Definition,
        key_type: KeyType,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let header = UpdateHeader::decode(form, reader)?;
        let key = decode_key(key_type, reader)?.to_vec();
        let mut values = Vec::new();
        for column in definition.columns() {
            let data_type = column.data_type;
            let mut elements = Vec::new();
            if !definition.is_omitted(data_type, reader) {
                for _ in 0..column.count {
                    let storage = data_type.storage();
                    elements.push(WireValue::decode(storage, data_type.name(), usize::MAX, reader)?);
                }
            }
            values.push((data_type, elements));
        }
        Ok(Self { header, key, values, trailing: reader.rest().to_vec() })
    }

    /// Appends the message, as an update of the table of `definition`.
    ///
    /// ```
    /// use haproxy_peers::{Definition, EncodeError, Padding, Update, UpdateHeader, WireValue};
    /// use stick_table::DataType;
    ///
    /// let table = "table t type ip size 100 store gpc0,conn_cnt".parse()?;
    /// let definition = Definition::from_table(1, &table)?;
    /// let mut update = Update {
    ///     header: UpdateHeader { id: Some(1), lifetime_ms: None },
    ///     key: vec![10, 0, 0, 1],
    ///     values: vec![(DataType::Gpc0, vec![WireValue::Unsigned(7)])],
    ///     trailing: vec![],
    /// };
    /// let mut out = Vec::new();
    /// let missing = update.encode(&definition, Padding::None, &mut out);
    /// assert_eq!(missing, Err(EncodeError::MissingValues(DataType::ConnCnt)));
    /// update.values.push((DataType::ConnCnt, vec![WireValue::Unsigned(1)]));
    /// update.encode(&definition, Padding::None, &mut out)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When a receiver would not read the same: the key is none of the table's, values are missing or of another kind than the
    /// definition says, and so on, see [`EncodeError`]. Nothing is appended then. What [`trailing`](Self::trailing) holds
    /// stands for data types that this version does not know, and is not looked at.
    pub fn encode(
        &self,
        definition: &Definition,
        padding: Padding,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let key_type = self.check(definition)?;
        let mut frame = self.header.begin(out);
        let payload = frame.payload();
        encode_key(key_type, &self.key, payload);
        for value in self.values.iter().flat_map(|(_, elements)| elements) {
            value.encode(payload);
        }
        payload.extend_from_slice(&self.trailing);
        frame.finish(padding);
        Ok(())
    }

    /// Whether a receiver that has the definition reads what would be written; returns the type of the key.
    fn check(&self, definition: &Definition) -> Result<KeyType, EncodeError> {
        let no_type = EncodeError::KeyType(definition.key_type, definition.key_size);
        let key_type = definition.key_type().ok_or(no_type)?;
        key_type.check(&self.key)?;
        if let Some(lifetime) = self.header.lifetime_ms.filter(|&lifetime| lifetime > units::MAX_TIME_MS) {
            return Err(EncodeError::Lifetime(lifetime));
        }
        let mut values = self.values.iter();
        for column in definition.columns() {
            let data_type = column.data_type;
            match values.next() {
                Some((found, elements)) if *found == data_type => {
                    self.check_elements(column, elements, definition)?;
                }
                Some((found, _)) if !definition.stores(*found) => {
                    return Err(EncodeError::UnexpectedValues(*found));
                }
                _ => return Err(EncodeError::MissingValues(data_type)),
            }
        }
        values.next().map_or(Ok(key_type), |(found, _)| Err(EncodeError::UnexpectedValues(*found)))
    }

    fn check_elements(
        &self,
        column: WireColumn,
        elements: &[WireValue],
        definition: &Definition,
    ) -> Result<(), EncodeError> {
        let WireColumn { data_type, count: wanted, .. } = column;
        // What HAProxy 2.0 does with one that is not set.
        let may_be_omitted = data_type == DataType::ServerKey && definition.is_last(data_type);
        if elements.is_empty() && may_be_omitted && self.trailing.is_empty() {
            return Ok(());
        }
        if elements.len() as u64 != wanted {
            return Err(EncodeError::Elements { data_type, wanted, found: elements.len() });
        }
        elements.iter().try_for_each(|element| match element {
            WireValue::Dictionary(item) if data_type.storage() == Storage::Dictionary => item.check(),
            other if other.storage() == data_type.storage() => Ok(()),
            other => {
                let (wanted, found) = (data_type.storage(), other.storage());
                Err(EncodeError::Storage { data_type, wanted, found })
            }
        })
    }

    /// The elements of a data type; empty when the sender does not store it.
    pub fn elements(&self, data_type: DataType) -> &[WireValue] {
        self.values.iter().find(|(present, _)| *present == data_type).map_or(&[], |(_, elements)| elements)
    }
}

impl Definition {
    /// Whether a value is unset by not being there: HAProxy 2.0 sends nothing for a `server_key` without value, which was
    /// the highest type it knew (peers-protocol §18.4). To be asked before the value of `data_type` is read.
    #[inline]
    pub fn is_omitted(&self, data_type: DataType, reader: &Reader<'_>) -> bool {
        reader.is_empty() && data_type == DataType::ServerKey && self.is_last(data_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        DEFAULT_MAX_PAYLOAD, DefinitionTail, DictionaryItem, WireColumn, WireFrequency, WireKeyType,
        decode_frame,
    };
    use proptest::prelude::*;
    use stick_table::{Storage, TableDefinition};

    fn definition(key_type: KeyType, columns: &[&str]) -> Definition {
        let table = columns.iter().fold(TableDefinition::new("t", key_type, 1), |table, column| {
            table.with_column(column.parse().unwrap()).unwrap()
        });
        Definition::from_table(1, &table).unwrap()
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    fn decode(definition: &Definition, message: &[u8]) -> Result<Update, DecodeError> {
        let (frame, _) = decode_frame(message, 0, DEFAULT_MAX_PAYLOAD).unwrap().unwrap();
        let form = UpdateForm::from_kind(frame.kind).unwrap();
        Update::decode(form, definition, definition.key_type().unwrap(), &mut frame.reader())
    }

    fn encoded(definition: &Definition, update: &Update) -> Vec<u8> {
        let mut out = Vec::new();
        update.encode(definition, Padding::None, &mut out).unwrap();
        out
    }

    /// Each would be misread by a receiver, or end its session.
    #[test]
    fn an_update_that_does_not_fit_its_definition_is_not_written() {
        let full = definition(KeyType::Ip, &["gpc0", "bytes_in_cnt", "server_key", "gpt(2)"]);
        let right = Update {
            header: UpdateHeader { id: Some(1), lifetime_ms: Some(i32::MAX.cast_unsigned()) },
            key: vec![10, 0, 0, 1],
            values: vec![
                (DataType::Gpc0, unsigned(&[1])),
                (DataType::BytesInCnt, vec![WireValue::Unsigned64(2)]),
                (DataType::ServerKey, vec![WireValue::Dictionary(DictionaryItem::Known(128))]),
                (DataType::Gpt, unsigned(&[3, 4])),
            ],
            trailing: vec![],
        };
        assert_eq!(decode(&full, &encoded(&full, &right)), Ok(right.clone()));
        let fault = |change: &dyn Fn(&mut Update, &mut Definition)| {
            let (mut update, mut definition, mut out) = (right.clone(), full.clone(), Vec::new());
            change(&mut update, &mut definition);
            let error = update.encode(&definition, Padding::None, &mut out).unwrap_err();
            assert!(out.is_empty());
            error
        };
        let item = |update: &mut Update, item| update.values[2].1 = vec![WireValue::Dictionary(item)];
        use EncodeError as E;
        let (gpc0, gpt, bytes) = (DataType::Gpc0, DataType::Gpt, DataType::BytesInCnt);
        assert_eq!(fault(&|it, _| it.key = vec![1, 2]), E::Key(KeyType::Ip.check(&[1, 2]).unwrap_err()));
        assert_eq!(fault(&|it, _| it.header.lifetime_ms = Some(1 << 31)), E::Lifetime(1 << 31));
        assert_eq!(fault(&|it, _| it.values.clear()), E::MissingValues(gpc0));
        assert_eq!(fault(&|it, _| _ = it.values.pop()), E::MissingValues(gpt));
        assert_eq!(fault(&|it, _| it.values.swap(0, 1)), E::MissingValues(gpc0));
        let more = (DataType::ConnCnt, unsigned(&[1]));
        assert_eq!(fault(&|it, _| it.values.insert(1, more.clone())), E::UnexpectedValues(DataType::ConnCnt));
        assert_eq!(fault(&|it, _| it.values.push(more.clone())), E::UnexpectedValues(DataType::ConnCnt));
        let elements = |data_type, wanted, found| E::Elements { data_type, wanted, found };
        assert_eq!(fault(&|it, _| _ = it.values[3].1.pop()), elements(gpt, 2, 1));
        assert_eq!(fault(&|it, _| it.values[0].1 = unsigned(&[1, 2])), elements(gpc0, 1, 2));
        assert_eq!(fault(&|it, _| it.values[2].1.clear()), elements(DataType::ServerKey, 1, 0));
        let kind = |data_type, wanted, found| E::Storage { data_type, wanted, found };
        let wide = vec![WireValue::Unsigned64(1)];
        assert_eq!(
            fault(&|it, _| it.values[0].1 = wide.clone()),
            kind(gpc0, Storage::Unsigned, Storage::Unsigned64)
        );
        let frequency = vec![rate(1, 2, 3)];
        let found = fault(&|it, _| it.values[0].1 = frequency.clone());
        assert_eq!(found, kind(gpc0, Storage::Unsigned, Storage::Frequency));
        assert_eq!(
            fault(&|it, _| it.values[1].1 = unsigned(&[1])),
            kind(bytes, Storage::Unsigned64, Storage::Unsigned)
        );
        assert_eq!(fault(&|it, _| item(it, DictionaryItem::Known(0))), E::DictionaryId(0));
        assert_eq!(fault(&|it, _| item(it, DictionaryItem::Known(129))), E::DictionaryId(129));
        let nul = DictionaryItem::New(1, b"a\0"[..].into());
        assert_eq!(fault(&|it, _| item(it, nul.clone())), E::DictionaryNul(1));
        assert_eq!(
            fault(&|_, definition| definition.key_type.0 = 9).to_string(),
            "keys of type number 9 with 4 bytes cannot be written"
        );
    }

    fn rate(age: u32, current: u32, previous: u32) -> WireValue {
        WireValue::Frequency(WireFrequency { age, current, previous })
    }

    fn unsigned(values: &[u32]) -> Vec<WireValue> {
        values.iter().copied().map(WireValue::Unsigned).collect()
    }

    /// peers-protocol §20, table `t1`.
    #[test]
    fn the_documented_updates_of_counters() {
        let definition = definition(KeyType::Ip, &["server_id", "gpc0", "conn_rate(10s)"]);
        for (bytes, id, lifetime_ms, last, server_id, gpc0, conn_rate) in [
            ("0a 80 0e 00000001 0a000001 01 03 fc4e 02 00", Some(1), None, 1, 1, 3, rate(1500, 2, 0)),
            ("0a 81 0a 0a000002 01 fc03 00 01 00", None, None, 2, 1, 300, rate(0, 1, 0)),
            (
                "0a 85 14 80000007 0001d4c0 0a000003 02 00 f8cf1e 07 f000",
                Some(0x8000_0007),
                Some(120_000),
                3,
                2,
                0,
                rate(65_000, 7, 240),
            ),
            ("0a 86 0d 0000ea60 0a000004 02 00 0a 00 00", None, Some(60_000), 4, 2, 0, rate(10, 0, 0)),
        ] {
            let update = Update {
                header: UpdateHeader { id, lifetime_ms },
                key: vec![10, 0, 0, last],
                values: vec![
                    (DataType::ServerId, vec![WireValue::Signed(server_id)]),
                    (DataType::Gpc0, unsigned(&[gpc0])),
                    (DataType::ConnRate, vec![conn_rate]),
                ],
                trailing: vec![],
            };
            assert_eq!(decode(&definition, &hex(bytes)), Ok(update.clone()), "{bytes}");
            assert_eq!(encoded(&definition, &update), hex(bytes), "{bytes}");
        }
    }

    /// peers-protocol §20, tables `s`, `/ga` and `v6`.
    #[test]
    fn the_documented_updates_of_strings_arrays_and_nothing() {
        let strings = definition(KeyType::DEFAULT_STRING, &["server_id", "server_key"]);
        for (bytes, key, item) in [
            (
                "0a 80 10 00000001 03616263 01 06010473727631",
                "abc",
                DictionaryItem::New(1, b"srv1"[..].into()),
            ),
            ("0a 81 06 026465 01 0101", "de", DictionaryItem::Known(1)),
            ("0a 81 04 0166 00 00", "f", DictionaryItem::None),
        ] {
            let update = decode(&strings, &hex(bytes)).unwrap();
            assert_eq!(update.key, key.as_bytes());
            assert_eq!(update.elements(DataType::ServerKey), [WireValue::Dictionary(item)]);
            assert_eq!(encoded(&strings, &update), hex(bytes));
        }
        let arrays = definition(KeyType::Integer, &["gpt(2)", "gpc(3)", "gpc_rate(2,10s)"]);
        let bytes = hex("0a 80 15 00000010 000004d2 0700 010203 640506 f8a901 00 01");
        let update = decode(&arrays, &bytes).unwrap();
        assert_eq!((update.header.id, &update.key[..]), (Some(16), &[0, 0, 4, 0xd2][..]));
        assert_eq!(update.elements(DataType::Gpt), unsigned(&[7, 0]));
        assert_eq!(update.elements(DataType::Gpc), unsigned(&[1, 2, 3]));
        assert_eq!(update.elements(DataType::GpcRate), [rate(100, 5, 6), rate(5000, 0, 1)]);
        assert_eq!(encoded(&arrays, &update), bytes);
        let nothing = definition(KeyType::Ipv6, &[]);
        let bytes = hex("0a 80 14 00000001 20010db8000000000000000000000001");
        let update = decode(&nothing, &bytes).unwrap();
        assert_eq!((update.values.len(), encoded(&nothing, &update)), (0, bytes));
    }

    /// peers-protocol §18.4: HAProxy 2.0 sends nothing for an unset server_key.
    #[test]
    fn an_absent_server_key_at_the_end_is_unset() {
        let mut definition = definition(KeyType::Ip, &["server_id", "server_key"]);
        let bytes = hex("0a 81 05 0a000001 07");
        let update = decode(&definition, &bytes).unwrap();
        assert_eq!(update.values[1], (DataType::ServerKey, vec![]));
        assert_eq!(encoded(&definition, &update), bytes);
        // Not when other types would follow, known or not.
        for bit in [20, 40] {
            definition.data_types = 1 | 1 << 19 | 1 << bit;
            assert_eq!(decode(&definition, &bytes), Err(DecodeError::truncated(8, "server_key")));
        }
    }

    /// peers-protocol §8.3: values of unknown types are at the end.
    #[test]
    fn unknown_types_and_padding_are_skipped() {
        let mut definition = definition(KeyType::Ip, &["gpc0"]);
        definition.data_types |= 1 << 27 | 1 << 63;
        let bytes = hex("0a 81 08 0a000001 05 f0 07 ff");
        let update = decode(&definition, &bytes).unwrap();
        assert_eq!(update.elements(DataType::Gpc0), unsigned(&[5]));
        assert_eq!(update.trailing, [0xf0, 0x07, 0xff]);
        assert_eq!(encoded(&definition, &update), bytes);
    }

    /// peers-protocol §8.3: 0 means now, and numbers with bit 31 are negative.
    #[test]
    fn lifetimes_of_zero_and_less_are_over() {
        for (lifetime_ms, remaining) in [
            (None, None),
            (Some(0), Some(0)),
            (Some(5), Some(5)),
            (Some(1 << 31), Some(0)),
            (Some(u32::MAX), Some(0)),
        ] {
            assert_eq!(UpdateHeader { id: None, lifetime_ms }.remaining_ms(), remaining);
        }
    }

    #[test]
    fn an_array_of_any_announced_count_ends_with_the_payload() {
        let mut definition = definition(KeyType::Ip, &["gpt(2)"]);
        let parameters = vec![WireColumn { data_type: DataType::Gpt, count: u64::MAX, period: 0 }];
        definition.tail = Some(DefinitionTail { expire_ms: 0, parameters });
        let error = decode(&definition, &hex("0a 81 06 0a000001 01 02")).unwrap_err();
        assert_eq!(error, DecodeError::truncated(9, "gpt"));
    }

    #[test]
    fn errors_name_the_field() {
        let definition = definition(KeyType::Ip, &["gpc0", "bytes_in_cnt"]);
        for (bytes, offset, field) in [
            ("0a 80 03 000000", 3, "update id"),
            ("0a 85 06 00000001 0000", 7, "remaining lifetime"),
            ("0a 81 03 0a0000", 3, "key"),
            ("0a 81 04 0a000001", 7, "gpc0"),
            ("0a 81 06 0a000001 00 f0", 8, "bytes_in_cnt"),
        ] {
            assert_eq!(decode(&definition, &hex(bytes)), Err(DecodeError::truncated(offset, field)));
        }
    }

    fn wire_value(storage: Storage) -> BoxedStrategy<WireValue> {
        match storage {
            Storage::Signed => any::<i32>().prop_map(WireValue::Signed).boxed(),
            Storage::Unsigned => any::<u32>().prop_map(WireValue::Unsigned).boxed(),
            Storage::Unsigned64 => any::<u64>().prop_map(WireValue::Unsigned64).boxed(),
            Storage::Frequency => any::<(u32, u32, u32)>()
                .prop_map(|(age, current, previous)| rate(age, current, previous))
                .boxed(),
            Storage::Dictionary => prop_oneof![
                Just(DictionaryItem::None),
                (1u8..=128).prop_map(DictionaryItem::Known),
                (1u8..=128, prop::collection::vec(1u8.., 0..300))
                    .prop_map(|(id, text)| DictionaryItem::New(id, text.into())),
            ]
            .prop_map(WireValue::Dictionary)
            .boxed(),
        }
    }

    /// A definition of any known types, and an update of such a table.
    fn definition_and_update() -> impl Strategy<Value = (Definition, Update)> {
        let keys = prop_oneof![
            (Just(WireKeyType::IP), Just(4usize), prop::collection::vec(any::<u8>(), 4)),
            (Just(WireKeyType::INTEGER), Just(4), prop::collection::vec(any::<u8>(), 4)),
            (Just(WireKeyType::IPV6), Just(16), prop::collection::vec(any::<u8>(), 16)),
            (Just(WireKeyType::BINARY), Just(300), prop::collection::vec(any::<u8>(), 300)),
            (Just(WireKeyType::STRING), Just(301), prop::collection::vec(1u8.., 0..=300)),
        ];
        let values = (0u64..1 << 27, 0u64..5).prop_flat_map(|(data_types, count)| {
            let columns: Vec<_> = DataType::ALL
                .into_iter()
                .filter(|data_type| data_types >> data_type.number() & 1 != 0)
                .map(|data_type| {
                    let count = if data_type.is_array() { count as usize } else { 1 };
                    (Just(data_type), prop::collection::vec(wire_value(data_type.storage()), count))
                })
                .collect();
            (Just(data_types), Just(count), columns)
        });
        let header = any::<(Option<u32>, Option<u32>)>()
            .prop_map(|(id, ms)| UpdateHeader { id, lifetime_ms: ms.map(|ms| ms & units::MAX_TIME_MS) });
        (keys, values, header).prop_map(|((key_type, size, key), (data_types, count, values), header)| {
            let parameter = |&(data_type, _): &(DataType, Vec<WireValue>)| WireColumn {
                data_type,
                count: if data_type.is_array() { count } else { 1 },
                period: u64::from(data_type.has_period()),
            };
            let parameters = values
                .iter()
                .map(parameter)
                .filter(|column| column.data_type.is_array() || column.period != 0);
            let tail = Some(DefinitionTail { expire_ms: 5, parameters: parameters.collect() });
            let definition =
                Definition { id: 1, name: b"t".to_vec(), key_type, key_size: size as u64, data_types, tail };
            (definition, Update { header, key, values, trailing: vec![] })
        })
    }

    proptest! {
        #[test]
        fn updates_come_back((definition, update) in definition_and_update()) {
            let bytes = encoded(&definition, &update);
            prop_assert_eq!(decode(&definition, &bytes), Ok(update));
        }

        #[test]
        fn padding_changes_nothing_but_the_end((definition, update) in definition_and_update()) {
            let mut bytes = Vec::new();
            update.encode(&definition, Padding::ForOldReceivers, &mut bytes).unwrap();
            let padded = decode(&definition, &bytes).unwrap();
            prop_assert!(padded.trailing.iter().all(|&byte| byte == 0));
            prop_assert_eq!(Update { trailing: vec![], ..padded }, update);
        }
    }
}
