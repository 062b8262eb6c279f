//! Handshakes of listeners and connectors, both of stickd's: what is taken, what is refused, and what is said then.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair,
};
use stickd::config::{BindTls, CaFile, ServerTls, TlsVersion, TlsVersions, Verify};
use stickd::tls::{Acceptor, Connector, HandshakeError, Loaded, TlsError, TlsStream};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream, UnixStream};

#[path = "tls/refused.rs"]
mod refused;

/// Certificates and keys in files.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn authority(&self, name: &str) -> Authority<'_> {
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.write(&format!("{name}.pem"), &issuer.pem());
        Authority { files: self, name: name.to_owned(), issuer }
    }

    /// A self-signed certificate with its key; what it needs to be a `crt` and a `ca-file`.
    fn self_signed(&self, name: &str, params: &CertificateParams) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.write(&format!("{name}.pem"), &(certificate.pem() + &key.serialize_pem()))
    }
}

struct Authority<'a> {
    files: &'a Files,
    name: String,
    issuer: CertifiedIssuer<'a, KeyPair>,
}

impl Authority<'_> {
    fn file(&self) -> Option<CaFile> {
        Some(CaFile::File(self.files.directory.path().join(format!("{}.pem", self.name))))
    }

    /// The `crt` file of a node with this name.
    fn node(&self, name: &str) -> PathBuf {
        self.sign(name, &params(&[name], "node"))
    }

    fn sign(&self, name: &str, params: &CertificateParams) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.files.write(&format!("{}-{name}.pem", self.name), &(key.serialize_pem() + &certificate.pem()))
    }
}

/// What a certificate says: its alternative names and its common name.
fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn bind(crt: PathBuf) -> BindTls {
    BindTls {
        crt,
        ca_file: None,
        crl_file: None,
        verify: Verify::None,
        verify_peer_name: false,
        versions: TlsVersions::default(),
        alpn: Vec::new(),
    }
}

fn server(verify: Verify, ca_file: Option<CaFile>) -> ServerTls {
    ServerTls {
        ca_file,
        crl_file: None,
        verify,
        crt: None,
        sni: None,
        verify_host: None,
        any_host: false,
        verify_peer_name: false,
        versions: TlsVersions::default(),
        alpn: Vec::new(),
    }
}

fn only(version: TlsVersion) -> TlsVersions {
    TlsVersions { min: version, max: version }
}

/// A handshake in memory; each side then says what it knows of the other.
async fn handshake(bind: &BindTls, server: &ServerTls) -> (Outcome, Outcome) {
    let (here, there) = tokio::io::duplex(1 << 16);
    over(bind, server, here, there).await
}

type Outcome = Result<(), HandshakeError>;

/// Connects over these two ends and sends a word each way; the outcome is the listener's, then the connecting side's.
async fn over<A, B>(bind: &BindTls, server: &ServerTls, here: A, there: B) -> (Outcome, Outcome)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (acceptor, connector) = (Acceptor::load(bind).unwrap(), Connector::load(server).unwrap());
    let listening =
        async { talk(acceptor.accept(here).await?, b"from the listener", b"to the listener").await };
    let connecting = async {
        talk(connector.connect(there, "node1").await?, b"to the listener", b"from the listener").await
    };
    tokio::join!(listening, connecting)
}

async fn talk<S>(mut stream: TlsStream<S>, say: &[u8], hear: &[u8]) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(say).await?;
    stream.flush().await?;
    let mut heard = vec![0; hear.len()];
    stream.read_exact(&mut heard).await?;
    assert_eq!(heard, hear);
    Ok(())
}

async fn succeeds(bind: &BindTls, server: &ServerTls) {
    let (listening, connecting) = handshake(bind, server).await;
    listening.unwrap();
    connecting.unwrap();
}

/// The text of the listener's and the connecting side's errors; both must have one.
async fn fails(bind: &BindTls, server: &ServerTls) -> (String, String) {
    let (listening, connecting) = handshake(bind, server).await;
    (listening.unwrap_err().to_string(), connecting.unwrap_err().to_string())
}

/// Files may change between the check of a configuration and its use.
#[test]
fn what_was_loaded_is_used_when_its_files_are_gone() {
    let files = Files::new();
    let authority = files.authority("ours");
    let (node, peer) = (bind(authority.node("node1")), server(Verify::Required, authority.file()));
    let loaded = Loaded::default();
    fs::rename(&node.crt, files.directory.path().join("away")).unwrap();
    assert!(loaded.acceptor(&node).is_err());
    fs::rename(files.directory.path().join("away"), &node.crt).unwrap();
    loaded.acceptor(&node).unwrap();
    loaded.connector(&peer).unwrap();
    fs::remove_dir_all(files.directory.path()).unwrap();
    let copy = loaded.clone();
    copy.acceptor(&node).unwrap();
    copy.connector(&peer).unwrap();
    assert!(copy.connector_for_members(&peer).is_err(), "they have connectors of their own");
    assert!(copy.acceptor(&BindTls { verify_peer_name: true, ..node }).is_err());
}

#[tokio::test]
async fn an_authority_is_verified_or_not() {
    let files = Files::new();
    let (ours, theirs) = (files.authority("ours"), files.authority("theirs"));
    let node = bind(ours.node("node1"));
    succeeds(&node, &server(Verify::Required, ours.file())).await;
    succeeds(&node, &server(Verify::None, None)).await;
    succeeds(&node, &server(Verify::None, theirs.file())).await;
    let (listening, connecting) = fails(&node, &server(Verify::Required, theirs.file())).await;
    assert_eq!(
        connecting,
        "the peer's certificate is refused: it is signed by no authority of \"ca-file\"; add its authority there"
    );
    assert_eq!(
        listening,
        "the peer refuses this node's certificate because it does not know the authority that signed it; add that \
         authority to the peer's \"ca-file\""
    );
}

#[tokio::test]
async fn the_name_is_that_of_sni_else_of_verifyhost_else_any() {
    let files = Files::new();
    let authority = files.authority("ours");
    let node = bind(authority.node("node1.example"));
    let with = |sni: Option<&str>, verify_host: Option<&str>| ServerTls {
        sni: sni.map(str::to_owned),
        verify_host: verify_host.map(str::to_owned),
        ..server(Verify::Required, authority.file())
    };
    succeeds(&node, &with(None, Some("node1.example"))).await;
    succeeds(&node, &with(Some("node1.example"), None)).await;
    succeeds(&node, &with(Some("node1.example"), Some("node2.example"))).await;
    for wrong in [with(None, Some("node2.example")), with(Some("node2.example"), Some("node1.example"))] {
        let (_, connecting) = fails(&node, &wrong).await;
        assert_eq!(
            connecting,
            "the peer's certificate is refused: it is not for \"node2.example\" but for \"node1.example\"; name the peer \
             in \"sni\" or \"verifyhost\" as the certificate does"
        );
        succeeds(&node, &ServerTls { verify: Verify::None, ..wrong }).await;
    }
    let by_common_name = bind(authority.sign("plain", &params(&[], "*.example")));
    succeeds(&by_common_name, &with(None, Some("node7.example"))).await;
    fails(&by_common_name, &with(None, Some("a.node7.example"))).await;
    let by_address = bind(authority.node("127.0.0.1"));
    succeeds(&by_address, &with(None, Some("127.0.0.1"))).await;
    fails(&by_address, &with(None, Some("127.0.0.2"))).await;
}

/// A member that DNS lists is checked for the name of its host; `sni`, `verifyhost` and `no-verifyhost` say otherwise.
#[tokio::test]
async fn a_member_s_certificate_is_for_its_host() {
    let files = Files::new();
    let authority = files.authority("ours");
    let acceptor = Acceptor::load(&bind(authority.node("edge.example.org"))).unwrap();
    let connect = async |tls: ServerTls, host: &str| {
        let (here, there) = tokio::io::duplex(1 << 16);
        let connector = Connector::load_for_members(&tls).unwrap();
        let (_, connecting) = tokio::join!(acceptor.accept(here), connector.connect(there, host));
        connecting.map(drop).map_err(|error| error.to_string())
    };
    let plain = server(Verify::Required, authority.file());
    assert_eq!(connect(plain.clone(), "edge.example.org").await, Ok(()));
    assert_eq!(connect(plain.clone(), "edge.example.org.").await, Ok(()));
    let error = connect(plain.clone(), "printer.example.net").await.unwrap_err();
    println!("{error}");
    assert!(error.contains("not for \"printer.example.net\"") && error.contains("no-verifyhost"), "{error}");
    let named = |name: &str| ServerTls { verify_host: Some(name.to_owned()), ..plain.clone() };
    assert_eq!(connect(named("edge.example.org"), "printer.example.net").await, Ok(()));
    assert!(connect(named("printer.example.net"), "edge.example.org").await.is_err());
    let any = ServerTls { any_host: true, ..plain.clone() };
    assert_eq!(connect(any, "printer.example.net").await, Ok(()));
    assert_eq!(connect(server(Verify::None, None), "printer.example.net").await, Ok(()));
}

/// `verify-peer-name`: the names of a certificate are those that the other side may say.
#[tokio::test]
async fn names_are_bound_to_certificates() {
    let files = Files::new();
    let authority = files.authority("ours");
    for (crt, good) in [
        (authority.node("lb1"), "lb1"),
        (authority.sign("plain", &params(&[], "lb_1")), "lb_1"),
        (authority.sign("wild", &params(&["*.lbs.example"], "x")), "lb1.lbs.example"),
    ] {
        for binds in [true, false] {
            let node = BindTls {
                verify: Verify::Required,
                ca_file: authority.file(),
                verify_peer_name: binds,
                ..bind(crt.clone())
            };
            let peer = ServerTls {
                crt: Some(crt.clone()),
                verify_peer_name: binds,
                ..server(Verify::Required, authority.file())
            };
            let (acceptor, connector) = (Acceptor::load(&node).unwrap(), Connector::load(&peer).unwrap());
            let (here, there) = tokio::io::duplex(1 << 16);
            let (listening, connecting) = tokio::join!(acceptor.accept(here), connector.connect(there, "h"));
            for proof in [acceptor.proof(&listening.unwrap()), connector.proof(&connecting.unwrap())] {
                assert!(proof.admits(good), "{good}");
                for other in ["lb2", "", "lb1.example.org", "*.lbs.example"] {
                    assert_eq!(proof.admits(other), !binds, "{other} with the certificate of {good}");
                }
            }
        }
    }
}

#[tokio::test]
async fn only_sni_is_sent() {
    let files = Files::new();
    let acceptor = Acceptor::load(&bind(files.authority("ours").node("node1"))).unwrap();
    let asked = async |server: ServerTls| {
        let (here, there) = tokio::io::duplex(1 << 16);
        let connector = Connector::load(&server).unwrap();
        let (listening, connecting) = tokio::join!(acceptor.accept(here), connector.connect(there, "node1"));
        connecting.unwrap();
        let TlsStream::Server(stream) = listening.unwrap() else { panic!("the listener is the server") };
        stream.get_ref().1.server_name().map(str::to_owned)
    };
    let any = server(Verify::None, None);
    assert_eq!(asked(ServerTls { verify_host: Some("node2".to_owned()), ..any.clone() }).await, None);
    assert_eq!(asked(ServerTls { sni: Some("node3".to_owned()), ..any }).await.as_deref(), Some("node3"));
}

#[tokio::test]
async fn clients_show_certificates_as_the_listener_wants() {
    let files = Files::new();
    let (ours, theirs) = (files.authority("ours"), files.authority("theirs"));
    let plain = server(Verify::Required, ours.file());
    let good = ServerTls { crt: Some(ours.node("node2")), ..plain.clone() };
    let stranger = ServerTls { crt: Some(theirs.node("node3")), ..plain.clone() };
    for version in [TlsVersion::V12, TlsVersion::V13] {
        let listener = |verify| BindTls {
            verify,
            ca_file: ours.file(),
            versions: only(version),
            ..bind(ours.node("node1"))
        };
        succeeds(&listener(Verify::None), &plain).await;
        succeeds(&listener(Verify::None), &stranger).await;
        succeeds(&listener(Verify::Optional), &plain).await;
        succeeds(&listener(Verify::Optional), &good).await;
        succeeds(&listener(Verify::Required), &good).await;
        for verify in [Verify::Optional, Verify::Required] {
            let (listening, connecting) = fails(&listener(verify), &stranger).await;
            assert!(listening.contains("signed by no authority"), "{listening}");
            assert!(connecting.contains("does not know the authority that signed it"), "{connecting}");
        }
        let (listening, connecting) = fails(&listener(Verify::Required), &plain).await;
        assert_eq!(
            listening,
            "the peer showed no certificate; give it one with \"crt FILE\" on its line for this node"
        );
        assert!(connecting.contains("certificate") && connecting.contains("\"crt FILE\""), "{connecting}");
    }
}

#[tokio::test]
async fn one_self_signed_certificate_serves_all_nodes() {
    let files = Files::new();
    let mut params = params(&["cluster"], "cluster");
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        params.is_ca = is_ca;
        let crt = files.self_signed("cluster", &params);
        let ca_file = Some(CaFile::File(crt.clone()));
        let listener = BindTls { verify: Verify::Required, ca_file: ca_file.clone(), ..bind(crt.clone()) };
        let connector = ServerTls {
            crt: Some(crt),
            verify_host: Some("cluster".to_owned()),
            ..server(Verify::Required, ca_file.clone())
        };
        succeeds(&listener, &connector).await;
        fails(&listener, &ServerTls { verify_host: Some("other".to_owned()), ..connector.clone() }).await;
        // The same in all but the key.
        let double = files.self_signed("double", &params);
        fails(&bind(double.clone()), &connector).await;
        fails(&listener, &ServerTls { crt: Some(double), ..connector }).await;
    }
}

#[tokio::test]
async fn an_authority_s_certificate_is_no_node_s() {
    let files = Files::new();
    let authority = files.authority("ours");
    let mut params = params(&["node1"], "node1");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (_, connecting) =
        fails(&bind(authority.sign("sub", &params)), &server(Verify::Required, authority.file())).await;
    assert!(connecting.contains("it is an authority's; use one with \"CA:FALSE\""), "{connecting}");
}

/// Tutorials make such certificates, and HAProxy takes them. The file has `EC PARAMETERS` and a SEC 1 key, too.
#[tokio::test]
async fn certificates_of_version_1_are_shown_but_not_verified() {
    let crt = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/version-1.pem"));
    let node = bind(crt.clone());
    succeeds(&node, &server(Verify::None, None)).await;
    let (_, connecting) = fails(&node, &server(Verify::Required, Some(CaFile::File(crt)))).await;
    assert_eq!(
        connecting,
        "the peer's certificate is refused: it is of X.509 version 1; have it signed again as version 3: \"openssl x509 \
         -req\" does that with \"-extfile FILE\", where FILE has the line \"subjectAltName=DNS:NAME\""
    );
}

/// The usual set-up of years ago: HAProxy with an old OpenSSL takes these.
#[tokio::test]
async fn weak_signatures_are_named() {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls"));
    for (file, ca_file, text) in [
        (
            "sha-1.pem",
            "sha-1-ca.pem",
            "it is signed with SHA-1, which can be forged; have it signed with SHA-256 and",
        ),
        ("rsa-1024.pem", "rsa-1024-ca.pem", "or that key is RSA of less than 2048 bits"),
    ] {
        let node = bind(directory.join(file));
        succeeds(&node, &server(Verify::None, None)).await;
        let ca_file = Some(CaFile::File(directory.join(ca_file)));
        let (listening, connecting) = fails(&node, &server(Verify::Required, ca_file)).await;
        assert!(connecting.starts_with("the peer's certificate is refused: it"), "{connecting}");
        assert!(connecting.contains(text), "{connecting}");
        assert!(listening.starts_with("the peer refuses this node's certificate because"), "{listening}");
    }
}

/// Extended key usage: a certificate of one direction only.
#[tokio::test]
async fn a_certificate_for_another_purpose_is_named() {
    let files = Files::new();
    let authority = files.authority("ours");
    let only_for = |name, usage| {
        let mut params = params(&["node1"], "node1");
        params.extended_key_usages = vec![usage];
        authority.sign(name, &params)
    };
    let listens = only_for("listens", ExtendedKeyUsagePurpose::ServerAuth);
    let connects = only_for("connects", ExtendedKeyUsagePurpose::ClientAuth);
    let required = BindTls { verify: Verify::Required, ca_file: authority.file(), ..bind(listens.clone()) };
    let peer =
        |crt: &PathBuf| ServerTls { crt: Some(crt.clone()), ..server(Verify::Required, authority.file()) };
    succeeds(&required, &peer(&connects)).await;
    let (listening, connecting) = fails(&required, &peer(&listens)).await;
    assert!(
        listening.contains(
            "it is not for a node that connects; issue it with the extended key usage \"clientAuth\""
        ),
        "{listening}"
    );
    assert!(
        connecting.starts_with(
            "the peer refuses this node's certificate because it is not for this purpose; issue it with"
        ) && connecting.contains("\"clientAuth\" where the node connects"),
        "{connecting}"
    );
    let (_, connecting) = fails(&bind(connects), &peer(&listens)).await;
    assert!(
        connecting.contains(
            "it is not for a node that listens; issue it with the extended key usage \"serverAuth\""
        ),
        "{connecting}"
    );
}

/// What signed it is no authority.
#[tokio::test]
async fn a_certificate_signed_by_a_node_is_refused() {
    let files = Files::new();
    let root = files.authority("root");
    let node =
        CertifiedIssuer::signed_by(params(&["node1"], "node1"), KeyPair::generate().unwrap(), &root.issuer)
            .unwrap();
    let key = KeyPair::generate().unwrap();
    let own = params(&["node2"], "node2").signed_by(&key, &node).unwrap();
    let chain = files.write("chain.pem", &(own.pem() + &node.pem() + &key.serialize_pem()));
    let (_, connecting) = fails(&bind(chain), &server(Verify::Required, root.file())).await;
    assert!(connecting.contains("certificate"), "{connecting}");
    assert!(connecting.ends_with("issue that one with \"CA:TRUE\""), "{connecting}");
}

#[tokio::test]
async fn intermediate_authorities_come_with_the_certificate() {
    let files = Files::new();
    let root = files.authority("root");
    let mut between = params(&[], "between");
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &root.issuer).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = params(&["node1"], "node1").signed_by(&key, &between).unwrap();
    let whole = files.write("whole.pem", &(between.pem() + &own.pem()));
    files.write("whole.pem.key", &key.serialize_pem());
    let required = server(Verify::Required, root.file());
    succeeds(&bind(whole), &required).await;
    let short = files.write("short.pem", &(own.pem() + &key.serialize_pem()));
    let (_, connecting) = fails(&bind(short), &required).await;
    assert!(connecting.contains("signed by no authority"), "{connecting}");
}

#[tokio::test]
async fn versions_and_protocols_must_meet() {
    let files = Files::new();
    let node = bind(files.authority("ours").node("node1"));
    let any = server(Verify::None, None);
    let speaks = async |listens, connects| {
        let (here, there) = tokio::io::duplex(1 << 16);
        let acceptor = Acceptor::load(&BindTls { versions: listens, ..node.clone() }).unwrap();
        let connector = Connector::load(&ServerTls { versions: connects, ..any.clone() }).unwrap();
        let (listening, connecting) = tokio::join!(acceptor.accept(here), connector.connect(there, "node1"));
        listening.unwrap();
        let TlsStream::Client(stream) = connecting.unwrap() else { panic!("this side is the client") };
        format!("{:?}", stream.get_ref().1.protocol_version().unwrap())
    };
    let (both, old, new) = (TlsVersions::default(), only(TlsVersion::V12), only(TlsVersion::V13));
    assert_eq!(speaks(both, both).await, "TLSv1_3");
    assert_eq!(speaks(old, both).await, "TLSv1_2");
    assert_eq!(speaks(both, old).await, "TLSv1_2");
    let (newer, older) =
        (BindTls { versions: new, ..node.clone() }, ServerTls { versions: old, ..any.clone() });
    let (listening, connecting) = fails(&newer, &older).await;
    for text in [listening, connecting] {
        assert!(
            text.starts_with("the peer and this node share no TLS version (stickd has 1.2 and 1.3)"),
            "{text}"
        );
    }

    let (one, two) = (vec!["one".to_owned()], vec!["two".to_owned()]);
    let listener = BindTls { alpn: one.clone(), ..node };
    succeeds(&listener, &any).await;
    succeeds(&listener, &ServerTls { alpn: [two.clone(), one].concat(), ..any.clone() }).await;
    let (listening, connecting) = fails(&listener, &ServerTls { alpn: two, ..any }).await;
    for text in [listening, connecting] {
        assert_eq!(text, "the peer and this node share no protocol; compare \"alpn\" of both");
    }
}

#[tokio::test]
async fn a_side_without_tls_is_recognised() {
    let files = Files::new();
    let acceptor = Acceptor::load(&bind(files.authority("ours").node("node1"))).unwrap();
    let connector = Connector::load(&server(Verify::None, None)).unwrap();
    let plain = async |text: &[u8]| -> (DuplexStream, DuplexStream) {
        let (mut here, there) = tokio::io::duplex(1 << 16);
        here.write_all(text).await.unwrap();
        (here, there)
    };
    let (_here, there) = plain(b"HAProxyS 2.1\nnode1\nnode2 1 1\n").await;
    assert!(matches!(acceptor.accept(there).await, Err(HandshakeError::PlainPeer)));
    let (_here, there) = plain(b"501\n501\n501\n501\n").await;
    assert!(matches!(connector.connect(there, "node1").await, Err(HandshakeError::PlainListener)));
    let (here, there) = plain(b"").await;
    drop(here);
    assert!(matches!(acceptor.accept(there).await, Err(HandshakeError::Closed)));
}

#[tokio::test]
async fn tcp_unix_and_boxed_streams_are_carried() {
    /// What a caller may box.
    trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
    impl<S: AsyncRead + AsyncWrite + Send + Unpin> Both for S {}

    let files = Files::new();
    let authority = files.authority("ours");
    let (node, any) = (bind(authority.node("node1")), server(Verify::Required, authority.file()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let here: Box<dyn Both> = Box::new(listener.accept().await.unwrap().0);
    let (listening, connecting) = over(&node, &any, here, there).await;
    listening.unwrap();
    connecting.unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let (listening, connecting) = over(&node, &any, here, there).await;
    listening.unwrap();
    connecting.unwrap();
}

/// Connections live in tasks that may move between threads.
#[test]
fn both_sides_can_be_spawned() {
    fn spawnable<T: Send + 'static>(_: &T) {}
    let files = Files::new();
    let acceptor = Acceptor::load(&bind(files.authority("ours").node("node1"))).unwrap();
    let connector = Connector::load(&server(Verify::None, None)).unwrap();
    let (here, there) = tokio::io::duplex(1);
    spawnable(&async move { acceptor.accept(here).await.map(|_| ()) });
    spawnable(&async move { connector.connect(there, "node1").await.map(|_| ()) });
}

#[test]
fn unusable_parameters_are_found_at_start() {
    let files = Files::new();
    let authority = files.authority("ours");
    let node = bind(authority.node("node1"));
    let error = |server: &ServerTls| Connector::load(server).unwrap_err();
    let required = server(Verify::Required, authority.file());
    assert!(matches!(error(&server(Verify::Required, None)), TlsError::NoAuthorities));
    let named = ServerTls { sni: Some("no name".to_owned()), ..required.clone() };
    assert_eq!(
        error(&named).to_string(),
        "\"no name\" after sni is no host name; write one as it is in the peer's certificate"
    );
    let named = ServerTls { verify_host: Some("-".to_owned()), ..required.clone() };
    assert!(error(&named).to_string().starts_with("\"-\" after verifyhost is no host name"));
    let empty = TlsVersions { min: TlsVersion::V13, max: TlsVersion::V12 };
    assert!(matches!(error(&ServerTls { versions: empty, ..required }), TlsError::Parameters(_)));
    let open = BindTls { verify: Verify::Optional, ..node.clone() };
    assert!(matches!(Acceptor::load(&open).unwrap_err(), TlsError::NoAuthorities));
    let missing = BindTls { crt: files.directory.path().join("none.pem"), ..node };
    assert!(Acceptor::load(&missing).unwrap_err().to_string().contains("none.pem: No such file"));
}
