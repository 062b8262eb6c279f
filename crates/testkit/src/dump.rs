//! What `show table` prints (stick-tables §7.2), parsed.

use std::collections::BTreeMap;
use std::fmt;

/// One table: its header and, if it was asked for by name, its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDump {
    /// Name as on the runtime socket, e.g. `t_ip` or `section/t_ip`.
    pub name: String,
    /// `ip`, `ipv6`, `integer`, `string` or `binary`.
    pub key_type: String,
    /// Most entries the table can hold.
    pub size: u64,
    /// Entries it holds.
    pub used: u64,
    /// Entries printed, by key; escapes in the key are undone.
    pub entries: BTreeMap<String, EntryDump>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryDump {
    /// How many hold the entry now.
    pub uses: u64,
    /// Remaining lifetime in milliseconds, 0 when the table has no expire.
    pub exp: u64,
    /// Values by printed name, e.g. `gpc0`, `conn_rate(10000)`, `gpc1` for an array's second element. The `shard=`
    /// that releases from 2.7 on print is among them.
    pub fields: BTreeMap<String, String>,
}

/// A line that is neither a table's header nor an entry.
#[derive(Debug)]
pub struct NotADump(String);

impl fmt::Display for NotADump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a line of `show table`: {:?}", self.0)
    }
}

impl std::error::Error for NotADump {}

impl TableDump {
    /// The entry of `key`.
    ///
    /// # Panics
    ///
    /// When it is not there; the message lists the keys that are.
    #[track_caller]
    pub fn entry(&self, key: &str) -> &EntryDump {
        self.entries.get(key).unwrap_or_else(|| {
            panic!(
                "no entry {key:?} in table {}, only {:?}",
                self.name,
                self.entries.keys().collect::<Vec<_>>()
            )
        })
    }

    /// The entries without what differs from one process to the next: holders, remaining lifetimes, shard numbers.
    pub fn values(&self) -> BTreeMap<&str, BTreeMap<&str, &str>> {
        self.entries
            .iter()
            .map(|(key, entry)| {
                let fields = entry.fields.iter().filter(|(name, _)| *name != "shard");
                (key.as_str(), fields.map(|(name, value)| (name.as_str(), value.as_str())).collect())
            })
            .collect()
    }
}

impl EntryDump {
    /// The value of a field; the period of a rate may be left out: `conn_rate` finds `conn_rate(10000)`.
    ///
    /// # Panics
    ///
    /// When it is not there.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        let rate = || {
            let named = |field: &str| field.strip_prefix(name).is_some_and(|rest| rest.starts_with('('));
            self.fields.iter().find(|(field, _)| named(field)).map(|(_, value)| value)
        };
        self.fields
            .get(name)
            .or_else(rate)
            .unwrap_or_else(|| panic!("no field {name:?}, only {:?}", self.fields))
    }

    /// [`Self::field`] as a number.
    ///
    /// # Panics
    ///
    /// When it is not there or not a number.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let value = self.field(name);
        value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number"))
    }
}

/// Reads the answer to `show table` with or without a name.
///
/// # Errors
///
/// At the first line that is neither a header nor an entry, e.g. an error text.
pub fn parse(text: &str) -> Result<Vec<TableDump>, NotADump> {
    let mut tables: Vec<TableDump> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let known = if line.starts_with('#') {
            header(line).map(|table| tables.push(table))
        } else {
            tables.last_mut().zip(entry(line)).map(|(table, (key, entry))| {
                table.entries.insert(key, entry);
            })
        };
        known.ok_or_else(|| NotADump(line.to_owned()))?;
    }
    Ok(tables)
}

/// `# table: t1, type: ip, size:1048576, used:1`
fn header(line: &str) -> Option<TableDump> {
    let (name, rest) = line.strip_prefix("# table: ")?.split_once(", type: ")?;
    let (key_type, rest) = rest.split_once(", size:")?;
    let (size, used) = rest.split_once(", used:")?;
    Some(TableDump {
        name: name.to_owned(),
        key_type: key_type.to_owned(),
        size: size.parse().ok()?,
        used: used.trim().parse().ok()?,
        entries: BTreeMap::new(),
    })
}

/// `0x7f01a4012a50: key=10.0.0.1 use=0 exp=1798500 shard=0 server_id=1 conn_rate(10000)=2`
fn entry(line: &str) -> Option<(String, EntryDump)> {
    let (pointer, rest) = line.split_once(": ")?;
    pointer.strip_prefix("0x")?;
    let (key, rest) = key(rest.strip_prefix("key=")?)?;
    let mut fields = BTreeMap::new();
    for word in rest.split_ascii_whitespace() {
        let (name, value) = word.split_once('=')?;
        fields.insert(name.to_owned(), value.to_owned());
    }
    let mut number = |name: &str| fields.remove(name)?.parse().ok();
    let (uses, exp) = (number("use")?, number("exp")?);
    Some((key, EntryDump { uses, exp, fields }))
}

/// Splits a key from what follows its first space without a backslash, and undoes the escapes.
fn key(text: &str) -> Option<(String, &str)> {
    let mut key = Vec::new();
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b' ' => return Some((printable(key), &text[at..])),
            b'\\' => key.push(match bytes.next()?.1 {
                b't' => b'\t',
                b'n' => b'\n',
                b'r' => b'\r',
                b'e' => 0x1b,
                b'x' => {
                    let digits = [bytes.next()?.1, bytes.next()?.1];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                other => other,
            }),
            other => key.push(other),
        }
    }
    Some((printable(key), ""))
}

/// Keys are bytes; one that is no text stays apart from every other by Latin-1's characters.
fn printable(key: Vec<u8>) -> String {
    String::from_utf8(key).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "# table: t1, type: ip, size:1048576, used:2\n\
        0x7f01a4012a50: key=10.0.0.1 use=0 exp=1798500 shard=0 server_id=1 gpc0=3 conn_rate(10000)=2\n\
        0x7f01a4012b50: key=10.0.0.2 use=1 exp=0 server_id=0 gpc0=4294967295 conn_rate(10000)=0 server_key=-\n\n";

    #[test]
    fn reads_headers_and_entries() {
        let tables = parse(ANSWER).unwrap();
        let [table] = tables.as_slice() else { panic!("{tables:?}") };
        assert_eq!(
            (table.name.as_str(), table.key_type.as_str(), table.size, table.used),
            ("t1", "ip", 1_048_576, 2)
        );
        let first = table.entry("10.0.0.1");
        assert_eq!(
            (first.uses, first.exp, first.number("gpc0"), first.number("conn_rate")),
            (0, 1_798_500, 3, 2)
        );
        assert_eq!(first.field("conn_rate(10000)"), "2");
        assert_eq!(table.entry("10.0.0.2").field("server_key"), "-");
        assert!(!table.values()["10.0.0.1"].contains_key("shard"));
    }

    #[test]
    fn reads_a_list_of_tables() {
        let text =
            "# table: b, type: string, size:10, used:0\n# table: p/a, type: binary, size:1024, used:7\n\n";
        let names: Vec<String> = parse(text).unwrap().into_iter().map(|table| table.name).collect();
        assert_eq!(names, ["b", "p/a"]);
    }

    #[test]
    fn undoes_escapes_in_keys() {
        let line = |key: &str| {
            format!("# table: s, type: string, size:1, used:1\n0x1: key={key} use=0 exp=1 gpc0=9\n")
        };
        for (printed, meant) in [
            ("a\\ b\\=c\\\\d", "a b=c\\d"),
            ("\\t\\n\\r\\e", "\t\n\r\u{1b}"),
            ("na\\xC3\\xAFve", "naïve"),
            ("\\xFF", "\u{ff}"),
            ("", ""),
        ] {
            let tables = parse(&line(printed)).unwrap();
            assert_eq!(tables[0].entry(meant).number("gpc0"), 9, "{printed}");
        }
    }

    #[test]
    fn an_error_text_is_no_dump() {
        assert_eq!(
            parse("No such table\n\n").unwrap_err().to_string(),
            "not a line of `show table`: \"No such table\""
        );
        assert!(parse("0x1: key=a use=0 exp=1\n").is_err(), "an entry without a table");
        assert!(
            parse("# table: t, type: ip, size:1, used:1\n0x1: key=a use=0\n").is_err(),
            "an entry without exp"
        );
    }
}
