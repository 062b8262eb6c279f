//! `stick on`, `stick match`, `stick store-request` and `stick store-response` of a proxy: what they say of a table.
//!
//! HAProxy adds `server_id` and `server_key` to a table that such a line uses, whatever its `store` list says
//! (stick-tables §1). The line itself is for traffic, so its sample and its condition are passed over.

use super::arguments::{Arguments, Report, Word};

/// What may follow `stick`.
const RULES: [&str; 4] = ["on", "match", "store-request", "store-response"];

/// A line that uses a table.
#[derive(Clone, Debug)]
pub(super) struct StickRule {
    /// The keyword and the kind of rule.
    pub(super) word: Word,
    /// The table behind `table`; that of the proxy when there is none.
    pub(super) table: Option<Word>,
}

impl StickRule {
    /// Reads what follows `stick`. `None` after a fault, which is reported.
    pub(super) fn parse(mut arguments: Arguments<'_>, report: &mut Report) -> Option<Self> {
        let keyword = arguments.keyword();
        let example = "stick on src table t1";
        let rule = arguments.value(keyword, "a kind of rule", example, report)?;
        if !RULES.contains(&rule.text.as_str()) {
            report.unknown(rule, "stick rule", "after stick", &RULES);
            return None;
        }
        arguments.value(rule, "a sample", example, report)?;
        let word = Word { text: format!("{} {}", keyword.text, rule.text), span: keyword.span.to(rule.span) };
        let is_condition = |word: &Word| matches!(word.text.as_str(), "if" | "unless");
        while let Some(next) = arguments.next().filter(|next| !is_condition(next)) {
            if next.text == "table" {
                let table = arguments.value(next, "the name of a table", example, report)?.clone();
                return Some(Self { word, table: Some(table) });
            }
        }
        Some(Self { word, table: None })
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    #[test]
    fn the_table_of_a_rule_is_found() {
        for (line, table) in [
            ("stick on src", None),
            ("stick on src table t", Some("t")),
            ("stick match req.hdr(x,1) table p/t if { path /table } table", Some("p/t")),
            ("stick store-request url_param(id) unless { src table }", None),
            ("stick store-response res.cook(JSESSIONID) table t", Some("t")),
        ] {
            let mut report = Report::default();
            let rule = StickRule::parse(Arguments::new(&words(line)).unwrap(), &mut report).unwrap();
            assert_eq!(rule.table.as_ref().map(|word| word.text.as_str()), table, "{line}");
            assert_eq!(titles(&report), [""; 0]);
        }
    }

    #[test]
    fn what_is_wrong_is_reported() {
        for (line, title) in [
            ("stick", "\"stick\" needs a kind of rule"),
            ("stick on", "\"on\" needs a sample"),
            ("stick onn src", "unknown stick rule \"onn\""),
            ("stick on src table", "\"table\" needs the name of a table"),
        ] {
            let mut report = Report::default();
            assert!(StickRule::parse(Arguments::new(&words(line)).unwrap(), &mut report).is_none());
            assert_eq!(titles(&report), [title]);
        }
    }
}
