//! Entries before and after something happened to their holder.

use super::board::seconds;
use super::paint::Paint;
use super::snapshot::View;
use std::time::Duration;
use stickd_testkit::EntryDump;

/// Most by which a remaining lifetime may be off, in milliseconds.
const TOLERANCE: i64 = 1000;

/// Two looks at one holder, or at two that should hold the same.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    before: &'a View,
    after: &'a View,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(before: &'a View, after: &'a View) -> Self {
        Self { before, after }
    }

    /// Whether every entry of before is there with its counters, and with its remaining lifetime less the time that
    /// passed, give or take a second.
    pub(super) fn passes(&self) -> bool {
        self.before.count() > 0
            && self.before.count() == self.after.count()
            && self.pairs().all(|(_, before, after)| after.is_some_and(|after| self.same(before, after)))
    }

    /// One line a key, before and after side by side, below two lines of headings.
    pub(super) fn lines(&self, paint: Paint) -> Vec<String> {
        let bar = paint.dim("│");
        let sides = format!("{:>4} {:>4} {:>10}", "reqs", "gpc0", "left");
        let mut lines = vec![
            format!(
                " {:<12} {bar} {} {bar} {} {bar}",
                "",
                paint.bold(&format!("{:<20}", "before")),
                paint.bold(&format!("{:<20}", "after"))
            ),
            format!(
                " {:<12} {bar} {} {bar} {} {bar} {}",
                "client",
                paint.dim(&sides),
                paint.dim(&sides),
                paint.dim(&format!("{:>8} {:>12}", "elapsed", "difference"))
            ),
        ];
        for (key, before, after) in self.pairs() {
            let (found, difference, pass) = match after {
                Some(after) => (
                    side(after),
                    format!("{:+} ms", self.difference(before, after)),
                    self.same(before, after),
                ),
                None => ("missing".to_owned(), "-".to_owned(), false),
            };
            let elapsed = seconds(self.elapsed().as_millis() as u64);
            lines.push(format!(
                " {key:<12} {bar} {:>20} {bar} {found:>20} {bar} {elapsed:>8} {difference:>12}  {}",
                side(before),
                paint.verdict(pass)
            ));
        }
        lines
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &EntryDump, Option<&EntryDump>)> {
        let after = self.after.entries.as_ref();
        self.before
            .entries
            .iter()
            .flatten()
            .map(move |(key, entry)| (key.as_str(), entry, after.and_then(|entries| entries.get(key))))
    }

    fn elapsed(&self) -> Duration {
        self.after.at.saturating_duration_since(self.before.at)
    }

    /// By how many milliseconds more is left than should be.
    fn difference(&self, before: &EntryDump, after: &EntryDump) -> i64 {
        after.exp as i64 + self.elapsed().as_millis() as i64 - before.exp as i64
    }

    fn same(&self, before: &EntryDump, after: &EntryDump) -> bool {
        let counters = |entry: &EntryDump| ["http_req_cnt", "gpc0"].map(|name| entry.number(name));
        counters(before) == counters(after) && self.difference(before, after).abs() <= TOLERANCE
    }
}

fn side(entry: &EntryDump) -> String {
    let left = format!("{}.{:03} s", entry.exp / 1000, entry.exp % 1000);
    format!("{:>4} {:>4} {left:>10}", entry.number("http_req_cnt"), entry.number("gpc0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::time::Instant;

    fn view(at: Instant, entries: &[(&str, u64, u64)]) -> View {
        let entry = |&(key, requests, exp): &(&str, u64, u64)| {
            let fields = [("http_req_cnt", requests), ("gpc0", 0)];
            let fields = fields.map(|(name, value)| (name.to_owned(), value.to_string()));
            (key.to_owned(), EntryDump { uses: 0, exp, fields: BTreeMap::from(fields) })
        };
        View { name: "lb1", at, entries: Some(entries.iter().map(entry).collect()), sessions: Vec::new() }
    }

    #[test]
    fn lifetimes_run_on_in_between() {
        let start = Instant::now();
        let before = view(start, &[("a", 3, 60_000)]);
        let later = |requests, exp| view(start + Duration::from_secs(5), &[("a", requests, exp)]);
        let passes = |after: &View| Comparison::new(&before, after).passes();
        assert!(passes(&later(3, 55_000)) && passes(&later(3, 54_000)) && passes(&later(3, 56_000)));
        assert!(!passes(&later(3, 53_999)), "too little left");
        assert!(!passes(&later(3, 60_000)), "the whole lifetime again");
        assert!(!passes(&later(4, 55_000)), "another count");
        let text = Comparison::new(&before, &later(3, 54_988)).lines(Paint::none()).join("\n");
        assert!(text.contains("5.0 s") && text.contains("-12 ms  PASS"), "{text}");
    }

    #[test]
    fn every_entry_counts() {
        let now = Instant::now();
        let (none, one, two) =
            (view(now, &[]), view(now, &[("a", 1, 9)]), view(now, &[("a", 1, 9), ("b", 1, 9)]));
        assert!(Comparison::new(&two, &two).passes());
        assert!(!Comparison::new(&two, &one).passes(), "one is missing");
        assert!(!Comparison::new(&one, &two).passes(), "one too many");
        assert!(!Comparison::new(&none, &none).passes(), "nothing shows nothing");
        assert!(Comparison::new(&two, &one).lines(Paint::none())[3].contains("missing"));
    }
}
