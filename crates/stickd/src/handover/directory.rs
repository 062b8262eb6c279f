//! Where processes find each other's hand-over sockets: a directory that nobody else can enter.

use std::fs::{DirBuilder, symlink_metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// Permissions of the directory: nobody but its owner enters it.
const MODE: u32 = 0o700;
/// Permissions of everybody else.
const OTHERS: u32 = 0o077;

/// The directories of this user, the preferred one first.
///
/// They depend on the user and on variables of systemd only, not on the working directory: a process that somebody starts
/// by hand finds the one that a unit runs.
pub(super) fn candidates() -> Vec<PathBuf> {
    let user = geteuid().as_raw();
    let variable = |name| {
        let first = std::env::var(name).ok()?.split(':').next().map(PathBuf::from)?;
        first.is_absolute().then_some(first)
    };
    let mut all = Vec::new();
    all.extend(variable("RUNTIME_DIRECTORY").map(|unit| unit.join("handover")));
    all.push("/run/stickd/handover".into());
    all.push("/run/stickd-handover".into());
    all.extend(variable("XDG_RUNTIME_DIR").map(|session| session.join("stickd")));
    all.push(format!("/run/user/{user}/stickd").into());
    all.push(format!("/tmp/stickd-{user}").into());
    all
}

/// Makes a directory unless it is there, and makes sure that it is this user's and closed to everybody else.
pub(super) fn prepare(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(MODE).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = symlink_metadata(directory)?;
    let fault = if !found.is_dir() {
        "it is no directory"
    } else if found.uid() != geteuid().as_raw() {
        "it belongs to another user"
    } else if found.mode() & OTHERS != 0 {
        "others than its owner may enter it"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, fault))
}

/// The socket of a process in a directory.
pub(super) fn socket(directory: &Path, pid: u32) -> PathBuf {
    directory.join(format!("{pid}.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("d");
        prepare(&directory).unwrap();
        assert_eq!(symlink_metadata(&directory).unwrap().mode() & 0o777, MODE);
        prepare(&directory).unwrap();
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o750)).unwrap();
        assert!(prepare(&directory).unwrap_err().to_string().contains("others"));
        let link = base.path().join("link");
        symlink(base.path(), &link).unwrap();
        assert!(prepare(&link).unwrap_err().to_string().contains("no directory"));
        assert!(prepare(&base.path().join("none/d")).is_err());
    }

    #[test]
    fn every_candidate_is_absolute_and_the_last_is_in_tmp() {
        let all = candidates();
        assert!(all.iter().all(|directory| directory.is_absolute()), "{all:?}");
        assert_eq!(all.last(), Some(&PathBuf::from(format!("/tmp/stickd-{}", geteuid().as_raw()))));
    }
}
