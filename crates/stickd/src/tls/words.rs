//! What the TLS library says, in words an operator can act on. The only place that translates its errors.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{
    AlertDescription, CertificateError, Error, ExtendedKeyPurpose, InvalidMessage, OtherError,
    PeerIncompatible,
};

use crate::date::Day;

/// What `sha1WithRSAEncryption`, `ecdsa-with-SHA1` and `md5WithRSAEncryption` are in a certificate (DER, without tag and length).
const SHA1_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05";
const SHA1_ECDSA: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x01";
const MD5_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04";

/// Why reading or writing an established connection failed, over TLS or not.
pub fn connection_fault(error: &io::Error) -> String {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return fault(error);
    }
    match error.kind() {
        // The library's own text is a link to its documentation.
        io::ErrorKind::UnexpectedEof => {
            "the peer closed the connection without the end of TLS (close_notify), as a process does that is killed"
                .to_owned()
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            "the peer reset the connection; see its log".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Why TLS failed with a peer, and what to do.
pub(super) fn fault(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => {
            format!("the peer's certificate is refused: {}", certificate(error))
        }
        Error::NoCertificatesPresented => {
            "the peer showed no certificate; give it one with \"crt FILE\" on its line for this node".to_owned()
        }
        Error::AlertReceived(alert) => refusal(*alert),
        Error::NoApplicationProtocol => no_protocol(),
        Error::PeerIncompatible(why) => incompatible(why),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the peer sent bytes that are not TLS; see whether it has \"ssl\"".to_owned()
        }
        Error::DecryptError => {
            "a TLS message of the peer cannot be decrypted: it was changed on its way; see what is between the nodes"
                .to_owned()
        }
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord => {
            format!(
                "the peer does not keep to the TLS protocol ({}); see what listens at its address, and its log",
                misbehaviour(error)
            )
        }
        Error::General(text) => text.clone(),
        Error::FailedToGetRandomBytes => "the system gave no random numbers".to_owned(),
        Error::FailedToGetCurrentTime => "the system's clock cannot be read".to_owned(),
        other => in_words(&other.to_string()),
    }
}

/// What is wrong with a certificate, and what to do.
pub(super) fn certificate(error: &CertificateError) -> String {
    use CertificateError as E;
    let text = match error {
        E::UnknownIssuer => "it is signed by no authority of \"ca-file\"; add its authority there",
        E::NotValidForNameContext { expected, presented } => {
            return wrong_name(&expected.to_str(), presented);
        }
        E::NotValidForName => {
            "it is not for the expected name; name the peer in \"sni\" or \"verifyhost\" as the certificate does"
        }
        E::ExpiredContext { not_after, .. } => {
            return format!("it has expired on {}; renew it", day(*not_after));
        }
        E::Expired => "it has expired; renew it",
        E::NotValidYetContext { not_before, .. } => {
            return format!("it is not valid before {}; compare the clocks of both nodes", day(*not_before));
        }
        E::NotValidYet => "it is not valid yet; compare the clocks of both nodes",
        E::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: id, .. }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext { signature_algorithm_id: id, .. } => {
            return bad_algorithm(id);
        }
        E::BadSignature => {
            "its signature was not made with the key of the authority that it names, or that key is RSA of less than 2048 \
             bits; put the authority that signed it into \"ca-file\", or make a larger key"
        }
        E::InvalidPurposeContext { required, .. } => return wrong_purpose(required),
        E::InvalidPurpose => {
            "it is not for this purpose; issue it with both \"clientAuth\" and \"serverAuth\""
        }
        E::BadEncoding => "it is damaged; issue it again",
        E::UnhandledCriticalExtension => {
            "it has a critical extension that stickd does not know; issue it without"
        }
        E::Revoked => "it is revoked; issue another one",
        E::UnknownRevocationStatus => {
            "\"crl-file\" has no list of an authority that signed it or its chain; append the list of each of them"
        }
        E::ExpiredRevocationList => "a list in \"crl-file\" is out of date; fetch the authority's new one",
        E::ExpiredRevocationListContext { next_update, .. } => {
            return format!(
                "a list in \"crl-file\" is out of date since {}; fetch the authority's new one",
                day(*next_update)
            );
        }
        E::Other(OtherError(error)) => match error.downcast_ref::<webpki::Error>() {
            Some(error) => return chain_fault(error),
            None => return error.to_string(),
        },
        other => return in_words(&other.to_string()),
    };
    text.to_owned()
}

/// What is wrong with a list of revoked certificates.
pub(super) fn list_fault(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let text = match error {
        E::UnsupportedCrlVersion => "it is of version 1; have it issued as version 2",
        E::UnsupportedDeltaCrl => "it lists changes only (delta CRL); name the whole list",
        E::UnsupportedIndirectCrl => {
            "it is signed by another authority (indirect CRL); name the list of each authority"
        }
        other => return format!("{}; fetch it again", in_words(&other.to_string())),
    };
    text.to_owned()
}

/// Faults that the library does not translate itself.
pub(super) fn chain_fault(error: &webpki::Error) -> String {
    use webpki::Error as E;
    let text = match error {
        E::UnsupportedCertVersion => {
            "it is of X.509 version 1; have it signed again as version 3: \"openssl x509 -req\" does that with \"-extfile \
             FILE\", where FILE has the line \"subjectAltName=DNS:NAME\""
        }
        E::CaUsedAsEndEntity => {
            "it is an authority's; use one with \"CA:FALSE\", or add this very one to \"ca-file\""
        }
        E::EndEntityUsedAsCa => {
            "it is signed by a certificate that is no authority's; issue that one with \"CA:TRUE\""
        }
        E::PathLenConstraintViolated => {
            "there are more authorities between it and its root than the root permits (path length); issue it directly"
        }
        E::NameConstraintViolation => "its authority may not sign for its names (name constraints)",
        E::InvalidCertValidity => "it ends before it begins; issue it again",
        other => return format!("{}; issue it again", in_words(&other.to_string())),
    };
    text.to_owned()
}

fn bad_algorithm(id: &[u8]) -> String {
    // It stands between a tag and its parameters.
    let is = |one: &[u8]| id.windows(one.len()).any(|part| part == one);
    let algorithm = if is(SHA1_RSA) || is(SHA1_ECDSA) {
        "SHA-1, which can be forged"
    } else if is(MD5_RSA) {
        "MD5, which can be forged"
    } else {
        "an algorithm that stickd does not take"
    };
    format!(
        "it is signed with {algorithm}; have it signed with SHA-256 and an RSA key of 2048 bits or more, an ECDSA or an Ed25519 \
         key"
    )
}

fn wrong_name(expected: &str, presented: &[String]) -> String {
    // As `DnsName("lb1")` or `IpAddress(10.0.0.1)`.
    let name = |text: &String| {
        let inner = text.split_once('(').map_or(text.as_str(), |(_, inner)| inner.trim_end_matches(')'));
        format!("\"{}\"", inner.trim_matches('"'))
    };
    let names: Vec<_> = presented.iter().map(name).collect();
    let others = if names.is_empty() { String::new() } else { format!(" but for {}", names.join(" and ")) };
    format!(
        "it is not for \"{expected}\"{others}; name the peer in \"sni\" or \"verifyhost\" as the certificate does"
    )
}

fn wrong_purpose(required: &ExtendedKeyPurpose) -> String {
    let (what, missing) = match required {
        ExtendedKeyPurpose::ClientAuth => ("connects", "clientAuth"),
        ExtendedKeyPurpose::ServerAuth => ("listens", "serverAuth"),
        _ => return "it is not for this purpose; issue it without an extended key usage".to_owned(),
    };
    format!(
        "it is not for a node that {what}; issue it with the extended key usage \"{missing}\", or without any"
    )
}

/// What an alert of the peer means, and what to do.
pub(super) fn refusal(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let because = |why: &str| format!("the peer refuses this node's certificate because {why}");
    match alert {
        A::CertificateRequired => {
            "the peer demands a certificate of this node, and none is configured; add \"crt FILE\" to the peer's line here"
                .to_owned()
        }
        A::UnknownCA => {
            because("it does not know the authority that signed it; add that authority to the peer's \"ca-file\"")
        }
        A::CertificateExpired => {
            because("it has expired or is not valid yet by the peer's clock; renew it, or set the clocks")
        }
        A::CertificateRevoked => because("it is revoked (the peer's \"crl-file\"); issue another one"),
        A::UnsupportedCertificate => because(
            "it is not for this purpose; issue it with the extended key usage \"clientAuth\" where the node connects and \
             \"serverAuth\" where it listens, or without any",
        ),
        A::BadCertificate => because(
            "it is damaged, not valid yet, or not for the name that the peer expects; compare its names with the peer's \
             \"verifyhost\" and \"sni\", and the clocks",
        ),
        A::DecryptError => because(
            "its signature cannot be verified there: SHA-1, or another authority of the same name; see the peer's \"ca-file\"",
        ),
        A::CertificateUnknown | A::AccessDenied | A::NoCertificate | A::CertificateUnobtainable => {
            because("its verification failed there, for a reason that TLS does not name; see the peer's log")
        }
        // OpenSSL's answer to a missing certificate with TLS 1.2, and what TLS says when no cipher is shared.
        A::HandshakeFailure => {
            "the peer refuses the connection: it wants a certificate of this node (\"crt FILE\"), or the two share no \
             cipher; see its log"
                .to_owned()
        }
        A::InsufficientSecurity => no_cipher(),
        A::ProtocolVersion => no_version(),
        A::NoApplicationProtocol => no_protocol(),
        A::UnrecognisedName => {
            "the peer does not know the name asked for; correct \"sni\" of its line here".to_owned()
        }
        A::InternalError => "the peer failed in TLS by an error of its own; see its log".to_owned(),
        A::UserCanceled => "the peer gave the TLS handshake up; see its log".to_owned(),
        other => {
            let words = other.as_str().map_or_else(|| u8::from(other).to_string(), in_words);
            format!("the peer refuses the connection by the TLS alert \"{words}\"; see its log")
        }
    }
}

fn incompatible(why: &PeerIncompatible) -> String {
    use PeerIncompatible as P;
    match why {
        P::NoCipherSuitesInCommon => no_cipher(),
        P::NoKxGroupsInCommon | P::NamedGroupsExtensionRequired | P::KeyShareExtensionRequired => {
            "the peer and this node share no curve for the key exchange; allow X25519 or P-256 (\"curves\") at the peer"
                .to_owned()
        }
        P::NoSignatureSchemesInCommon
        | P::NoCertificateRequestSignatureSchemesInCommon
        | P::SignatureAlgorithmsExtensionRequired => {
            "the peer takes no signature that the key of this node can make; make a key of another kind, such as ECDSA P-256"
                .to_owned()
        }
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled => no_version(),
        other => format!(
            "the peer's TLS does not fit this node's ({}); compare the \"ssl\" parameters of both",
            last_part(&Error::PeerIncompatible(other.clone()))
        ),
    }
}

fn no_version() -> String {
    "the peer and this node share no TLS version (stickd has 1.2 and 1.3); compare \"ssl-min-ver\" and \"ssl-max-ver\" of both"
        .to_owned()
}

fn no_cipher() -> String {
    "the peer and this node share no cipher; allow ECDHE with AES-GCM or ChaCha20 (\"ciphers\", \"ciphersuites\") at the peer"
        .to_owned()
}

fn no_protocol() -> String {
    "the peer and this node share no protocol; compare \"alpn\" of both".to_owned()
}

fn day(time: UnixTime) -> Day {
    Day::of(time.as_secs())
}

/// What a peer did wrong.
fn misbehaviour(error: &Error) -> String {
    match error {
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "a message out of its turn".to_owned()
        }
        Error::PeerSentOversizedRecord => "a record that is too large".to_owned(),
        Error::InvalidMessage(_) => {
            let text = error.to_string();
            format!("malformed message: {}", in_words(text.rsplit(" of type ").next().unwrap_or(&text)))
        }
        _ => last_part(error),
    }
}

/// The last part of a library's text, which is the name of a case.
fn last_part(error: &Error) -> String {
    let text = error.to_string();
    in_words(text.rsplit(": ").next().unwrap_or(&text))
}

/// `NameConstraintViolation` as `name constraint violation`. Text that is not one such name stays, up to its first bracket.
fn in_words(name: &str) -> String {
    let text = name.split(['(', '{', '[']).next().unwrap_or(name).trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return text.to_owned();
    }
    let mut words = String::with_capacity(text.len() + 8);
    for (place, letter) in text.char_indices() {
        if letter.is_ascii_uppercase() && place > 0 {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::PeerMisbehaved;
    use rustls::pki_types::ServerName;

    use super::*;

    /// Whether a text shows how a library names its types, or where it is documented.
    fn is_code(text: &str) -> bool {
        let camel = |word: &str| {
            let inner = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
            let mut letters = inner.bytes().zip(inner.bytes().skip(1));
            inner.len() > 8
                && letters.any(|(one, next)| one.is_ascii_lowercase() && next.is_ascii_uppercase())
        };
        // "clientAuth" and "serverAuth" are words of certificates.
        let words = text.replace("clientAuth", "").replace("serverAuth", "").replace("subjectAltName", "");
        text.contains("://") || text.contains(['{', '[']) || words.split([' ', '(', '_']).any(camel)
    }

    #[test]
    fn every_alert_is_words() {
        for code in 0..=255u8 {
            let text = refusal(AlertDescription::from(code));
            assert!(text.starts_with("the peer") && text.contains(';'), "{code}: {text}");
            assert!(!is_code(&text), "{code}: {text}");
        }
        let text = refusal(AlertDescription::RecordOverflow);
        assert_eq!(text, "the peer refuses the connection by the TLS alert \"record overflow\"; see its log");
    }

    #[test]
    fn no_error_shows_the_names_of_the_library() {
        let webpki = |error: webpki::Error| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
        };
        let certificate = Error::InvalidCertificate;
        for error in [
            Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare),
            Error::PeerIncompatible(PeerIncompatible::NullCompressionRequired),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::InvalidMessage(InvalidMessage::MissingData("Random")),
            Error::InappropriateMessage {
                expect_types: Vec::new(),
                got_type: rustls::ContentType::Handshake,
            },
            Error::HandshakeNotComplete,
            Error::DecryptError,
            webpki(webpki::Error::MaximumNameConstraintComparisonsExceeded),
            webpki(webpki::Error::NameConstraintViolation),
            webpki(webpki::Error::TrailingData(webpki::DerTypeId::Certificate)),
            certificate(CertificateError::BadEncoding),
            certificate(CertificateError::ApplicationVerificationFailure),
            certificate(CertificateError::UnknownRevocationStatus),
            certificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("lb1").unwrap(),
                presented: vec!["DnsName(\"lb2\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()],
            }),
        ] {
            let text = fault(&error);
            assert!(!is_code(&text), "{text}");
        }
        assert_eq!(
            fault(&Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare)),
            "the peer does not keep to the TLS protocol (invalid key share); see what listens at its address, and its log"
        );
    }

    #[test]
    fn the_end_of_a_connection_is_words() {
        let link = "peer closed connection without sending TLS close_notify: https://docs.rs/";
        let ended = connection_fault(&io::Error::new(io::ErrorKind::UnexpectedEof, link));
        assert!(ended.contains("close_notify") && !ended.contains("://"), "{ended}");
        let alert = Error::AlertReceived(AlertDescription::UnknownCA);
        let refused = connection_fault(&io::Error::new(io::ErrorKind::InvalidData, alert));
        assert!(refused.starts_with("the peer refuses this node's certificate because"), "{refused}");
        let reset = connection_fault(&io::Error::from_raw_os_error(104));
        assert_eq!(reset, "the peer reset the connection; see its log");
    }
}
