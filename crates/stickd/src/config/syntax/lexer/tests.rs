//! Lines, their words and their faults.

use proptest::prelude::*;

use super::*;

fn variables(name: &str) -> Option<String> {
    match name {
        "NAME" => Some("value".to_owned()),
        "LIST" => Some(" a  b c ".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn words(line: &str) -> Vec<String> {
    let line = split(line, Rules::CONFIGURATION, &variables).unwrap();
    line.words.into_iter().map(|word| word.text).collect()
}

#[test]
fn blanks_separate_and_comments_end() {
    for (line, expected) in [
        ("", &[][..]),
        ("  \t \r", &[]),
        ("# all", &[]),
        (" a\tb  c\r", &["a", "b", "c"]),
        ("a#b c", &["a"]),
        (r"a\#b c", &["a#b", "c"]),
        (r#"'a # b' "c # d""#, &["a # b", "c # d"]),
        ("é ü", &["é", "ü"]),
    ] {
        assert_eq!(words(line), expected, "{line}");
    }
}

#[test]
fn escapes_and_quotes() {
    for (line, expected) in [
        (r"a\ b", &["a b"][..]),
        (r"a\\b \'x\' \q", &["a\\b", "'x'", "\\q"]),
        (r"\n\r\t\x41\xc3\xa9", &["\n\r\tAé"]),
        (r#"a"b c"'d e'f"#, &["ab cd ef"]),
        (r#""" ''"#, &["", ""]),
        (r#"'$NAME \n "x"' "it's""#, &[r#"$NAME \n "x""#, "it's"]),
        (r#""a\"b\$NAME""#, &["a\"b$NAME"]),
        (r"$NAME \$", &["$NAME", "\\$"]),
    ] {
        assert_eq!(words(line), expected, "{line}");
    }
}

#[test]
fn variables_are_replaced_in_double_quotes() {
    for (line, expected) in [
        (r#""$NAME""#, &["value"][..]),
        (r#"x"${NAME}y"z"#, &["xvalueyz"]),
        (r#""${NONE-some thing}""#, &["some thing"]),
        (r#""${EMPTY-default}""#, &[""]),
        (r#""${NONE-}""#, &[""]),
        (r#"x "${LIST[*]}" y"#, &["x", "a", "b", "c", "y"]),
        (r#""${LIST}""#, &[" a  b c "]),
        (r#""${NONE[*]-d e}""#, &["d", "e"]),
    ] {
        assert_eq!(words(line), expected, "{line}");
    }
    let line = split(r#"a "$NONE""#, Rules::CONFIGURATION, &variables).unwrap();
    assert_eq!(line.unset, [Word { text: "NONE".to_owned(), span: 3..8 }]);
    assert_eq!(line.words[1], Word { text: String::new(), span: 2..9 });
}

#[test]
fn what_is_wrong_has_a_place() {
    for (line, kind, span) in [
        ("a 'b", LexErrorKind::UnclosedQuote('\''), 2..3),
        ("a \"b", LexErrorKind::UnclosedQuote('"'), 2..3),
        ("a \\", LexErrorKind::TrailingBackslash, 2..3),
        ("a \\\r", LexErrorKind::TrailingBackslash, 2..3),
        (r"\x4", LexErrorKind::HexEscape, 0..2),
        (r"\x+1", LexErrorKind::HexEscape, 0..2),
        (r"\x00", LexErrorKind::Nul, 0..4),
        ("a\0", LexErrorKind::Nul, 1..2),
        (r"a \xff", LexErrorKind::NotUtf8, 2..6),
        (r#""$ ""#, LexErrorKind::VariableName, 1..2),
        (r#""${1}""#, LexErrorKind::VariableName, 1..3),
        (r#""${NAME+x}""#, LexErrorKind::VariableName, 1..10),
        (r#""${NAME""#, LexErrorKind::UnclosedBrace, 1..7),
    ] {
        let error = split(line, Rules::CONFIGURATION, &variables).unwrap_err();
        assert_eq!(error, LexError { kind, span }, "{line}");
    }
}

#[test]
fn characters_that_look_like_syntax_are_noted() {
    let noted = |line: &str, rules| -> Vec<_> {
        let line = split(line, rules, &variables).unwrap();
        line.lookalikes.into_iter().map(|found| (found.letter, found.span)).collect()
    };
    let rules = Rules::CONFIGURATION;
    assert_eq!(noted("peer\u{a0}me x\u{3000}y", rules), [('\u{a0}', 4..6), ('\u{3000}', 10..13)]);
    assert_eq!(noted("a \u{201c}b\u{201d} l\u{2019}ete \u{200b}", rules).len(), 2);
    for line in ["'a\u{a0}b' \"\u{a0}\"", "a # \u{a0}", "été naïve"] {
        assert_eq!(noted(line, rules), [], "{line}");
    }
    assert_eq!(noted("a\u{a0}b", Rules::COMMAND), []);
}

#[test]
fn commands_have_no_quotes_and_no_comments() {
    let line = split(r#"show "a b" #c d\ e\;f k\x41l m\n i\\j \"q $NAME \é \"#, Rules::COMMAND, &variables);
    let words: Vec<_> = line.unwrap().words.into_iter().map(|word| word.text).collect();
    assert_eq!(
        words,
        ["show", "\"a", "b\"", "#c", "d e;f", "kx41l", "mn", "i\\j", "\"q", "$NAME", "é", "\\"]
    );
}

proptest! {
    #[test]
    fn spans_lie_in_the_line(line in r#"[ -~\t\\"'$\{\}#éüx0]{0,40}|\PC{0,20}"#) {
        for rules in [Rules::CONFIGURATION, Rules::COMMAND] {
            let spans = match split(&line, rules, &variables) {
                Ok(split) => split.words.into_iter().chain(split.unset).map(|word| word.span).collect(),
                Err(error) => vec![error.span],
            };
            for span in spans {
                prop_assert!(span.start <= span.end && line.get(span.clone()).is_some(), "{span:?}");
            }
        }
    }

    #[test]
    fn strong_quotes_keep_any_text(text in "[^'\0]{0,20}") {
        prop_assert_eq!(words(&format!("'{text}'")), [text]);
    }
}
