//! Splits a line into words by HAProxy's rules: quotes, escapes, comments and environment variables.
//!
//! - Words are separated by blanks. `#` starts a comment, unless it is quoted or escaped.
//! - A backslash escapes: `\ `, `\#`, `\\`, `\'`, `\"` stand for the character, `\n`, `\r`, `\t` and `\xHH` for a
//!   byte. Before any other character the backslash stays.
//! - In `'strong quotes'` nothing is special. In `"weak quotes"` escapes work, and `"$NAME"`, `"${NAME}"`,
//!   `"${NAME-default}"` and `"${NAME[*]}"` (one word for each blank-separated part) are replaced; `\$` is a dollar.
//! - Quoted and plain parts that touch make one word; `""` is an empty word.

use std::ops::Range;

use thiserror::Error;

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word after escapes, quotes and variables are resolved.
    pub text: String,
    /// Its bytes in the line, quotes included.
    pub span: Range<usize>,
}

/// A line's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The words in order.
    pub words: Vec<Word>,
    /// Variables that are not set and have no default: name and place. They are replaced by nothing, as in HAProxy.
    pub unset: Vec<Word>,
    /// Characters outside of quotes that look like a blank or begin a word like a quote, and are neither. Pages on the web
    /// and word processors write them.
    pub lookalikes: Vec<Lookalike>,
}

/// A character that looks like one of the syntax.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookalike {
    /// The character.
    pub letter: char,
    /// What it is.
    pub name: &'static str,
    /// What to write.
    pub meant: &'static str,
    /// Its bytes in the line.
    pub span: Range<usize>,
}

/// What a character is that looks like a blank or a quote, and what is meant.
fn lookalike(letter: char) -> Option<(&'static str, &'static str)> {
    Some(match letter {
        '\u{a0}' | '\u{202f}' => ("a no-break space", "a space"),
        '\u{2000}'..='\u{200a}' | '\u{205f}' | '\u{3000}' | '\u{1680}' => {
            ("a space of another width", "a space")
        }
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' | '\u{ad}' => ("an invisible character", "nothing"),
        '\u{85}' | '\u{2028}' | '\u{2029}' => ("a line separator", "a new line"),
        '\u{2018}'..='\u{201b}' => ("a typographic quote", "a quote (')"),
        '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' => ("a typographic quote", "a quote (\")"),
        _ => return None,
    })
}

/// Which characters are special.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether `#` starts a comment.
    pub comments: bool,
    /// Whether `'` and `"` quote.
    pub quotes: bool,
    /// Whether variables are replaced in weak quotes.
    pub variables: bool,
    /// Whether `\n`, `\r`, `\t` and `\xHH` stand for bytes. Else a backslash stands for whatever follows it.
    pub bytes: bool,
}

impl Rules {
    /// The rules of configuration files.
    pub const CONFIGURATION: Self = Self { comments: true, quotes: true, variables: true, bytes: true };
    /// The rules of commands on HAProxy's runtime socket: only blanks separate, and a backslash takes the meaning from
    /// the next character (tried with 2.6 and 3.2).
    pub const COMMAND: Self = Self { comments: false, quotes: false, variables: false, bytes: false };
}

/// What is wrong in a line, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct LexError {
    /// What is wrong.
    pub kind: LexErrorKind,
    /// The bytes of the line.
    pub span: Range<usize>,
}

/// What is wrong in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LexErrorKind {
    #[error("the closing {0} is missing")]
    UnclosedQuote(char),
    #[error("a line cannot continue on the next one")]
    TrailingBackslash,
    #[error("\\x is followed by two hexadecimal digits")]
    HexEscape,
    #[error("a NUL character is not allowed")]
    Nul,
    #[error("a dollar in double quotes is followed by a variable's name")]
    VariableName,
    #[error("the closing brace of the variable is missing")]
    UnclosedBrace,
    #[error("the escapes do not make UTF-8 text")]
    NotUtf8,
}

impl LexErrorKind {
    /// What to write instead.
    pub fn help(self) -> &'static str {
        match self {
            Self::UnclosedQuote('\'') => {
                "close the quote on the same line, or write \\' for a quote character"
            }
            Self::UnclosedQuote(_) => "close the quote on the same line, or write \\\" for a quote character",
            Self::TrailingBackslash => "put everything on one line; \\\\ stands for a backslash",
            Self::HexEscape => "write a byte such as \\x2f, or \\\\x for a backslash and an x",
            Self::Nul => "remove it",
            Self::VariableName => "write \"$NAME\" or \"${NAME}\", or \\$ for a dollar character",
            Self::UnclosedBrace => "write \"${NAME}\" or \"${NAME-default}\"",
            Self::NotUtf8 => "names and paths are UTF-8: write the character itself",
        }
    }
}

/// Splits one line, given without its end, into words.
///
/// # Errors
/// When a quote is not closed, an escape is incomplete or a variable is malformed. The span of the error, like those
/// of the words, lies in the line and on character boundaries.
pub fn split(line: &str, rules: Rules, variables: &dyn Fn(&str) -> Option<String>) -> Result<Line, LexError> {
    let lexer = Lexer { text: line, at: 0, rules, variables, word: None, line: Line::default() };
    lexer.run()
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    rules: Rules,
    variables: &'a dyn Fn(&str) -> Option<String>,
    /// The word that is being read: its start and its bytes.
    word: Option<(usize, Vec<u8>)>,
    line: Line,
}

impl<'a> Lexer<'a> {
    fn run(mut self) -> Result<Line, LexError> {
        loop {
            self.letters();
            let Some(next) = self.peek() else { break };
            match next {
                ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c' => {
                    self.end_word(self.at)?;
                    self.at += 1;
                }
                '#' if self.rules.comments => break,
                '\'' if self.rules.quotes => self.strong_quotes()?,
                '"' if self.rules.quotes => self.weak_quotes()?,
                '\\' => self.escape(false)?,
                _ => {
                    self.note_lookalike(next);
                    self.plain(next)?;
                }
            }
        }
        self.end_word(self.at)?;
        Ok(self.line)
    }

    /// Takes the ASCII characters that are never special, most of a file, in one piece.
    fn letters(&mut self) {
        let text: &'a str = self.text;
        let rest = &text[self.at..];
        let is_letter = |byte: &u8| matches!(byte, b'!' | b'$'..=b'&' | b'('..=b'[' | b']'..=b'~');
        let length = rest.bytes().take_while(is_letter).count();
        if length > 0 {
            self.word().extend_from_slice(&rest.as_bytes()[..length]);
            self.at += length;
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    /// The bytes of the current word, which begins here if none has begun.
    fn word(&mut self) -> &mut Vec<u8> {
        let at = self.at;
        &mut self.word.get_or_insert_with(|| (at, Vec::new())).1
    }

    /// Notes a character that only looks like one of the syntax; a quote within a word may be an apostrophe.
    fn note_lookalike(&mut self, letter: char) {
        let Some((name, meant)) = lookalike(letter).filter(|_| self.rules.quotes) else { return };
        if self.word.is_none() || !meant.starts_with("a quote") {
            let span = self.at..self.at + letter.len_utf8();
            self.line.lookalikes.push(Lookalike { letter, name, meant, span });
        }
    }

    fn plain(&mut self, next: char) -> Result<(), LexError> {
        let from = self.at;
        if next == '\0' {
            return Err(self.error(LexErrorKind::Nul, from..from + 1));
        }
        let mut buffer = [0; 4];
        let bytes = next.encode_utf8(&mut buffer).as_bytes();
        self.word().extend_from_slice(bytes);
        self.at += bytes.len();
        Ok(())
    }

    fn end_word(&mut self, end: usize) -> Result<(), LexError> {
        let Some((start, bytes)) = self.word.take() else { return Ok(()) };
        match String::from_utf8(bytes) {
            Ok(text) => self.line.words.push(Word { text, span: start..end }),
            Err(_) => return Err(self.error(LexErrorKind::NotUtf8, start..end)),
        }
        Ok(())
    }

    fn strong_quotes(&mut self) -> Result<(), LexError> {
        let from = self.at;
        self.word();
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.error(LexErrorKind::UnclosedQuote('\''), from..from + 1)),
                Some('\'') => break,
                Some(next) => self.plain(next)?,
            }
        }
        self.at += 1;
        Ok(())
    }

    fn weak_quotes(&mut self) -> Result<(), LexError> {
        let from = self.at;
        self.word();
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.error(LexErrorKind::UnclosedQuote('"'), from..from + 1)),
                Some('"') => break,
                Some('\\') => self.escape(true)?,
                Some('$') if self.rules.variables => self.variable()?,
                Some(next) => self.plain(next)?,
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a backslash and what it escapes.
    fn escape(&mut self, weak: bool) -> Result<(), LexError> {
        let from = self.at;
        self.word();
        let rest = &self.text[from + 1..];
        if !self.rules.bytes {
            return self.literal(rest);
        }
        let Some(next) = rest.chars().next() else {
            return Err(self.error(LexErrorKind::TrailingBackslash, from..from + 1));
        };
        let (byte, length) = match next {
            ' ' | '#' | '\\' | '\'' | '"' => (next as u8, 2),
            '$' if weak => (b'$', 2),
            'n' => (b'\n', 2),
            'r' => (b'\r', 2),
            't' => (b'\t', 2),
            'x' => (self.hexadecimal(from)?, 4),
            // A line that ends with a backslash in a file with CRLF.
            '\r' if rest.len() == 1 => {
                return Err(self.error(LexErrorKind::TrailingBackslash, from..from + 1));
            }
            _ => (b'\\', 1),
        };
        self.word().push(byte);
        self.at += length;
        Ok(())
    }

    /// Reads the character after a backslash as it is; a backslash at the end of the line stands for itself.
    fn literal(&mut self, rest: &str) -> Result<(), LexError> {
        match rest.chars().next() {
            Some(next) => {
                self.at += 1;
                self.plain(next)
            }
            None => self.plain('\\'),
        }
    }

    /// The byte of `\xHH` at `from`.
    fn hexadecimal(&self, from: usize) -> Result<u8, LexError> {
        let digits = self
            .text
            .get(from + 2..from + 4)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.map(|digits| u8::from_str_radix(digits, 16)) {
            Some(Ok(0)) => Err(self.error(LexErrorKind::Nul, from..from + 4)),
            Some(Ok(byte)) => Ok(byte),
            _ => Err(self.error(LexErrorKind::HexEscape, from..from + 2)),
        }
    }

    /// Replaces the variable at the current dollar.
    fn variable(&mut self) -> Result<(), LexError> {
        let from = self.at;
        let rest = &self.text[from + 1..];
        let braced = rest.starts_with('{');
        let name_at = from + 1 + usize::from(braced);
        let name_end = name_at + name_length(&self.text[name_at..]);
        let name = &self.text[name_at..name_end];
        if name.is_empty() {
            return Err(self.error(LexErrorKind::VariableName, from..name_at));
        }
        let (default, list, end) = if braced { self.brace(from, name_end)? } else { (None, false, name_end) };
        let value = (self.variables)(name).or_else(|| default.map(str::to_owned));
        if value.is_none() {
            self.line.unset.push(Word { text: name.to_owned(), span: from..end });
        }
        let value = value.unwrap_or_default();
        if list {
            self.expand_list(&value, from..end)?;
        } else {
            self.word().extend_from_slice(value.as_bytes());
        }
        self.at = end;
        Ok(())
    }

    /// What follows a name in braces: its default, whether it is a list, and the place after the brace.
    fn brace(&self, from: usize, name_end: usize) -> Result<(Option<&str>, bool, usize), LexError> {
        let rest = &self.text[name_end..];
        let (list, rest) = rest.strip_prefix("[*]").map_or((false, rest), |rest| (true, rest));
        let unclosed = || self.error(LexErrorKind::UnclosedBrace, from..name_end);
        let close = rest.find(['}', '"']).filter(|&place| rest[place..].starts_with('}'));
        let inside = &rest[..close.ok_or_else(unclosed)?];
        let end = self.text.len() - rest.len() + inside.len() + 1;
        match inside.strip_prefix('-') {
            Some(default) => Ok((Some(default), list, end)),
            None if inside.is_empty() => Ok((None, list, end)),
            None => Err(self.error(LexErrorKind::VariableName, from..end)),
        }
    }

    /// Adds each blank-separated part of a list as a word of its own; the first continues the current word.
    fn expand_list(&mut self, value: &str, span: Range<usize>) -> Result<(), LexError> {
        for (number, part) in value.split_ascii_whitespace().enumerate() {
            if number > 0 {
                self.end_word(span.end)?;
                self.at = span.start;
            }
            self.word().extend_from_slice(part.as_bytes());
        }
        Ok(())
    }

    fn error(&self, kind: LexErrorKind, span: Range<usize>) -> LexError {
        // An escape may be cut by the line's end or by a character of several bytes.
        let mut end = span.end.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        LexError { kind, span: span.start..end }
    }
}

/// Length of the variable name a text starts with.
fn name_length(text: &str) -> usize {
    let length = text.bytes().take_while(|&byte| byte == b'_' || byte.is_ascii_alphanumeric()).count();
    if text.starts_with(|first: char| first.is_ascii_digit()) { 0 } else { length }
}

#[cfg(test)]
mod tests;
