//! Tables that survive a stop of all nodes (`state`): read before anything listens, then written by a thread of its own.
//!
//! Only durability waits for the disk. A disk that fails, or hangs, stops neither a start nor the service: the thread says so once a
//! minute, and goes on when the disk does.

mod directory;
mod report;
mod sums;
mod tables;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use parking_lot::{Condvar, Mutex};
use stick_aggregate::Aggregate;
use stick_store::{
    Clocks, Damage, LeftOut, Loaded, Options, SetAside, Sums, Writer, load, load_late, load_with_sums,
};
use stick_table::{Millis, Table, TableDefinition};
use tracing::{info, warn};

use crate::clock::Clock;
use crate::config::StateLine;
use crate::view::{StateReport, StateView};
pub(crate) use directory::{Directory, Lock};

/// Lines about what could not be loaded.
const MAX_LINES: usize = 10;
/// A failure that lasts is said again after so long.
const SAID_AGAIN: Duration = Duration::from_secs(60);
/// A process that ends waits for a disk that hangs for so long.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// The tables that are kept.
pub(crate) trait KeptTables: Send + Sync {
    /// Those of this moment.
    fn all(&self) -> Vec<Arc<Table>>;

    /// The table for what was kept under a name; one that was made from a peer's definition is made again.
    fn find_or_make(&self, name: &str, definition: &TableDefinition) -> Option<Arc<Table>>;

    /// The sources of hubs at this moment, by the names under which they are kept.
    fn all_sums(&self) -> Vec<(String, Sums)>;

    /// The sums of a source that was kept under a name, made again.
    fn find_sums(&self, name: &str, definition: &TableDefinition) -> Option<Sums>;
}

/// What there is to show of it.
#[derive(Debug, Default)]
pub(crate) struct StateUsage {
    /// Bytes of all files.
    pub(crate) bytes: AtomicU64,
    /// Files.
    pub(crate) segments: AtomicU64,
    /// When everything was durable last, by the clock of the daemon, in ms.
    pub(crate) durable_at: AtomicU64,
    /// Writes that failed.
    pub(crate) failures: AtomicU64,
    /// What was read, and why it fails now.
    pub(crate) report: Mutex<StateReport>,
}

impl StateUsage {
    /// The same at this moment.
    pub(crate) fn view(&self, now: Millis) -> StateView {
        let [bytes, segments, durable_at, failures] =
            [&self.bytes, &self.segments, &self.durable_at, &self.failures]
                .map(|it| it.load(Ordering::Relaxed));
        StateView { bytes, segments, lag_ms: now.saturating_sub(durable_at), failures }
    }
}

/// Durable tables at work.
pub(crate) struct Durable {
    stop: Arc<Stop>,
    /// Says when the thread has ended, also when it failed.
    ended: Receiver<()>,
    directory: PathBuf,
    usage: Arc<StateUsage>,
}

#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    wake: Condvar,
}

impl Durable {
    /// Reads what is kept, and keeps the tables from then on. A process that `takes_over` reads while the one before it still writes,
    /// and writes when that has ended.
    ///
    /// # Errors
    /// When another process has the directory, or the directory is on another machine. Nothing else stops a start.
    pub(crate) fn start(
        line: &StateLine,
        clock: Clock,
        takes_over: bool,
        tables: Arc<dyn KeptTables>,
    ) -> anyhow::Result<Self> {
        let path = line.directory.display();
        let usage = Arc::new(StateUsage::default());
        usage.durable_at.store(clock.now(), Ordering::Relaxed);
        let mut keeper = Keeper {
            line: line.clone(),
            clock,
            boot_id: boot_id(),
            tables,
            takes_over,
            seed: None,
            place: None,
            usage: Arc::clone(&usage),
            failing: None,
        };
        match Directory::make(&line.directory) {
            Ok(directory) => keeper.open(directory).with_context(|| format!("state {path}"))?,
            Err(error) => keeper.fail(&anyhow!(error)),
        }
        let stop = Arc::new(Stop::default());
        let stopped = Arc::clone(&stop);
        let (ends, ended) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("state".to_owned());
        let run = move || {
            let _ends = ends;
            keeper.run(&stopped);
        };
        thread.spawn(run).context("cannot start a thread")?;
        Ok(Self { stop, ended, directory: line.directory.clone(), usage })
    }

    /// What there is to show of it.
    pub(crate) fn usage(&self) -> &Arc<StateUsage> {
        &self.usage
    }

    /// Writes what is not written yet, and ends; a disk that hangs is given up after [`STOP_WAIT`].
    pub(crate) fn stop(self) {
        *self.stop.asked.lock() = true;
        self.stop.wake.notify_all();
        // If the thread failed, the process ended for that.
        if self.ended.recv_timeout(STOP_WAIT) == Err(RecvTimeoutError::Timeout) {
            let (directory, seconds) = (self.directory.display(), STOP_WAIT.as_secs());
            warn!(
                %directory,
                seconds,
                "the last changes of tables are not on disk: the disk does not answer, and the process ends without them; check the disk"
            );
        }
    }
}

impl Stop {
    /// Waits for so long, or until the end is asked for; whether it is.
    fn wait(&self, time: Duration) -> bool {
        let mut asked = self.asked.lock();
        if !*asked {
            self.wake.wait_for(&mut asked, time);
        }
        *asked
    }
}

/// What the thread has.
struct Keeper {
    line: StateLine,
    clock: Clock,
    boot_id: [u8; 16],
    tables: Arc<dyn KeptTables>,
    /// Whether this process goes on with the directory of another one, which ends soon.
    takes_over: bool,
    /// The secret of the files that were read or written: it tells them from those of another directory.
    seed: Option<u64>,
    /// There once the directory is this process's.
    place: Option<Place>,
    usage: Arc<StateUsage>,
    /// Since when it fails, and when that was said last, by the daemon's clock.
    failing: Option<(Millis, Millis)>,
}

/// A directory that is this process's.
struct Place {
    writer: Writer<Directory>,
    /// The tables that are followed.
    followed: HashMap<String, Arc<Table>>,
    /// The contributions that are followed.
    followed_sums: HashMap<String, Arc<Aggregate>>,
    lock: Lock,
}

impl Keeper {
    /// Reads the directory, and takes it unless another process has it.
    fn open(&mut self, directory: Directory) -> anyhow::Result<()> {
        self.check(&directory)?;
        let lock = match directory.lock() {
            Ok(Ok(lock)) => Some(lock),
            Ok(Err(_)) if self.takes_over => None,
            Ok(Err(owner)) => bail!(taken(&owner)),
            Err(error) => {
                self.fail(&anyhow!(error));
                return Ok(());
            }
        };
        let began = self.clock.now();
        let clocks = self.clocks();
        let tables = Arc::clone(&self.tables);
        let find = |name: &str, definition: &TableDefinition| tables.find_or_make(name, definition);
        let loaded = match lock {
            Some(_) => {
                let find_sums = |name: &str, definition: &TableDefinition| tables.find_sums(name, definition);
                load_with_sums(&directory, &clocks, find, find_sums)
            }
            // The process before tells its results, which are newer, and the nodes come back with what they know.
            None => load(&directory.untouched(), &clocks, find),
        };
        match loaded {
            Ok(loaded) => {
                say(&self.line, &loaded, self.clock.now() - began);
                self.usage.report.lock().read(&loaded);
                self.seed = loaded.seed;
                if let Some(lock) = lock {
                    self.take(directory, lock, &loaded);
                }
            }
            Err(error) => self.fail(&error.into()),
        }
        Ok(())
    }

    /// Takes a directory that this process did not have: it was not there, or another process had it. Returns whether it has it now.
    fn open_late(&mut self) -> anyhow::Result<bool> {
        let directory = Directory::make(&self.line.directory)?;
        self.check(&directory)?;
        let lock = match directory.lock()? {
            Ok(lock) => lock,
            Err(_) if self.takes_over => return Ok(false),
            Err(owner) => bail!(taken(&owner)),
        };
        // What this process read or wrote itself, its tables hold, and so they do what the one before taught.
        let mut loaded = load(&directory, &self.clocks(), |_, _| None)?;
        if loaded.seed.is_some() && loaded.seed != self.seed {
            let (began, tables) = (self.clock.now(), Arc::clone(&self.tables));
            let find = |name: &str, definition: &TableDefinition| tables.find_or_make(name, definition);
            loaded = load_late(&directory, &self.clocks(), find)?;
            say(&self.line, &loaded, self.clock.now() - began);
            self.usage.report.lock().read(&loaded);
        }
        self.take(directory, lock, &loaded);
        Ok(true)
    }

    /// Whether the directory may be used.
    fn check(&self, directory: &Directory) -> anyhow::Result<()> {
        if !self.line.force && directory.is_remote() {
            bail!(
                "the directory is on another machine, where what is written may be lost and a lock may not hold: use a local file system, or write \"force\" behind it"
            );
        }
        Ok(())
    }

    /// Begins to write behind what was read.
    fn take(&mut self, directory: Directory, lock: Lock, loaded: &Loaded) {
        let options = Options { max_disk: self.line.max_disk, ..Options::default() };
        let seed = loaded.seed.or(self.seed).unwrap_or_else(crate::daemon::random);
        self.seed = Some(seed);
        let writer = Writer::new(directory, options, loaded, seed, &self.clocks());
        let (followed, followed_sums) = (HashMap::new(), HashMap::new());
        self.place = Some(Place { writer, followed, followed_sums, lock });
    }

    fn run(mut self, stop: &Stop) {
        let every = Duration::from_millis(self.line.every_ms.into());
        loop {
            let is_last = stop.wait(every);
            match self.write() {
                Ok(()) => self.recover(),
                Err(error) => self.fail(&error),
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes what changed; nothing while the process before this one has the directory.
    fn write(&mut self) -> anyhow::Result<()> {
        // A directory that is gone is made again. Another one may have been mounted in its place.
        self.place.take_if(|place| !place.lock.is_there());
        if self.place.is_none() && !self.open_late()? {
            return Ok(());
        }
        let (clocks, tables, sums) = (self.clocks(), self.tables.all(), self.tables.all_sums());
        let Some(place) = &mut self.place else { return Ok(()) };
        place.follow(tables);
        place.follow_sums(sums);
        let result = place.writer.tick(&clocks);
        self.usage.bytes.store(place.writer.bytes(), Ordering::Relaxed);
        self.usage.segments.store(place.writer.segments() as u64, Ordering::Relaxed);
        result?;
        self.usage.durable_at.store(clocks.now, Ordering::Relaxed);
        Ok(())
    }

    fn clocks(&self) -> Clocks {
        clocks(self.clock, self.boot_id)
    }

    /// Says that it fails, once a minute.
    fn fail(&mut self, error: &anyhow::Error) {
        self.usage.failures.fetch_add(1, Ordering::Relaxed);
        self.usage.report.lock().failure = Some(format!("{error:#}"));
        let now = self.clock.now();
        let (since, said) = self.failing.unwrap_or((now, 0));
        let again = said == 0 || now - said >= SAID_AGAIN.as_millis() as u64;
        if again {
            let (directory, seconds) = (self.line.directory.display(), (now - since) / 1_000);
            warn!(
                %directory,
                seconds,
                "tables are not kept on disk: {error:#}; the service goes on, and all entries are written when that is possible again"
            );
        }
        self.failing = Some((since, if again { now } else { said }));
    }

    /// Says that it does not fail any more.
    fn recover(&mut self) {
        self.usage.report.lock().failure = None;
        if let Some((since, _)) = self.failing.take()
            && self.place.is_some()
        {
            let (directory, seconds) = (self.line.directory.display(), (self.clock.now() - since) / 1_000);
            info!(%directory, seconds, "tables are kept on disk again");
        }
    }
}

impl Place {
    /// Follows these tables, and no others.
    fn follow(&mut self, tables: Vec<Arc<Table>>) {
        let Self { writer, followed, .. } = self;
        let mut by_name: HashMap<&str, &Arc<Table>> = HashMap::new();
        for table in &tables {
            by_name.entry(&table.definition().name).or_insert(table);
        }
        followed.retain(|name, table| {
            let stays = by_name.get(name.as_str()).is_some_and(|other| Arc::ptr_eq(other, table));
            if !stays {
                writer.remove(name);
            }
            stays
        });
        for table in tables {
            let name = &table.definition().name;
            if !followed.contains_key(name) {
                writer.add(name, &table);
                followed.insert(name.clone(), table);
            }
        }
    }
}

impl Place {
    /// Follows the contributions to these sums, and to no others.
    fn follow_sums(&mut self, sums: Vec<(String, Sums)>) {
        let Self { writer, followed_sums, .. } = self;
        followed_sums.retain(|name, aggregate| {
            let stays =
                sums.iter().any(|(other, sums)| other == name && Arc::ptr_eq(&sums.aggregate, aggregate));
            if !stays {
                writer.remove(name);
            }
            stays
        });
        for (name, sums) in sums {
            if !followed_sums.contains_key(&name) {
                followed_sums.insert(name.clone(), Arc::clone(&sums.aggregate));
                writer.add_sums(&name, sums);
            }
        }
    }
}

/// What is wrong with a directory that another process has.
fn taken(owner: &str) -> String {
    format!(
        "the process {owner} has the directory: stop it, take over from it with -sf, or give this one another directory"
    )
}

/// Logs what was read, and what could not be.
fn say(line: &StateLine, loaded: &Loaded, ms: Millis) {
    let directory = line.directory.display();
    let Loaded { bytes, entries, expired, refused, .. } = *loaded;
    if bytes == 0 {
        info!(%directory, "tables are kept on disk; there is nothing yet");
    } else {
        info!(%directory, bytes, entries, expired, refused, ms, "tables were loaded");
    }
    for SetAside { file, name, reason } in loaded.set_aside.iter().take(MAX_LINES) {
        let kept = name.as_deref().unwrap_or(file);
        warn!(%directory, file, "a file of the tables was not read: {reason}; it stays there as {kept}");
    }
    for LeftOut { table, reason } in loaded.left_out.iter().take(MAX_LINES) {
        warn!(%directory, table, "a part of what was kept was not loaded: {reason}");
    }
    let damage = loaded.damage.iter().filter(|damage| !damage.is_tail);
    for Damage { file, offset, bytes, block, .. } in damage.take(MAX_LINES) {
        let of =
            block.as_ref().map_or_else(String::new, |(table, rows)| format!(", {rows} entries of {table}"));
        warn!(%directory, file, offset, bytes, "a part of a file cannot be read{of}: older values were used; check the disk");
    }
    for Damage { file, offset, bytes, .. } in loaded.damage.iter().filter(|damage| damage.is_tail) {
        info!(%directory, file, offset, bytes, "the end of a file is incomplete, as after a crash");
    }
}

/// What the clocks show, for what is written and read now.
pub(crate) fn clocks(clock: Clock, boot_id: [u8; 16]) -> Clocks {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    Clocks { now: clock.now(), wall, boot: Clock::since_boot().as_millis() as u64, boot_id }
}

/// Which start of the machine this is.
pub(crate) fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    match u128::from_str_radix(&digits, 16) {
        Ok(id) => id.to_be_bytes(),
        // Not known: no other process may hold it for its own, so only the time of day counts.
        Err(_) => {
            (u128::from(crate::daemon::random()) << 64 | u128::from(crate::daemon::random())).to_be_bytes()
        }
    }
}
