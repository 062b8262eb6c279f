//! Writing what changes in tables to a log.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use stick_table::defect::Defect;
use stick_table::{Change, Feed, Follow, Table, Walk};
use thiserror::Error;

use crate::block::Blocks;
use crate::format::{Header, Kind, segment_name};
use crate::rows::Shape;
use crate::{Clocks, Disk, DiskFile, Loaded, Sums};

/// Changes read from a table in one call.
const AT_ONCE: usize = 1_024;
/// So many bytes are written together.
const CHUNK: usize = 256 << 10;

/// The body of a block that keeps two others apart.
const GAP: [u8; 64] = [0; 64];

/// How a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment, about.
    pub segment_bytes: u64,
    /// Bytes of changes after which a lap begins at the earliest.
    pub lap_bytes: u64,
    /// Entries of a lap that are written in one [tick](Writer::tick).
    pub lap_entries: usize,
    /// Most bytes of all segments; `None` for no limit.
    pub max_disk: Option<u64>,
}

impl Default for Options {
    /// Segments of 64 MiB, a lap after as many bytes, 1,000,000 entries of it in a tick, no limit.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, lap_bytes: 64 << 20, lap_entries: 1_000_000, max_disk: None }
    }
}

/// Why a tick failed. What it was to write is written by a later one.
#[derive(Debug, Error)]
pub enum TickError {
    /// A file could not be written.
    #[error("{file}: {error}")]
    Disk {
        /// The file.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// There would be more bytes than [`Options::max_disk`].
    #[error("the log would take more than {0} bytes")]
    Full(u64),
}

/// What a tick wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Entries, those of a lap included.
    pub entries: u64,
    /// Keys that were removed.
    pub removed: u64,
    /// Bytes, all of which are durable now.
    pub bytes: u64,
    /// Whether a lap ended.
    pub ended_lap: bool,
}

/// Follows tables and writes what changes. Call [`tick`](Self::tick) a few times a second, from one thread: it waits for the disk.
pub struct Writer<D: Disk> {
    disk: D,
    options: Options,
    header: Header,
    /// The segment that is written to, with its bytes.
    segment: Option<(D::File, u64)>,
    /// Segments by number, with their bytes.
    segments: BTreeMap<u64, u64>,
    tables: Vec<Option<Stored>>,
    blocks: Blocks,
    laps: Laps,
    /// The label of batches of changes.
    ticks: u64,
    /// Bytes of the tick.
    written: u64,
}

/// A table that is followed.
struct Stored {
    name: String,
    table: Arc<Table>,
    shape: Shape,
    feed: Feed<u64>,
    /// Where the table is the output of these sums: the contributions are written, and not the entries.
    sums: Option<Sums>,
    /// The block from which on all entries follow, while they do.
    started_over: Option<u64>,
}

/// The laps of a log.
#[derive(Default)]
struct Laps {
    running: Option<Lap>,
    /// The segment where the last whole one began.
    last: Option<u64>,
    /// Its bytes.
    last_bytes: u64,
    /// Bytes since it began.
    since: u64,
    /// Whether the next one does not wait for more bytes.
    is_due: bool,
}

struct Lap {
    /// The number of the block that began it.
    number: u64,
    /// The segment where that is.
    segment: u64,
    bytes_before: u64,
    table: usize,
    walk: Walk,
}

impl<D: Disk> Writer<D> {
    /// A writer behind what was [loaded](crate::load) from the same disk. `seed` is a secret random number, that of
    /// [`Loaded::seed`] if there is one.
    pub fn new(disk: D, options: Options, loaded: &Loaded, seed: u64, clocks: &Clocks) -> Self {
        let (generation, segment) = (loaded.generation + 1, loaded.next_segment.max(1));
        let header = Header { generation, boot_id: clocks.boot_id, seed, segment };
        let laps = Laps { last: loaded.lap, is_due: true, ..Laps::default() };
        Self {
            disk,
            options,
            header,
            segment: None,
            segments: loaded.segments.clone(),
            tables: Vec::new(),
            blocks: Blocks::new(seed),
            laps,
            ticks: 0,
            written: 0,
        }
    }

    /// Follows a table from now on, under a name without control characters; what it holds is written by the next lap.
    pub fn add(&mut self, name: &str, table: &Arc<Table>) {
        let feed = Feed::new(Arc::clone(table), Follow::AllAndRemovals, table.position());
        let shape = Shape::of(table.definition(), table.layout());
        let (name, table) = (name.to_owned(), Arc::clone(table));
        self.push(Stored { name, table, shape, feed, sums: None, started_over: None });
    }

    /// Follows the contributions to sums, under the name of their source. Each key whose sum is published again is written with all of
    /// its contributions.
    pub fn add_sums(&mut self, name: &str, sums: Sums) {
        let table = Arc::clone(sums.aggregate.output());
        let feed = Feed::new(Arc::clone(&table), Follow::All, table.position());
        let (name, shape) = (name.to_owned(), sums.shape());
        self.push(Stored { name, table, shape, feed, sums: Some(sums), started_over: None });
    }

    fn push(&mut self, stored: Stored) {
        let number = self.tables.len() as u32;
        if self.segment.is_some() {
            stored.announce(number, &mut self.blocks);
            self.blocks.mark(Kind::Gap, 0, &GAP);
            stored.announce(number, &mut self.blocks);
        }
        self.tables.push(Some(stored));
        self.laps.is_due = true;
    }

    /// Follows a table of this name no longer. What was written of it stays until the laps after the next one.
    pub fn remove(&mut self, name: &str) {
        let is_it = |stored: &&mut Option<Stored>| stored.as_ref().is_some_and(|stored| stored.name == name);
        if let Some(stored) = self.tables.iter_mut().find(is_it) {
            *stored = None;
        }
    }

    /// Changes that are not written yet, at most.
    pub fn backlog(&self) -> u64 {
        self.tables.iter().flatten().map(|stored| stored.feed.backlog()).sum()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.values().sum()
    }

    /// Number of segments.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Writes what changed since the last tick, and a part of a lap, and makes it durable. Nothing is written when nothing
    /// changed.
    ///
    /// # Errors
    /// When the disk fails, or the log has come to its limit. A segment that failed is given up, as nobody knows what of it is durable:
    /// the next tick begins another one. It writes everything since the last tick that succeeded, and begins a lap.
    pub fn tick(&mut self, clocks: &Clocks) -> Result<Tick, TickError> {
        let result = self.try_tick(clocks);
        if result.is_err() && Defect::StoreSyncsAgain.is_on() {
            self.blocks.drop_all();
            self.laps.running = None;
            self.laps.is_due = true;
        } else if let Err(error) = &result {
            if matches!(error, TickError::Disk { .. }) {
                self.segment = None;
            }
            self.blocks.drop_all();
            self.laps.running = None;
            self.laps.is_due = true;
            for stored in self.tables.iter_mut().flatten() {
                stored.feed.resume();
                stored.started_over = None;
            }
        }
        result
    }

    fn try_tick(&mut self, clocks: &Clocks) -> Result<Tick, TickError> {
        self.ticks += 1;
        self.written = 0;
        self.blocks.begin(clocks);
        if self.segment.is_none() {
            self.begin_segment()?;
        }
        // The lap comes first. What is removed before it reads a row is then written in the same tick: it can never be that the
        // row is durable, and its former removal is not.
        self.begin_lap()?;
        self.go_on_with_lap(clocks)?;
        for place in 0..self.tables.len() {
            self.write_changes(place, clocks)?;
        }
        let ended_lap = self.end_lap()?;
        self.flush()?;
        if self.written > 0
            && let Some((file, _)) = &mut self.segment
            && !Defect::StoreWithoutSync.is_on()
        {
            file.sync().map_err(|error| disk_error(self.header.segment, error))?;
        }
        for stored in self.tables.iter_mut().flatten() {
            stored.feed.end_batch(self.ticks);
            stored.feed.acknowledge(|_| true);
        }
        if let Some(lap) = ended_lap.as_ref() {
            self.finish(lap);
        }
        let [entries, removed] = self.blocks.counts();
        Ok(Tick { entries, removed, bytes: self.written, ended_lap: ended_lap.is_some() })
    }

    /// Begins a lap when it is time.
    fn begin_lap(&mut self) -> Result<(), TickError> {
        let enough = self.options.lap_bytes.max(self.laps.last_bytes);
        if self.laps.running.is_some() || !(self.laps.is_due || self.laps.since >= enough) {
            return Ok(());
        }
        self.flush()?;
        let number = self.blocks.mark(Kind::LapBegin, 0, &[]);
        self.flush()?;
        let (segment, bytes_before) = (self.header.segment, self.laps.since);
        self.laps.running = Some(Lap { number, segment, bytes_before, table: 0, walk: Walk::default() });
        self.laps.is_due = false;
        if Defect::StoreDeletesEarly.is_on() {
            self.delete_before(segment);
        }
        Ok(())
    }

    /// Writes some entries of the lap.
    fn go_on_with_lap(&mut self, clocks: &Clocks) -> Result<(), TickError> {
        let mut left = self.options.lap_entries;
        while left > 0
            && let Some(lap) = &mut self.laps.running
            && let Some(stored) = self.tables.get(lap.table)
        {
            let before = left;
            let number = lap.table as u32;
            let more = stored.as_ref().is_some_and(|stored| {
                let mut keys = Vec::new();
                let more = stored.table.walk(&mut lap.walk, left.min(AT_ONCE), clocks.now, |entry| {
                    match &stored.sums {
                        Some(_) => keys.push(entry.key().to_vec()),
                        None => self.blocks.entry(number, &stored.shape, entry),
                    }
                    left -= 1;
                });
                stored.write_sums(number, &keys, &mut self.blocks, clocks);
                more
            });
            if !more {
                (lap.table, lap.walk) = (lap.table + 1, Walk::default());
            } else if left == before {
                // Rows without entries take time as well.
                left -= 1;
            }
            self.flush_chunk()?;
        }
        Ok(())
    }

    /// Writes what changed in a table, to the end.
    fn write_changes(&mut self, place: usize, clocks: &Clocks) -> Result<(), TickError> {
        loop {
            let Self { tables, blocks, .. } = self;
            let Some(Some(stored)) = tables.get_mut(place) else { return Ok(()) };
            let Stored { feed, shape, started_over, sums, .. } = stored;
            let number = place as u32;
            // An aggregate locks before its output does: its contributions are read when the output is free.
            let mut keys = Vec::new();
            feed.read(AT_ONCE, clocks.now, |change| match change {
                Change::Entry(entry) if sums.is_some() => keys.push(entry.key().to_vec()),
                _ if sums.is_some() => {}
                Change::StartOver => *started_over = Some(blocks.mark(Kind::StartOver, number, &[])),
                Change::Removed(key) => blocks.removed(number, key),
                Change::Entry(entry) => blocks.entry(number, shape, entry),
            });
            let is_done = feed.backlog() == 0;
            stored.write_sums(number, &keys, blocks, clocks);
            let started_over = &mut stored.started_over;
            if is_done {
                if let Some(first) = started_over.take() {
                    blocks.mark(Kind::CaughtUp, number, &first.to_le_bytes());
                }
                blocks.end_block();
                return Ok(());
            }
            self.flush_chunk()?;
        }
    }

    /// Ends the lap when it has come to its end.
    fn end_lap(&mut self) -> Result<Option<Lap>, TickError> {
        if self.laps.running.as_ref().is_none_or(|lap| lap.table < self.tables.len()) {
            return Ok(None);
        }
        let Some(lap) = self.laps.running.take() else { return Ok(None) };
        self.blocks.mark(Kind::LapEnd, 0, &lap.number.to_le_bytes());
        self.flush()?;
        Ok(Some(lap))
    }

    /// After a lap that is durable, nobody needs what lies before the lap before.
    fn finish(&mut self, lap: &Lap) {
        if let Some(before) = self.laps.last.replace(lap.segment) {
            self.delete_before(before);
        }
        self.laps.since -= lap.bytes_before;
        self.laps.last_bytes = self.laps.since;
    }

    fn delete_before(&mut self, first: u64) {
        while let Some((&number, _)) = self.segments.first_key_value()
            && number < first
        {
            // One that stays is removed by a later process.
            let _ = self.disk.remove(&segment_name(number));
            self.segments.remove(&number);
        }
    }

    /// Writes whole blocks when there are many.
    fn flush_chunk(&mut self) -> Result<(), TickError> {
        if self.blocks.ready().len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Writes all that is there.
    fn flush(&mut self) -> Result<(), TickError> {
        self.blocks.end_block();
        if self.blocks.ready().is_empty() {
            return Ok(());
        }
        self.make_room(self.blocks.ready().len())?;
        let number = self.header.segment;
        let Some((file, bytes)) = &mut self.segment else { return Ok(()) };
        let ready = self.blocks.ready();
        file.append(ready).map_err(|error| disk_error(number, error))?;
        *bytes += ready.len() as u64;
        let is_full = *bytes >= self.options.segment_bytes;
        self.segments.insert(number, *bytes);
        self.written += ready.len() as u64;
        self.laps.since += ready.len() as u64;
        self.blocks.clear_ready();
        if is_full { self.begin_segment() } else { Ok(()) }
    }

    /// Whether there is room for so many bytes more; gives up the lap before the last one for it.
    fn make_room(&mut self, bytes: usize) -> Result<(), TickError> {
        let Some(max) = self.options.max_disk else { return Ok(()) };
        if self.bytes() + bytes as u64 > max
            && let Some(last) = self.laps.last
        {
            self.delete_before(last);
        }
        if self.bytes() + bytes as u64 > max { Err(TickError::Full(max)) } else { Ok(()) }
    }

    /// Begins a segment, while no block waits to be written. Reading it depends on no other one, so it says which tables there are:
    /// twice, so that no damage of 64 bytes meets both.
    fn begin_segment(&mut self) -> Result<(), TickError> {
        if let Some((mut file, _)) = self.segment.take() {
            file.sync().map_err(|error| disk_error(self.header.segment, error))?;
        }
        let number = self.segments.last_key_value().map_or(self.header.segment, |(last, _)| last + 1);
        self.header.segment = number;
        let mut start = Vec::new();
        self.header.encode(&mut start);
        for is_second in [false, true] {
            if is_second {
                self.blocks.mark(Kind::Gap, 0, &GAP);
            }
            for (place, stored) in (0..).zip(&self.tables) {
                if let Some(stored) = stored {
                    stored.announce(place, &mut self.blocks);
                }
            }
        }
        start.extend_from_slice(self.blocks.ready());
        self.blocks.clear_ready();
        self.make_room(start.len())?;
        // The number is used, whatever becomes of the file.
        self.segments.insert(number, 0);
        let mut file = self.disk.create(&segment_name(number)).map_err(|error| disk_error(number, error))?;
        file.append(&start).map_err(|error| disk_error(number, error))?;
        self.disk.sync_names().map_err(|error| disk_error(number, error))?;
        let bytes = start.len() as u64;
        self.segments.insert(number, bytes);
        self.written += bytes;
        self.laps.since += bytes;
        self.segment = Some((file, bytes));
        Ok(())
    }
}

impl Stored {
    /// Says what the table is.
    fn announce(&self, number: u32, blocks: &mut Blocks) {
        let mut definition = self.table.definition().clone();
        definition.name.clear();
        let kind = match &self.sums {
            None => Kind::Table,
            Some(sums) => {
                definition = sums.aggregate.source().clone();
                definition.name.clear();
                Kind::Source
            }
        };
        let text = format!("{}\n{definition}", self.name);
        blocks.mark(kind, number, text.as_bytes());
    }

    /// Writes the contributions to these keys.
    fn write_sums(&self, number: u32, keys: &[Vec<u8>], blocks: &mut Blocks, clocks: &Clocks) {
        if let Some(sums) = &self.sums {
            sums.write(number, &self.shape, keys, blocks, clocks);
        }
    }
}

fn disk_error(segment: u64, error: io::Error) -> TickError {
    TickError::Disk { file: segment_name(segment), error }
}
