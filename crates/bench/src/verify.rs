//! Whether a subject holds what it was taught: every entry once, every value, every lifetime.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use haproxy_peers::{DefineOutcome, Definition, Reader, UpdateForm, UpdateHeader, class, decode_frame, kind};
use haproxy_peers::{WireFrequency, decode_frequency, decode_key, decode_signed, decode_unsigned};
use stick_table::KeyType;

use crate::link::{Passage, Received};
use crate::stream::{BLOCK, Stream, Work};
use crate::workload::{EXPIRE_MS, Keys, Rate, TABLE, Values, lifetime_ms};

/// Bytes that can be on their way between the driver's write and the subject's clock: socket buffers of both sides.
const IN_FLIGHT: usize = 16 * 1024 * 1024;

/// Slack for a subject's clock, which stands still while a batch is worked on, and for the rounding of both, in ms.
const CLOCK_MS: i64 = 250;

/// Most faults that are told one by one.
const TOLD: usize = 10;

/// What a subject was taught, and when it can have learned it.
#[derive(Debug)]
pub(crate) struct Taught {
    pub(crate) work: Work,
    expire_ms: u32,
    /// When all of it expires, if that is the same instant for all: lifetimes were told accordingly.
    deadline: Option<Instant>,
    started: Instant,
    /// For each block of entries in the order of the stream: earliest and latest time it was learned, in ms after the start.
    blocks: Vec<(u32, u32)>,
}

/// What a verified lesson had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    /// Entries that were right.
    pub(crate) entries: u64,
}

/// What has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Everything that was taught.
    All,
    /// A part: the table is too small for all.
    Part,
}

impl Taught {
    /// From how a stream passed, and when its end was confirmed.
    pub(crate) fn new(
        work: Work,
        stream: &Stream,
        started: Instant,
        passage: &Passage,
        confirmed: Instant,
    ) -> Self {
        let since = |time: Instant| time.saturating_duration_since(started).as_millis() as u32;
        let passed = |at: usize| passage.0.partition_point(|&(position, _)| position <= at);
        let blocks = stream.blocks.windows(2).map(|block| {
            // Not before the piece before it had been written, not after everything later was on its way or done.
            let earliest = passed(block[0]).checked_sub(1).map_or(started, |before| passage.0[before].1);
            let latest = passage.0.get(passed(block[1] + IN_FLIGHT)).map_or(confirmed, |after| after.1);
            (since(earliest), since(latest.min(confirmed)))
        });
        Self { work, expire_ms: EXPIRE_MS, deadline: None, started, blocks: blocks.collect() }
    }

    /// The same, in a table with another `expire`, when all entries expire at one instant.
    pub(crate) fn until(self, deadline: Instant, expire_ms: u32) -> Self {
        Self { deadline: Some(deadline), expire_ms, ..self }
    }

    /// When entry `i` was learned, in ms after `origin`.
    fn learned(&self, i: u64, origin: Instant) -> Option<(i64, i64)> {
        let place = self.work.place(i)?;
        let (earliest, latest) = self.blocks[(place / BLOCK) as usize];
        let start = self.started.saturating_duration_since(origin).as_millis() as i64;
        Some((start + i64::from(earliest), start + i64::from(latest)))
    }
}

/// Compares a lesson with what was taught; where two parts of `taught` have an entry, the later part counts.
///
/// # Errors
///
/// When anything is missing, there twice, or wrong; the error says what, entry by entry up to ten.
pub(crate) fn verify(received: &Received, taught: &[&Taught], expect: Expect) -> Result<Verified> {
    let first = taught.first().context("nothing was taught")?;
    let keys = first.work.keys;
    let wanted = Definition::from_table(1, &keys.definition(first.expire_ms))?;
    let mut check = Check::new(received, taught, keys);
    let (mut at, mut current) = (0, false);
    while let Some((frame, size)) = decode_frame(&received.bytes[at..], at as u64, usize::MAX)? {
        if frame.class == class::STICK_TABLE {
            match (frame.kind, UpdateForm::from_kind(frame.kind)) {
                (kind::DEFINE, _) => current = is_measured(&wanted, &mut frame.reader())?,
                (_, Some(form)) if current => check.update(form, &mut frame.reader(), at)?,
                _ => {}
            }
        }
        at += size;
    }
    ensure!(at == received.bytes.len(), "the lesson ends within a message");
    check.finish(expect)?;
    Ok(Verified { entries: check.entries })
}

/// Whether a definition is the measured table's; an error when it has its name only.
fn is_measured(wanted: &Definition, reader: &mut Reader<'_>) -> Result<bool> {
    match Definition::decode(reader)? {
        DefineOutcome::Usable(definition) if definition.name == TABLE.as_bytes() => {
            let told = Definition { id: wanted.id, ..definition };
            ensure!(told == *wanted, "the subject defines its table otherwise: {told:?}, not {wanted:?}");
            Ok(true)
        }
        DefineOutcome::Usable(_) => Ok(false),
        DefineOutcome::Unusable { definition, reason } => {
            bail!("unusable definition {definition:?}: {reason}")
        }
    }
}

struct Check<'a> {
    received: &'a Received,
    taught: &'a [&'a Taught],
    keys: Keys,
    key_type: KeyType,
    origin: Instant,
    /// When the bytes now looked at had come, in ms after `origin`.
    read_ms: i64,
    piece: usize,
    seen: Vec<u64>,
    first: u64,
    end: u64,
    entries: u64,
    faults: Vec<String>,
    wrong: u64,
}

impl<'a> Check<'a> {
    fn new(received: &'a Received, taught: &'a [&'a Taught], keys: Keys) -> Self {
        let first = taught.iter().map(|part| part.work.first).min().unwrap_or(0);
        let end = taught.iter().map(|part| part.work.first + part.work.count).max().unwrap_or(0);
        let seen = vec![0; ((end - first) / 64 + 1) as usize];
        let origin = taught.iter().map(|part| part.started).min().unwrap_or(received.asked);
        let key_type = keys.definition(EXPIRE_MS).key_type;
        Self {
            received,
            taught,
            keys,
            key_type,
            origin,
            read_ms: 0,
            piece: 0,
            seen,
            first,
            end,
            entries: 0,
            faults: Vec::new(),
            wrong: 0,
        }
    }

    fn update(&mut self, form: UpdateForm, reader: &mut Reader<'_>, at: usize) -> Result<()> {
        let header = UpdateHeader::decode(form, reader)?;
        let key = decode_key(self.key_type, reader)?;
        let Some((i, part)) = self.entry(key) else {
            self.fault(|| format!("an entry nobody taught: key {key:02x?}"));
            return Ok(());
        };
        let place = i - self.first;
        let (word, bit) = ((place / 64) as usize, 1 << (place % 64));
        if self.seen[word] & bit != 0 {
            self.fault(|| format!("entry {i} (key {key:02x?}) came twice"));
            return Ok(());
        }
        self.seen[word] |= bit;
        let found = decode(self.keys, reader)?;
        let (elapsed, lived) = self.elapsed(i, part, at);
        match compare(part, i, header, found, elapsed, lived) {
            Ok(()) => self.entries += 1,
            Err(fault) => self.fault(|| format!("entry {i} (key {key:02x?}): {fault}")),
        }
        Ok(())
    }

    fn entry(&self, key: &[u8]) -> Option<(u64, &'a Taught)> {
        let i = self.keys.number(key)?;
        let part = self.taught.iter().rev().find(|part| part.work.place(i).is_some())?;
        Some((i, part))
    }

    /// Least and most time between learning an entry and sending it back, in ms, and since when its lifetime counts.
    fn elapsed(&mut self, i: u64, part: &Taught, at: usize) -> ((i64, i64), (i64, i64)) {
        let since = |time: Instant| time.saturating_duration_since(self.origin).as_millis() as i64;
        while let Some(&(position, time)) = self.received.passage.0.get(self.piece) {
            self.read_ms = since(time);
            if position > at {
                break;
            }
            self.piece += 1;
        }
        let (earliest, latest) = part.learned(i, self.origin).unwrap_or((0, 0));
        let asked = since(self.received.asked);
        let elapsed = ((asked - latest).max(0), self.read_ms - earliest);
        // With a deadline for all, what is sent later is told less: its lifetime counts from the start.
        let start = since(part.started);
        (elapsed, if part.deadline.is_some() { (asked - start, self.read_ms - start) } else { elapsed })
    }

    fn fault(&mut self, text: impl FnOnce() -> String) {
        self.wrong += 1;
        if self.faults.len() < TOLD {
            self.faults.push(text());
        }
    }

    fn finish(&mut self, expect: Expect) -> Result<()> {
        let told = |seen: &[u64], place: u64| seen[(place / 64) as usize] & 1 << (place % 64) != 0;
        if expect == Expect::All {
            for i in self.first..self.end {
                if !told(&self.seen, i - self.first)
                    && self.taught.iter().any(|part| part.work.place(i).is_some())
                {
                    self.fault(|| format!("entry {i} is missing"));
                }
            }
        }
        let more = self.wrong - self.faults.len() as u64;
        ensure!(
            self.wrong == 0,
            "{} faults in {} entries:\n  {}{}",
            self.wrong,
            self.end - self.first,
            self.faults.join("\n  "),
            if more > 0 { format!("\n  and {more} more") } else { String::new() }
        );
        Ok(())
    }
}

fn decode(keys: Keys, reader: &mut Reader<'_>) -> Result<Values> {
    let rate = |WireFrequency { age, current, previous }| Rate { age, current, previous };
    let values = match keys {
        Keys::Ip => Values::Ip {
            gpc0: decode_unsigned(reader, "gpc0")?,
            conn_cnt: decode_unsigned(reader, "conn_cnt")?,
            http_req_rate: rate(decode_frequency(reader, "http_req_rate")?),
            bytes_out_rate: rate(decode_frequency(reader, "bytes_out_rate")?),
        },
        Keys::String => Values::String { server_id: decode_signed(reader, "server_id")?.cast_unsigned() },
    };
    ensure!(reader.is_empty(), "bytes after the last value");
    Ok(values)
}

/// Compares one entry, given the least and most ms by which its counters can have aged, and since its lifetime counts.
fn compare(
    part: &Taught,
    i: u64,
    header: UpdateHeader,
    found: Values,
    elapsed: (i64, i64),
    lived: (i64, i64),
) -> Result<(), String> {
    let (least, most) = (elapsed.0 - CLOCK_MS, elapsed.1 + CLOCK_MS);
    let Work { keys, generation, timed, .. } = part.work;
    let taught = match part.deadline {
        Some(deadline) => deadline.saturating_duration_since(part.started).as_millis() as i64,
        None if timed => lifetime_ms(i, generation).into(),
        None => part.expire_ms.into(),
    };
    let lifetime = header.lifetime_ms.ok_or("sent without a lifetime")?;
    if !(taught - lived.1 - CLOCK_MS..=taught - lived.0 + CLOCK_MS).contains(&i64::from(lifetime)) {
        return Err(format!(
            "{lifetime} ms left, taught with {taught} between {} and {} ms before",
            lived.0, lived.1
        ));
    }
    let expected = keys.values(i, generation);
    let rate = |name: &str, found: Rate, taught: Rate| {
        let aged = i64::from(found.age) - i64::from(taught.age);
        let right = (found.current, found.previous) == (taught.current, taught.previous);
        // Starts of periods are even: a receiver may make a counter older by 1 ms.
        if right && (least..=most + 1).contains(&aged) {
            return Ok(());
        }
        Err(format!(
            "{name} is {found:?}, taught as {taught:?} between {} and {} ms before",
            elapsed.0, elapsed.1
        ))
    };
    match (found, expected) {
        (
            Values::Ip { gpc0, conn_cnt, http_req_rate, bytes_out_rate },
            Values::Ip {
                gpc0: gpc0_taught,
                http_req_rate: req,
                conn_cnt: conn_cnt_taught,
                bytes_out_rate: bytes,
            },
        ) => {
            if (gpc0, conn_cnt) != (gpc0_taught, conn_cnt_taught) {
                return Err(format!(
                    "gpc0 and conn_cnt are {gpc0} and {conn_cnt}, taught as {gpc0_taught} and {conn_cnt_taught}"
                ));
            }
            rate("http_req_rate", http_req_rate, req)?;
            rate("bytes_out_rate", bytes_out_rate, bytes)
        }
        (found, expected) if found == expected => Ok(()),
        (found, expected) => Err(format!("{found:?}, taught as {expected:?}")),
    }
}

#[cfg(test)]
#[path = "verify/tests.rs"]
mod tests;
