//! One direction of a connection: bytes on their way, in order, late and in other pieces than they were sent.

use std::collections::VecDeque;

use stick_table::Millis;

use crate::random::Random;

/// How a pipe treats what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Time of each piece on its way, in ms.
    pub delay_ms: (u64, u64),
    /// Bytes that are on their way or not read yet at most.
    pub room: usize,
    /// How often, in 1,000, a piece is split once more.
    pub split: u32,
    /// Most bytes of a read.
    pub read: (u64, u64),
}

/// What a reader gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The end of the stream.
    End,
}

/// A direction of a connection.
#[derive(Debug)]
pub(crate) struct Pipe {
    line: Line,
    random: Random,
    flight: VecDeque<(Millis, Vec<u8>)>,
    held: usize,
    last_arrival: Millis,
    /// When the end of the stream arrives.
    end: Option<Millis>,
    /// The end was read, or nothing is to arrive any more.
    over: bool,
    stalled_until: Millis,
}

impl Pipe {
    /// An empty pipe.
    pub(crate) fn new(line: Line, random: Random) -> Self {
        Self {
            line,
            random,
            flight: VecDeque::new(),
            held: 0,
            last_arrival: 0,
            end: None,
            over: false,
            stalled_until: 0,
        }
    }

    /// Bytes it takes now.
    pub(crate) fn room(&self) -> usize {
        if self.end.is_some() { 0 } else { self.line.room.saturating_sub(self.held) }
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, now: Millis, mut bytes: Vec<u8>) {
        self.held += bytes.len();
        while !bytes.is_empty() {
            let split = bytes.len() > 1 && self.random.chance(self.line.split);
            let size = if split { 1 + self.random.below(bytes.len() as u64) as usize } else { bytes.len() };
            let rest = bytes.split_off(size);
            let arrival = self.arrival(now);
            self.flight.push_back((arrival, std::mem::replace(&mut bytes, rest)));
        }
    }

    fn arrival(&mut self, now: Millis) -> Millis {
        self.last_arrival = self.last_arrival.max(now + self.random.within(self.line.delay_ms));
        self.last_arrival
    }

    /// Ends the stream after what was sent.
    pub(crate) fn finish(&mut self, now: Millis) {
        if self.end.is_none() {
            self.end = Some(self.arrival(now));
        }
    }

    /// Loses what is on its way; the end follows at once.
    pub(crate) fn cut(&mut self, now: Millis) {
        self.flight.clear();
        self.held = 0;
        self.stalled_until = 0;
        self.end = Some(now);
    }

    /// Nothing arrives any more, not even the end.
    pub(crate) fn mute(&mut self) {
        self.flight.clear();
        self.over = true;
    }

    /// Nothing is read before `until`.
    pub(crate) fn stall(&mut self, until: Millis) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// Reading goes on.
    pub(crate) fn resume(&mut self) {
        self.stalled_until = 0;
    }

    /// When something can be read next.
    pub(crate) fn next(&self) -> Option<Millis> {
        if self.over {
            return None;
        }
        let first = self.flight.front().map(|(at, _)| *at).or(self.end)?;
        Some(first.max(self.stalled_until))
    }

    /// Reads what has arrived, once.
    pub(crate) fn read(&mut self, now: Millis) -> Option<Arrival> {
        if self.next()? > now {
            return None;
        }
        if self.flight.is_empty() {
            self.over = true;
            return Some(Arrival::End);
        }
        let most = self.random.within(self.line.read) as usize;
        let mut bytes = Vec::new();
        while let Some((at, mut piece)) = self.flight.pop_front() {
            let left = most.max(1) - bytes.len();
            if at > now || left == 0 {
                self.flight.push_front((at, piece));
                break;
            }
            let rest = piece.split_off(left.min(piece.len()));
            bytes.append(&mut piece);
            if !rest.is_empty() {
                self.flight.push_front((at, rest));
            }
        }
        self.held -= bytes.len();
        Some(Arrival::Bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line = Line { delay_ms: (1, 9), room: 100, split: 700, read: (1, 7) };

    fn drain(pipe: &mut Pipe, until: Millis) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        while let Some(arrival) = pipe.next().filter(|&at| at <= until).and_then(|at| pipe.read(at)) {
            match arrival {
                Arrival::Bytes(piece) => bytes.extend(piece),
                Arrival::End => return (bytes, true),
            }
        }
        (bytes, false)
    }

    #[test]
    fn bytes_keep_their_order_in_whatever_pieces() {
        for seed in 0..50 {
            let mut pipe = Pipe::new(LINE, Random::new(seed));
            pipe.send(5, (0..60).collect());
            pipe.send(6, (60..90).collect());
            assert_eq!(pipe.room(), 10);
            assert_eq!(pipe.read(5), None, "nothing arrives at once");
            pipe.finish(7);
            assert_eq!(pipe.room(), 0, "nothing is sent after the end");
            assert_eq!(drain(&mut pipe, 1_000), ((0..90).collect(), true));
            assert_eq!(pipe.next(), None);
        }
    }

    #[test]
    fn a_stalled_reader_reads_later() {
        let mut pipe = Pipe::new(LINE, Random::new(1));
        pipe.send(0, vec![1; 50]);
        pipe.stall(500);
        assert_eq!(drain(&mut pipe, 499), (vec![], false));
        pipe.resume();
        assert_eq!(drain(&mut pipe, 499).0.len(), 50);
    }

    #[test]
    fn a_cut_loses_what_is_on_its_way_and_a_mute_pipe_says_nothing() {
        let mut pipe = Pipe::new(LINE, Random::new(1));
        pipe.send(0, vec![1; 50]);
        pipe.cut(3);
        assert_eq!(drain(&mut pipe, 3), (vec![], true));
        let mut pipe = Pipe::new(LINE, Random::new(1));
        pipe.send(0, vec![1; 50]);
        pipe.mute();
        assert_eq!(drain(&mut pipe, 1_000_000), (vec![], false));
        assert_eq!(pipe.room(), 50, "what is not read takes room");
    }
}
