//! Where a dump is written: the standard output, or a file that is there as a whole or not at all.

use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

/// A place to write to.
pub(super) enum Output {
    Standard(BufWriter<Stdout>),
    /// A temporary file beside the one that it becomes. It is readable by its owner only: keys are addresses of clients.
    File(BufWriter<NamedTempFile>, PathBuf),
}

impl Output {
    /// The standard output without a path, or with `-`.
    pub(super) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(Self::Standard(BufWriter::with_capacity(64 << 10, io::stdout())));
        };
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        let file = tempfile::Builder::new().prefix(".stickd-dump-").tempfile_in(directory);
        let file = file.with_context(|| format!("cannot write in {}", directory.display()))?;
        Ok(Self::File(BufWriter::with_capacity(64 << 10, file), path.to_owned()))
    }

    /// Writes what waits, makes it durable, and puts the file in place.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Standard(mut out) => Ok(out.flush()?),
            Self::File(out, path) => {
                let cannot = || format!("cannot write {}", path.display());
                let file = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(cannot)?;
                file.as_file().sync_all().with_context(cannot)?;
                file.persist(&path).with_context(cannot)?;
                Ok(())
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::File(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File(out, _) => out.flush(),
        }
    }
}
