//! The text of `show table`, HAProxy's or stickd's.

use super::{Field, Head, Row};

/// A line of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The head of a table.
    Table(Head),
    /// An entry of the table of the last head.
    Entry(Row),
    /// An empty line or a comment.
    Nothing,
}

/// Reads a line. Entries belong to the table of `head`, whose type says how keys are escaped.
///
/// # Errors
/// In words, when the line is neither a head nor an entry.
pub(crate) fn parse_line(line: &[u8], head: Option<&Head>) -> Result<Line, String> {
    // What a connection with a prompt leaves.
    let line = line.strip_prefix(b"> ").unwrap_or(line).trim_ascii_end();
    if let Some(rest) = line.strip_prefix(b"# table: ") {
        return parse_head(&String::from_utf8_lossy(rest)).map(Line::Table);
    }
    if line.is_empty() || line == b">" || line.starts_with(b"#") {
        return Ok(Line::Nothing);
    }
    let Some(head) = head else { return Err("no \"# table: \" line stands before it".to_owned()) };
    parse_entry(line, head).map(Line::Entry)
}

fn parse_head(text: &str) -> Result<Head, String> {
    let faulty =
        || "not the head of a table: \"# table: NAME, type: TYPE, size:N, used:N\" is expected".to_owned();
    let (name, rest) = text.split_once(", type: ").ok_or_else(faulty)?;
    let mut words = rest.split(", ");
    let key_type = words.next().and_then(|word| word.split(' ').next()).ok_or_else(faulty)?;
    let mut head = Head { name: name.to_owned(), key_type: key_type.to_owned(), ..Head::default() };
    for word in words {
        match word.split_once(':') {
            Some(("size", size)) => head.size = size.trim().parse().map_err(|_| faulty())?,
            Some(("used", used)) => head.used = used.trim().parse().map_err(|_| faulty())?,
            _ => {}
        }
    }
    Ok(head)
}

fn parse_entry(line: &[u8], head: &Head) -> Result<Row, String> {
    let faulty = || "not an entry: \"0x…: key=KEY use=N exp=N …\" is expected".to_owned();
    let is_string = head.key_type == "string";
    let mut row = Row { table: head.name.clone(), ..Row::default() };
    let mut fields = fields(line);
    let pointer = fields.next().ok_or_else(faulty)?;
    if !pointer.starts_with(b"0x") || !pointer.ends_with(b":") {
        return Err(faulty());
    }
    let mut has_key = false;
    for field in fields {
        let at = field.iter().position(|&byte| byte == b'=').ok_or_else(faulty)?;
        let (name, value) = (String::from_utf8_lossy(&field[..at]), &field[at + 1..]);
        let text = || String::from_utf8_lossy(value);
        match &*name {
            "key" => {
                has_key = true;
                row.key = if is_string { unescape(value) } else { value.to_vec() };
            }
            "exp" => {
                let exp = text().parse().map_err(|_| format!("exp={} is not a number of ms", text()))?;
                // 0 in a table without `expire`.
                row.exp = Some(exp).filter(|&exp| exp != 0);
            }
            "use" | "shard" => {}
            "server_key" => {
                let value = String::from_utf8_lossy(&unescape(value)).into_owned();
                row.values.push((name.into_owned(), Field::Text(Some(value).filter(|text| text != "-"))));
            }
            _ => {
                let number = text().parse().map_err(|_| format!("{name}={} is not a number", text()))?;
                row.values.push((name.into_owned(), Field::Number(number)));
            }
        }
    }
    if has_key { Ok(row) } else { Err(faulty()) }
}

/// What stands between blanks that are not escaped.
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut escaped = false;
    let is_blank = move |&byte: &u8| {
        let blank = byte == b' ' && !escaped;
        escaped = byte == b'\\' && !escaped;
        blank
    };
    line.split(is_blank).filter(|field| !field.is_empty())
}

/// Undoes the escapes of a string.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b't') => out.push(b'\t'),
            Some(b'n') => out.push(b'\n'),
            Some(b'r') => out.push(b'\r'),
            Some(b'e') => out.push(0x1b),
            Some(b'x') => {
                let digits: Vec<_> = bytes.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).ok();
                out.extend(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()));
            }
            other => out.extend(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use stick_table::KeyType;

    fn head(key_type: &str) -> Head {
        Head { name: "t".to_owned(), key_type: key_type.to_owned(), ..Head::default() }
    }

    #[test]
    fn heads_and_entries_of_old_and_new_releases_are_read() {
        let Ok(Line::Table(found)) = parse_line(b"# table: a, b/t, type: ip, size:204800, used:3\n", None)
        else {
            panic!("no head")
        };
        let wanted = Head {
            name: "a, b/t".to_owned(),
            key_type: "ip".to_owned(),
            size: 204_800,
            used: 3,
            definition: None,
        };
        assert_eq!(found, wanted);
        let old = b"0x55d0: key=10.0.0.1 use=0 exp=0 server_id=-5 conn_rate(3000)=7\n";
        let Ok(Line::Entry(row)) = parse_line(old, Some(&head("ip"))) else { panic!("no entry") };
        assert_eq!((row.key.as_slice(), row.exp), (&b"10.0.0.1"[..], None));
        let wanted = [("server_id", -5), ("conn_rate(3000)", 7)];
        assert_eq!(row.values, wanted.map(|(name, value)| (name.to_owned(), Field::Number(value))));
        let new = br"> 0x1: key=a\ b\x01 use=1 exp=77 shard=3 gpc0=1 server_key=s\=1 ";
        let Ok(Line::Entry(row)) = parse_line(new, Some(&head("string"))) else { panic!("no entry") };
        assert_eq!((row.key.as_slice(), row.exp), (&b"a b\x01"[..], Some(77)));
        assert_eq!(row.values[1], ("server_key".to_owned(), Field::Text(Some("s=1".to_owned()))));
        for line in ["", "> ", "# contents not dumped due to insufficient privileges"] {
            assert_eq!(parse_line(line.as_bytes(), None), Ok(Line::Nothing), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, text) in [
            ("0x1: key=a", "no \"# table: \" line stands before it"),
            ("# table: t", "not the head of a table"),
            ("# table: t, type: ip, size:x, used:1", "not the head of a table"),
        ] {
            assert!(parse_line(line.as_bytes(), None).unwrap_err().starts_with(text), "{line}");
        }
        for (line, text) in [
            ("hello", "not an entry"),
            ("0x1: use=0", "not an entry"),
            ("0x1: key=1 exp=x", "exp=x is not a number of ms"),
            ("0x1: key=1 exp=5 gpc0=x", "gpc0=x is not a number"),
        ] {
            assert!(parse_line(line.as_bytes(), Some(&head("ip"))).unwrap_err().starts_with(text), "{line}");
        }
    }

    proptest! {
        #[test]
        fn every_string_returns(key in proptest::collection::vec(1_u8.., 0..20)) {
            let line = format!("0x1: key={} use=0 exp=5", KeyType::String { max_len: 20 }.text(&key));
            let Ok(Line::Entry(row)) = parse_line(line.as_bytes(), Some(&head("string"))) else { panic!("no entry") };
            prop_assert_eq!(row.key, key);
        }

        #[test]
        fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_line(&line, Some(&head("string")));
        }
    }
}
