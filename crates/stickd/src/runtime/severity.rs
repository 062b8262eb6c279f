//! `set severity-output`: whether messages begin with how grave they are.

use super::reply::Reply;
use crate::config::SeverityOutput;

/// How grave a message is, as in syslog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The command was not carried out.
    Error,
    /// It was.
    Info,
}

impl Severity {
    const fn number(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Info => 6,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Error => "err",
            Self::Info => "info",
        }
    }
}

impl SeverityOutput {
    /// Runs `set severity-output` with its argument.
    pub(crate) fn set(&mut self, arguments: &[Vec<u8>]) -> Reply {
        let word = arguments.first().and_then(|word| str::from_utf8(word).ok());
        let Some(output) = word.and_then(Self::from_word) else {
            return Reply::line("one of 'none', 'number', 'string' is a required argument");
        };
        *self = output;
        Reply::done()
    }

    /// A message with what stands before it.
    pub(crate) fn mark(self, severity: Severity, text: String) -> String {
        match self {
            Self::None => text,
            Self::Number => format!("[{}]: {text}", severity.number()),
            Self::String => format!("[{}]: {text}", severity.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_marked_as_the_connection_wants() {
        let mut output = SeverityOutput::default();
        let mark = |output: SeverityOutput, severity| output.mark(severity, "text\n".to_owned());
        for (word, error, info) in [
            ("none", "text\n", "text\n"),
            ("number", "[3]: text\n", "[6]: text\n"),
            ("string", "[err]: text\n", "[info]: text\n"),
        ] {
            assert!(matches!(output.set(&[word.into()]), Reply::Text(text) if text.is_empty()));
            assert_eq!(
                (mark(output, Severity::Error), mark(output, Severity::Info)),
                (error.into(), info.into())
            );
        }
        assert!(matches!(output.set(&["x".into()]), Reply::Message(Severity::Error, _)));
        assert_eq!(output, SeverityOutput::String, "it stays");
    }
}
