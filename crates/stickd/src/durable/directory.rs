//! The directory of durable tables: files of one process alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use stick_store::{Disk, DiskFile};

/// Permissions: keys are addresses of clients.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// File systems that live on another machine, by their numbers in statfs(2): NFS, SMB, CIFS, SMB2, AFS, Ceph.
const REMOTE: [rustix::fs::FsWord; 6] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x5346_414f, 0x00c3_6400];

/// A directory with a log. Clones are of the same one.
#[derive(Clone, Debug)]
pub(crate) struct Directory(PathBuf);

/// The lock of a directory, until it is dropped.
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Whether its file is at its path still: else another process may have a lock of the same name.
    pub(super) fn is_there(&self) -> bool {
        let (Ok(own), Ok(there)) = (self.file.metadata(), fs::metadata(&self.path)) else { return false };
        (own.dev(), own.ino()) == (there.dev(), there.ino())
    }
}

impl Directory {
    /// One that should be there.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The process that has it, if one has. The lock is not touched, so that a start at this moment gets it.
    pub(crate) fn owner(&self) -> Option<String> {
        let path = self.0.join("lock");
        let inode = format!(":{}", fs::metadata(&path).ok()?.ino());
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let is_it = |line: &str| {
            let mut words = line.split_whitespace();
            words.any(|word| word == "FLOCK") && words.any(|word| word.ends_with(&inode))
        };
        let owner = locks.lines().any(is_it).then(|| fs::read_to_string(&path).ok())?;
        owner.map(|owner| owner.trim().to_owned())
    }

    /// Makes the directory if it is not there.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Whether the files are on another machine, where a lock may not hold and a sync may not last.
    pub(super) fn is_remote(&self) -> bool {
        rustix::fs::statfs(&self.0).is_ok_and(|found| REMOTE.contains(&found.f_type))
    }

    /// Locks the directory for this process; else the id of the process that has it, as far as that said it.
    pub(crate) fn lock(&self) -> io::Result<Result<Lock, String>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let path = self.0.join("lock");
        let mut file = options.open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", std::process::id())?;
                Ok(Ok(Lock { file, path }))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                Ok(Err(owner.trim().to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The same files, to be read and left alone.
    pub(crate) fn untouched(&self) -> Untouched<'_> {
        Untouched(self)
    }
}

impl Disk for Directory {
    type File = LogFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn create(&self, name: &str) -> io::Result<LogFile> {
        let mut options = OpenOptions::new();
        Ok(LogFile(options.append(true).create_new(true).mode(FILE_MODE).open(self.0.join(name))?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        fs::rename(self.0.join(name), self.0.join(new))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// A segment.
pub(crate) struct LogFile(File);

impl DiskFile for LogFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.0.metadata()?.nlink() == 0 {
            // Whatever is written to it is gone with this process.
            return Err(io::Error::new(io::ErrorKind::NotFound, "somebody removed the file"));
        }
        self.0.sync_data()
    }
}

/// The directory of another process that is still writing.
pub(crate) struct Untouched<'d>(&'d Directory);

impl Disk for Untouched<'_> {
    type File = LogFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0.read(name)
    }

    fn create(&self, _: &str) -> io::Result<LogFile> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_of_one_process_and_of_nobody_else() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/state");
        let directory = Directory::make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, DIRECTORY_MODE);
        let lock = directory.lock().unwrap().unwrap();
        assert_eq!(directory.lock().unwrap().err(), Some(std::process::id().to_string()));
        assert_eq!(directory.owner(), Some(std::process::id().to_string()));
        drop(lock);
        assert_eq!(directory.owner(), None);
        assert!(directory.lock().unwrap().is_ok());
        let mut file = directory.create("0000000001.log").unwrap();
        file.append(b"ab").unwrap();
        file.append(b"c").unwrap();
        file.sync().unwrap();
        directory.sync_names().unwrap();
        assert_eq!(directory.read("0000000001.log").unwrap(), b"abc");
        assert!(directory.create("0000000001.log").is_err(), "it is there");
        let mode = fs::metadata(path.join("0000000001.log")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
        assert!(directory.untouched().remove("0000000001.log").is_err());
        directory.rename("0000000001.log", "x").unwrap();
        let mut names = directory.list().unwrap();
        names.sort();
        assert_eq!(names, ["lock", "x"]);
        let lock = directory.lock().unwrap().unwrap();
        assert!(lock.is_there());
        fs::remove_dir_all(&path).unwrap();
        assert!(!lock.is_there());
        assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
