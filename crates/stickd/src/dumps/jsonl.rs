//! JSON lines: a line about the dump, one for each table, one for each entry.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::{Field, Head, Row, RowWriter};

/// The form that this writes.
const VERSION: u64 = 1;

/// Writes JSON lines.
pub(crate) struct JsonWriter<W>(W);

/// A line that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonLine {
    /// When the dump was made, in ms since 1970.
    Begin(Option<u64>),
    Table(Head),
    Row(Row),
}

impl<W: Write> JsonWriter<W> {
    /// Begins with the line about the dump; `time` is in ms since 1970.
    pub(crate) fn new(mut out: W, time: u64) -> io::Result<Self> {
        let [seconds, ms] = [time / 1_000, time % 1_000];
        let [hour, minute, second] = [seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60];
        let day = crate::date::Day::of(seconds);
        writeln!(
            out,
            "{{\"stickd_dump\":{VERSION},\"time\":\"{day}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z\",\"time_ms\":{time}}}"
        )?;
        Ok(Self(out))
    }
}

impl<W: Write> RowWriter for JsonWriter<W> {
    fn table(&mut self, head: &Head) -> io::Result<()> {
        let mut line =
            json!({"table": head.name, "type": head.key_type, "size": head.size, "used": head.used});
        if let (Some(definition), Some(object)) = (&head.definition, line.as_object_mut()) {
            object.insert("definition".to_owned(), definition.as_str().into());
        }
        writeln!(self.0, "{line}")
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        // By hand, so that fields stand in the order of `show table`.
        let out = &mut self.0;
        write!(out, "{{\"table\":{}", Value::from(row.table.as_str()))?;
        match std::str::from_utf8(&row.key) {
            Ok(key) => write!(out, ",\"key\":{}", Value::from(key))?,
            Err(_) => {
                out.write_all(b",\"key_hex\":\"")?;
                row.key.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
                out.write_all(b"\"")?;
            }
        }
        if let Some(exp) = row.exp {
            write!(out, ",\"exp\":{exp}")?;
        }
        for (name, field) in &row.values {
            write!(out, ",{}:", Value::from(name.as_str()))?;
            match field {
                Field::Number(number) => write!(out, "{number}")?,
                Field::Text(Some(text)) => write!(out, "{}", Value::from(text.as_str()))?,
                Field::Text(None) => out.write_all(b"null")?,
            }
        }
        out.write_all(b"}\n")
    }
}

/// Reads a line.
///
/// # Errors
/// In words.
pub(crate) fn parse_line(line: &[u8]) -> Result<JsonLine, String> {
    let object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| format!("not a JSON object: {error}"))?;
    let number = |name: &str| object.get(name).and_then(Value::as_u64);
    if let Some(version) = object.get("stickd_dump") {
        return match version.as_u64() {
            Some(VERSION) => Ok(JsonLine::Begin(number("time_ms"))),
            _ => Err(format!("a dump of version {version}; this program reads version {VERSION}")),
        };
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let table = text("table").ok_or("no text \"table\"")?;
    let key = match (text("key"), text("key_hex")) {
        (Some(key), _) => Some(key.into_bytes()),
        (None, Some(digits)) => Some(bytes(&digits).ok_or("\"key_hex\" is not hexadecimal")?),
        (None, None) => None,
    };
    let Some(key) = key else {
        let key_type = text("type").ok_or("neither a \"key\" nor a \"type\"")?;
        let [size, used] = ["size", "used"].map(|name| number(name).unwrap_or(0));
        return Ok(JsonLine::Table(Head {
            name: table,
            key_type,
            size,
            used,
            definition: text("definition"),
        }));
    };
    let exp = match object.get("exp") {
        None | Some(Value::Null) => None,
        Some(exp) => Some(exp.as_u64().ok_or_else(|| format!("\"exp\":{exp} is not a number of ms"))?),
    };
    let mut row = Row { table, key, exp, values: Vec::new() };
    for (name, value) in &object {
        if ["table", "key", "key_hex", "exp"].contains(&name.as_str()) {
            continue;
        }
        let field = match value {
            Value::Number(number) => {
                number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).map(Field::Number)
            }
            Value::String(text) => Some(Field::Text(Some(text.clone()))),
            Value::Null => Some(Field::Text(None)),
            _ => None,
        };
        let field =
            field.ok_or_else(|| format!("\"{name}\":{value} is neither a whole number nor a text"))?;
        row.values.push((name.clone(), field));
    }
    Ok(JsonLine::Row(row))
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| {
            u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let head = Head {
            name: "p/t".to_owned(),
            key_type: "string".to_owned(),
            size: 10,
            used: 2,
            definition: Some("type string size 10".to_owned()),
        };
        let text = |text: &str| Field::Text(Some(text.to_owned()));
        let values = vec![
            ("bytes_in_cnt".to_owned(), Field::Number(u64::MAX.into())),
            ("gpc0".to_owned(), Field::Number(-5)),
            ("server_key".to_owned(), text("s \"1\"")),
        ];
        let rows = [
            Row { table: "p/t".to_owned(), key: b"a \"b\"\n".to_vec(), exp: Some(7), values },
            Row { table: "p/t".to_owned(), key: vec![0xff, 0x01], ..Row::default() },
        ];
        let mut out = Vec::new();
        let mut writer = JsonWriter::new(&mut out, 1_796_000_000_123).unwrap();
        writer.table(&head).unwrap();
        rows.iter().try_for_each(|row| writer.row(row)).unwrap();
        let lines: Vec<_> = out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            String::from_utf8_lossy(lines[0]),
            "{\"stickd_dump\":1,\"time\":\"2026-11-30T00:53:20.123Z\",\"time_ms\":1796000000123}"
        );
        let read: Vec<_> = lines.iter().map(|line| parse_line(line).unwrap()).collect();
        assert_eq!(read[0], JsonLine::Begin(Some(1_796_000_000_123)));
        assert_eq!(read[1], JsonLine::Table(head));
        assert_eq!(read[2..], rows.map(JsonLine::Row));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, text) in [
            ("[1]", "not a JSON object: "),
            ("{\"stickd_dump\":9}", "a dump of version 9; this program reads version 1"),
            ("{\"key\":\"a\"}", "no text \"table\""),
            ("{\"table\":\"t\"}", "neither a \"key\" nor a \"type\""),
            ("{\"table\":\"t\",\"key_hex\":\"abc\"}", "\"key_hex\" is not hexadecimal"),
            ("{\"table\":\"t\",\"key\":\"a\",\"exp\":-1}", "\"exp\":-1 is not a number of ms"),
            (
                "{\"table\":\"t\",\"key\":\"a\",\"gpc0\":1.5}",
                "\"gpc0\":1.5 is neither a whole number nor a text",
            ),
        ] {
            let error = parse_line(line.as_bytes()).unwrap_err();
            assert!(error.starts_with(text), "{line}: {error}");
        }
    }
}
