//! `stickd check` sees what `stickd run` sees, and refuses what HAProxy refuses: everything that a configuration names.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rcgen::{CertificateParams, KeyPair};
use stickd_testkit::{Release, ports};
use tempfile::TempDir;

const STICKD: &str = env!("CARGO_BIN_EXE_stickd");

/// A directory with certificates.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let (own, own_key) = pair("node1");
        let (other, _) = pair("node2");
        let fixed = |name: &str| fs::read_to_string(Path::new("tests/check").join(name)).unwrap();
        files.write("good.pem", &format!("{own}{own_key}"));
        files.write("beside.pem", &own);
        files.write("beside.pem.key", &own_key);
        files.write("alone.pem", &own);
        files.write("mismatch.pem", &format!("{other}{own_key}"));
        files.write("encrypted.pem", &format!("{own}{}", fixed("encrypted.key")));
        files.write("small.pem", &fixed("small.pem"));
        files.write("ca.pem", &own);
        files.write("empty.pem", "");
        files.write("text.pem", "no certificate\n");
        fs::create_dir(files.0.path().join("directory")).unwrap();
        files.write("directory/10.pem", &format!("{own}{own_key}"));
        fs::create_dir(files.0.path().join("nothing")).unwrap();
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// A configuration; `@` stands for the directory of the files.
    fn config(&self, text: &str) -> PathBuf {
        let path = self.0.path().join("test.cfg");
        fs::write(&path, text.replace('@', &self.0.path().display().to_string())).unwrap();
        path
    }
}

/// A self-signed certificate and its key, both PEM.
fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn stickd(command: &str, config: &Path) -> Output {
    Command::new(STICKD).args([command, "-L", "me", "-f"]).arg(config).output().unwrap()
}

fn haproxy(release: &Release, config: &Path) -> Output {
    Command::new(release.program()).args(["-c", "-L", "me", "-f"]).arg(config).output().unwrap()
}

/// A section whose listener has these words.
fn listening(words: &str) -> String {
    format!("peers p\n  bind {} {words}\n  server me\n", ports::free_address())
}

/// A section with a peer whose line has these words.
fn calling(words: &str) -> String {
    format!("peers p\n  peer me {}\n  peer lb1 127.0.0.1:1 {words}\n", ports::free_address())
}

#[test]
fn check_and_run_refuse_the_same_in_the_same_words() {
    let files = Files::new();
    for (text, message) in [
        (listening("ssl crt @/none.pem"), "cannot read @/none.pem: No such file or directory"),
        (listening("ssl crt @/empty.pem"), "@/empty.pem holds no certificate in PEM"),
        (listening("ssl crt @/alone.pem"), "neither @/alone.pem nor @/alone.pem.key holds a private key"),
        (listening("ssl crt @/mismatch.pem"), "no certificate in @/mismatch.pem belongs to the private key"),
        (listening("ssl crt @/encrypted.pem"), "the private key in @/encrypted.pem is encrypted"),
        (listening("ssl crt @/small.pem"), "the private key in @/small.pem cannot be used"),
        (listening("ssl crt @/nothing"), "the directory @/nothing holds no certificate"),
        (
            listening("ssl crt @/good.pem ca-file @/none.pem verify required"),
            "cannot read @/none.pem: No such file or directory",
        ),
        (
            listening("ssl crt @/good.pem ca-file @/none.pem"),
            "cannot read @/none.pem: No such file or directory",
        ),
        (
            listening("ssl crt @/good.pem ca-file @/text.pem verify required"),
            "@/text.pem holds no certificate",
        ),
        (calling("ssl ca-file @/none.pem"), "cannot read @/none.pem: No such file or directory"),
        (calling("ssl verify none crt @/mismatch.pem"), "no certificate in @/mismatch.pem belongs to"),
        (
            calling("ssl ca-file @/ca.pem crl-file @/none.pem"),
            "cannot read @/none.pem: No such file or directory",
        ),
        (
            calling("ssl ca-file @/ca.pem crl-file @/text.pem"),
            "@/text.pem holds no list of revoked certificates in PEM",
        ),
        (calling("ssl verify none ca-file @/none.pem"), "cannot read @/none.pem: No such file or directory"),
        (calling("ssl ca-file @/ca.pem sni str(a..b)"), "\"a..b\" after sni is no host name"),
        (
            format!("global\n  stats socket @/s user nobody-of-this-name\n{}", calling("")),
            "there is no user \"nobody-of-this-name\"",
        ),
        (
            format!("global\n  stats socket @/s group nobody-of-this-name\n{}", calling("")),
            "there is no group \"nobody-of-this-name\"",
        ),
        (
            "global\n  stats socket 127.0.0.1:9\npeers p\n  peer me 127.0.0.1:9\n".to_owned(),
            "the section \"p\" listens where the runtime socket listens as well",
        ),
    ] {
        let config = files.config(&text);
        let [checked, run] = ["check", "run"].map(|command| stickd(command, &config));
        let shown = String::from_utf8_lossy(&checked.stderr).into_owned();
        let message = message.replace('@', &files.0.path().display().to_string());
        assert!(shown.contains(&format!("error: {message}")), "{text}\n{shown}");
        assert!(shown.contains("test.cfg:"), "the place is missing:\n{shown}");
        assert_eq!(shown, String::from_utf8_lossy(&run.stderr), "{text}");
        assert_eq!((checked.status.code(), run.status.code()), (Some(1), Some(1)), "{text}");
    }
}

#[test]
fn the_place_of_a_file_is_where_it_is_named() {
    let files = Files::new();
    let text = "global\n  ca-base @\npeers p\n  default-server ssl ca-file no-ca.pem\n  default-bind ssl crt @/none.pem\n  \
                peer me 127.0.0.1:1\n  peer lb1 127.0.0.1:2\n  peer lb2 127.0.0.1:3\n";
    let shown = String::from_utf8(stickd("check", &files.config(text)).stderr).unwrap();
    assert!(shown.contains("test.cfg:4:30\n") && shown.contains("test.cfg:5:24\n"), "{shown}");
    assert!(shown.ends_with("\n2 errors\n"), "one error for a file that many peers use:\n{shown}");
}

fn refuses_as_haproxy(release: &Release) {
    let files = Files::new();
    let frontend =
        format!("\nfrontend f\n  mode tcp\n  timeout client 1s\n  bind {}\n", ports::free_address());
    for (text, good) in [
        (listening("ssl crt @/good.pem"), true),
        (listening("ssl crt @/beside.pem"), true),
        (listening("ssl crt @/directory"), true),
        (listening("ssl crt @/nothing"), false),
        (listening("ssl crt @/none.pem"), false),
        (listening("ssl crt @/empty.pem"), false),
        (listening("ssl crt @/alone.pem"), false),
        (listening("ssl crt @/mismatch.pem"), false),
        (listening("ssl crt @/good.pem ca-file @/ca.pem verify required"), true),
        (listening("ssl crt @/good.pem ca-file @/none.pem verify required"), false),
        (listening("ssl crt @/good.pem ca-file @/none.pem verify none"), false),
        (calling("ssl ca-file @/ca.pem"), true),
        (calling("ssl ca-file @/none.pem"), false),
        (calling("ssl verify none ca-file @/none.pem"), false),
        (calling("ssl verify none crt @/good.pem"), true),
        (calling("ssl verify none crt @/mismatch.pem"), false),
        (calling("ssl verify none crt @/none.pem"), false),
    ] {
        let config = files.config(&text);
        let ours = stickd("check", &config);
        assert_eq!(ours.status.success(), good, "{text}\n{}", String::from_utf8_lossy(&ours.stderr));
        let config = files.config(&format!("{text}{frontend}"));
        let theirs = haproxy(release, &config);
        assert_eq!(theirs.status.success(), good, "{text}\n{}", String::from_utf8_lossy(&theirs.stderr));
    }
    // How small a key may be the build of OpenSSL says: that of the 2.8 takes 1,024 bits.
    let config = files.config(&format!("{}{frontend}", listening("ssl crt @/small.pem")));
    assert_eq!(haproxy(release, &config).status.success(), release.branch() == (2, 8));
}

stickd_testkit::on_every_release!(refuses_as_haproxy);

/// The built-in configuration and one with everything good are described.
#[test]
fn what_is_good_is_good() {
    let files = Files::new();
    let text = format!(
        "global\n  stats socket @/s user root group root\n{}",
        listening("ssl crt @/good.pem ca-file @/ca.pem verify required")
    );
    let checked = stickd("check", &files.config(&text));
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("The configuration is good.\n"));
}

#[test]
fn everything_is_shown_when_asked_for() {
    let files = Files::new();
    let config = files.config(&format!("global\n{}{}", "  nbthread 4\n".repeat(300), calling("")));
    let lines = |arguments: &[&str]| {
        let output =
            Command::new(STICKD).args(["check", "-L", "me"]).args(arguments).arg("-f").arg(&config).output();
        String::from_utf8(output.unwrap().stdout).unwrap().lines().count()
    };
    assert!(lines(&[]) < 80 && lines(&["--all"]) > 1_500);
}
