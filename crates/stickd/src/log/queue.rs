//! Lines between those that log and the thread that writes.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::LogUsage;

/// Most bytes that wait.
const MAX_WAITING: usize = 1 << 20;
/// Bytes of it that only warnings and errors may take: a flood of other lines leaves room for them.
const KEPT_FOR_HIGH: usize = 256 << 10;
/// What a line takes beside its text.
const PER_LINE: usize = 64;
/// Bytes written at once, unless a line is longer: what a pipe takes as a whole (PIPE_BUF), so that lines of two processes
/// that share it during a hand-over are not mixed.
const AT_ONCE: usize = 4096;

/// Which room a line may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// INFO and DEBUG.
    Low,
    /// WARN and ERROR.
    High,
}

/// What the writing thread is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write so many whole lines.
    Write(u64),
    /// Say that so many lines were lost.
    Report(u64),
}

/// A bounded queue of lines. Putting one in never waits for the output.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to do.
    filled: Condvar,
    /// Everything is written.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// What `lines` take.
    waiting: usize,
    /// Whether lines that were taken are not written yet.
    writing: bool,
    /// Whether the last write failed: then there is no use in reporting what is lost.
    failed: bool,
    /// Lines lost since the start, and those of them that were reported.
    lost: u64,
    reported: u64,
}

impl Queue {
    /// Takes a line, or counts it when it finds no room.
    pub(super) fn push(&self, line: Vec<u8>, urgency: Urgency) {
        let size = line.len() + PER_LINE;
        let room = match urgency {
            Urgency::Low => MAX_WAITING - KEPT_FOR_HIGH,
            Urgency::High => MAX_WAITING,
        };
        let mut state = self.state.lock();
        if state.waiting + size > room {
            state.lost += 1;
            return;
        }
        state.waiting += size;
        state.lines.push_back(line);
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for something to do. Lines to write are put into `out`, which is emptied before.
    pub(super) fn next(&self, out: &mut Vec<u8>) -> Next {
        out.clear();
        let mut state = self.state.lock();
        loop {
            // In the middle of a flood the report would be lost as well.
            let has_room = state.waiting < (MAX_WAITING - KEPT_FOR_HIGH) / 2;
            if state.lost > state.reported && has_room && !state.failed {
                let lost = state.lost - state.reported;
                state.reported = state.lost;
                return Next::Report(lost);
            }
            if !state.lines.is_empty() {
                state.writing = true;
                return Next::Write(state.take(out));
            }
            state.writing = false;
            self.emptied.notify_all();
            self.filled.wait(&mut state);
        }
    }

    /// Notes whether the lines that were taken could be written.
    pub(super) fn written(&self, lines: u64, succeeded: bool) {
        let mut state = self.state.lock();
        state.failed = !succeeded;
        if !succeeded {
            state.lost += lines;
        }
    }

    /// Waits until everything is written or the deadline is there; whether everything is written.
    pub(super) fn wait_empty(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.writing || !state.lines.is_empty() {
            if self.emptied.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    pub(super) fn usage(&self) -> LogUsage {
        let state = self.state.lock();
        LogUsage { waiting: state.waiting as u64, limit: MAX_WAITING as u64, lost: state.lost }
    }
}

impl State {
    /// Moves lines to `out`, at least one; how many.
    fn take(&mut self, out: &mut Vec<u8>) -> u64 {
        let mut count = 0;
        while let Some(line) = self.lines.front() {
            if count > 0 && out.len() + line.len() > AT_ONCE {
                break;
            }
            out.extend_from_slice(line);
            self.waiting -= line.len() + PER_LINE;
            self.lines.pop_front();
            count += 1;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn line(text: &str) -> Vec<u8> {
        format!("{text}\n").into_bytes()
    }

    #[test]
    fn lines_come_out_in_order_and_whole() {
        let queue = Queue::default();
        let lines: Vec<_> = (0..1_000).map(|number| line(&format!("line {number}"))).collect();
        lines.iter().for_each(|line| queue.push(line.clone(), Urgency::Low));
        let (mut all, mut out, mut count) = (Vec::new(), Vec::new(), 0);
        while count < 1_000 {
            let Next::Write(lines) = queue.next(&mut out) else { panic!("nothing is lost") };
            assert!(out.len() <= AT_ONCE && out.ends_with(b"\n"));
            all.extend_from_slice(&out);
            count += lines;
        }
        assert_eq!(all, lines.concat());
        assert_eq!(queue.usage().waiting, 0);
    }

    #[test]
    fn a_flood_of_low_lines_leaves_room_for_high_ones_and_is_reported() {
        let queue = Queue::default();
        let long = vec![b'x'; 1_000];
        (0..5_000).for_each(|_| queue.push(long.clone(), Urgency::Low));
        let lost = queue.usage().lost;
        assert!(lost > 4_000, "{lost}");
        for _ in 0..200 {
            queue.push(long.clone(), Urgency::High);
        }
        assert_eq!(queue.usage().lost, lost, "they have room of their own");
        (0..200).for_each(|_| queue.push(long.clone(), Urgency::High));
        let lost = queue.usage().lost;
        assert!(lost > 4_100 && queue.usage().waiting <= queue.usage().limit);
        let (mut out, mut written) = (Vec::new(), 0);
        let reported = loop {
            match queue.next(&mut out) {
                Next::Write(lines) => written += lines,
                Next::Report(lines) => break lines,
            }
        };
        assert_eq!(reported, lost);
        assert!(written > 0, "the report comes after lines that were there before");
        queue.push(long, Urgency::Low);
        assert!(matches!(queue.next(&mut out), Next::Write(_)), "reported once");
    }

    /// A closed pipe: every line is lost, and the thread does not report that for ever.
    #[test]
    fn lines_that_cannot_be_written_are_counted_and_reported_later() {
        let queue = Queue::default();
        let mut out = Vec::new();
        for number in 1..=3 {
            queue.push(line("a"), Urgency::High);
            assert_eq!(queue.next(&mut out), Next::Write(1));
            queue.written(1, false);
            assert_eq!(queue.usage().lost, number);
        }
        queue.push(line("b"), Urgency::High);
        assert_eq!(queue.next(&mut out), Next::Write(1));
        queue.written(1, true);
        assert_eq!(queue.next(&mut out), Next::Report(3));
    }

    #[test]
    fn the_end_waits_for_a_reader_and_not_for_ever() {
        let queue = Arc::new(Queue::default());
        queue.push(line("a"), Urgency::Low);
        let soon = || Instant::now() + Duration::from_millis(20);
        assert!(!queue.wait_empty(soon()));
        let writer = Arc::clone(&queue);
        std::thread::spawn(move || {
            let mut out = Vec::new();
            loop {
                writer.next(&mut out);
            }
        });
        assert!(queue.wait_empty(Instant::now() + Duration::from_secs(20)));
    }
}
