//! Results as text: aligned for a terminal, and as Markdown.

use std::fmt::Write;

use crate::statistics::Series;

/// A table of results with what has to be known to read it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) notes: Vec<String>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(title: impl Into<String>, header: &[&str]) -> Self {
        let header = header.iter().map(|&word| word.to_owned()).collect();
        Self { title: title.into(), header, ..Self::default() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a line below.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// For a terminal.
    pub(crate) fn plain(&self) -> String {
        let widths = self.widths();
        let mut text = format!("{}\n", self.title);
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
                let pad = " ".repeat(width - cell.chars().count());
                if self.is_text(column) { format!("{cell}{pad}") } else { format!("{pad}{cell}") }
            });
            format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        text += &line(&self.header);
        self.rows.iter().for_each(|row| text += &line(row));
        self.notes.iter().for_each(|note| text += &format!("  {note}\n"));
        text
    }

    /// For a document; titles are headings of the third level.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n", self.title);
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        text += &line(&self.header);
        let rule = (0..self.header.len()).map(|column| if self.is_text(column) { "---" } else { "---:" });
        text += &line(&rule.map(str::to_owned).collect::<Vec<_>>());
        self.rows.iter().for_each(|row| text += &line(row));
        for note in &self.notes {
            write!(text, "\n{note}\n").expect("writing to a string cannot fail");
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(move |row| row.get(column));
            cells.chain(self.header.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..self.header.len()).map(width).collect()
    }

    /// Whether a column has no numbers: those are aligned on the left.
    fn is_text(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column)).filter(|cell| *cell != "–");
        cells.any(|cell| !cell.starts_with(|first: char| first.is_ascii_digit() || "≤<≥".contains(first)))
    }
}

/// `median (smallest–largest)`, or the median alone when there was one round; `digits` after the point.
pub(crate) fn spread(series: &Series, digits: usize) -> String {
    match (series.median(), series.range()) {
        (Some(median), Some((min, max))) if min < max => {
            format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
        }
        (Some(median), _) => format!("{median:.digits$}"),
        _ => "–".to_owned(),
    }
}

/// `10 k`, `1 M`, or the number.
pub(crate) fn count(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ if number.is_multiple_of(1_000_000) => format!("{} M", number / 1_000_000),
        _ if number.is_multiple_of(1_000) => format!("{} k", number / 1_000),
        _ => number.to_string(),
    }
}

/// `8.3 ×`.
pub(crate) fn times(ratio: f64) -> String {
    format!("{ratio:.1} ×")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new("Learn", &["entries", "subject", "ns"]);
        table.row(["10 k".into(), "stickd".into(), "9".into()]);
        table.row(["1 M".into(), "HAProxy 2.6.12".into(), "1031 (980–1100)".into()]);
        table.note("ns: CPU.");
        table
    }

    #[test]
    fn plain_tables_are_aligned() {
        let expected = "\
Learn
  entries  subject                      ns
     10 k  stickd                        9
      1 M  HAProxy 2.6.12  1031 (980–1100)
  ns: CPU.
";
        assert_eq!(example().plain(), expected);
    }

    #[test]
    fn markdown_tables_have_a_rule() {
        let expected = "\
### Learn

| entries | subject | ns |
| ---: | --- | ---: |
| 10 k | stickd | 9 |
| 1 M | HAProxy 2.6.12 | 1031 (980–1100) |

ns: CPU.
";
        assert_eq!(example().markdown(), expected);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            (count(500), count(10_000), count(4_000_000)),
            ("500".into(), "10 k".into(), "4 M".into())
        );
        assert_eq!(count(1_048_576), "1048576");
        assert_eq!(spread(&[3.0, 1.0, 2.0].into_iter().collect(), 1), "2.0 (1.0–3.0)");
        assert_eq!(spread(&[3.0].into_iter().collect(), 0), "3");
        assert_eq!(spread(&Series::default(), 0), "–");
        assert_eq!(times(8.345), "8.3 ×");
    }
}
