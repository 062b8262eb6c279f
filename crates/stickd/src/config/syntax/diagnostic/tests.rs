//! What messages look like.

use super::*;

#[test]
fn a_word_s_control_characters_do_nothing_to_the_terminal() {
    let mut sources = Sources::default();
    let number = sources.add("a.cfg", "\"x\\ny\" \u{1b}[2J\n", false);
    let span = Span::new(number, 0, 6);
    let error =
        Diagnostic::error(span, "unknown keyword \"x\ny\u{e9}\"").label("\r").help("\u{1b}[2J \u{9b}");
    assert_eq!(error.title(), "unknown keyword \"x\\ny\u{e9}\"");
    let text = Diagnostics::new(sources, vec![error]).render(false);
    assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
    assert!(text.contains("help: \\u{1b}[2J \\u{9b}"), "{text}");
}

#[test]
fn a_diagnostic_shows_its_line_and_help() {
    let mut sources = Sources::default();
    let number = sources.add("a.cfg", "peers p\n  tabel t type ip\n", false);
    let error = Diagnostic::error(Span::new(number, 10, 15), "unknown keyword \"tabel\"")
        .label("not a keyword of a peers section")
        .related(Span::new(number, 0, 5), "in this section")
        .help("did you mean \"table\"?");
    let early = Diagnostic::warning(Span::new(number, 0, 5), "early");
    let all = Diagnostics::new(sources, vec![error, early]);
    let expected = "\
warning: early
 --> a.cfg:1:1
  |
1 | peers p
  | ^^^^^

error: unknown keyword \"tabel\"
 --> a.cfg:2:3
  |
2 |   tabel t type ip
  |   ^^^^^ not a keyword of a peers section
  |
 ::: a.cfg:1:1
  |
1 | peers p
  | ----- in this section
  |
  = help: did you mean \"table\"?

1 error, 1 warning
";
    assert_eq!(all.to_string(), expected);
    assert!(all.has_errors());
    assert!(all.render(true).contains("\u{1b}["));
}

#[test]
fn a_line_full_of_faults_shows_the_first_ones() {
    let mut sources = Sources::default();
    let number = sources.add("a.cfg", format!("{}\nx\n", "x ".repeat(1_000)), false);
    let places = (0..1_000).map(|word| 2 * word).chain([2_001]);
    let warnings = places.map(|at| Diagnostic::warning(Span::new(number, at, at + 1), "w"));
    let error = Diagnostic::error(Span::new(number, 1_998, 1_999), "the last word");
    let all = Diagnostics::new(sources, warnings.chain([error]).collect());
    assert!(all.has_errors());
    assert_eq!(all.iter().count(), MOST_OF_A_LINE + 2, "with the error, and the second line's");
    let text = all.render_all(false);
    assert!(text.ends_with("\n1 error, 21 warnings, 980 more in the same lines are not shown\n"), "{text}");
}

#[test]
fn a_screenful_has_errors_first_and_few_of_a_kind() {
    let mut sources = Sources::default();
    let number = sources.add("a.cfg", "word\n".repeat(200), false);
    let at = |line: usize| Span::new(number, 5 * line, 5 * line + 4);
    let warnings = (0..100).map(|n| Diagnostic::warning(at(n), format!("w{n}")).label("the same"));
    let error = |n| Diagnostic::error(at(n), format!("e{n}"));
    let all = Diagnostics::new(sources.clone(), warnings.clone().chain([error(150)]).collect());
    let text = all.render(false);
    let shown: Vec<_> = text.lines().filter(|line| line.starts_with(['w', 'e'])).collect();
    assert_eq!(shown, ["warning: w0", "warning: w1", "warning: w2", "error: e150"]);
    assert!(
        text.ends_with("\n... and 97 more, `stickd check --all` shows them\n\n1 error, 100 warnings\n"),
        "{text}"
    );
    assert!(all.render_all(false).lines().count() > 500);

    let all = Diagnostics::new(sources, warnings.chain((0..200).map(error)).collect()).and_more([800, 1]);
    let text = all.render(false);
    assert!(!text.contains("warning: ") && text.lines().count() <= SCREENFUL + 4, "{text}");
    assert!(text.ends_with("\n1,000 errors, 101 warnings\n"), "{text}");
    let hidden = 1_101 - text.matches("error: e").count();
    assert!(text.contains(&format!("... and {} more", thousands(hidden))), "{text}");
}

#[test]
fn only_close_words_are_suggested() {
    let known = ["table", "peer", "shards", "default-server"];
    assert_eq!(closest("tabel", known), Some("table"));
    assert_eq!(closest("Peer", known), Some("peer"));
    assert_eq!(closest("defaultserver", known), Some("default-server"));
    assert_eq!(closest("balance", known), None);
    assert_eq!(closest("x", known), None);
}
