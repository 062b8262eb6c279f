//! Why a Unix socket cannot stand at a path: what is there, or what is missing, and what to do.

use std::fs::{FileType, Metadata, metadata, read_link, symlink_metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// Longest path of a Unix socket, in bytes: the system's structure has 108, the last one is 0.
const MAX_PATH: usize = 107;

/// What keeps a socket from standing at `path`; `None` where nothing is known to. A socket there is no obstacle: it is replaced when
/// nobody listens.
pub(crate) fn obstacle(path: &Path) -> Option<String> {
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > MAX_PATH {
        return Some(format!(
            "the path has {bytes} bytes, and a Unix socket's has {MAX_PATH} at most: choose a shorter one"
        ));
    }
    if let Ok(there) = symlink_metadata(path) {
        return what_stands_at(path, &there);
    }
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty())?;
    let name = directory.display();
    match metadata(directory) {
        Ok(found) if !found.is_dir() => {
            Some(format!("{name} is no directory: remove it, or choose another path"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Some(format!("the directory {name} does not exist: create it for the user that stickd runs as"))
        }
        _ => None,
    }
}

fn what_stands_at(path: &Path, there: &Metadata) -> Option<String> {
    let kind = there.file_type();
    if kind.is_socket() {
        return None;
    }
    if kind.is_file() && there.len() == 0 {
        return Some(
            "an empty file is there, as \"socat - PATH\" makes it while stickd is down: remove it, and let clients use \
             \"socat - UNIX-CONNECT:PATH\""
                .to_owned(),
        );
    }
    if kind.is_symlink() {
        let target = read_link(path).map_or_else(|_| "?".to_owned(), |target| target.display().to_string());
        let dangling = if metadata(path).is_err() { ", which does not exist" } else { "" };
        return Some(format!(
            "a symbolic link to {target}{dangling} is there, and stickd follows none: remove it, or configure the path it \
             leads to"
        ));
    }
    Some(format!("{} is there: remove it, or choose another path", word(kind, there.len())))
}

fn word(kind: FileType, length: u64) -> String {
    if kind.is_dir() {
        "a directory".to_owned()
    } else if kind.is_file() {
        format!("a file of {length} bytes")
    } else if kind.is_fifo() {
        "a named pipe".to_owned()
    } else {
        "a device".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn what_stands_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("empty"), "").unwrap();
        fs::write(path("file"), "text").unwrap();
        fs::create_dir(path("dir")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RUSR).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        symlink(path("file"), path("link")).unwrap();
        drop(UnixListener::bind(path("dead")).unwrap());
        for (name, text) in [
            (
                "empty",
                "an empty file is there, as \"socat - PATH\" makes it while stickd is down: remove it, and",
            ),
            ("file", "a file of 4 bytes is there: remove it, or choose another path"),
            ("dir", "a directory is there: remove it"),
            ("pipe", "a named pipe is there: remove it"),
            (
                "dangling",
                "a symbolic link to nowhere, which does not exist is there, and stickd follows none: remove it",
            ),
            ("link", "/file is there, and stickd follows none: remove it"),
            ("file/s", "/file is no directory: remove it"),
            ("none/s", "/none does not exist: create it for the user that stickd runs as"),
            (&"x".repeat(110), "bytes, and a Unix socket's has 107 at most: choose a shorter one"),
        ] {
            let found = obstacle(&path(name)).unwrap_or_default();
            assert!(found.contains(text), "{name}: {found}");
        }
        for good in ["free", "dead"] {
            assert_eq!(obstacle(&path(good)), None, "{good}");
        }
        assert_eq!(obstacle(Path::new("relative.sock")), None);
    }
}
