//! Where a listening Unix socket is found.
//!
//! A socket is bound in a directory that nobody else can enter, gets its owner and mode there, and is then renamed to its path. So
//! there is a working socket at the path at any time while one process takes over from another, and it never has another owner or
//! mode than it should. The path is removed at the end only when the socket there is still this one.

use std::fs::{DirBuilder, remove_dir, remove_file, rename, symlink_metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

mod obstacle;
pub(crate) use obstacle::obstacle;

/// Permissions of the directory in which a socket is bound.
const PRIVATE: u32 = 0o700;
/// Name of a socket in it.
const NAME: &str = "s";

/// Removes the socket's file when dropped.
#[derive(Debug)]
pub struct UnixPath {
    path: PathBuf,
    /// Device and inode of the socket: whether a file is still it.
    identity: (u64, u64),
    /// The directory in which it was bound, until it is at its path.
    passing: Option<PathBuf>,
    /// Processes that may be listening at the path; `None` for any.
    before: Option<Vec<i32>>,
}

impl UnixPath {
    /// Binds a socket that takes the place of the one at `path` in [`publish`](Self::publish); whoever listens there is not
    /// disturbed before.
    ///
    /// # Errors
    /// When nothing can be bound in the path's directory, or what stands at the path is no socket; the text says what to do.
    pub fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        Self::new(path, None)
    }

    /// As [`bind`](Self::bind), for a path at which nobody listens but one of the processes `predecessors`, which hand over to this
    /// one. What an ended process left behind is replaced.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) when somebody else listens at the path; else as `bind`.
    pub fn bind_after(path: &Path, predecessors: &[i32]) -> io::Result<(UnixListener, Self)> {
        if let Some(obstacle) = obstacle(path) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, obstacle));
        }
        refuse_strangers(path, predecessors)?;
        Self::new(path, Some(predecessors.to_vec()))
    }

    fn new(path: &Path, before: Option<Vec<i32>>) -> io::Result<(UnixListener, Self)> {
        if let Some(obstacle) = obstacle(path) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, obstacle));
        }
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let passing = path.with_file_name(format!(".{}-{number}", std::process::id()));
        let socket = passing.join(NAME);
        // Left behind by a process of the same number that was killed.
        let _ = remove_file(&socket).and_then(|()| remove_dir(&passing));
        DirBuilder::new().mode(PRIVATE).create(&passing).map_err(|error| not_writable(&passing, &error))?;
        let bound = UnixListener::bind(&socket).and_then(|listener| Ok((listener, identity(&socket)?)));
        match bound {
            Ok((listener, identity)) => {
                let path = path.to_owned();
                Ok((listener, Self { path, identity, passing: Some(passing), before }))
            }
            Err(error) => {
                let _ = remove_dir(&passing);
                Err(error)
            }
        }
    }

    /// Where the socket is now.
    pub fn current(&self) -> PathBuf {
        self.passing.as_ref().map_or_else(|| self.path.clone(), |passing| passing.join(NAME))
    }

    /// Where it is in the end.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the socket at its path, over the one that stands there.
    ///
    /// # Errors
    /// When what stands there cannot be replaced, or somebody listens there who was not expected.
    pub fn publish(&mut self) -> io::Result<()> {
        let Some(passing) = &self.passing else { return Ok(()) };
        let socket = passing.join(NAME);
        match &self.before {
            Some(predecessors) => move_after(&socket, &self.path, predecessors)?,
            None => rename(&socket, &self.path)?,
        }
        // Empty, and of this process.
        let _ = remove_dir(passing);
        self.passing = None;
        Ok(())
    }
}

/// What to do when nothing can be created beside `passing`.
fn not_writable(passing: &Path, error: &io::Error) -> io::Error {
    let directory = passing.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new(".")).display();
    let text = format!(
        "nothing can be created in {directory}: {error}; let the user that stickd runs as write there, or choose another path"
    );
    io::Error::new(error.kind(), text)
}

/// Moves a socket to a path at which nobody listens but `predecessors`. Of two processes that start at the same time one fails.
fn move_after(socket: &Path, path: &Path, predecessors: &[i32]) -> io::Result<()> {
    let moved = |flags| renameat_with(CWD, socket, CWD, path, flags);
    match moved(RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => {
            // What stood there is looked at after it was taken away: it cannot change any more.
            moved(RenameFlags::EXCHANGE)?;
            if let Err(error) = refuse_strangers(socket, predecessors) {
                moved(RenameFlags::EXCHANGE)?;
                return Err(error);
            }
            remove_file(socket)
        }
        // A file system without these flags.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename(socket, path),
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that nobody listens at a path but one of `predecessors`.
///
/// # Errors
/// When somebody else does, or that cannot be found out, as without permission to connect.
fn refuse_strangers(path: &Path, predecessors: &[i32]) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full backlog would hold up a connection that blocks.
    socket.set_nonblocking(true)?;
    let listener = match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => UnixStream::from_std(socket.into())?.peer_cred()?.pid(),
        // Somebody is too busy to accept, and cannot be told from others.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(());
        }
        Err(error) => {
            let why = format!("cannot find out whether another process listens there: {error}");
            return Err(io::Error::new(error.kind(), why));
        }
    };
    // Processes of another container have no id here.
    let is_known = match listener {
        None | Some(0) => !predecessors.is_empty(),
        Some(pid) => predecessors.contains(&pid),
    };
    if is_known {
        return Ok(());
    }
    let pid = listener.filter(|pid| *pid != 0).map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let why = format!("another process{pid} listens there: the address is in use");
    Err(io::Error::new(io::ErrorKind::AddrInUse, why))
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        let path = self.current();
        if identity(&path).is_ok_and(|found| found == self.identity) {
            // Nobody can be told; a new start replaces what is left behind.
            let _ = remove_file(path);
        }
        if let Some(passing) = &self.passing {
            let _ = remove_dir(passing);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream as Client;

    #[tokio::test]
    async fn one_takes_over_from_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (first, mut first_path) = UnixPath::bind(&path).unwrap();
        assert!(!path.exists());
        first_path.publish().unwrap();
        let (_second, mut second_path) = UnixPath::bind(&path).unwrap();
        let client = Client::connect(&path).unwrap();
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

    #[tokio::test]
    async fn nobody_else_reaches_it_before_it_is_at_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let (_listener, path) = UnixPath::bind(&dir.path().join("s")).unwrap();
        let directory = path.current().parent().unwrap().to_owned();
        assert_eq!(symlink_metadata(directory).unwrap().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn a_path_where_somebody_listens_is_not_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (listener, mut first) = UnixPath::bind_after(&path, &[]).unwrap();
        // Both found nobody there; the one that comes second fails.
        let (_late, mut second) = UnixPath::bind_after(&path, &[]).unwrap();
        first.publish().unwrap();
        assert_eq!(second.publish().unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let own = std::process::id().cast_signed();
        for strangers in [&[][..], &[own + 1]] {
            let error = UnixPath::bind_after(&path, strangers).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&format!("(pid {own})")), "{error}");
        }
        UnixPath::bind_after(&path, &[own]).unwrap();
        drop(second);
        let _client = Client::connect(&path).unwrap();
        listener.accept().await.unwrap();
        // An ended process leaves its file behind when it is killed.
        std::mem::forget(first);
        drop(listener);
        assert!(path.exists());
        let (_third, mut third) = UnixPath::bind_after(&path, &[]).unwrap();
        third.publish().unwrap();
        let _client = Client::connect(&path).unwrap();
        drop(third);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    /// Also one that is too busy to accept.
    #[tokio::test]
    async fn a_full_backlog_is_somebody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(1).unwrap();
        let (mut waiting, own) = (Vec::new(), std::process::id().cast_signed());
        for _ in 0..10 {
            assert!(refuse_strangers(&path, &[]).is_err());
            assert!(refuse_strangers(&path, &[own]).is_ok(), "it may be a predecessor");
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&SockAddr::unix(&path).unwrap());
            waiting.push(client);
        }
    }
}
