//! `stickd restore`: puts the entries of a dump into a running stickd or into the directory of a stopped one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;

use super::progress::Progress;
use super::{FOUND, Place};
use crate::dumps::{Item, Put, Reader, Row};

mod directory;
mod running;

/// Refusals that are said one by one.
const MAX_SAID: u64 = 1_000;

/// Arguments of `stickd restore`.
#[derive(Args, Debug)]
pub struct Restore {
    /// Only entries of this table; may be repeated.
    #[arg(short = 't', long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// Lifetimes and rates go on from where the dump has them, as if it was made now.
    #[arg(long)]
    as_of_now: bool,
    /// JSON lines or CSV of `stickd dump`, or what `show table NAME` printed on stickd or a HAProxy; - for the standard input.
    file: PathBuf,
    /// Runtime socket of a running stickd (PATH or HOST:PORT), or directory of the `state` line of one that is stopped.
    target: String,
}

/// Something that rows are put into.
trait Target {
    /// The file says what a table is.
    fn table(&mut self, head: &crate::dumps::Head);

    /// Puts a row of a line, whose values were read `age` ms ago. What becomes of it is noted, maybe later.
    fn put(&mut self, line: u64, row: &Row, age: u64, outcome: &mut Outcome) -> anyhow::Result<()>;

    /// Notes what is not noted yet, and makes all of it last.
    fn finish(self: Box<Self>, outcome: &mut Outcome) -> anyhow::Result<()>;
}

/// What became of the rows.
struct Outcome {
    progress: Progress,
    restored: u64,
    refused: u64,
    /// Entries whose life has ended since the dump.
    expired: u64,
    /// Values that a table does not store, said once for each.
    left_out: BTreeSet<(String, String)>,
}

impl Outcome {
    /// Notes what became of a row.
    fn note(&mut self, line: u64, row: &RowName, put: Put) {
        self.progress.step();
        match put {
            Put::Whole => self.restored += 1,
            Put::Without(names) => {
                self.restored += 1;
                for name in names {
                    if self.left_out.insert((row.table.clone(), name.clone())) {
                        self.progress.line(&format!(
                            "line {line}: {}: {name} is not stored there, or is no such value: left out, also from here on",
                            row.table
                        ));
                    }
                }
            }
            Put::Expired => self.expired += 1,
            Put::Refused(reason) => self.refuse(line, &format!("{}: {}: {reason}", row.table, row.key)),
        }
    }

    /// Notes a line that is refused.
    fn refuse(&mut self, line: u64, reason: &str) {
        self.refused += 1;
        if self.refused <= MAX_SAID {
            self.progress.line(&format!("line {line}: {reason}"));
        } else if self.refused == MAX_SAID + 1 {
            self.progress.line("further refusals are only counted");
        }
    }
}

/// What a message says of a row.
struct RowName {
    table: String,
    key: String,
}

impl RowName {
    fn of(row: &Row) -> Self {
        Self { table: row.table.clone(), key: String::from_utf8_lossy(&row.key).escape_debug().to_string() }
    }
}

pub(super) fn run(arguments: &Restore) -> anyhow::Result<ExitCode> {
    let name = arguments.file.display();
    let input: Box<dyn BufRead> = match arguments.file.to_str() {
        Some("-") => Box::new(BufReader::new(std::io::stdin())),
        _ => Box::new(BufReader::with_capacity(
            64 << 10,
            File::open(&arguments.file).with_context(|| format!("cannot read {name}"))?,
        )),
    };
    let mut reader = Reader::new(input).with_context(|| format!("cannot read {name}"))?;
    let mut target: Box<dyn Target> = match Place::parse(&arguments.target)? {
        Place::Directory(path) => Box::new(directory::Directory::open(&path)?),
        Place::Socket(address) => Box::new(running::Running::connect(&address)?),
    };
    let mut outcome = Outcome {
        progress: Progress::new("restore", 0),
        restored: 0,
        refused: 0,
        expired: 0,
        left_out: BTreeSet::new(),
    };
    let is_wanted = |table: &String| arguments.tables.is_empty() || arguments.tables.contains(table);
    while let Some((line, item)) = reader.next().with_context(|| format!("cannot read {name}"))? {
        match item {
            Item::Table(head) if is_wanted(&head.name) => target.table(&head),
            Item::Row(row) if is_wanted(&row.table) => {
                let age = if arguments.as_of_now { 0 } else { age(reader.time()) };
                target.put(line, &row, age, &mut outcome)?;
            }
            Item::Table(_) | Item::Row(_) => {}
            Item::Fault(fault) => outcome.refuse(line, &fault),
        }
    }
    target.finish(&mut outcome)?;
    let Outcome { progress, restored, refused, expired, left_out } = outcome;
    drop(progress);
    eprintln!("{restored} entries restored, {expired} expired since the dump, {refused} lines refused");
    let is_whole = refused == 0 && left_out.is_empty();
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

/// Time since then, in ms; 0 when nobody knows.
fn age(time: Option<u64>) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    time.map_or(0, |time| now.saturating_sub(time))
}
