//! Tables on disk: what a log may hold.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use stick_store::{Clocks, Disk, DiskFile, load, segment_of};
use stick_table::{Table, TableDefinition};

/// Most entries of a table, whatever its definition says.
const MOST_ENTRIES: u32 = 100;

/// Blocks with right hashes and any content: the reader takes them or says what is damaged, and what it takes is within the tables.
pub fn state(mut data: &[u8]) {
    let mut blocks = Vec::new();
    while let Some((&[kind, table, rows, low, high], rest)) = data.split_first_chunk() {
        let (body, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes([low, high]))));
        blocks.push((u16::from(kind), u32::from(table), u32::from(rows), body));
        data = rest;
    }
    let count = blocks.len() as u64;
    let disk = OneFile(Mutex::new(BTreeMap::from([("0000000001.log".to_owned(), segment_of(blocks))])));
    let clocks = Clocks { now: 5, wall: 7, boot: 7, boot_id: [0; 16] };
    let mut tables = BTreeMap::new();
    let loaded = load(&disk, &clocks, |name, definition| {
        let mut definition: TableDefinition = definition.clone();
        "t".clone_into(&mut definition.name);
        definition.size = definition.size.min(MOST_ENTRIES);
        let known = tables.entry(name.to_owned());
        let table = known.or_insert_with(|| Table::new(definition, 1).ok().map(Arc::new));
        table.clone()
    });
    let loaded = loaded.expect("the disk never fails");
    assert!(loaded.blocks <= count);
    assert!(tables.values().flatten().all(|table| table.len() <= MOST_ENTRIES));
}

/// A disk of files that are only read.
struct OneFile(Mutex<BTreeMap<String, Vec<u8>>>);

impl OneFile {
    fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Disk for OneFile {
    type File = NoFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.files().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&self, _: &str) -> io::Result<NoFile> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, name: &str, new: &str) -> io::Result<()> {
        let content = self.files().remove(name).ok_or(io::ErrorKind::NotFound)?;
        self.files().insert(new.to_owned(), content);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(())
    }
}

struct NoFile;

impl DiskFile for NoFile {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
