//! Makes one printable line of whatever a formatter wrote.

use haproxy_peers::is_printable;

/// How what cannot be printed is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// As in Rust: `\n`, `\u{202e}`.
    Text,
    /// As in the strings of JSON, which are the only place where it can stand: `\u202e`.
    Json,
}

impl Escape {
    /// A line with its end, and nothing in between that would end it, move a cursor or turn the direction of text.
    pub(super) fn line(self, line: &[u8]) -> Vec<u8> {
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let plain = content.iter().all(|byte| (0x20..0x7f).contains(byte));
        let mut out = Vec::with_capacity(line.len() + 1);
        if plain {
            out.extend_from_slice(content);
        } else {
            for letter in String::from_utf8_lossy(content).chars() {
                self.put(letter, &mut out);
            }
        }
        out.push(b'\n');
        out
    }

    fn put(self, letter: char, out: &mut Vec<u8>) {
        let mut bytes = [0; 4];
        match self {
            _ if is_printable(letter) => out.extend_from_slice(letter.encode_utf8(&mut bytes).as_bytes()),
            Self::Text => out.extend_from_slice(letter.escape_debug().to_string().as_bytes()),
            Self::Json => {
                let mut units = [0; 2];
                for unit in letter.encode_utf16(&mut units) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(escape: Escape, line: &str) -> String {
        String::from_utf8(escape.line(line.as_bytes())).unwrap()
    }

    #[test]
    fn a_line_is_one_line() {
        for (line, expected) in [
            ("plain \"words\" \\n\n", "plain \"words\" \\n\n"),
            ("no end", "no end\n"),
            ("two\nlines\r\n", "two\\nlines\\r\n"),
            ("\u{1b}[2K\u{9b}\u{7f}\n", "\\u{1b}[2K\\u{9b}\\u{7f}\n"),
            ("é日\u{2028}\u{202e}\u{e0041}\n", "é日\\u{2028}\\u{202e}\\u{e0041}\n"),
        ] {
            assert_eq!(text(Escape::Text, line), expected);
        }
        assert_eq!(Escape::Text.line(b"\xff\n"), "\u{fffd}\n".as_bytes());
    }

    #[test]
    fn json_stays_json() {
        let line = "{\"peer\":\"é\u{202e}\u{9b}\u{e0041}\"}\n";
        assert_eq!(text(Escape::Json, line), "{\"peer\":\"é\\u202e\\u009b\\udb40\\udc41\"}\n");
    }
}
