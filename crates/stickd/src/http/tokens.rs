//! Tokens of HTTP clients, read from a file.
//!
//! Each line is a token, with the level of its clients in front of it if that is not the level of the listener; empty lines and
//! lines that begin with `#` mean nothing:
//!
//! ```text
//! # monitoring
//! user 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
//! admin 486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7
//! ```

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use thiserror::Error;

use crate::config::Level;

/// Shortest token, in bytes: 128 random bits take 22 letters.
const SHORTEST: usize = 22;
/// Most bytes of a file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The tokens of a listener.
pub struct Tokens(Vec<Token>);

struct Token {
    secret: Vec<u8>,
    level: Option<Level>,
}

/// Why a file of tokens cannot be used.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TokenError {
    #[error("cannot read the tokens in {}: {error}", .path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{} has no token: write one on a line, for example the output of `openssl rand -hex 32`", .0.display())]
    Empty(PathBuf),
    #[error("{}, line {line}: {fault}", .path.display())]
    Line { path: PathBuf, line: usize, fault: String },
}

impl Tokens {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, has no token, or a line that is none.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let error = |error| TokenError::Read { path: path.to_owned(), error };
        let length = std::fs::metadata(path).map_err(error)?.len();
        if length > MAX_FILE_BYTES {
            return Err(error(io::Error::other(format!(
                "it has {length} bytes, more than {MAX_FILE_BYTES}"
            ))));
        }
        let text = std::fs::read_to_string(path).map_err(error)?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, TokenError> {
        let mut tokens = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let fault = |fault: String| TokenError::Line { path: path.to_owned(), line: number + 1, fault };
            let words: Vec<_> = line.split_whitespace().collect();
            let (level, secret) = match words[..] {
                [] => continue,
                [first, ..] if first.starts_with('#') => continue,
                [secret] => (None, secret),
                [word, secret] => {
                    let known = "the word before a token must be user, operator or admin";
                    (Some(Level::from_word(word).ok_or_else(|| fault(known.to_owned()))?), secret)
                }
                _ => {
                    return Err(fault(
                        "more than two words: a line is `[user|operator|admin] TOKEN`".to_owned(),
                    ));
                }
            };
            let is_bearer = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
            if !secret.bytes().all(is_bearer) {
                let says = "a token has letters, digits and the signs - . _ ~ + / = only";
                return Err(fault(says.to_owned()));
            }
            if secret.len() < SHORTEST {
                let found = secret.len();
                return Err(fault(format!(
                    "a token of {found} letters could be guessed: at least {SHORTEST} are needed, for example the output of `openssl rand -hex 32`"
                )));
            }
            tokens.push(Token { secret: secret.as_bytes().to_vec(), level });
        }
        if tokens.is_empty() { Err(TokenError::Empty(path.to_owned())) } else { Ok(Self(tokens)) }
    }

    /// The level of a token, `default` where its line names none; `None` when it is no token. Every token is compared, each in a
    /// time that does not depend on how much of it is right.
    pub(crate) fn level_of(&self, shown: &[u8], default: Level) -> Option<Level> {
        let mut found = 0_u32;
        for (number, token) in self.0.iter().enumerate() {
            let is_it: Choice = token.secret.ct_eq(shown);
            found.conditional_assign(&(number as u32 + 1), is_it);
        }
        let token = self.0.get((found as usize).checked_sub(1)?)?;
        Some(token.level.unwrap_or(default))
    }
}

/// Without the tokens.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef";
    const TWO: &str = "fedcba9876543210fedcba9876543210";

    fn parse(text: &str) -> Result<Tokens, String> {
        Tokens::parse(text, Path::new("t")).map_err(|error| error.to_string())
    }

    #[test]
    fn tokens_have_levels() {
        let tokens = parse(&format!("# a comment\n\n {ONE}\r\nadmin\t{TWO}\n")).unwrap();
        let level = |shown: &str| tokens.level_of(shown.as_bytes(), Level::User);
        assert_eq!((level(ONE), level(TWO)), (Some(Level::User), Some(Level::Admin)));
        for shown in ["", "0", &ONE[1..], &format!("{ONE}0"), "# a comment"] {
            assert_eq!(level(shown), None, "{shown}");
        }
        assert_eq!(format!("{tokens:?}"), "2 tokens");
    }

    #[test]
    fn faults_name_file_and_line() {
        for (text, says) in [
            ("", "t has no token"),
            ("# x\n", "t has no token"),
            ("abc\n", "t, line 1: a token of 3 letters could be guessed"),
            (
                &format!("{ONE}\nroot {TWO}\n"),
                "t, line 2: the word before a token must be user, operator or admin",
            ),
            (&format!("a {ONE} b"), "t, line 1: more than two words"),
            (&format!("{ONE}é"), "t, line 1: a token has letters"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(says), "{error}");
            assert!(!error.contains(ONE) && !error.contains(TWO), "{error}");
        }
        let error = Tokens::load(Path::new("/nowhere/t")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read the tokens in /nowhere/t: "), "{error}");
    }
}
