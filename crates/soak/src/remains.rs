//! What is kept of a run that failed.

use std::fs;
use std::path::Path;

use anyhow::{Context, Error, Result};

use crate::Options;
use crate::cluster::NAMES;
use crate::kind::Kind;
use crate::soak::{Soak, State};

/// Keeps what was said, the error, and of each member its logs, configurations, tables and sessions. Says where.
pub(crate) fn keep(soak: &Soak, options: &Options, error: &Error) -> String {
    let place = options.logs.join(format!("seed-{}", options.seed));
    match write(soak, &place, error) {
        Ok(()) => format!("everything about it is in {}", place.display()),
        Err(error) => format!("not everything about it could be kept in {}: {error:#}", place.display()),
    }
}

fn write(soak: &Soak, place: &Path, error: &Error) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place).with_context(|| format!("cannot remove {}", place.display()))?;
    }
    for (member, name) in NAMES.iter().enumerate() {
        let directory = place.join(name);
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        for file in fs::read_dir(soak.cluster.directory(member))? {
            let file = file?;
            if file.file_type()?.is_file() {
                fs::copy(file.path(), directory.join(file.file_name()))?;
            }
        }
        if matches!(soak.states[member], State::Down(_)) {
            continue;
        }
        if matches!(soak.states[member], State::Frozen(_)) {
            soak.cluster.freeze(member, false);
        }
        let ask = |command: &str| {
            let answer = soak.cluster.cli(member).try_run(command);
            answer.unwrap_or_else(|error| format!("`{command}`: {error}\n"))
        };
        fs::write(directory.join("peers.txt"), ask("show peers"))?;
        let tables = Kind::ALL.map(|kind| ask(&format!("show table {}", kind.name())));
        fs::write(directory.join("tables.txt"), tables.concat())?;
    }
    fs::write(place.join("journal.txt"), format!("{}\n{error:#}\n", soak.journal.text()))?;
    Ok(())
}
