//! `stickd dump`: the entries of tables as JSON lines or CSV, from a directory or from a runtime socket.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{anyhow, bail};
use clap::{Args, ValueEnum};
use stick_table::{DataType, EntryRef, Millis, Table, Value, Walk};

use super::Place;
use super::output::Output;
use super::progress::Progress;
use super::socket::{Address, push_word};
use super::stored::{Stored, definition_line};
use crate::dumps::{CsvWriter, Field, Head, JsonWriter, Line, Row, RowWriter, parse_line};
use crate::runtime::{Filter, printed_name, reading};

/// Entries visited in one hold of a table's lock.
const AT_ONCE: usize = 1_024;

/// Arguments of `stickd dump`.
#[derive(Args, Debug)]
pub struct Dump {
    /// Form of the dump. CSV is of one table.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write to this file, which appears when it is complete; without it, to the standard output.
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Directory of a `state` line, or runtime socket of a running stickd or HAProxy: PATH or HOST:PORT.
    source: String,
    /// Only this table; without it, all.
    table: Option<String>,
    /// Only entries that match, as behind `show table`: data.TYPE OPERATOR VALUE …, or key KEY.
    filter: Vec<String>,
}

/// Form of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON lines.
    Jsonl,
    /// CSV, of one table.
    Csv,
}

pub(super) fn run(arguments: &Dump) -> anyhow::Result<ExitCode> {
    let source = match Place::parse(&arguments.source)? {
        Place::Directory(path) => Source::directory(&path)?,
        Place::Socket(address) => Source::Socket(address),
    };
    let mut heads = source.heads()?;
    if let Some(name) = &arguments.table {
        heads.retain(|head| head.name == *name);
        if heads.is_empty() {
            bail!("{}: there is no table \"{name}\"", arguments.source);
        }
    }
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let mut output = Output::open(arguments.output.as_deref())?;
    match arguments.format {
        Format::Jsonl => {
            let mut writer = JsonWriter::new(&mut output, time)?;
            source.write(&heads, &arguments.filter, &mut writer)?;
        }
        Format::Csv => {
            let [_] = &heads[..] else {
                let names: Vec<_> = heads.iter().map(|head| head.name.as_str()).collect();
                bail!("CSV is of one table: name one of {}", names.join(", "));
            };
            let mut writer = CsvWriter::new(&mut output, time);
            source.write(&heads, &arguments.filter, &mut writer)?;
            writer.finish()?;
        }
    }
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// Where entries come from.
enum Source {
    Directory(Box<Stored>),
    Socket(Address),
}

impl Source {
    fn directory(path: &Path) -> anyhow::Result<Self> {
        let stored = Stored::read(path)?;
        let damaged = stored.loaded.damage.iter().filter(|damage| !damage.is_tail).count();
        if damaged > 0 || !stored.loaded.set_aside.is_empty() {
            let path = path.display();
            eprintln!(
                "stickd: parts of {path} cannot be read, and are not in the dump: \"stickd state check {path}\" says which"
            );
        }
        Ok(Self::Directory(Box::new(stored)))
    }

    /// All tables.
    fn heads(&self) -> anyhow::Result<Vec<Head>> {
        match self {
            Self::Directory(stored) => {
                Ok(stored.tables.iter().map(|(name, table)| head(name, table)).collect())
            }
            Self::Socket(address) => {
                let mut heads = Vec::new();
                address.ask(b"show table", |line| {
                    match parse_line(line, None) {
                        Ok(Line::Table(head)) => heads.push(head),
                        Ok(_) => {}
                        Err(_) => bail!("{address}: {}", String::from_utf8_lossy(line).trim_end()),
                    }
                    Ok(())
                })?;
                // The last one declared is listed first.
                heads.reverse();
                Ok(heads)
            }
        }
    }

    /// Writes these tables.
    fn write(&self, heads: &[Head], filter: &[String], writer: &mut impl RowWriter) -> anyhow::Result<()> {
        let total = if filter.is_empty() { heads.iter().map(|head| head.used).sum() } else { 0 };
        let progress = Progress::new("dump", total);
        for head in heads {
            writer.table(head)?;
            let mut write = |row: &Row| {
                progress.step();
                writer.row(row)
            };
            match self {
                Self::Directory(stored) => write_stored(stored, &head.name, filter, &mut write)?,
                Self::Socket(address) => write_shown(address, head, filter, &mut write)?,
            }
        }
        Ok(())
    }
}

fn head(name: &str, table: &Table) -> Head {
    let definition = table.definition();
    Head {
        name: name.to_owned(),
        key_type: definition.key_type.word().to_owned(),
        size: definition.size.into(),
        used: table.len().into(),
        definition: Some(definition_line(definition)),
    }
}

/// Asks a runtime socket for the entries of a table.
fn write_shown(
    address: &Address,
    head: &Head,
    filter: &[String],
    write: &mut impl FnMut(&Row) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let mut command = b"show table".to_vec();
    push_word(&mut command, head.name.as_bytes());
    filter.iter().for_each(|word| push_word(&mut command, word.as_bytes()));
    address.ask(&command, |line| {
        if line.starts_with(b"# contents not dumped") {
            bail!("{address} shows no entries: the socket needs \"level operator\" at least");
        }
        match parse_line(line, Some(head)) {
            Ok(Line::Entry(row)) => Ok(write(&row)?),
            Ok(_) => Ok(()),
            Err(_) => Err(anyhow!("{address}: {}", String::from_utf8_lossy(line).trim_end())),
        }
    })
}

/// Walks a table that was read from a directory.
fn write_stored(
    stored: &Stored,
    name: &str,
    filter: &[String],
    write: &mut impl FnMut(&Row) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let Some(table) = stored.tables.get(name) else { return Ok(()) };
    let (definition, now) = (table.definition(), stored.clock.now());
    let wanted = Wanted::parse(table, filter)?;
    let (mut walk, mut rows) = (Walk::default(), Vec::new());
    loop {
        let more = table.walk(&mut walk, AT_ONCE, now, |entry| {
            let matches = match &wanted {
                Wanted::Key(key) => entry.key() == key,
                Wanted::Filters(filters) => {
                    filters.iter().all(|filter| filter.holds(&entry, definition, now))
                }
            };
            if matches {
                rows.push(row(name, table, &entry, now));
            }
        });
        rows.iter().try_for_each(&mut *write)?;
        rows.clear();
        if !more {
            return Ok(());
        }
    }
}

/// Which entries are meant.
enum Wanted {
    Key(Vec<u8>),
    Filters(Vec<Filter>),
}

impl Wanted {
    fn parse(table: &Table, words: &[String]) -> anyhow::Result<Self> {
        let definition = table.definition();
        match words {
            [word, key] if word == "key" => Ok(Self::Key(definition.key_type.parse(key)?)),
            [word, ..] if word == "key" => bail!("\"key\" needs a key, and nothing behind it"),
            words => {
                let words: Vec<_> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
                Ok(Self::Filters(Filter::parse_all(definition, 3, &words)?))
            }
        }
    }
}

fn row(name: &str, table: &Arc<Table>, entry: &EntryRef<'_>, now: Millis) -> Row {
    let definition = table.definition();
    let key_type = definition.key_type;
    let key = match key_type.word() {
        "string" => entry.key().to_vec(),
        _ => key_type.text(entry.key()).to_string().into_bytes(),
    };
    let mut values = Vec::new();
    for column in definition.columns() {
        let data_type: DataType = column.data_type();
        for element in 0..column.count() {
            let Some(value) = entry.value(data_type, element) else { continue };
            let field = match &value {
                Value::Dictionary(text) => Field::Text(text.as_deref().map(str::to_owned)),
                _ => Field::Number(reading(&value, column, definition, now)),
            };
            values.push((printed_name(column, element), field));
        }
    }
    Row { table: name.to_owned(), key, exp: entry.remaining().map(u64::from), values }
}
