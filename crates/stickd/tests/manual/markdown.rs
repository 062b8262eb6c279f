//! docs/keywords.md.

use std::fmt::Write;

use stickd::config::{Place, keywords};

const HEAD: &str = "\
# Keywords

Every word that the configuration takes, with its arguments and its default. `stickd help KEYWORD` prints an entry. [configuration.md](configuration.md)
describes how stickd reads files of HAProxy; [hub.md](hub.md), [members.md](members.md), [http.md](http.md) and [state.md](state.md) explain the words in
their context.

Sizes are HAProxy's (`1k` is 1024), and so are times (`500` and `500ms`, `30s`, `5m`, `1h`, `1d`). Words in capitals stand for values, `[…]` may be left out, `…`
may be repeated, and `|` separates alternatives. A test writes this page from the table that the parser reads: `cargo test -p stickd --test manual`.
";

/// The page.
pub(crate) fn keywords() -> String {
    let mut text = HEAD.to_owned();
    for place in Place::ALL {
        let here: Vec<_> = keywords::all().iter().filter(|keyword| keyword.places.contains(&place)).collect();
        if here.is_empty() {
            continue;
        }
        let _ = write!(text, "\n## {}\n", place.title());
        for keyword in here {
            let _ = write!(
                text,
                "\n### `{}`\n\n```text\n{}\n```\n\n{}",
                keyword.word,
                keyword.usage,
                escaped(keyword.text)
            );
            if let Some(default) = keyword.default {
                let _ = write!(text, " Default: {}.", escaped(default));
            }
            text.push('\n');
        }
    }
    text
}

/// What Markdown would take for markup.
fn escaped(text: &str) -> String {
    text.replace('*', "\\*").replace('<', "&lt;").replace('_', "\\_")
}
