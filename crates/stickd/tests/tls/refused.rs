//! Certificates that are out of their time, or revoked.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateRevocationListParams, IsCa, KeyIdMethod, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use stickd::config::{BindTls, CaFile, ServerTls, TlsVersion, Verify};
use stickd::tls::Acceptor;

use super::{Authority, Files, bind, fails, only, params, server, succeeds};

impl Authority<'_> {
    /// The `crt` file of a node with a number, by which a list revokes it.
    fn numbered(&self, name: &str, number: u64) -> PathBuf {
        let mut params = params(&[name], "node");
        params.serial_number = Some(SerialNumber::from(number));
        self.sign(name, &params)
    }

    /// A list of these revoked certificates, in PEM, which is in time until the year `until`.
    fn list(&self, numbers: &[u64], until: i32) -> String {
        let revoked = numbers.iter().map(|&number| RevokedCertParams {
            serial_number: SerialNumber::from(number),
            revocation_time: date_time_ymd(2001, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2001, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

#[tokio::test]
async fn certificates_out_of_their_time_are_refused() {
    let files = Files::new();
    let authority = files.authority("ours");
    let required = server(Verify::Required, authority.file());
    let mut params = params(&["node1"], "node1");
    (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let old = bind(authority.sign("old", &params));
    let (listening, connecting) = fails(&old, &required).await;
    assert!(connecting.ends_with("it has expired on 2002-01-01; renew it"), "{connecting}");
    assert!(
        listening.contains("because it has expired or is not valid yet by the peer's clock"),
        "{listening}"
    );
    succeeds(&old, &server(Verify::None, None)).await;

    // An authority that is in ca-file itself is no exception.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let crt = files.self_signed("own", &params);
    let (_, connecting) = fails(&bind(crt.clone()), &server(Verify::Required, Some(CaFile::File(crt)))).await;
    assert!(connecting.ends_with("it has expired on 2002-01-01; renew it"), "{connecting}");

    (params.not_before, params.not_after) = (date_time_ymd(4001, 1, 1), date_time_ymd(4002, 1, 1));
    let (_, connecting) = fails(&bind(authority.sign("new", &params)), &required).await;
    assert!(
        connecting.ends_with("it is not valid before 4001-01-01; compare the clocks of both nodes"),
        "{connecting}"
    );
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_on_both_sides() {
    let files = Files::new();
    let (ours, theirs) = (files.authority("ours"), files.authority("theirs"));
    let (good, stolen) = (ours.numbered("node1", 7), ours.numbered("node2", 8));
    let list = |name, text: String| Some(files.write(name, &text));
    let lists = list("all.crl", ours.list(&[8, 9], 2100) + &theirs.list(&[7], 2100));
    for version in [TlsVersion::V12, TlsVersion::V13] {
        let listener = |crt: &PathBuf, crl_file: &Option<PathBuf>| BindTls {
            verify: Verify::Required,
            ca_file: ours.file(),
            crl_file: crl_file.clone(),
            versions: only(version),
            ..bind(crt.clone())
        };
        let connector = |crt: &PathBuf, crl_file: &Option<PathBuf>| ServerTls {
            crt: Some(crt.clone()),
            crl_file: crl_file.clone(),
            ..server(Verify::Required, ours.file())
        };
        succeeds(&listener(&good, &lists), &connector(&good, &lists)).await;
        succeeds(&listener(&stolen, &lists), &connector(&good, &None)).await;
        let revoked = "it is revoked; issue another one";
        let (listening, connecting) = fails(&listener(&good, &lists), &connector(&stolen, &lists)).await;
        assert!(listening.ends_with(revoked), "{listening}");
        assert!(connecting.contains("revoked (the peer's \"crl-file\")"), "{connecting}");
        let (_, connecting) = fails(&listener(&stolen, &lists), &connector(&good, &lists)).await;
        assert!(connecting.ends_with(revoked), "{connecting}");
        // An authority without a list, and a list that is too old, show nothing of a certificate.
        let missing = list("theirs.crl", theirs.list(&[], 2100));
        let (listening, _) = fails(&listener(&good, &missing), &connector(&good, &lists)).await;
        assert!(listening.contains("\"crl-file\" has no list of an authority"), "{listening}");
        let old = list("old.crl", ours.list(&[], 2002));
        let (_, connecting) = fails(&listener(&good, &lists), &connector(&good, &old)).await;
        assert!(connecting.contains("\"crl-file\" is out of date since 2002-01-01"), "{connecting}");
    }
    // The name counts all the same.
    let named = |name: &str| ServerTls {
        crl_file: lists.clone(),
        verify_host: Some(name.to_owned()),
        ..server(Verify::Required, ours.file())
    };
    succeeds(&bind(good.clone()), &named("node1")).await;
    fails(&bind(good), &named("node3")).await;
}

#[test]
fn a_list_that_cannot_be_used_is_refused_at_the_start() {
    let files = Files::new();
    let ours = files.authority("ours");
    let load = |verify, text: &str| {
        let crl_file = Some(files.write("a.crl", text));
        let bind = BindTls { crl_file, verify, ca_file: ours.file(), ..bind(ours.node("node1")) };
        let directory = format!("{}/", files.directory.path().display());
        Acceptor::load(&bind).map(drop).map_err(|error| error.to_string().replace(&directory, ""))
    };
    let good = ours.list(&[], 2100);
    for verify in [Verify::None, Verify::Required] {
        assert_eq!(load(verify, &good), Ok(()));
        let none = "a.crl holds no list of revoked certificates in PEM; it must have one between \"-----BEGIN X509 \
                    CRL-----\" and its end";
        assert_eq!(load(verify, "no PEM"), Err(none.to_owned()));
        let damaged = load(verify, &good.replace("-----END X509 CRL-----", "")).unwrap_err();
        assert!(damaged.starts_with("a.crl is damaged: "), "{damaged}");
        let unusable = format!("{good}-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n");
        let unusable = load(verify, &unusable).unwrap_err();
        let start = "list 2 of revoked certificates in a.crl cannot be used: ";
        assert!(unusable.starts_with(start) && unusable.ends_with("; fetch it again"), "{unusable}");
    }
}
