//! What strangers said, as it is shown to people: in logs, in `show peers`, on terminals.
//!
//! Anybody who reaches the listener chooses these words. Escaped they stay one word of one line, cannot move a terminal's cursor
//! and cannot turn the direction of text.

use std::borrow::Cow;

/// Most bytes of a name that are shown; those in use are shorter.
const MAX_SHOWN: usize = 255;

/// Bytes as text: what cannot be printed is escaped as in Rust (`\n`, `\u{202e}`), backslashes too, what is not UTF-8 becomes
/// U+FFFD, and beyond 255 bytes the text is cut. Escape once, where a text is made of the words: the result is left as it is.
pub fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..MAX_SHOWN).unwrap_or(bytes);
    let mut text = String::new();
    for letter in String::from_utf8_lossy(start).chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            _ if is_printable(letter) => text.push(letter),
            _ => text.extend(letter.escape_debug()),
        }
    }
    if bytes.len() > MAX_SHOWN {
        text.push('…');
    }
    text
}

/// A text that may hold words of strangers, as a part of one line: what cannot be printed is escaped, all else stays.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if is_printable(letter) {
            out.push(letter);
        } else {
            out.extend(letter.escape_debug());
        }
    }
    Cow::Owned(out)
}

/// Whether a character stands for itself on one line: no control character (C0, DEL, C1), no line or paragraph separator, no
/// format character (bidi overrides, zero width), no blank but the space, nothing unassigned.
pub fn is_printable(letter: char) -> bool {
    // The standard library escapes quotes as well.
    matches!(letter, '\'' | '"' | '\\') || letter.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shown(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(shown(&[b'x'; MAX_SHOWN]), "x".repeat(MAX_SHOWN));
        assert_eq!(shown(&[b'x'; MAX_SHOWN + 1]), "x".repeat(MAX_SHOWN) + "…");
        assert_eq!(shown(&[b'\n'; MAX_SHOWN + 1]), "\\n".repeat(MAX_SHOWN) + "…");
    }

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        for (text, escaped) in [
            ("lb1", "lb1"),
            ("it's \"é日\"", "it's \"é日\""),
            ("a\nb\r\t", "a\\nb\\r\\t"),
            ("\0\u{1b}[2K\u{7f}\u{85}\u{9b}", "\\0\\u{1b}[2K\\u{7f}\\u{85}\\u{9b}"),
            ("\u{2028}\u{2029}\u{202e}\u{2066}", "\\u{2028}\\u{2029}\\u{202e}\\u{2066}"),
            ("\u{200b}\u{feff}\u{a0}\u{e0041}", "\\u{200b}\\u{feff}\\u{a0}\\u{e0041}"),
        ] {
            assert_eq!(shown(text.as_bytes()), escaped);
            assert_eq!(one_line(text), escaped);
            assert_eq!(one_line(escaped), escaped, "once");
        }
        // A newline and a backslash with an n are told apart.
        assert_eq!((shown(b"\n"), shown(b"\\n")), ("\\n".to_owned(), "\\\\n".to_owned()));
        assert_eq!(one_line("\\n"), "\\n");
    }
}
