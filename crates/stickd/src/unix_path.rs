//! Where a listening Unix socket is found.
//!
//! A socket is bound under a passing name and then renamed over its path, so that there is a working socket at the path
//! at any time while one process takes over from another. The path is removed at the end only when the socket there is
//! still this one.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::UnixListener;

/// Removes the socket's file when dropped.
#[derive(Debug)]
pub struct UnixPath {
    path: PathBuf,
    /// Device and inode of the socket: whether a file is still it.
    identity: (u64, u64),
    /// The passing name, until it is renamed.
    passing: Option<PathBuf>,
}

impl UnixPath {
    /// Binds a socket that will stand at `path` after [`publish`](Self::publish); whoever listens there now is not
    /// disturbed before.
    ///
    /// # Errors
    /// When nothing can be bound in the path's directory, or what stands at the path is no socket.
    pub fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        if std::fs::symlink_metadata(path).is_ok_and(|there| !there.file_type().is_socket()) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is not a socket"));
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let passing = path.with_file_name(format!(".{}-{number}", std::process::id()));
        // Left behind by a process of the same number that was killed.
        let _ = std::fs::remove_file(&passing);
        let listener = UnixListener::bind(&passing)?;
        let identity = identity(&passing)?;
        Ok((listener, Self { path: path.to_owned(), identity, passing: Some(passing) }))
    }

    /// Where the socket stands now.
    pub fn current(&self) -> &Path {
        self.passing.as_ref().unwrap_or(&self.path)
    }

    /// Where it stands in the end.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the socket at its path, over the one that stands there.
    ///
    /// # Errors
    /// When what stands there cannot be replaced.
    pub fn publish(&mut self) -> io::Result<()> {
        if let Some(passing) = &self.passing {
            std::fs::rename(passing, &self.path)?;
            self.passing = None;
        }
        Ok(())
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        let path = self.current();
        if identity(path).is_ok_and(|found| found == self.identity) {
            // Nobody can be told; a new start replaces what is left behind.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[tokio::test]
    async fn one_takes_over_from_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (first, mut first_path) = UnixPath::bind(&path).unwrap();
        assert!(!path.exists());
        first_path.publish().unwrap();
        let (_second, mut second_path) = UnixPath::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        first.accept().await.unwrap();
        second_path.publish().unwrap();
        drop((client, first_path));
        assert!(path.exists(), "the first one must leave the second one's path alone");
        drop(second_path);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn one_that_was_not_published_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let bound = UnixPath::bind(&dir.path().join("s")).unwrap();
        assert!(bound.1.current().exists());
        drop(bound);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
