//! `.if`, `.notice` and the other words with a dot: conditions and messages of HAProxy's configuration.

use super::arguments::{Arguments, Report, suggest};
use super::diagnostic::Diagnostic;

/// The words with a dot.
const DIRECTIVES: [&str; 8] = [".if", ".elif", ".else", ".endif", ".diag", ".notice", ".warning", ".alert"];

/// Reads a line that begins with a dot.
///
/// HAProxy's conditions ask for versions and features of HAProxy, so they have no answer here. Messages are taken: `.alert` is what
/// refuses a configuration, `.warning` and `.notice` are shown, `.diag` is for a mode that stickd does not have.
pub(super) fn line(arguments: &Arguments<'_>, report: &mut Report) {
    let keyword = arguments.keyword();
    let text = keyword.text.as_str();
    let message = arguments.clone().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    match text {
        ".if" | ".elif" | ".else" | ".endif" => report.push(
            Diagnostic::error(keyword.span, format!("\"{text}\" is not supported"))
                .label("HAProxy's, not stickd's")
                .help("conditions ask for versions and features of HAProxy: write the lines that are meant"),
        ),
        ".alert" => report.push(
            Diagnostic::error(keyword.span, format!("the configuration says: {message}"))
                .label("an alert refuses the configuration"),
        ),
        ".warning" | ".notice" => {
            report.push(Diagnostic::warning(keyword.span, format!("the configuration says: {message}")));
        }
        ".diag" => {}
        _ => {
            let error = Diagnostic::error(keyword.span, format!("unknown word \"{text}\""));
            report.push(suggest(error.label("not known in a configuration"), text, &DIRECTIVES));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::tests::{titles, words};
    use super::*;

    #[test]
    fn conditions_are_refused_and_messages_are_shown() {
        for (text, errors, title) in [
            (".if defined(X)", 1, &["\".if\" is not supported"][..]),
            (".endif", 1, &["\".endif\" is not supported"]),
            (".alert 'no such host'", 1, &["the configuration says: no such host"]),
            (".warning a b", 0, &["the configuration says: a b"]),
            (".notice x", 0, &["the configuration says: x"]),
            (".diag x", 0, &[]),
            (".iff x", 1, &["unknown word \".iff\""]),
        ] {
            let mut report = Report::default();
            line(&Arguments::new(&words(text)).unwrap(), &mut report);
            assert_eq!((report.errors(), titles(&report)), (errors, title.to_vec()), "{text}");
        }
    }
}
