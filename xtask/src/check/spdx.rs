//! SPDX licence expressions, as far as Cargo.toml files use them.

use anyhow::{Result, bail, ensure};
use std::iter::Peekable;

/// Whether an expression can be satisfied with licences for which `allowed` is true. `AND` binds closer than `OR`;
/// `X WITH exception` is asked for as one name; the old `A/B` means `A OR B`.
///
/// # Errors
///
/// When it is no expression.
pub(super) fn permits(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let result = any(&mut words, allowed)?;
    ensure!(words.next().is_none(), "text after the end of the expression");
    Ok(result)
}

type Words<'a, 'b> = &'a mut Peekable<std::str::SplitWhitespace<'b>>;

fn any(words: Words<'_, '_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut result = all(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        result |= all(words, allowed)?;
    }
    Ok(result)
}

fn all(words: Words<'_, '_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut result = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        result &= one(words, allowed)?;
    }
    Ok(result)
}

fn one(words: Words<'_, '_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    match words.next() {
        Some("(") => {
            let result = any(words, allowed)?;
            ensure!(words.next() == Some(")"), "`)` expected");
            Ok(result)
        }
        None | Some(")" | "AND" | "OR" | "WITH") => bail!("licence expected"),
        Some(name) => {
            if words.next_if_eq(&"WITH").is_none() {
                return Ok(allowed(name));
            }
            let Some(exception) = words.next() else { bail!("exception expected after WITH") };
            Ok(allowed(&format!("{name} WITH {exception}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(expression: &str) -> bool {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"];
        permits(expression, &|name| allowed.contains(&name)).unwrap()
    }

    #[test]
    fn expressions_of_real_packages() {
        assert!(permitted("MIT"));
        assert!(permitted("MIT/Apache-2.0"));
        assert!(permitted("GPL-3.0-or-later OR MIT"));
        assert!(permitted("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(permitted("Apache-2.0 WITH LLVM-exception OR LGPL-2.1"));
        assert!(!permitted("GPL-2.0"));
        assert!(!permitted("MIT AND GPL-2.0"));
        assert!(!permitted("GPL-2.0 OR MIT AND LGPL-2.1"), "AND binds closer");
        assert!(!permitted("MIT WITH Unknown-exception"));
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for text in ["", "MIT OR", "(MIT", "MIT )", "AND", "MIT WITH", "MIT Apache-2.0"] {
            assert!(permits(text, &|_| true).is_err(), "{text:?}");
        }
    }
}
