//! What strangers said, as it is shown to people.

/// Most bytes of a name that are shown; those in use are shorter.
const MAX_SHOWN: usize = 255;

/// Bytes as text: what is not UTF-8 becomes U+FFFD, and a long one is cut. It ends up in logs and in `show peers`, where a
/// peer could otherwise put as much as fits a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match bytes.get(..MAX_SHOWN) {
        Some(start) if bytes.len() > MAX_SHOWN => format!("{}…", String::from_utf8_lossy(start)),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(shown(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(shown(&[b'x'; MAX_SHOWN]), "x".repeat(MAX_SHOWN));
        assert_eq!(shown(&[b'x'; MAX_SHOWN + 1]), "x".repeat(MAX_SHOWN) + "…");
    }
}
