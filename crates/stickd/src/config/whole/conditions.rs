//! `.if` and its kin in a HAProxy's file. Some conditions have an answer for everybody, others only a HAProxy knows.

use super::super::arguments::Word;
use super::super::source::Span;

/// The words that begin, change and end a condition.
pub(super) const WORDS: [&str; 4] = [".if", ".elif", ".else", ".endif"];

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    /// Only a HAProxy knows: it asks for its version, its features, its command line.
    Unknown,
}

/// The conditions around the next line.
#[derive(Debug, Default)]
pub(super) struct Conditions(Vec<Branch>);

#[derive(Debug)]
struct Branch {
    /// The `.if`.
    span: Span,
    /// Whether the lines of the present branch are read.
    is_read: Truth,
    /// Whether a branch before this one was read.
    was_read: Truth,
}

impl Conditions {
    /// Reads a line that begins with one of [`WORDS`]. Faults there are HAProxy's business.
    pub(super) fn line(&mut self, words: &[Word]) {
        let Some((keyword, arguments)) = words.split_first() else { return };
        let condition = || {
            let texts: Vec<_> = arguments.iter().map(|word| word.text.as_str()).collect();
            evaluate(&texts.join(" "))
        };
        match (keyword.text.as_str(), self.0.last_mut()) {
            (".if", _) => {
                self.0.push(Branch { span: keyword.span, is_read: condition(), was_read: Truth::No });
            }
            (".elif", Some(branch)) => {
                branch.was_read = branch.was_read.or(branch.is_read);
                branch.is_read = branch.was_read.not().and(condition());
            }
            (".else", Some(branch)) => {
                branch.was_read = branch.was_read.or(branch.is_read);
                branch.is_read = branch.was_read.not();
            }
            (".endif", _) => {
                self.0.pop();
            }
            _ => {}
        }
    }

    /// Whether the next line is not read by any HAProxy.
    pub(super) fn are_false(&self) -> bool {
        self.0.iter().any(|branch| branch.is_read == Truth::No)
    }

    /// The `.if` around the next line whose answer is not known, if there is one.
    pub(super) fn unknown(&self) -> Option<Span> {
        self.0.iter().find(|branch| branch.is_read == Truth::Unknown).map(|branch| branch.span)
    }
}

impl Truth {
    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, Self::Yes) => Self::Yes,
            _ => Self::Unknown,
        }
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

impl From<bool> for Truth {
    fn from(is_true: bool) -> Self {
        if is_true { Self::Yes } else { Self::No }
    }
}

/// Evaluates a condition without parentheses other than those of its functions. Variables were replaced before.
fn evaluate(text: &str) -> Truth {
    if let Some((left, right)) = text.split_once("||") {
        return evaluate(left).or(evaluate(right));
    }
    if let Some((left, right)) = text.split_once("&&") {
        return evaluate(left).and(evaluate(right));
    }
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('!') {
        return evaluate(rest).not();
    }
    if text.is_empty() {
        return Truth::No;
    }
    if let Ok(number) = text.parse::<i64>() {
        return Truth::from(number != 0);
    }
    let Some((function, arguments)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
        return Truth::Unknown;
    };
    let arguments: Vec<_> = arguments.split(',').map(str::trim).collect();
    match (function, &arguments[..]) {
        ("streq", [left, right]) => Truth::from(left == right),
        ("strneq", [left, right]) => Truth::from(left != right),
        ("strstr", [text, part]) => Truth::from(text.contains(part)),
        _ => Truth::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::arguments::tests::words;
    use super::*;

    #[test]
    fn conditions_have_three_answers() {
        for (text, truth) in [
            ("", Truth::No),
            ("1", Truth::Yes),
            ("0", Truth::No),
            ("!0", Truth::Yes),
            ("streq(a,a)", Truth::Yes),
            ("strneq(a,a) || 1", Truth::Yes),
            ("strstr(abc,b) && 0", Truth::No),
            ("version_atleast(2.4)", Truth::Unknown),
            ("version_atleast(2.4) && 0", Truth::No),
            ("feature(OPENSSL) || 1", Truth::Yes),
            ("(1)", Truth::Unknown),
        ] {
            assert_eq!(evaluate(text), truth, "{text}");
        }
    }

    #[test]
    fn branches_exclude_each_other() {
        let mut conditions = Conditions::default();
        let state = |conditions: &Conditions| (conditions.are_false(), conditions.unknown().is_some());
        for (line, expected) in [
            (".if streq(a,b)", (true, false)),
            (".elif 1", (false, false)),
            (".if feature(X)", (false, true)),
            (".else", (false, true)),
            (".endif", (false, false)),
            (".else", (true, false)),
            (".endif", (false, false)),
            (".endif", (false, false)),
            (".else", (false, false)),
        ] {
            conditions.line(&words(line));
            assert_eq!(state(&conditions), expected, "{line}");
        }
    }
}
