//! What was taken of a HAProxy's files, in a line each.

use std::fmt;

/// Names that are listed.
const MOST_NAMES: usize = 8;

/// What was taken of a file, what was left out and why, and how many lines were not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The file.
    pub file: String,
    /// Sections that name this node.
    pub sections: Vec<String>,
    /// Tables that are shared in them, by their full names.
    pub tables: Vec<String>,
    /// Lines of these.
    pub lines: usize,
    /// Lines of `global`.
    pub of_global: usize,
    /// Sections that do not name this node.
    pub other_sections: Vec<String>,
    /// Tables that are shared in none of the sections that were taken.
    pub other_tables: Vec<String>,
    /// Lines that were not read.
    pub not_read: usize,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, sections, tables, lines, of_global, other_sections, other_tables, not_read } = self;
        write!(f, "taken from {file}: ")?;
        match (&sections[..], &tables[..]) {
            ([], []) => f.write_str("nothing")?,
            (sections, tables) => {
                write!(
                    f,
                    "{}{}",
                    Names("section", sections),
                    if tables.is_empty() || sections.is_empty() { "" } else { ", " }
                )?;
                write!(f, "{} ({})", Names("table", tables), counted(*lines, "line"))?;
            }
        }
        if *of_global > 0 {
            write!(f, ", {} of global", counted(*of_global, "line"))?;
        }
        if !other_sections.is_empty() {
            let verb = if other_sections.len() == 1 { "does" } else { "do" };
            write!(f, "; left out: {}, which {verb} not name this node", Names("section", other_sections))?;
        }
        if !other_tables.is_empty() {
            let verb = if other_tables.len() == 1 { "is" } else { "are" };
            write!(
                f,
                "; left out: {}, which {verb} not shared with this node",
                Names("table", other_tables)
            )?;
        }
        write!(f, "; {} not read", counted(*not_read, "line"))
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A word and some names.
struct Names<'n>(&'n str, &'n [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(word, names) = self;
        if names.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
        write!(f, "{word}{} {}", if names.len() == 1 { "" } else { "s" }, shown.join(", "))?;
        match names.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_one_line_however_much_there_is() {
        let names = |count: usize| (0..count).map(|number| format!("t{number}")).collect::<Vec<_>>();
        let taken = Taken {
            file: "a.cfg".to_owned(),
            sections: names(1),
            tables: names(2),
            lines: 7,
            of_global: 1,
            other_sections: names(2),
            other_tables: names(10),
            not_read: 900,
        };
        assert_eq!(
            taken.to_string(),
            "taken from a.cfg: section t0, tables t0, t1 (7 lines), 1 line of global; left out: sections t0, t1, which do not \
             name this node; left out: tables t0, t1, t2, t3, t4, t5, t6, t7 and 2 more, which are not shared with this node; \
             900 lines not read"
        );
        let nothing = Taken { file: "b.cfg".to_owned(), not_read: 1, ..Taken::default() };
        assert_eq!(nothing.to_string(), "taken from b.cfg: nothing; 1 line not read");
    }
}
