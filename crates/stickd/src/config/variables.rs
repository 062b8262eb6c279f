//! Variables: those of `global`, in front of the environment.

use std::collections::{BTreeMap, BTreeSet};

use super::arguments::{Arguments, Report};

/// What `setenv`, `presetenv`, `unsetenv` and `resetenv` say.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// Values by name; `None` for a variable that was removed.
    values: BTreeMap<String, Option<String>>,
    /// The variables of the environment that are left after `resetenv`; all without such a line.
    kept: Option<BTreeSet<String>>,
}

impl Variables {
    /// The value of a variable, which comes from `outside` if no line says otherwise.
    pub(super) fn get(&self, name: &str, outside: impl FnOnce(&str) -> Option<String>) -> Option<String> {
        match self.values.get(name) {
            Some(value) => value.clone(),
            None if self.kept.as_ref().is_some_and(|kept| !kept.contains(name)) => None,
            None => outside(name),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), Some(value.to_owned()));
    }

    /// Reads `unsetenv NAME…`, which removes variables, or `resetenv [NAME…]`, which keeps no others.
    pub(super) fn line(&mut self, mut arguments: Arguments<'_>, report: &mut Report) {
        let keyword = arguments.keyword();
        let mut names = arguments.clone().map(|word| word.text.clone());
        if keyword.text == "unsetenv" {
            if arguments.value(keyword, "the name of a variable", "unsetenv NAME", report).is_some() {
                self.values.extend(names.map(|name| (name, None)));
            }
            return;
        }
        let named: BTreeSet<_> = names.by_ref().collect();
        self.values.retain(|name, _| named.contains(name));
        self.kept = Some(match self.kept.take() {
            Some(kept) => kept.intersection(&named).cloned().collect(),
            None => named,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    fn after(lines: &[&str]) -> (String, Report) {
        let (mut variables, mut report) = (Variables::default(), Report::default());
        for line in lines {
            let words = words(line);
            match line.strip_prefix("setenv ") {
                Some(name) => variables.set(name, "set"),
                None => variables.line(Arguments::new(&words).unwrap(), &mut report),
            }
        }
        let value = |name| variables.get(name, |_| Some("outside".to_owned())).unwrap_or_default();
        (["A", "B", "C"].map(value).join(","), report)
    }

    #[test]
    fn variables_are_set_and_removed() {
        for (lines, values) in [
            (&[][..], "outside,outside,outside"),
            (&["setenv A"], "set,outside,outside"),
            (&["setenv A", "unsetenv A B"], ",,outside"),
            (&["unsetenv A", "setenv A"], "set,outside,outside"),
            (&["setenv A", "setenv B", "resetenv B C"], ",set,outside"),
            (&["resetenv A B", "resetenv B C"], ",outside,"),
            (&["resetenv"], ",,"),
        ] {
            let (found, report) = after(lines);
            assert_eq!(found, values, "{lines:?}");
            assert_eq!(titles(&report), [""; 0]);
        }
        assert_eq!(titles(&after(&["unsetenv"]).1), ["\"unsetenv\" needs the name of a variable"]);
    }
}
