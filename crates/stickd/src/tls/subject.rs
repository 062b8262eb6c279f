//! The common names of a certificate's subject, which HAProxy compares with the name it expects just as it does the
//! alternative names (RFC 5280 §4.1.2.6, DER as in X.690).

/// Object identifier of a common name, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `UTF8String`, `PrintableString`, `TeletexString` and `IA5String`: those in which ASCII is ASCII.
const STRINGS: [u8; 4] = [0x0c, 0x13, 0x14, 0x16];

/// Whether a subject has a common name that stands for `host`; `subject` is the content of its DER sequence. What is no
/// DER has no common name.
pub(super) fn names(subject: &[u8], host: &str) -> bool {
    Values(subject).filter(|(tag, _)| *tag == SET).any(|(_, set)| {
        Values(set).filter(|(tag, _)| *tag == SEQUENCE).any(|(_, attribute)| {
            let mut parts = Values(attribute);
            parts.next() == Some((OBJECT_IDENTIFIER, COMMON_NAME))
                && parts.next().is_some_and(|(tag, name)| STRINGS.contains(&tag) && matches(name, host))
        })
    })
}

/// Content of a DER value that fills `der`.
pub(super) fn content(der: &[u8]) -> Option<&[u8]> {
    let mut values = Values(der);
    let (_, content) = values.next()?;
    values.0.is_empty().then_some(content)
}

/// Whether a name in a certificate stands for a host. `*.` at its begin stands for one label.
fn matches(name: &[u8], host: &str) -> bool {
    let host = host.as_bytes();
    match name.strip_prefix(b"*.") {
        Some(domain) => host.iter().position(|byte| *byte == b'.').is_some_and(|dot| {
            dot > 0 && !domain.is_empty() && domain.eq_ignore_ascii_case(&host[dot + 1..])
        }),
        None => !name.is_empty() && name.eq_ignore_ascii_case(host),
    }
}

/// DER values one after another, as tag and content; ends at the first that is none.
struct Values<'a>(&'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, length], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    /// Whether a certificate with these parts in its subject stands for `host`.
    fn named(parts: &[(DnType, DnValue)], host: &str) -> bool {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let anchor = webpki::anchor_from_trusted_cert(certificate.der()).unwrap();
        names(anchor.subject.as_ref(), host)
    }

    #[test]
    fn common_names_are_found_and_others_not() {
        let text = |text: &str| DnValue::Utf8String(text.to_owned());
        let printable = DnValue::PrintableString("node1.example".try_into().unwrap());
        let (company, common) = (DnType::OrganizationName, DnType::CommonName);
        assert!(named(
            &[(company.clone(), text("o")), (common.clone(), text("Node1.example"))],
            "node1.Example"
        ));
        assert!(named(&[(common.clone(), printable)], "node1.example"));
        assert!(!named(&[(company, text("node1.example"))], "node1.example"));
        // A length of more than one byte.
        let long = format!("{}.example", "n".repeat(190));
        assert!(named(&[(common, text(&long))], &long));
    }

    #[test]
    fn a_star_stands_for_one_label() {
        assert!(matches(b"*.example.org", "www.EXAMPLE.org"));
        for (name, host) in [
            ("*.example.org", "www.sub.example.org"),
            ("*.example.org", "example.org"),
            ("*.example.org", ".example.org"),
            ("*.", "www."),
            ("*", "www"),
            ("w*.example.org", "www.example.org"),
            ("node1", "node10"),
            ("", ""),
        ] {
            assert!(!matches(name.as_bytes(), host), "{name} {host}");
        }
    }

    #[test]
    fn damaged_values_end_the_search() {
        let good = [0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, b'n'];
        assert!(names(&good, "n"));
        for end in 0..good.len() {
            assert!(!names(&good[..end], "n"), "{end}");
        }
        assert_eq!(content(&good), Some(&good[2..]));
        assert_eq!(content(&[&good[..], &[0]].concat()), None);
        assert_eq!(Values(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]).next(), None);
        assert_eq!(Values(&[0x30, 0x80, 0, 0]).next(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, host: String) {
            let taken: usize = Values(&bytes).map(|(_, content)| content.len() + 2).sum();
            prop_assert!(taken <= bytes.len());
            names(&bytes, &host);
            matches(&bytes, &host);
        }
    }
}
