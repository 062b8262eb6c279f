//! Configuration texts and places in them.
//!
//! A [`Span`] is a range of bytes of one text; [`Sources`] keeps the texts, so that a message can show the line
//! and the daemon can say where a peer or a table was declared.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Largest configuration file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// A range of bytes of one configuration text, always on character boundaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    source: u32,
    start: u32,
    end: u32,
}

impl Span {
    /// The bytes `start..end` of the text with the number `source`, see [`Sources::add`].
    pub(crate) fn new(source: u32, start: usize, end: usize) -> Self {
        // Texts are limited to `MAX_FILE_BYTES`, so offsets fit.
        Self { source, start: start as u32, end: end.max(start) as u32 }
    }

    /// The span from the start of this one to the end of another one in the same text.
    pub(crate) fn to(self, last: Self) -> Self {
        Self { end: last.end.max(self.end), ..self }
    }

    /// Number of the text in its [`Sources`].
    pub fn source(self) -> usize {
        self.source as usize
    }

    /// The bytes of the text.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A line and a column for people, both counted from 1; columns are characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: String,
    /// Number of the line.
    pub line: usize,
    /// Number of the character in the line.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Every text a configuration was read from, in the order of reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    texts: Vec<Source>,
}

/// Whose configuration a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// stickd's: every line must mean something.
    #[default]
    Own,
    /// A HAProxy's: stickd takes its share.
    Haproxy,
}

/// One configuration text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    lossy: bool,
    origin: Origin,
    /// Where lines begin, so that a message about the last one need not count all others.
    lines: Vec<u32>,
}

/// Why a file or a directory cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The file system refused.
    #[error("cannot read {path}: {error}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is over [`MAX_FILE_BYTES`].
    #[error("{path} has {bytes} bytes: a configuration file has at most {MAX_FILE_BYTES}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// No file to load in a directory.
    #[error("the directory {path} holds no file whose name ends with .cfg")]
    EmptyDirectory {
        /// The directory.
        path: PathBuf,
    },
}

impl Sources {
    /// Adds a text; `lossy` when bytes that are no UTF-8 were replaced by U+FFFD. Returns its number.
    pub(crate) fn add(&mut self, name: impl Into<String>, text: impl Into<String>, lossy: bool) -> u32 {
        let text = text.into();
        let after_ends =
            text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(end, _)| end as u32 + 1);
        let lines = std::iter::once(0).chain(after_ends).collect();
        self.texts.push(Source { name: name.into(), text, lossy, origin: Origin::Own, lines });
        (self.texts.len() - 1) as u32
    }

    /// Reads a file, or the `.cfg` files of a directory in the order of their names, hidden ones left out.
    ///
    /// Bytes that are no UTF-8 become U+FFFD: harmless in comments, refused in words by the parser.
    pub(crate) fn load(&mut self, path: &Path, origin: Origin) -> Result<(), SourceError> {
        let read_error = |error| SourceError::Read { path: path.to_owned(), error };
        if !fs::metadata(path).map_err(read_error)?.is_dir() {
            return self.load_file(path, origin);
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(path).map_err(read_error)? {
            let file = entry.map_err(read_error)?.path();
            let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && file.extension().is_some_and(|extension| extension == "cfg") && !file.is_dir() {
                files.push(file);
            }
        }
        if files.is_empty() {
            return Err(SourceError::EmptyDirectory { path: path.to_owned() });
        }
        files.sort();
        files.iter().try_for_each(|file| self.load_file(file, origin))
    }

    fn load_file(&mut self, path: &Path, origin: Origin) -> Result<(), SourceError> {
        let read_error = |error| SourceError::Read { path: path.to_owned(), error };
        let bytes = fs::metadata(path).map_err(read_error)?.len();
        if bytes > MAX_FILE_BYTES {
            return Err(SourceError::TooLarge { path: path.to_owned(), bytes });
        }
        let content = fs::read(path).map_err(read_error)?;
        let (text, lossy) = match String::from_utf8(content) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        self.add(path.display().to_string(), text, lossy);
        self.texts.last_mut().into_iter().for_each(|source| source.origin = origin);
        Ok(())
    }

    /// The texts in the order of reading.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.texts.iter()
    }

    /// The text a span belongs to, or `None` for a span of other sources.
    pub fn get(&self, span: Span) -> Option<&Source> {
        self.texts.get(span.source())
    }

    /// File, line and column of a span's start, such as `stickd.cfg:12:5`.
    pub fn place(&self, span: Span) -> Place {
        let Some(source) = self.get(span) else {
            return Place { file: "?".to_owned(), line: 0, column: 0 };
        };
        let (line, number) = source.line_of(span);
        let before = source.text.get(line.start..span.range().start).unwrap_or_default();
        Place { file: source.name.clone(), line: number, column: before.chars().count() + 1 }
    }
}

impl Source {
    /// Name of the file, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a HAProxy's, of which stickd takes its share.
    pub(crate) fn is_haproxys(&self) -> bool {
        self.origin == Origin::Haproxy
    }

    /// Whether bytes that are no UTF-8 were replaced by U+FFFD.
    pub fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// The bytes of the line a span starts in, without its end, and the line's number counted from 1.
    pub(crate) fn line_of(&self, span: Span) -> (std::ops::Range<usize>, usize) {
        let at = span.range().start.min(self.text.len());
        let number = self.lines.partition_point(|&start| start as usize <= at);
        let start = self.lines[number - 1] as usize;
        let end = self.lines.get(number).map_or(self.text.len(), |&next| next as usize - 1);
        let end = if self.text[start..end].ends_with('\r') { end - 1 } else { end };
        (start..end, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters() {
        let mut sources = Sources::default();
        let number = sources.add("a.cfg", "one\r\n# é two\n", false);
        let place = |start, end| sources.place(Span::new(number, start, end)).to_string();
        assert_eq!(place(0, 3), "a.cfg:1:1");
        assert_eq!(place(10, 13), "a.cfg:2:5");
        assert_eq!(place(14, 14), "a.cfg:3:1");
        let source = sources.get(Span::new(number, 1, 2)).unwrap();
        assert_eq!(source.line_of(Span::new(number, 1, 2)), (0..3, 1));
    }

    #[test]
    fn a_directory_is_its_cfg_files_in_name_order() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["20.cfg", "10.cfg", "30.conf", ".hidden.cfg"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("40.cfg")).unwrap();
        let mut sources = Sources::default();
        sources.load(directory.path(), Origin::Own).unwrap();
        let texts: Vec<_> = sources.iter().map(Source::text).collect();
        assert_eq!(texts, ["10.cfg", "20.cfg"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut sources = Sources::default();
        let missing = sources.load(&directory.path().join("none.cfg"), Origin::Own).unwrap_err();
        assert!(missing.to_string().contains("none.cfg"), "{missing}");
        let empty = sources.load(directory.path(), Origin::Own).unwrap_err();
        assert!(matches!(empty, SourceError::EmptyDirectory { .. }), "{empty}");
    }

    #[test]
    fn bytes_that_are_no_utf8_are_marked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("latin1.cfg");
        fs::write(&path, b"# d\xe9j\xe0 vu\n").unwrap();
        let mut sources = Sources::default();
        sources.load(&path, Origin::Own).unwrap();
        let source = sources.iter().next().unwrap();
        assert!(source.is_lossy());
        assert_eq!(source.text(), "# d\u{fffd}j\u{fffd} vu\n");
    }
}
