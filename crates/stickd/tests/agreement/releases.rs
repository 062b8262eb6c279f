//! `haproxy -c` of every release.

use std::path::Path;
use std::process::{Command, Stdio};

use stickd_testkit::Release;

pub(crate) struct Releases(Vec<Release>);

impl Releases {
    pub(crate) fn all() -> Self {
        Self(Release::all())
    }

    /// The releases' numbers.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|release| format!("{}.{}", release.branch().0, release.branch().1)).collect()
    }

    /// Which of them accept a file.
    pub(crate) fn accept(&self, file: &Path) -> Vec<bool> {
        let started: Vec<_> = self
            .0
            .iter()
            .map(|release| {
                let mut check = Command::new(release.program());
                check.args(["-c", "-q", "-L", "me", "-f"]).arg(file);
                check.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
            })
            .collect();
        started.into_iter().map(|mut check| check.wait().unwrap().success()).collect()
    }
}
