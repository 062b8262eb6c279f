//! Readers of events that left a moment ago.
//!
//! A table keeps the keys of removed entries only while somebody follows them. So the feed of the last reader stays for a while: a
//! reader whose connection broke goes on, and does not have to start over.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use stick_table::Feed;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::limits::ABSENCE;

/// The feed of each table that a reader left last, and until when it stays. At most one for each table.
#[derive(Default)]
pub(super) struct Absent(Mutex<HashMap<String, (Instant, Feed<()>)>>);

impl Absent {
    /// Keeps the feed of a reader that left. Outside of a runtime the feed ends at once.
    pub(super) fn keep(self: &Arc<Self>, table: &str, feed: Feed<()>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let until = Instant::now() + ABSENCE;
        let former = self.0.lock().insert(table.to_owned(), (until, feed));
        // The task of the former one sees the new time.
        if former.is_none() {
            runtime.spawn(Arc::clone(self).forget(table.to_owned()));
        }
    }

    /// Ends the feed of a table when its time has come.
    async fn forget(self: Arc<Self>, table: String) {
        while let Some(until) = self.until(&table) {
            if until <= Instant::now() {
                self.0.lock().remove(&table);
                return;
            }
            sleep_until(until).await;
        }
    }

    fn until(&self, table: &str) -> Option<Instant> {
        self.0.lock().get(table).map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stick_table::{Change, Follow, KeyType, Lifetime, Origin, Table, TableDefinition};

    use super::*;

    fn reads(table: &Arc<Table>, feed: &mut Feed<()>) -> Vec<bool> {
        let mut removed = Vec::new();
        feed.read(10, 0, |change| removed.push(matches!(change, Change::Removed(_))));
        assert!(!table.is_empty() || !removed.is_empty());
        removed
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_in_time_has_missed_no_removal() {
        let table = Arc::new(Table::new(TableDefinition::new("t", KeyType::Integer, 10), 0).unwrap());
        let (one, two) = ([0, 0, 0, 1], [0, 0, 0, 2]);
        let feed = || Feed::new(Arc::clone(&table), Follow::AllAndRemovals, table.position());
        let absent = Arc::new(Absent::default());
        for key in [one, two] {
            table.update(&key, Origin::LOCAL, Lifetime::Restart, 0, |_| ()).unwrap();
        }
        absent.keep("t", feed());
        let left_at = table.position();
        tokio::time::sleep(ABSENCE - Duration::from_secs(1)).await;
        absent.keep("t", feed());
        tokio::time::sleep(ABSENCE - Duration::from_secs(1)).await;
        table.remove(&one, 0).unwrap();
        let mut back = Feed::new(Arc::clone(&table), Follow::AllAndRemovals, left_at.clone());
        assert_eq!(reads(&table, &mut back), [true]);
        drop(back);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(absent.until("t").is_none(), "its time has passed");
        let mut late = Feed::new(Arc::clone(&table), Follow::AllAndRemovals, left_at);
        assert_eq!(reads(&table, &mut late), [false], "a reader that comes later starts over");
    }
}
