//! Reads a dump in whichever form it is.

use std::io::{self, BufRead, Read};

use super::csv::Columns;
use super::jsonl::{self, JsonLine};
use super::text::{self, Line};
use super::{Head, Row};

/// Longest line that is read, in bytes: a key of 12 KiB in escapes and a hundred values fit.
const MAX_LINE: u64 = 256 << 10;

/// What a line says.
#[derive(Debug)]
pub(crate) enum Item {
    Table(Head),
    Row(Row),
    /// What is wrong with it, in words.
    Fault(String),
}

/// A dump that is read line by line.
pub(crate) struct Reader {
    form: Form,
    /// The number of the last line, from 1.
    line: u64,
    /// When the dump was made, in ms since 1970, as far as it says so.
    time: Option<u64>,
}

enum Form {
    Json(Box<dyn BufRead>),
    Text(Box<dyn BufRead>, Option<Head>),
    Csv(Box<::csv::Reader<Box<dyn BufRead>>>, Columns),
}

impl Reader {
    /// Looks at how the dump begins.
    ///
    /// # Errors
    /// When it cannot be read, or begins like no form of dump.
    pub(crate) fn new(mut input: Box<dyn BufRead>) -> io::Result<Self> {
        let start = input.fill_buf()?;
        let first = start.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
        let form = match first {
            None => return Err(io::Error::other("it is empty")),
            Some(b'{') => Form::Json(input),
            Some(b'#' | b'0' | b'>') => Form::Text(input, None),
            Some(_) => {
                let mut options = ::csv::ReaderBuilder::new();
                let mut reader = options.has_headers(false).flexible(true).from_reader(input);
                let mut names = ::csv::ByteRecord::new();
                reader.read_byte_record(&mut names)?;
                let columns = Columns::new(&names).map_err(io::Error::other)?;
                Form::Csv(Box::new(reader), columns)
            }
        };
        Ok(Self { form, line: 0, time: None })
    }

    /// When the dump was made, in ms since 1970, as far as the lines so far say so.
    pub(crate) fn time(&self) -> Option<u64> {
        self.time
    }

    /// The next line that says something, with its number; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u64, Item)>> {
        loop {
            let item = match &mut self.form {
                Form::Json(input) => {
                    let Some(line) = next_line(input)? else { return Ok(None) };
                    self.line += 1;
                    match line.map(|line| line.trim_ascii().to_vec()) {
                        Ok(line) if line.is_empty() => continue,
                        line => match line.and_then(|line| jsonl::parse_line(&line)) {
                            Ok(JsonLine::Begin(time)) => {
                                self.time = time;
                                continue;
                            }
                            Ok(JsonLine::Table(head)) => Item::Table(head),
                            Ok(JsonLine::Row(row)) => Item::Row(row),
                            Err(fault) => Item::Fault(fault),
                        },
                    }
                }
                Form::Text(input, head) => {
                    let Some(line) = next_line(input)? else { return Ok(None) };
                    self.line += 1;
                    match line.and_then(|line| text::parse_line(&line, head.as_ref())) {
                        Ok(Line::Nothing) => continue,
                        Ok(Line::Table(found)) => {
                            *head = Some(found.clone());
                            Item::Table(found)
                        }
                        Ok(Line::Entry(row)) => Item::Row(row),
                        Err(fault) => Item::Fault(fault),
                    }
                }
                Form::Csv(reader, columns) => {
                    let mut record = ::csv::ByteRecord::new();
                    if !reader.read_byte_record(&mut record)? {
                        return Ok(None);
                    }
                    self.line = record.position().map_or(self.line, ::csv::Position::line);
                    match columns.row(&record) {
                        Ok((row, time)) => {
                            self.time = time;
                            Item::Row(row)
                        }
                        Err(fault) => Item::Fault(fault),
                    }
                }
            };
            return Ok(Some((self.line, item)));
        }
    }
}

/// The next line, or what is wrong with it; `None` at the end.
fn next_line(input: &mut dyn BufRead) -> io::Result<Option<Result<Vec<u8>, String>>> {
    let mut line = Vec::new();
    if input.take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == MAX_LINE && line.last() != Some(&b'\n') {
        loop {
            let mut rest = Vec::new();
            let read = (&mut *input).take(MAX_LINE).read_until(b'\n', &mut rest)?;
            if read == 0 || rest.last() == Some(&b'\n') {
                return Ok(Some(Err(format!("longer than {MAX_LINE} bytes"))));
            }
        }
    }
    Ok(Some(Ok(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, String)> {
        let mut reader = Reader::new(Box::new(io::Cursor::new(text.as_bytes().to_vec()))).unwrap();
        let mut all = Vec::new();
        while let Some((line, item)) = reader.next().unwrap() {
            all.push((
                line,
                match item {
                    Item::Table(head) => format!("table {}", head.name),
                    Item::Row(row) => format!("row {}", String::from_utf8_lossy(&row.key)),
                    Item::Fault(fault) => fault,
                },
            ));
        }
        all
    }

    #[test]
    fn every_form_is_recognised_and_its_lines_are_counted() {
        let owned = |lines: &[(u64, &str)]| {
            lines.iter().map(|&(line, text)| (line, text.to_owned())).collect::<Vec<_>>()
        };
        assert_eq!(
            read(
                "{\"stickd_dump\":1}\n{\"table\":\"t\",\"type\":\"ip\"}\n\n{\"table\":\"t\",\"key\":\"a\"}\n"
            ),
            owned(&[(2, "table t"), (4, "row a")])
        );
        assert_eq!(
            read("# table: t, type: ip, size:1, used:1\n0x1: key=1.2.3.4 use=0 exp=0\n\n"),
            owned(&[(1, "table t"), (2, "row 1.2.3.4")])
        );
        assert_eq!(
            read("table,key\nt,\"a\nb\"\nt\nt,c\n"),
            owned(&[(2, "row a\nb"), (4, "1 columns, the first line has 2"), (5, "row c")])
        );
        let long =
            format!("# table: t, type: ip, size:1, used:1\n{}\n0x1: key=1.2.3.4\n", "x".repeat(600_000));
        assert_eq!(
            read(&long),
            owned(&[(1, "table t"), (2, "longer than 262144 bytes"), (3, "row 1.2.3.4")])
        );
        for (text, error) in [("", "it is empty"), ("hello\n", "neither JSON lines")] {
            let found = Reader::new(Box::new(io::Cursor::new(text.as_bytes().to_vec()))).err().unwrap();
            assert!(found.to_string().starts_with(error), "{found}");
        }
    }
}
