//! `stickd state`: what a directory of tables holds, and whether all of it can be read.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use stick_store::Damage;

use super::FOUND;
use super::stored::{Stored, definition_line};
use crate::durable::Directory;

/// Arguments of `stickd state`.
#[derive(Args, Debug)]
pub struct State {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which tables a directory holds, with their entries and definitions. A running daemon is not disturbed.
    Show {
        /// Directory of the `state` line.
        directory: PathBuf,
    },
    /// Read everything in a directory, and say what is damaged. Exit status 1: something cannot be read.
    Check {
        /// Directory of the `state` line.
        directory: PathBuf,
    },
}

pub(super) fn run(arguments: &State) -> anyhow::Result<ExitCode> {
    let (Command::Show { directory } | Command::Check { directory }) = &arguments.command;
    if !directory.is_dir() {
        bail!("{}: there is no such directory", directory.display());
    }
    let stored = Stored::read(directory)?;
    if stored.files == 0 && stored.loaded.set_aside.is_empty() {
        bail!("{}: no tables are kept there: no file is named 0000000001.log or alike", directory.display());
    }
    match &arguments.command {
        Command::Show { .. } => {
            show(directory, &stored);
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { .. } => Ok(check(directory, &stored)),
    }
}

fn show(path: &Path, stored: &Stored) {
    let Stored { tables, loaded, files, .. } = stored;
    println!("directory  {}", path.display());
    println!(
        "used by    {}",
        Directory::at(path).owner().map_or_else(|| "no process".to_owned(), |pid| format!("process {pid}"))
    );
    println!("log        {files} files, {} bytes", loaded.bytes);
    println!("tables     {}", tables.len());
    let width = tables.keys().map(String::len).max().unwrap_or(0).clamp(5, 60);
    println!("\n{:<width$}  {:>12}  definition", "table", "entries");
    for (name, table) in tables {
        let line = definition_line(table.definition());
        let line = line.strip_prefix("stick-table ").unwrap_or(&line);
        println!("{name:<width$}  {:>12}  {line}", table.len());
    }
    for left_out in &loaded.left_out {
        println!("{}: {}", left_out.table, left_out.reason);
    }
    let damaged = loaded.damage.iter().filter(|damage| !damage.is_tail).count() + loaded.set_aside.len();
    if damaged > 0 {
        println!("\n{damaged} parts cannot be read: \"stickd state check {}\" says which", path.display());
    }
}

fn check(path: &Path, stored: &Stored) -> ExitCode {
    let Stored { tables, loaded, files, .. } = stored;
    let mut parts = 0_u64;
    for file in &loaded.set_aside {
        parts += 1;
        println!("{}: not read: {}", file.file, file.reason);
    }
    for Damage { file, offset, bytes, block, is_tail } in &loaded.damage {
        if *is_tail {
            println!(
                "{file}: the last {bytes} bytes, at offset {offset}, are not whole, as after a crash or while it is written: no damage"
            );
            continue;
        }
        parts += 1;
        let of = block
            .as_ref()
            .map_or_else(String::new, |(table, rows)| format!(": {rows} entries or keys of {table}"));
        println!("{file}: {bytes} bytes at offset {offset} cannot be read{of}");
    }
    for left_out in &loaded.left_out {
        println!("{}: {}", left_out.table, left_out.reason);
    }
    let entries: u64 = tables.values().map(|table| u64::from(table.len())).sum();
    println!(
        "{}: {files} files, {} bytes, {} tables, {entries} entries: {}",
        path.display(),
        loaded.bytes,
        tables.len(),
        match parts {
            0 => "all of it can be read".to_owned(),
            _ => format!(
                "{parts} damaged parts; a start uses everything else, and older values of these entries"
            ),
        }
    );
    if parts == 0 { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }
}
