//! CSV: a line of names, then one line for each entry of one table. `time_ms` is when the dump was made, in ms since 1970.

use std::io::{self, Write};

use ::csv::ByteRecord;

use super::{Field, Head, Row, RowWriter};

/// The names before those of values.
const FIRST: [&str; 4] = ["time_ms", "table", "key", "exp"];

/// Writes CSV of one table.
pub(crate) struct CsvWriter<W: Write> {
    out: ::csv::Writer<W>,
    time: u64,
    /// Names of values; `None` until the first row.
    names: Option<Vec<String>>,
    record: ByteRecord,
}

impl<W: Write> CsvWriter<W> {
    pub(crate) fn new(out: W, time: u64) -> Self {
        Self { out: ::csv::Writer::from_writer(out), time, names: None, record: ByteRecord::new() }
    }

    fn names(&mut self, values: &[(String, Field)]) -> io::Result<()> {
        let names: Vec<_> = values.iter().map(|(name, _)| name.clone()).collect();
        let all = FIRST.into_iter().chain(names.iter().map(String::as_str));
        self.out.write_record(all)?;
        self.names = Some(names);
        Ok(())
    }

    /// Writes the names of a table without entries, and everything that waits.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.names.is_none() {
            self.names(&[])?;
        }
        self.out.flush()
    }
}

impl<W: Write> RowWriter for CsvWriter<W> {
    fn table(&mut self, _: &Head) -> io::Result<()> {
        Ok(())
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        if self.names.is_none() {
            self.names(&row.values)?;
        }
        let Self { out, time, names, record } = self;
        let names = names.as_deref().unwrap_or_default();
        if let Some((name, _)) = row.values.iter().find(|(name, _)| !names.contains(name)) {
            return Err(io::Error::other(format!("the first entry has no {name}: write JSON lines instead")));
        }
        record.clear();
        record.push_field(time.to_string().as_bytes());
        record.push_field(row.table.as_bytes());
        record.push_field(&row.key);
        record.push_field(row.exp.map(|exp| exp.to_string()).unwrap_or_default().as_bytes());
        for name in names {
            let field = row.values.iter().find(|(other, _)| other == name);
            let text = match field.map(|(_, field)| field) {
                Some(Field::Number(number)) => number.to_string(),
                Some(Field::Text(Some(text))) => text.clone(),
                Some(Field::Text(None)) | None => String::new(),
            };
            record.push_field(text.as_bytes());
        }
        Ok(out.write_byte_record(record)?)
    }
}

/// The names of a file: what each column is.
pub(crate) struct Columns(Vec<String>);

impl Columns {
    /// Reads the first line.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn new(names: &ByteRecord) -> Result<Self, String> {
        let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        match ["table", "key"].into_iter().find(|needed| !names.iter().any(|name| name == needed)) {
            None => Ok(Self(names)),
            Some(missing) => Err(format!(
                "neither JSON lines, nor the text of \"show table\", nor CSV: its first line has no column \"{missing}\""
            )),
        }
    }

    /// Reads a line; gives the time of the dump as well.
    ///
    /// # Errors
    /// In words.
    pub(crate) fn row(&self, record: &ByteRecord) -> Result<(Row, Option<u64>), String> {
        if record.len() != self.0.len() {
            return Err(format!("{} columns, the first line has {}", record.len(), self.0.len()));
        }
        let (mut row, mut time) = (Row::default(), None);
        for (name, value) in self.0.iter().zip(record) {
            let text = String::from_utf8_lossy(value);
            match name.as_str() {
                "key" => row.key = value.to_vec(),
                "table" => row.table = text.into_owned(),
                _ if value.is_empty() => {}
                "time_ms" | "exp" => {
                    let number = text.parse().map_err(|_| format!("{name} {text} is not a number of ms"))?;
                    *(if name == "exp" { &mut row.exp } else { &mut time }) = Some(number);
                }
                name => {
                    let field = Field::parse(name, &text);
                    let field = field.ok_or_else(|| format!("{name} {text} is not a whole number"))?;
                    row.values.push((name.to_owned(), field));
                }
            }
        }
        Ok((row, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let values = |number| {
            let key = Field::Text(Some("s,1".to_owned()));
            vec![("gpc0".to_owned(), Field::Number(number)), ("server_key".to_owned(), key)]
        };
        let rows = [
            Row { table: "t".to_owned(), key: b"a,\"b\"\n\xff".to_vec(), exp: Some(7), values: values(1) },
            Row { table: "t".to_owned(), key: b"".to_vec(), exp: None, values: values(-2) },
        ];
        let mut out = Vec::new();
        let mut writer = CsvWriter::new(&mut out, 99);
        rows.iter().try_for_each(|row| writer.row(row)).unwrap();
        writer.finish().unwrap();
        assert!(out.starts_with(b"time_ms,table,key,exp,gpc0,server_key\n99,t,\"a,"));
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_slice());
        let records: Vec<_> = reader.byte_records().map(Result::unwrap).collect();
        let columns = Columns::new(&records[0]).unwrap();
        let read: Vec<_> = records[1..].iter().map(|record| columns.row(record).unwrap()).collect();
        assert_eq!(read, rows.map(|row| (row, Some(99))));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let record = |fields: &[&str]| ByteRecord::from(fields.to_vec());
        assert!(Columns::new(&record(&["a", "table"])).err().unwrap().contains("no column \"key\""));
        let columns = Columns::new(&record(&["table", "key", "exp", "gpc0"])).unwrap();
        for (fields, text) in [
            (&["t", "k"][..], "2 columns, the first line has 4"),
            (&["t", "k", "x", "1"], "exp x is not a number of ms"),
            (&["t", "k", "1", "x"], "gpc0 x is not a whole number"),
        ] {
            assert_eq!(columns.row(&record(fields)).unwrap_err(), text);
        }
    }
}
