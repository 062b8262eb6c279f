//! Splits a line of the runtime socket into commands and a command into words, by the rules of HAProxy's socket.
//!
//! These are not the rules of configuration files: quotes and `#` mean nothing, and a backslash takes away the special
//! meaning of whatever character follows it (` `, `;`, `\` or a line end) and disappears.

use thiserror::Error;

/// Most words of a command, as in HAProxy.
pub(crate) const MAX_WORDS: usize = 64;

/// A command with more than [`MAX_WORDS`] words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Too many arguments. Commands must have at most {MAX_WORDS} arguments.")]
pub(crate) struct TooManyWords;

/// Place of the line's end, the first `\n` that is not escaped, in `bytes`.
pub(crate) fn line_end(bytes: &[u8]) -> Option<usize> {
    unescaped(bytes, b'\n').next()
}

/// The commands of a line: what stands between `;` that are not escaped. At least one, possibly empty.
pub(crate) fn commands(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut from = 0;
    let ends = unescaped(line, b';').chain([line.len()]);
    ends.map(move |end| {
        let command = &line[from..end];
        from = end + 1;
        command
    })
}

/// The words of a command, escapes resolved. Bytes, because keys need not be text.
///
/// # Errors
/// When there are more than [`MAX_WORDS`].
pub(crate) fn words(command: &[u8]) -> Result<Vec<Vec<u8>>, TooManyWords> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = command.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => words.extend(word.take()),
            b'\\' => {
                let word = word.get_or_insert_default();
                word.extend(bytes.next());
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    if words.len() > MAX_WORDS { Err(TooManyWords) } else { Ok(words) }
}

/// Places of a byte where no backslash stands before it.
fn unescaped(bytes: &[u8], wanted: u8) -> impl Iterator<Item = usize> {
    let mut escaped = false;
    bytes.iter().enumerate().filter_map(move |(place, &byte)| {
        let found = byte == wanted && !escaped;
        escaped = byte == b'\\' && !escaped;
        found.then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(command: &str) -> Vec<String> {
        words(command.as_bytes()).unwrap().into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn commands_end_at_semicolons() {
        for (line, expected) in [
            ("a b", &["a b"][..]),
            ("a;b", &["a", "b"]),
            ("a;;b;", &["a", "", "b", ""]),
            (r"a\;b;c", &[r"a\;b", "c"]),
            (r"a\\;b", &[r"a\\", "b"]),
            ("", &[""]),
        ] {
            let split: Vec<_> = commands(line.as_bytes()).collect();
            let expected: Vec<_> = expected.iter().map(|command| command.as_bytes()).collect();
            assert_eq!(split, expected, "{line}");
        }
    }

    #[test]
    fn words_are_separated_by_blanks_and_backslashes_disappear() {
        for (command, expected) in [
            ("", &[][..]),
            ("  \t\r", &[]),
            (" show\t table  t\r", &["show", "table", "t"]),
            (r"a\ b \\ \; \n", &["a b", "\\", ";", "n"]),
            (r#""a 'b" #c"#, &["\"a", "'b\"", "#c"]),
            (r"\", &[""]),
        ] {
            assert_eq!(split(command), expected, "{command}");
        }
        assert_eq!(words(b"a ".repeat(64).as_slice()).unwrap().len(), 64);
        assert_eq!(words(b"a ".repeat(65).as_slice()), Err(TooManyWords));
    }

    #[test]
    fn an_escaped_line_end_does_not_end_the_line() {
        assert_eq!(line_end(b"a b"), None);
        assert_eq!(line_end(b"a b\nc\n"), Some(3));
        assert_eq!(line_end(b"a\\\nb\n"), Some(4));
        assert_eq!(line_end(b"a\\\\\nb\n"), Some(3));
    }

    proptest! {
        #[test]
        fn commands_put_together_are_the_line(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            let parts: Vec<_> = commands(&line).collect();
            prop_assert_eq!(parts.join(&b';'), line.clone());
            for part in parts {
                prop_assert!(words(part).unwrap().iter().map(Vec::len).sum::<usize>() <= part.len());
            }
        }
    }
}
