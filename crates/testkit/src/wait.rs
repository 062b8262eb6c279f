//! Waiting for something to happen, with a deadline: the only way tests here deal with time.

use std::thread;
use std::time::{Duration, Instant};

/// Pause between two looks; short, because most of what is waited for takes a few milliseconds.
const PAUSE: Duration = Duration::from_millis(10);

/// A deadline for what should take well under a second but runs on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Calls `look` until it gives a value, and returns that; `None` when `limit` has passed. Looks at least once.
pub fn poll<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// Like [`poll`], for a test: `what` completes the sentence "waited 20s for …".
///
/// # Panics
///
/// At the caller's line when `limit` has passed.
#[track_caller]
pub fn until<T>(limit: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    match poll(limit, look) {
        Some(found) => found,
        None => panic!("waited {limit:?} for {what}"),
    }
}

/// Like [`until`], and the panic ends with what `state` says, e.g. the last dump seen or a process's output.
///
/// # Panics
///
/// At the caller's line when `limit` has passed.
#[track_caller]
pub fn until_or<T>(
    limit: Duration,
    what: &str,
    state: impl FnOnce() -> String,
    look: impl FnMut() -> Option<T>,
) -> T {
    match poll(limit, look) {
        Some(found) => found,
        None => panic!("waited {limit:?} for {what}; now:\n{}", state()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_value_found() {
        let mut looks = 0;
        let found = until(SOON, "the third look", || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found, 3);
    }

    #[test]
    fn looks_once_even_without_time() {
        assert_eq!(poll(Duration::ZERO, || Some(1)), Some(1));
        assert_eq!(poll(Duration::ZERO, || None::<()>), None);
    }

    #[test]
    #[should_panic(expected = "for a bus; now:\nno bus")]
    fn says_what_was_waited_for() {
        until_or(Duration::ZERO, "a bus", || "no bus".to_owned(), || None::<()>);
    }
}
