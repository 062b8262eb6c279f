//! Keys and values of every type, with the extremes of every width.

use stickd_testkit::Release;
use stickd_testkit::haproxy::{DataType, Form};

/// Values on both sides of every change of length of a number on the wire (peers-protocol §5) that 32 bits can hold,
/// the ends of the storages, and two that only fit 64 bits.
pub(crate) const NUMBERS: [i64; 17] = [
    0,
    1,
    239,
    240,
    2287,
    2288,
    264_431,
    264_432,
    33_818_863,
    33_818_864,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    (1 << 40) + 5,
    554_084_600_048,
    -5,
    17,
];

/// Elements of each array.
pub(crate) const ELEMENTS: u32 = 3;

/// Keys of a type.
pub(crate) struct Kind {
    /// Part of a table's name.
    pub(crate) name: &'static str,
    /// As after `type`.
    pub(crate) declaration: &'static str,
    /// The expression that takes the key from a request.
    pub(crate) from_request: &'static str,
    /// One for each of [`NUMBERS`].
    pub(crate) keys: Vec<Key>,
}

/// A key.
pub(crate) struct Key {
    /// As a request or a command has it; binary keys in Base64, as no command takes them.
    pub(crate) said: String,
    /// As `show table` prints it, escapes undone.
    pub(crate) printed: String,
}

/// A number of an entry, an array's element or a scalar.
pub(crate) struct Field {
    /// As after `data.`, e.g. `gpc[1]`.
    pub(crate) said: String,
    /// As printed, without the period, e.g. `gpc1`.
    pub(crate) printed: String,
    data_type: DataType,
}

impl Kind {
    /// Whether no command takes its keys.
    pub(crate) fn is_binary(&self) -> bool {
        self.declaration.starts_with("binary")
    }
}

impl Field {
    /// How `number` reads after it was cut to the width of the storage.
    pub(crate) fn stored(&self, number: i64) -> String {
        match self.data_type.name {
            "server_id" => (number as i32).to_string(),
            "bytes_in_cnt" | "bytes_out_cnt" => (number as u64).to_string(),
            _ => (number as u32).to_string(),
        }
    }

    /// Whether peers learn it.
    pub(crate) fn is_learned(&self) -> bool {
        self.data_type.name != "conn_cur"
    }
}

/// The data types of a table with or without arrays, which exclude some of the others.
pub(crate) fn data_types(release: &Release, arrays: bool) -> Vec<DataType> {
    let fits = |one: &DataType| match one.form {
        Form::Array | Form::RateArray => arrays,
        Form::Scalar | Form::Rate => !(arrays && one.is_replaced_by_array()),
        Form::Dictionary => false,
    };
    release.data_types().into_iter().filter(fits).collect()
}

/// What to write after `store`; rates last an hour, so that they do not fade during a test.
pub(crate) fn store(data_types: &[DataType]) -> String {
    data_types.iter().filter_map(|one| one.declaration("1h", ELEMENTS)).collect::<Vec<_>>().join(",")
}

/// The fields of a table of these data types.
pub(crate) fn fields(data_types: &[DataType]) -> Vec<Field> {
    let fields = |data_type: &DataType| {
        let data_type = *data_type;
        let name = data_type.name;
        let elements = match data_type.form {
            Form::Array | Form::RateArray => ELEMENTS,
            _ => 0,
        };
        let (stem, rest) = name.split_at(3);
        let element = |index| Field {
            said: format!("{name}[{index}]"),
            printed: format!("{stem}{index}{rest}"),
            data_type,
        };
        let scalar = Field { said: name.to_owned(), printed: name.to_owned(), data_type };
        (0..elements).map(element).chain((elements == 0).then_some(scalar)).collect::<Vec<_>>()
    };
    data_types.iter().flat_map(fields).collect()
}

/// The value of field number `field` in row number `row`: over all rows, every field has every value.
pub(crate) fn number(row: usize, field: usize) -> i64 {
    NUMBERS[(row + field) % NUMBERS.len()]
}

/// Every key type.
pub(crate) fn kinds() -> Vec<Kind> {
    let kind = |name, declaration, keys| Kind { name, declaration, from_request: "req.hdr(x-key)", keys };
    let binary = |name, declaration, size| Kind {
        from_request: "req.hdr(x-key),b64dec",
        ..kind(name, declaration, rows(|row| binary_key(row, size)))
    };
    let string = |name, declaration, size| kind(name, declaration, rows(|row| string_key(row, size)));
    vec![
        kind(
            "integer",
            "integer",
            rows(|row| same((NUMBERS[row] as u32 ^ (row as u32 / 13 * 1000)).to_string())),
        ),
        kind("ip", "ip", rows(|row| same(ip_key(row)))),
        kind("ipv6", "ipv6", rows(|row| same(ipv6_key(row)))),
        string("string", "string", 31),
        string("string8", "string len 8", 8),
        string("string32", "string len 32", 32),
        string("string300", "string len 300", 300),
        binary("binary", "binary", 32),
        binary("binary20", "binary len 20", 20),
    ]
}

fn rows(key: impl Fn(usize) -> Key) -> Vec<Key> {
    (0..NUMBERS.len()).map(key).collect()
}

fn same(text: String) -> Key {
    Key { printed: text.clone(), said: text }
}

fn ip_key(row: usize) -> String {
    match row {
        0 => "0.0.0.0".to_owned(),
        1 => "255.255.255.255".to_owned(),
        _ => format!("10.{row}.0.240"),
    }
}

fn ipv6_key(row: usize) -> String {
    match row {
        0 => "::".to_owned(),
        1 => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".to_owned(),
        2 => "::1".to_owned(),
        3 => "::ffff:192.0.2.1".to_owned(),
        4 => "2001:db8::1:0:0:1".to_owned(),
        5 => "64:ff9b::c000:201".to_owned(),
        _ => format!("2001:db8::{row:x}"),
    }
}

/// At most `size` bytes are kept.
fn string_key(row: usize, size: usize) -> Key {
    let said = match row {
        0 => "a b c".to_owned(),
        1 => "a=b".to_owned(),
        2 => "back\\sl".to_owned(),
        3 => "na\u{ef}ve".to_owned(),
        4 => "semi;col".to_owned(),
        5 => "x".repeat(size),
        6 => "y".repeat(size + 1),
        7 => "z".repeat(size.min(239)),
        8 => format!("w{}", "w".repeat(size.min(240) - 1)),
        9 => "\u{20ac}\u{20ac}".to_owned(),
        10 => "#\"'$".to_owned(),
        11 => "-".to_owned(),
        _ => format!("key{row}"),
    };
    let printed = said[..said.len().min(size)].to_owned();
    Key { said, printed }
}

/// Padded with zeros to `size` bytes, or cut.
fn binary_key(row: usize, size: usize) -> Key {
    let mut bytes = match row {
        0 => vec![0],
        1 => vec![0xff; size],
        2 => vec![0xaa; size + 4],
        3 => vec![0, 1, 0, 2],
        _ => (0..row).map(|at| (at * 37 + row) as u8).collect(),
    };
    let said = base64(&bytes);
    bytes.resize(size, 0);
    Key { said, printed: bytes.iter().map(|byte| format!("{byte:02X}")).collect() }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let letter = char::from(LETTERS[(word >> (18 - 6 * at) & 63) as usize]);
            text.push(if at <= chunk.len() { letter } else { '=' });
        }
    }
    text
}
