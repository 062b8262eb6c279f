//! The file with the process id.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Most permissions of the file: whoever could write it could have another process signalled.
const MODE: u32 = 0o644;

/// Removes the file when dropped, if it is still this process's.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// The new file beside it, until it is renamed.
    beside: Option<PathBuf>,
    /// Device and inode: whether a file is still it.
    identity: (u64, u64),
}

impl PidFile {
    /// Writes a new file beside `path`, which is left as it is until [`publish`](Self::publish): the process before this one
    /// keeps its own as long as this one may fail. No symbolic link is followed.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn prepare(path: &Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut file = create(&beside)?;
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        let this = Self { path: path.to_owned(), beside: Some(beside), identity };
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(this)
    }

    /// Puts the file at its path, so that readers never see half of it. A symbolic link there is replaced.
    ///
    /// # Errors
    /// When what stands there cannot be replaced.
    pub(crate) fn publish(&mut self) -> io::Result<()> {
        if let Some(beside) = &self.beside {
            std::fs::rename(beside, &self.path)?;
            self.beside = None;
        }
        Ok(())
    }
}

/// Creates a file that was not there. One that an ended process left behind, or a link that somebody put there, is removed.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(MODE);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let path = self.beside.as_ref().unwrap_or(&self.path);
        let found = std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == self.identity) {
            // Nobody can be told; the next start replaces what is left behind.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_appears_whole_and_goes_with_its_process() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        fs::write(&path, "1\n").unwrap();
        let mut file = PidFile::prepare(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n", "it may still fail");
        file.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_process_that_fails_leaves_the_one_before_it_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut first = PidFile::prepare(&path).unwrap();
        first.publish().unwrap();
        drop(PidFile::prepare(&path).unwrap());
        assert!(path.exists());
        // One that takes over keeps it when the first one ends.
        let mut second = PidFile::prepare(&path).unwrap();
        second.publish().unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[test]
    fn no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let precious = directory.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        for link in ["pid", "pid.new"] {
            std::os::unix::fs::symlink(&precious, directory.path().join(link)).unwrap();
        }
        let path = directory.path().join("pid");
        let mut file = PidFile::prepare(&path).unwrap();
        file.publish().unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
        drop(file);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
