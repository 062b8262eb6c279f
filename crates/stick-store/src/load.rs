//! Reading a log into tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use stick_table::{Batch, ColumnsError, EntryRef, Origin, Precedence, Table, TableDefinition};
use thiserror::Error;

use crate::format::{BootId, HEADERS, Head, Header, HeaderFault, Kind, segment_name, segment_number};
use crate::mapping::{Mapping, Mismatch, Taken};
use crate::rows::BodyReader;
use crate::scan::{Found, Scan};
use crate::sums::StoredSums;
use crate::{Clocks, Disk, FORMAT, Sums};

/// Why nothing could be read. Damage is no reason.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The files could not be listed.
    #[error("the files of the directory cannot be listed: {0}")]
    List(#[source] io::Error),
}

/// A part of a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Its length, in bytes.
    pub bytes: u64,
    /// The table and how many entries the block held, where its head says so.
    pub block: Option<(String, u32)>,
    /// Whether it is the end of a file, which is usual after a crash: what was being written then.
    pub is_tail: bool,
}

/// A table, or a part of one, that was stored and not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub table: String,
    /// Why, in words.
    pub reason: String,
}

/// A file that was given another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The file.
    pub file: String,
    /// Its name now; `None` when it could not be renamed.
    pub name: Option<String>,
    /// Why it was not read, in words.
    pub reason: String,
}

/// What was read, and where a writer goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Blocks that were read.
    pub blocks: u64,
    /// Entries that were loaded; one that was stored twice counts twice.
    pub entries: u64,
    /// Entries whose life had ended meanwhile.
    pub expired: u64,
    /// Entries for which there was no room.
    pub refused: u64,
    /// Parts of files that could not be read.
    pub damage: Vec<Damage>,
    /// What was not loaded.
    pub left_out: Vec<LeftOut>,
    /// Files that were not read.
    pub set_aside: Vec<SetAside>,
    /// The secret of the newest segment, to be used for tables as well: with the hashes that they had, they are loaded quicker.
    pub seed: Option<u64>,
    /// The newest process that wrote, by its number.
    pub(crate) generation: u64,
    /// The number of the next segment.
    pub(crate) next_segment: u64,
    /// Segments by number, with their bytes.
    pub(crate) segments: BTreeMap<u64, u64>,
    /// Where the newest whole lap begins.
    pub(crate) lap: Option<u64>,
}

/// Reads a log. `find` gives the table for what was stored under a name with a definition, or `None` when there is none any more.
/// Call it before anything else fills the tables: what is loaded has [`Origin::STORE`], and keys that were removed are removed.
///
/// # Errors
/// When the files cannot be listed. Whatever else happens is said in [`Loaded`], and what is readable is loaded.
pub fn load<D: Disk>(
    disk: &D,
    clocks: &Clocks,
    find: impl FnMut(&str, &TableDefinition) -> Option<Arc<Table>>,
) -> Result<Loaded, LoadError> {
    load_by(disk, clocks, Precedence::FillGaps, find, None)
}

/// As [`load`], with the contributions to sums. `find_sums` gives those of a source that was stored under a name with a definition.
/// Call it before nodes tell anything.
///
/// # Errors
/// As [`load`].
pub fn load_with_sums<D: Disk>(
    disk: &D,
    clocks: &Clocks,
    find: impl FnMut(&str, &TableDefinition) -> Option<Arc<Table>>,
    mut find_sums: impl FnMut(&str, &TableDefinition) -> Option<Sums>,
) -> Result<Loaded, LoadError> {
    load_by(disk, clocks, Precedence::FillGaps, find, Some(&mut find_sums))
}

/// Finds the sums of a source.
type FindSums<'f> = &'f mut dyn FnMut(&str, &TableDefinition) -> Option<Sums>;

/// As [`load`], into tables that others fill already: what they wrote stays, and nothing of it is evicted. Contributions to sums
/// are not loaded: the nodes tell them.
///
/// # Errors
/// As [`load`].
pub fn load_late<D: Disk>(
    disk: &D,
    clocks: &Clocks,
    find: impl FnMut(&str, &TableDefinition) -> Option<Arc<Table>>,
) -> Result<Loaded, LoadError> {
    load_by(disk, clocks, Precedence::Vacant, find, None)
}

fn load_by<D: Disk>(
    disk: &D,
    clocks: &Clocks,
    precedence: Precedence,
    find: impl FnMut(&str, &TableDefinition) -> Option<Arc<Table>>,
    find_sums: Option<FindSums<'_>>,
) -> Result<Loaded, LoadError> {
    let mut log = Log::scan(disk)?;
    let start = log.start();
    let (tables, left_out) = (HashMap::new(), BTreeSet::new());
    let sums = HashMap::new();
    let mut loading =
        Loading { find, find_sums, clocks, precedence, tables, sums, left_out, loaded: &mut log.loaded };
    for segment in &log.segments {
        loading.read(disk, segment, start, &log.cleared);
    }
    let left_out = std::mem::take(&mut loading.left_out);
    log.loaded.left_out = left_out.into_iter().map(|(table, reason)| LeftOut { table, reason }).collect();
    Ok(log.loaded)
}

/// A block's place among those of the whole log that are whole.
type Place = usize;

struct Segment {
    number: u64,
    header: Header,
    scan: Scan,
    /// The place of its first block.
    first: Place,
}

/// All segments, looked through.
struct Log {
    segments: Vec<Segment>,
    /// Laps that are there from end to end: places of their first blocks.
    laps: Vec<Place>,
    /// Places of blocks from which on all entries of a table follow.
    cleared: Vec<Place>,
    loaded: Loaded,
}

impl Log {
    fn scan<D: Disk>(disk: &D) -> Result<Self, LoadError> {
        let names = disk.list().map_err(LoadError::List)?;
        let mut numbers: Vec<_> = names.iter().filter_map(|name| segment_number(name)).collect();
        numbers.sort_unstable();
        let mut loaded =
            Loaded { next_segment: numbers.last().map_or(1, |last| last + 1), ..Loaded::default() };
        let mut segments = Vec::new();
        let mut first = 0;
        for number in numbers {
            let Some((header, scan, bytes)) = look_through(disk, number, &mut loaded) else { continue };
            loaded.bytes += bytes;
            loaded.segments.insert(number, bytes);
            loaded.seed = Some(header.seed);
            loaded.generation = loaded.generation.max(header.generation);
            let count = scan.blocks.len();
            segments.push(Segment { number, header, scan, first });
            first += count;
        }
        let mut log = Self { segments, laps: Vec::new(), cleared: Vec::new(), loaded };
        log.find_runs();
        log.loaded.lap = log.laps.last().and_then(|&place| log.segment_of(place));
        Ok(log)
    }

    fn segment_of(&self, place: Place) -> Option<u64> {
        self.segments.iter().rev().find(|segment| segment.first <= place).map(|segment| segment.number)
    }

    /// Finds the laps and the starts of tables that are there from end to end: between their ends no number of a block is missing.
    fn find_runs(&mut self) {
        let mut begun: HashMap<(u64, u64), Place> = HashMap::new();
        for segment in &self.segments {
            let generation = segment.header.generation;
            for (place, Found { head, begun_by, .. }) in (segment.first..).zip(&segment.scan.blocks) {
                let runs = match head.kind {
                    Kind::LapBegin | Kind::StartOver => {
                        begun.insert((generation, head.number), place);
                        continue;
                    }
                    Kind::LapEnd => &mut self.laps,
                    Kind::CaughtUp => &mut self.cleared,
                    _ => continue,
                };
                let first = begun_by.and_then(|number| Some((number, *begun.get(&(generation, number))?)));
                if let Some((number, first)) = first
                    && (place - first) as u64 == head.number.wrapping_sub(number)
                {
                    runs.push(first);
                }
            }
        }
    }

    /// Where to begin: at the newest lap that is whole, or with everything there is.
    fn start(&self) -> Place {
        self.laps.last().copied().unwrap_or(0)
    }
}

/// Reads a segment and looks through it; `None` when it is none.
fn look_through<D: Disk>(disk: &D, number: u64, loaded: &mut Loaded) -> Option<(Header, Scan, u64)> {
    let file = segment_name(number);
    let mut set_aside = |reason: String| {
        let name = format!("{file}.unreadable");
        let renamed = disk.rename(&file, &name);
        let name = renamed.is_ok().then_some(name);
        loaded.set_aside.push(SetAside { file: file.clone(), name, reason });
    };
    let bytes = match disk.read(&file) {
        Ok(bytes) => bytes,
        Err(error) => {
            set_aside(format!("the system cannot read it: {error}"));
            return None;
        }
    };
    if bytes.len() < HEADERS {
        // Made just before a crash: nothing in it was ever durable.
        let _ = disk.remove(&file);
        return None;
    }
    let header = match Header::decode(&bytes) {
        Ok(header) => header,
        Err(HeaderFault::Damaged) if bytes.iter().all(|&byte| byte == 0) => {
            let _ = disk.remove(&file);
            return None;
        }
        Err(HeaderFault::Damaged) => {
            set_aside("both of its headers are damaged".to_owned());
            return None;
        }
        Err(HeaderFault::Newer(format)) => {
            set_aside(format!("it needs a reader of format {format}, and this one reads format {FORMAT}"));
            return None;
        }
    };
    let scan = Scan::of(&bytes, header.seed);
    for (range, _) in scan.damage.iter().filter(|(_, head)| head.is_none_or(|head| head.kind == Kind::Gap)) {
        loaded.damage.push(Damage {
            file: file.clone(),
            offset: range.start as u64,
            bytes: range.len() as u64,
            block: None,
            is_tail: range.end == bytes.len(),
        });
    }
    Some((header, scan, bytes.len() as u64))
}

/// A table while it is loaded from a segment.
struct Source {
    table: Arc<Table>,
    precedence: Precedence,
    batch: Batch,
    mapping: Mapping,
}

struct Loading<'l, 's, F> {
    find: F,
    /// `None` where contributions are not asked for.
    find_sums: Option<FindSums<'s>>,
    clocks: &'l Clocks,
    precedence: Precedence,
    /// The tables of the present segment, by their numbers there; `None` for those that are not loaded.
    tables: HashMap<u32, (String, Option<Source>)>,
    /// The sources of the present segment, by their numbers there.
    sums: HashMap<u32, (String, Option<StoredSums>)>,
    left_out: BTreeSet<(String, String)>,
    loaded: &'l mut Loaded,
}

impl<F: FnMut(&str, &TableDefinition) -> Option<Arc<Table>>> Loading<'_, '_, F> {
    fn read<D: Disk>(&mut self, disk: &D, segment: &Segment, start: Place, cleared: &[Place]) {
        self.tables.clear();
        self.sums.clear();
        let after = segment.first + segment.scan.blocks.len();
        let bytes = if after > start { disk.read(&segment_name(segment.number)) } else { Ok(Vec::new()) };
        let bytes = bytes.unwrap_or_default();
        let Header { seed, boot_id, .. } = segment.header;
        for (place, Found { offset, head, .. }) in (segment.first..).zip(&segment.scan.blocks) {
            // Tables are announced where the segment begins, which may be before the lap.
            if place < start && !matches!(head.kind, Kind::Table | Kind::Source) {
                continue;
            }
            let Some(body) = bytes.get(*offset..).and_then(|rest| head.body(rest, seed)) else { continue };
            self.loaded.blocks += 1;
            let is_cleared = head.kind == Kind::StartOver && cleared.contains(&place);
            if self.block(head, body, boot_id, is_cleared).is_none() {
                self.damaged(segment.number, *offset..*offset + head.size(), *head, false);
            }
        }
        for (name, stored) in self.sums.values() {
            let gone = stored.iter().flat_map(StoredSums::gone);
            let gone = gone.map(|node| (name.clone(), format!("{node} is no node of the hub any more")));
            self.left_out.extend(gone);
        }
        let length = self.loaded.segments.get(&segment.number).copied().unwrap_or(0);
        for (range, head) in &segment.scan.damage {
            if let Some(head) = head.filter(|head| head.kind != Kind::Gap) {
                self.damaged(segment.number, range.clone(), head, range.end as u64 == length);
            }
        }
    }

    fn damaged(&mut self, segment: u64, range: std::ops::Range<usize>, head: Head, is_tail: bool) {
        let of_sums = || self.sums.get(&head.table).map(|(name, _)| name.clone());
        let name = self.tables.get(&head.table).map(|(name, _)| name.clone()).or_else(of_sums);
        self.loaded.damage.push(Damage {
            file: segment_name(segment),
            offset: range.start as u64,
            bytes: range.len() as u64,
            block: name.map(|name| (name, head.rows)),
            is_tail,
        });
    }

    /// Takes a block; `None` when its body is not what its head says.
    fn block(&mut self, head: &Head, body: &[u8], boot_id: BootId, is_cleared: bool) -> Option<()> {
        match head.kind {
            Kind::Table => return self.announce(head.table, body),
            Kind::Source => return self.announce_sums(head.table, body),
            Kind::Contributions => {
                let (_, stored) = self.sums.get_mut(&head.table)?;
                let Some(stored) = stored else { return Some(()) };
                let passed = self.clocks.since(head.written(boot_id));
                let Taken { entries, expired, refused } =
                    stored.take(body, head.rows, passed, self.clocks)?;
                self.loaded.entries += entries;
                self.loaded.expired += expired;
                self.loaded.refused += refused;
            }
            Kind::Rows => {
                let (_, source) = self.tables.get_mut(&head.table)?;
                let Some(source) = source else { return Some(()) };
                let passed = self.clocks.since(head.written(boot_id));
                let Taken { entries, expired, refused } = source.take(head, body, passed, self.clocks)?;
                self.loaded.entries += entries;
                self.loaded.expired += expired;
                self.loaded.refused += refused;
            }
            Kind::Removed => {
                let (_, source) = self.tables.get_mut(&head.table)?;
                let Some(source) = source else { return Some(()) };
                let mut reader = BodyReader(body);
                for _ in 0..head.rows {
                    let _ = source.table.remove_if(reader.key()?, self.clocks.now, is_stored);
                }
            }
            Kind::StartOver if is_cleared => {
                if let Some((_, Some(source))) = self.tables.get_mut(&head.table) {
                    source.table.remove_where(self.clocks.now, is_stored);
                }
            }
            _ => {}
        }
        Some(())
    }

    /// A source of the present segment.
    fn announce_sums(&mut self, number: u32, body: &[u8]) -> Option<()> {
        let (name, line) = std::str::from_utf8(body).ok()?.split_once('\n')?;
        if self.sums.contains_key(&number) {
            return Some(());
        }
        let stored = match (&mut self.find_sums, line.parse::<TableDefinition>()) {
            (None, _) => Ok(None),
            (_, Err(error)) => Err(format!("its definition cannot be read: {error}")),
            (Some(find), Ok(definition)) => match find(name, &definition) {
                None => Err("no hub sums it any more".to_owned()),
                Some(sums) => match StoredSums::new(&definition, sums) {
                    Err(Mismatch::Keys(reason)) => Err(reason),
                    Err(Mismatch::Definition(error)) => {
                        Err(format!("its definition is not possible: {error}"))
                    }
                    Ok(stored) => Ok(Some(stored)),
                },
            },
        };
        let reasons = match &stored {
            Ok(stored) => stored.iter().flat_map(|stored| stored.mapping.left_out.clone()).collect(),
            Err(reason) => vec![reason.clone()],
        };
        self.left_out.extend(reasons.into_iter().map(|reason| (name.to_owned(), reason)));
        self.sums.insert(number, (name.to_owned(), stored.ok().flatten()));
        Some(())
    }

    /// A table of the present segment.
    fn announce(&mut self, number: u32, body: &[u8]) -> Option<()> {
        let (name, line) = std::str::from_utf8(body).ok()?.split_once('\n')?;
        if self.tables.contains_key(&number) {
            return Some(());
        }
        let source = match line.parse::<TableDefinition>() {
            Err(error) => Err(format!("its definition cannot be read: {error}")),
            Ok(definition) => match (self.find)(name, &definition) {
                None => Err("there is no such table any more".to_owned()),
                Some(table) => match Mapping::new(&definition, &table) {
                    Err(Mismatch::Keys(reason)) => Err(reason),
                    Err(Mismatch::Definition(error)) => {
                        Err(format!("its definition is not possible: {error}"))
                    }
                    Ok(mapping) => {
                        Source::new(table, self.precedence, mapping).map_err(|error| error.to_string())
                    }
                },
            },
        };
        let reasons = match &source {
            Ok(source) => source.mapping.left_out.clone(),
            Err(reason) => vec![reason.clone()],
        };
        self.left_out.extend(reasons.into_iter().map(|reason| (name.to_owned(), reason)));
        self.tables.insert(number, (name.to_owned(), source.ok()));
        Some(())
    }
}

/// Whether an entry was read from the log, and nobody wrote it since.
fn is_stored(entry: EntryRef<'_>) -> bool {
    entry.origin() == Origin::STORE
}

impl Source {
    fn new(table: Arc<Table>, precedence: Precedence, mapping: Mapping) -> Result<Self, ColumnsError> {
        let mut batch = Batch::new(&table);
        batch.set_columns(mapping.columns())?;
        Ok(Self { table, precedence, batch, mapping })
    }

    /// Takes the entries of a block; `None` when the body is not what its head says.
    fn take(&mut self, head: &Head, body: &[u8], passed: u64, clocks: &Clocks) -> Option<Taken> {
        let Self { table, precedence, batch, mapping } = self;
        let mut refused = 0;
        let mut apply = |batch: &mut Batch| {
            refused += table.apply(batch, Origin::STORE, *precedence, clocks.now).refused;
        };
        let taken = mapping.take(body, head.rows, passed, clocks.now as u32, batch, &mut apply);
        apply(batch);
        let taken = taken?;
        Some(Taken { entries: taken.entries - refused, refused: taken.refused + refused, ..taken })
    }
}
