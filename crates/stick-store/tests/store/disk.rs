//! A disk in memory that crashes: what was not synced is there in any part.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use stick_store::{Disk, DiskFile};

/// Part of a file that is written as a whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    /// So many of them are durable.
    synced: usize,
    /// Whether the name is durable.
    is_named: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Content>,
    /// Files that were removed, and may come back in a crash.
    removed: BTreeMap<String, Content>,
    calls: usize,
    /// The call that fails, and how.
    fails_at: Option<(usize, io::ErrorKind)>,
    /// From this call on nothing happens any more: the process has crashed.
    dies_at: Option<usize>,
}

/// Clones are of the same disk.
#[derive(Clone, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

/// A random number generator that is told its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

impl State {
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.dies_at.is_some_and(|at| self.calls >= at) {
            return Err(io::Error::other("the process is gone"));
        }
        match self.fails_at {
            Some((at, kind)) if self.calls == at => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn is_dead(&self) -> bool {
        self.dies_at.is_some_and(|at| self.calls >= at)
    }
}

impl SimDisk {
    /// A disk with one file.
    pub(crate) fn with(name: &str, bytes: &[u8]) -> Self {
        let content = Content { bytes: bytes.to_vec(), synced: bytes.len(), is_named: true };
        let files = BTreeMap::from([(name.to_owned(), content)]);
        Self(Arc::new(Mutex::new(State { files, ..State::default() })))
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// Lets one of the next calls fail.
    pub(crate) fn fail_in(&self, calls: usize, kind: io::ErrorKind) {
        let mut state = self.0.lock().unwrap();
        state.fails_at = Some((state.calls + calls, kind));
    }

    /// Lets the process die in one of the next calls.
    pub(crate) fn die_in(&self, calls: usize) {
        let mut state = self.0.lock().unwrap();
        state.dies_at = Some(state.calls + calls);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().unwrap().is_dead()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.lock().unwrap().files.values().map(|file| file.bytes.len() as u64).sum()
    }

    /// Overwrites a part of a file.
    pub(crate) fn damage(&self, name: &str, offset: usize, junk: &[u8]) {
        let mut state = self.0.lock().unwrap();
        let bytes = &mut state.files.get_mut(name).unwrap().bytes;
        let end = bytes.len().min(offset + junk.len());
        bytes[offset..end].copy_from_slice(&junk[..end - offset]);
    }

    /// Cuts a file off.
    pub(crate) fn cut(&self, name: &str, bytes: usize) {
        self.0.lock().unwrap().files.get_mut(name).unwrap().bytes.truncate(bytes);
    }

    /// A copy of what is on it.
    pub(crate) fn copy(&self) -> Self {
        let files = self.0.lock().unwrap().files.clone();
        Self(Arc::new(Mutex::new(State { files, ..State::default() })))
    }

    /// What is left after a crash: of what was not synced any part, in any order.
    pub(crate) fn crash(&self, random: &mut Random) -> Self {
        let state = self.0.lock().unwrap();
        let mut files = BTreeMap::new();
        let ghosts = state.removed.iter().filter(|(name, _)| !state.files.contains_key(*name));
        for (name, content) in ghosts {
            if random.below(2) == 0 {
                files.insert(name.clone(), Content { is_named: true, ..content.clone() });
            }
        }
        for (name, content) in &state.files {
            if !content.is_named && random.below(2) == 0 {
                continue;
            }
            let mut bytes = content.bytes.clone();
            let mut end = content.synced;
            for start in (content.synced..bytes.len()).step_by(SECTOR) {
                let sector = start..bytes.len().min(start + SECTOR);
                match random.below(4) {
                    0 => bytes[sector].fill(0),
                    1 => {
                        // Torn: the disk did half of it.
                        let middle = sector.start + random.below(sector.len() as u64) as usize;
                        bytes[middle..sector.end].fill(0);
                        end = sector.end;
                    }
                    _ => end = sector.end,
                }
            }
            bytes.truncate(end);
            let synced = bytes.len();
            files.insert(name.clone(), Content { bytes, synced, is_named: true });
        }
        Self(Arc::new(Mutex::new(State { files, ..State::default() })))
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        Ok(state.files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        let content = state.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(content.bytes.clone())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        if state.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.removed.remove(name);
        state.files.insert(name.to_owned(), Content::default());
        Ok(SimFile { disk: self.clone(), name: name.to_owned() })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        let content = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.removed.insert(name.to_owned(), content);
        Ok(())
    }

    fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        let content = state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(new.to_owned(), content);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call()?;
        state.removed.clear();
        state.files.values_mut().for_each(|content| content.is_named = true);
        Ok(())
    }
}

pub(crate) struct SimFile {
    disk: SimDisk,
    name: String,
}

impl DiskFile for SimFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let result = state.call();
        let is_dead = state.is_dead();
        let file = state.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        match &result {
            // A part of it was written.
            Err(_) if is_dead => file.bytes.extend_from_slice(bytes),
            Err(_) => file.bytes.extend_from_slice(&bytes[..bytes.len() / 2]),
            Ok(()) => file.bytes.extend_from_slice(bytes),
        }
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let result = state.call();
        let is_dead = state.is_dead();
        let file = state.files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?;
        if result.is_ok() {
            file.synced = file.bytes.len();
        } else if !is_dead {
            // The system holds what it could not write for written from now on: a later sync succeeds, and this is lost.
            let synced = file.synced;
            file.bytes[synced..].fill(0);
        }
        result
    }
}
