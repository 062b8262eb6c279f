//! The loop of an established session: bytes in, bytes out, timers.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use haproxy_peers::{EndReason, Session};
use parking_lot::Mutex;
use stick_table::Millis;
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};
use tokio::task::yield_now;
use tokio::time::{sleep_until, timeout};

use super::cluster::Cluster;
use super::connection::Connection;
use crate::net::Stream;
use crate::tls::connection_fault;

/// Bytes read at once at first, and the most: a peer that fills what there is gets twice as much, as many updates together
/// are applied quicker than a few.
const MIN_READ: usize = 16 * 1024;
const MAX_READ: usize = 128 * 1024;
/// After a read of so many bytes others have their turn.
const MUCH_READ: usize = 4 * 1024;
/// When a session takes longer for what it is given, it is given half of it the next time, and others have their turn between;
/// but not less than so many bytes.
const LONG: Duration = Duration::from_millis(4);
const MIN_PIECE: usize = 1024;
/// After so many reads of less than a quarter of it, a buffer is made small again.
const MANY_READS: u32 = 1_000;
/// Tables that a new session begins to follow before others have their turn: each may have 64 stripes, each with a lock.
const TABLES_AT_ONCE: usize = 16;
/// Bytes made to be written at once.
const CHUNK: usize = 64 * 1024;
/// Most bytes that [`exchange`] holds: what was read, and what was made to be written, whose list grows by doubling.
pub(crate) const CONNECTION_BYTES: usize = MAX_READ + 2 * CHUNK;
/// Longest wait for the peer to take an error message before the connection is closed.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// After so many bytes, and after any that come so soon after the last ones, nothing is made to be sent for so long, in ms: with many
/// updates a second and many peers each would else be woken for each update and get it on its own, and most of the work would be
/// to send it. What comes after a pause goes out at once.
const MUCH: usize = 1024;
const PAUSE_MS: u64 = 1;
/// While the peer takes no bytes the clock is looked at this often, in ms.
const STALLED_MS: u64 = 1_000;

/// Moves bytes between a connection and its session until either ends. `received` is what came with the handshake.
///
/// Nothing is made to be sent while the last bytes are not taken, so a peer that does not read holds no memory.
pub(super) async fn exchange(
    cluster: &Arc<Cluster>,
    connection: &Connection,
    session: &Mutex<Session>,
    stream: Box<dyn Stream>,
    received: &[u8],
) -> EndReason {
    let clock = cluster.clock();
    let (mut reader, mut writer) = split(stream);
    let mut changes = cluster.changes();
    let (mut input, mut small_reads) = (vec![0; MIN_READ], 0);
    let mut piece = MAX_READ;
    let mut output = Vec::new();
    let mut written = 0;
    // Whether the session has more to say at once, and whether the stream may hold back bytes (TLS does).
    let (mut more, mut unflushed) = (false, false);
    // When the session's clock is to be looked at, and the alarm for it, which is only ever set earlier: when it goes off
    // too soon it is set again. So it need not be set anew for every message.
    let mut deadline = clock.now();
    let mut alarm_at = deadline;
    let mut pauses = cluster.pauses();
    let mut alarm = pin!(sleep_until(clock.instant(alarm_at).into()));
    while session.lock().begin(TABLES_AT_ONCE) {
        yield_now().await;
    }
    if let Err(error) = take(cluster, connection, session, received) {
        return last_words(cluster, session, &mut writer, error).await;
    }
    // Until when nothing is made to be sent, and when something was made last.
    let (mut quiet_until, mut made_at) = (0, 0);
    loop {
        if let Some(reason) = connection.is_closed() {
            // Before anything else is acknowledged: it might come too late to be taught to a successor.
            return EndReason::Closed(reason);
        }
        let now = clock.now();
        let taken = written == output.len();
        if taken && now >= quiet_until {
            output.clear();
            written = 0;
            changes.mark_unchanged();
            let mut session = session.lock();
            more = session.poll_transmit(now, CHUNK, &mut output);
            deadline = session.poll_timeout();
            if !output.is_empty() {
                if !more && (output.len() >= MUCH || now <= made_at + PAUSE_MS) {
                    quiet_until = now + PAUSE_MS;
                }
                made_at = now;
            }
        } else if !taken && deadline <= now {
            // A heartbeat that is due has to wait for the peer.
            deadline = now + STALLED_MS;
        }
        if pauses != cluster.pauses() {
            // The alarm slept with the machine.
            (pauses, alarm_at) = (cluster.pauses(), Millis::MAX);
        }
        let idle = written == output.len();
        let quiet = now < quiet_until;
        let wake_at = if idle && quiet { quiet_until } else { deadline };
        if wake_at < alarm_at {
            alarm_at = wake_at;
            alarm.as_mut().reset(clock.instant(alarm_at).into());
        }
        tokio::select! {
            read = reader.read(&mut input) => match read {
                Ok(0) => return EndReason::Connection("the peer closed the connection".into()),
                Ok(count) => {
                    let taken = take_in_turns(cluster, connection, session, &input[..count], &mut piece).await;
                    if let Err(error) = taken {
                        return last_words(cluster, session, &mut writer, error).await;
                    }
                    resize(&mut input, count, &mut small_reads);
                    if count >= MUCH_READ {
                        // As long as the peer sends there is no other reason to stop, and nobody else may be looking at
                        // the sockets of others.
                        yield_now().await;
                    }
                }
                Err(error) => return EndReason::Connection(connection_fault(&error)),
            },
            wrote = write(&mut writer, &output[written..]), if !idle || unflushed => match wrote {
                Ok(count) => {
                    written += count;
                    unflushed = !idle;
                }
                Err(error) => return EndReason::Connection(connection_fault(&error)),
            },
            () = yield_now(), if idle && more => {}
            _ = changes.changed(), if idle && !quiet => {}
            () = connection.woken() => {}
            () = &mut alarm => {
                if clock.now() >= deadline {
                    let looked = session.lock().handle_timeout(clock.now());
                    if let Err(error) = looked {
                        return EndReason::Error(error);
                    }
                    report_events(cluster, connection, session);
                }
                alarm_at = deadline.max(clock.now() + 1);
                alarm.as_mut().reset(clock.instant(alarm_at).into());
            }
        }
    }
}

/// Makes the buffer larger when a read filled it, and as small as at first after many that needed little of it.
fn resize(input: &mut Vec<u8>, count: usize, small_reads: &mut u32) {
    *small_reads = if count * 4 < input.len() { *small_reads + 1 } else { 0 };
    if count == input.len() && count < MAX_READ {
        *input = vec![0; count * 2];
    } else if *small_reads >= MANY_READS && input.len() > MIN_READ {
        *input = vec![0; MIN_READ];
        *small_reads = 0;
    }
}

/// Writes what the stream takes; with nothing to write, flushes what the stream holds back.
async fn write(writer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    writer.write(bytes).await
}

/// Gives received bytes to the session, in pieces between which others have their turn when it takes long: definitions, for
/// example, are a hundred times the work of updates. `piece` is how many bytes it can be given at once.
async fn take_in_turns(
    cluster: &Arc<Cluster>,
    connection: &Connection,
    session: &Mutex<Session>,
    mut bytes: &[u8],
    piece: &mut usize,
) -> Result<(), haproxy_peers::SessionError> {
    while !bytes.is_empty() && connection.is_closed().is_none() {
        let (now, later) = bytes.split_at(bytes.len().min(*piece));
        let started = Instant::now();
        take(cluster, connection, session, now)?;
        let took = started.elapsed();
        if took > LONG {
            *piece = (now.len() / 2).max(MIN_PIECE);
        } else if took < LONG / 4 {
            *piece = (*piece * 2).min(MAX_READ);
        }
        bytes = later;
        if !bytes.is_empty() {
            yield_now().await;
        }
    }
    Ok(())
}

/// Gives received bytes to the session and its events to the section.
fn take(
    cluster: &Arc<Cluster>,
    connection: &Connection,
    session: &Mutex<Session>,
    bytes: &[u8],
) -> Result<(), haproxy_peers::SessionError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let result = {
        let mut session = session.lock();
        let result = session.handle_input(cluster.clock().now(), bytes);
        cluster.relay(session.take_news());
        result
    };
    report_events(cluster, connection, session);
    result
}

/// Gives the events of a session to the section.
fn report_events(cluster: &Arc<Cluster>, connection: &Connection, session: &Mutex<Session>) {
    // The section may want the session's lock, so it is not held while the section is told.
    let events: Vec<_> = {
        let mut session = session.lock();
        std::iter::from_fn(|| session.poll_event()).collect()
    };
    for event in events {
        cluster.handle_event(connection, &event);
    }
}

/// Sends the protocol's error message, as long as the peer takes it.
async fn last_words(
    cluster: &Arc<Cluster>,
    session: &Mutex<Session>,
    writer: &mut (impl AsyncWriteExt + Unpin),
    error: haproxy_peers::SessionError,
) -> EndReason {
    let mut output = Vec::new();
    session.lock().poll_transmit(cluster.clock().now(), CHUNK, &mut output);
    let send = async {
        writer.write_all(&output).await?;
        writer.shutdown().await
    };
    // Whether it arrives changes nothing: the session is over.
    let _ = timeout(LAST_WORDS, send).await;
    EndReason::Error(error)
}
