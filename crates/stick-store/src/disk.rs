//! The files that a log needs.

use std::io;

/// A directory of files. Names have no separators.
pub trait Disk {
    /// A file that grows.
    type File: DiskFile;

    /// The names of all files, in any order.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The whole content of a file.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// A new file, which is not there yet.
    ///
    /// # Errors
    /// Those of the system; when the file is there.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Removes a file. It may come back after a crash.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, so that it is kept and not read again.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, name: &str, new: &str) -> io::Result<()>;

    /// Makes the names of files durable that were created until now.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_names(&self) -> io::Result<()>;
}

/// A file of a [`Disk`], to append to.
pub trait DiskFile {
    /// Writes behind the end. After an error, any part of it may be there.
    ///
    /// # Errors
    /// Those of the system.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable what was appended. After an error nothing is known of it, and the file must not be used any more: a second
    /// attempt may succeed without having written anything.
    ///
    /// # Errors
    /// Those of the system.
    fn sync(&mut self) -> io::Result<()>;
}
