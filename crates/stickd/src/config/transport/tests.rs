//! Lines and what they mean.

use super::super::arguments::tests::{titles, words};
use super::*;

fn read(line: &str) -> (Parameters, Report) {
    let role = match line.split(' ').next() {
        Some("bind") => Role::Bind,
        _ => Role::Server,
    };
    let (words, mut report) = (words(line), Report::default());
    let parameters = Parameters::parse(Arguments::new(&words).unwrap(), role, &mut report);
    (parameters, report)
}

fn bases() -> Bases {
    Bases { ca: Some("/ca".into()), crt: Some("/crt".into()) }
}

fn at() -> Span {
    Span::new(0, 0, 1)
}

#[test]
fn tls_of_a_server() {
    let (parameters, mut report) = read(
        "server ssl ca-file ca.pem crl-file crl.pem crt /abs.pem sni str(n.example) verifyhost h no-sslv3 ssl-min-ver TLSv1.3 \
         alpn a,b shard 2",
    );
    let tls = parameters.server_tls(at(), &bases(), &mut report).unwrap();
    assert_eq!(titles(&report), [""; 0]);
    assert_eq!(tls.ca_file, Some(CaFile::File("/ca/ca.pem".into())));
    assert_eq!(tls.crl_file, Some("/ca/crl.pem".into()));
    assert_eq!(tls.crt, Some("/abs.pem".into()));
    assert_eq!((tls.sni.as_deref(), tls.verify_host.as_deref()), (Some("n.example"), Some("h")));
    assert_eq!(tls.verify, Verify::Required);
    assert_eq!(tls.versions, TlsVersions { min: TlsVersion::V13, max: TlsVersion::V13 });
    assert_eq!(tls.alpn, ["a", "b"]);
    assert_eq!(parameters.shard.unwrap().0, 2);
}

#[test]
fn tls_of_a_listener() {
    let (parameters, mut report) = read("bind ssl crt n.pem verify optional ca-file @system-ca no-tlsv13");
    let tls = parameters.bind_tls(at(), &bases(), &mut report).unwrap();
    assert_eq!(titles(&report), [""; 0]);
    assert_eq!(tls.crt, PathBuf::from("/crt/n.pem"));
    assert_eq!((tls.ca_file, tls.verify), (Some(CaFile::System), Verify::Optional));
    assert_eq!(tls.versions, TlsVersions { min: TlsVersion::V12, max: TlsVersion::V12 });
}

#[test]
fn lists_of_revoked_certificates_are_of_no_use_where_none_is_verified() {
    for (line, titles_of) in [
        ("bind ssl crt n.pem verify required ca-file a crl-file /crl.pem", vec![]),
        ("bind ssl crt n.pem crl-file /crl.pem", vec!["\"crl-file\" has no effect without \"verify\""]),
    ] {
        let (parameters, mut report) = read(line);
        let tls = parameters.bind_tls(at(), &bases(), &mut report).unwrap();
        assert_eq!(tls.crl_file, Some("/crl.pem".into()), "{line}");
        assert_eq!(titles(&report), titles_of, "{line}");
    }
}

#[test]
fn names_are_bound_to_certificates_that_are_verified() {
    let tls = |line: &str| {
        let (parameters, mut report) = read(line);
        let bound = match line.starts_with("bind") {
            true => parameters.bind_tls(at(), &bases(), &mut report).map(|tls| tls.verify_peer_name),
            false => parameters.server_tls(at(), &bases(), &mut report).map(|tls| tls.verify_peer_name),
        };
        (bound, titles(&report).join("; "))
    };
    let fault = "names cannot be compared with certificates that are not verified".to_owned();
    for (line, expected) in [
        ("bind ssl crt a ca-file b verify required verify-peer-name", (Some(true), String::new())),
        ("bind ssl crt a ca-file b verify required", (Some(false), String::new())),
        ("bind ssl crt a ca-file b verify optional verify-peer-name", (None, fault.clone())),
        ("bind ssl crt a verify-peer-name", (None, fault.clone())),
        ("server ssl ca-file b verify-peer-name", (Some(true), String::new())),
        ("server ssl ca-file b verify-peer-name no-verify-peer-name", (Some(false), String::new())),
        ("server ssl verify none verify-peer-name", (None, fault)),
    ] {
        assert_eq!(tls(line), expected, "{line}");
    }
    let (parameters, mut report) = read("server ssl ca-file b no-verifyhost");
    assert!(parameters.server_tls(at(), &bases(), &mut report).unwrap().any_host);
}

#[test]
fn a_line_is_stronger_than_its_defaults() {
    let (defaults, _) = read("server ssl verify none sni a");
    let (own, mut report) = read("server no-sni crt x");
    let tls = own.or(&defaults).server_tls(at(), &Bases::default(), &mut report).unwrap();
    assert_eq!((tls.verify, tls.sni, tls.crt), (Verify::None, None, Some("x".into())));
    let plain = read("server no-ssl").0.or(&defaults);
    assert_eq!(plain.server_tls(at(), &Bases::default(), &mut report), None);
    assert_eq!(titles(&report), [""; 0]);
}

#[test]
fn families_of_a_listener() {
    let families = |line: &str, address: &str| {
        let (parameters, mut report) = read(line);
        let families = parameters.listening_families(&Address::parse(address).unwrap(), None, &mut report);
        (families, titles(&report).len())
    };
    assert_eq!(families("bind", ":::1"), (WildcardFamilies::AsSystem, 0));
    assert_eq!(families("bind v4v6", ":::1"), (WildcardFamilies::Both, 0));
    assert_eq!(families("bind v6only v4v6", ":::1"), (WildcardFamilies::V6Only, 0));
    assert_eq!(families("server v4v6 v6only", ":::1"), (WildcardFamilies::V6Only, 0));
    assert_eq!(families("bind v4v6", ":1"), (WildcardFamilies::Both, 1));
    let (defaults, mut report) = read("bind v6only");
    let merged = read("bind v4v6").0.or(&defaults);
    let address = Address::parse(":::1").unwrap();
    assert_eq!(merged.listening_families(&address, None, &mut report), WildcardFamilies::V6Only);
    read("server v4v6").0.warn_listening_words(&mut report);
    assert_eq!(titles(&report), ["\"v4v6\" has no effect on this line"]);
}

#[test]
fn what_is_incomplete_is_refused() {
    for (line, title) in [
        ("server ssl", "no authority to verify the peer's certificate with"),
        ("server ssl verify none ssl-min-ver TLSv1.3 no-tlsv13", "no TLS version is left to speak"),
        ("bind ssl", "a listener with \"ssl\" needs a certificate"),
        ("bind ssl crt x verify required", "no authority to verify certificates of peers with"),
        ("bind crt x", "TLS parameters without \"ssl\" have no effect"),
        ("server verify none", "TLS parameters without \"ssl\" have no effect"),
    ] {
        let (parameters, mut report) = read(line);
        if line.starts_with("bind") {
            assert_eq!(parameters.bind_tls(at(), &bases(), &mut report), None, "{line}");
        } else {
            assert_eq!(parameters.server_tls(at(), &bases(), &mut report), None, "{line}");
        }
        assert_eq!(titles(&report), [title], "{line}");
    }
}

#[test]
fn other_words_are_named() {
    for (line, expected) in [
        (
            "server check inter 2s weight 10",
            &[
                "\"check\" has no effect between peers",
                "\"inter\" has no effect between peers",
                "\"weight\" has no effect between peers",
            ][..],
        ),
        ("server send-proxy check", &["stickd cannot honour \"send-proxy\""]),
        ("server sll", &["unknown parameter \"sll\""]),
        ("bind sni x", &["unknown parameter \"sni\""]),
        ("bind check", &["unknown parameter \"check\""]),
        (
            "bind name x backlog 5 tfo",
            &[
                "\"name\" has no effect between peers",
                "\"backlog\" has no effect between peers",
                "\"tfo\" has no effect between peers",
            ],
        ),
        ("server backlog 5", &["unknown parameter \"backlog\""]),
        ("bind shards 4", &["\"shards\" has no effect between peers"]),
        ("bind interface lo", &["stickd cannot honour \"interface\""]),
        ("bind backlog", &["\"backlog\" needs a value"]),
        (
            "server set-proxy-v2-tlv-fmt(0x20) %[src]",
            &["stickd cannot honour \"set-proxy-v2-tlv-fmt(0x20)\""],
        ),
        ("server verify optional", &["unknown word \"optional\""]),
        ("server sni req.hdr(host)", &["the name for SNI is not a constant"]),
        ("server ssl-max-ver TLSv1.1", &["stickd does not speak \"TLSv1.1\""]),
        ("server ssl-min-ver TLSv1.0", &["stickd does not speak TLSv1.0"]),
        ("server shard x", &["\"x\" is not a shard"]),
        ("server crt", &["\"crt\" needs a file"]),
    ] {
        assert_eq!(titles(&read(line).1), expected, "{line}");
    }
}
