//! Text with gaps: `…` stands for anything.

/// What stands for anything within a line, and alone for any lines.
pub(super) const GAP: &str = "…";

/// Whether a text is what a pattern says.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split(GAP);
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether lines are what patterns say.
pub(super) fn lines_fit(patterns: &[&str], lines: &[&str]) -> bool {
    match (patterns.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((&GAP, more)), _) => (0..=lines.len()).any(|skipped| lines_fit(more, &lines[skipped..])),
        (Some((pattern, patterns)), Some((line, lines))) => fits(pattern, line) && lines_fit(patterns, lines),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_stand_for_anything() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a…", "abcd", true),
            ("…d", "abcd", true),
            ("a…c…", "abcd", true),
            ("a…c…d", "abcd", true),
            ("a…c…b", "abcd", false),
            ("aa…aa", "aaa", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
        assert!(lines_fit(&["a", "…", "d"], &["a", "b", "c", "d"]));
        assert!(lines_fit(&["a", "…"], &["a"]));
        assert!(!lines_fit(&["a", "…", "d"], &["a", "b"]));
        assert!(!lines_fit(&["a"], &["a", "b"]));
    }
}
