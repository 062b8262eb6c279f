//! The thread that writes lines to an output.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::queue::{Next, Queue};

/// Pause before the next attempt at an output that does not block and is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// Starts a thread that writes what is put into the queue. It is never waited for: it may hang in a write for ever.
pub(super) fn start(name: &'static str, output: impl AsFd) -> io::Result<Arc<Queue>> {
    // A descriptor of its own, apart from the locks and buffers of the standard library.
    let mut file = File::from(output.as_fd().try_clone_to_owned()?);
    let queue = Arc::new(Queue::default());
    let lines = Arc::clone(&queue);
    thread::Builder::new().name(format!("log-{name}")).spawn(move || {
        let mut out = Vec::new();
        loop {
            match lines.next(&mut out) {
                Next::Write(count) => lines.written(count, write_all(&mut file, &out).is_ok()),
                Next::Report(count) => tracing::warn!(
                    output = name,
                    lines = count,
                    "the log lost lines: its reader was too slow, or the output could not be written; see the program that reads it"
                ),
            }
        }
    })?;
    Ok(queue)
}

fn write_all(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, and is full in between.
    struct Slow {
        taken: Vec<u8>,
        full: bool,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.full = !self.full;
            if self.full {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let count = bytes.len().min(3);
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_does_not_block_gets_all() {
        let mut slow = Slow { taken: Vec::new(), full: false };
        write_all(&mut slow, b"a line\n").unwrap();
        assert_eq!(slow.taken, b"a line\n");
    }
}
