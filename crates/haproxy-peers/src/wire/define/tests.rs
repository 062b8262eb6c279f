use super::*;
use crate::{DEFAULT_MAX_PAYLOAD, decode_frame};
use proptest::prelude::*;

fn table(name: &str, key_type: KeyType, expire: u32, columns: &[&str]) -> TableDefinition {
    columns.iter().fold(TableDefinition::new(name, key_type, 1).with_expire(Some(expire)), |table, column| {
        table.with_column(column.parse().unwrap()).unwrap()
    })
}

#[test]
fn a_definition_that_would_be_misread_is_not_written() {
    let table = table("t", KeyType::Ip, 5, &["gpc0", "conn_rate(1s)", "gpt(2)"]);
    for id in [0, 1 << 31, u32::MAX] {
        assert_eq!(Definition::from_table(id, &table), Err(EncodeError::TableId(id)));
    }
    assert!(Definition::from_table(i32::MAX.cast_unsigned(), &table).is_ok());
    let mut nameless = table.clone();
    nameless.name.clear();
    assert_eq!(Definition::from_table(1, &nameless), Err(EncodeError::NoTableName));
    let parameters = |definition: &mut Definition, change: fn(&mut Vec<WireColumn>)| {
        change(&mut definition.tail.as_mut().unwrap().parameters);
    };
    let (rate, array) = (DataType::ConnRate, DataType::Gpt);
    assert_eq!(fault_of(&table, &|it| it.id = 0), EncodeError::TableId(0));
    assert_eq!(fault_of(&table, &|it| it.name.clear()), EncodeError::NoTableName);
    assert_eq!(fault_of(&table, &|it| it.tail = None), EncodeError::MissingParameters(array));
    let missing = [
        fault_of(&table, &|it| parameters(it, Vec::clear)),
        fault_of(&table, &|it| parameters(it, |all| _ = all.remove(0))),
        fault_of(&table, &|it| parameters(it, |all| all.reverse())),
    ];
    assert_eq!(missing, [rate; 3].map(EncodeError::MissingParameters));
    assert_eq!(
        fault_of(&table, &|it| parameters(it, |all| _ = all.pop())),
        EncodeError::MissingParameters(array)
    );
    let types = |bits: u64| move |it: &mut Definition| it.data_types &= !bits;
    let unexpected = fault_of(&table, &types(1 << DataType::ConnRate.number()));
    assert_eq!(unexpected, EncodeError::UnexpectedParameters(rate));
}

fn fault_of(table: &TableDefinition, change: &dyn Fn(&mut Definition)) -> EncodeError {
    let mut definition = Definition::from_table(1, table).unwrap();
    change(&mut definition);
    let mut out = Vec::new();
    let error = definition.encode(Padding::None, &mut out).unwrap_err();
    assert!(out.is_empty());
    error
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
    definition.encode(padding, &mut out).unwrap();
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
        let definition = Definition::from_table(id, &table).unwrap();
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
    let definition = Definition { tail: None, ..Definition::from_table(1, &table).unwrap() };
    let bytes = hex("0a 82 07 01 02 74 31 04 04 25");
    assert_eq!(encoded(&definition, Padding::None), bytes);
    assert_eq!(decode(&bytes), Ok(DefineOutcome::Usable(definition.clone())));
    assert_eq!(definition.columns().map(|column| column.period).sum::<u64>(), 0);
}

#[test]
fn padding_never_makes_a_tail() {
    let mut definition =
        Definition::from_table(1, &table(&"x".repeat(150), KeyType::Ip, 0, &["conn_rate(1s)"])).unwrap();
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
        let DefineOutcome::Unusable { definition, reason } = outcome else { panic!("{bytes}: {outcome:?}") };
        assert_eq!((definition.name, definition.tail, reason), (b"a".to_vec(), None, expected), "{bytes}");
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
        id in 1..=i32::MAX.cast_unsigned(), name in prop::collection::vec(any::<u8>(), 1..300), key_type: u64, key_size: u64, data_types: u64,
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
