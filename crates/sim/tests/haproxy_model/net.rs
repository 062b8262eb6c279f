//! A small network: processes by name, links between them, bytes that take a while.

use std::collections::VecDeque;

use stick_table::Millis;
use stickd_sim::{Link, Process, Want, Write};

/// Time that bytes and the end of a connection take, in ms.
const DELAY: Millis = 2;
/// More rounds than this at one moment mean that somebody asks to be called again and again.
const MAX_ROUNDS: usize = 10_000;

/// Bytes on the way, or the end of the stream.
type Way = VecDeque<(Millis, Option<Vec<u8>>)>;

struct Pair {
    /// Process and its number of the link; `None` when it has closed.
    ends: [Option<(usize, Link)>; 2],
    /// What is on the way to each end.
    ways: [Way; 2],
    /// All that each end sent.
    sent: [Vec<u8>; 2],
    /// When the attempt succeeds or fails, and whom it is for, until then.
    opens: Option<(Millis, String)>,
}

/// All processes, and the time.
pub(crate) struct Net<P> {
    pub(crate) now: Millis,
    processes: Vec<(String, Option<P>)>,
    pairs: Vec<Pair>,
    next_link: u64,
    /// Largest room offered at once.
    pub(crate) room: usize,
    /// Bytes are handed over in pieces of at most this many.
    pub(crate) piece: usize,
    /// Nobody can be reached.
    pub(crate) is_down: bool,
    /// Calls so far, by the caller's and the called one's name.
    pub(crate) calls: Vec<(Millis, String, String)>,
}

impl<P: Process> Net<P> {
    pub(crate) fn new() -> Self {
        Self {
            now: 1_000_000,
            processes: Vec::new(),
            pairs: Vec::new(),
            next_link: 1,
            room: 4_096,
            piece: usize::MAX,
            is_down: false,
            calls: Vec::new(),
        }
    }

    /// The process of a name starts; another one of that name, if there is one, is reached no more, but lives on.
    pub(crate) fn start(&mut self, name: &str, process: P) -> usize {
        self.processes.push((name.into(), Some(process)));
        self.settle();
        self.processes.len() - 1
    }

    /// A process ends without a word.
    pub(crate) fn kill(&mut self, process: usize) {
        self.processes[process].1 = None;
        for pair in 0..self.pairs.len() {
            for side in 0..2 {
                if self.pairs[pair].ends[side].is_some_and(|(owner, _)| owner == process) {
                    self.hang_up(pair, side);
                }
            }
        }
        self.settle();
    }

    pub(crate) fn at(&self, process: usize) -> &P {
        self.processes[process].1.as_ref().unwrap()
    }

    pub(crate) fn do_at<R>(&mut self, process: usize, act: impl FnOnce(&mut P, Millis) -> R) -> R {
        let result = act(self.processes[process].1.as_mut().unwrap(), self.now);
        self.settle();
        result
    }

    pub(crate) fn write(&mut self, process: usize, key: u32, gpc0: u32) {
        let write = Write { table: 0, key, gpc0, requests: 1 };
        assert!(self.do_at(process, |process, now| process.write(now, write)));
    }

    /// `gpc0` of a key in the first table.
    pub(crate) fn gpc0(&self, process: usize, key: u32) -> Option<u32> {
        self.at(process).read(self.now, 0, key).map(|reading| reading.gpc0)
    }

    /// What the caller and the called one sent so far, on each connection that came about.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &[Vec<u8>; 2]> {
        self.pairs.iter().map(|pair| &pair.sent).filter(|sent| !sent[1].is_empty())
    }

    /// Breaks all connections; what is on the way is lost.
    pub(crate) fn cut(&mut self) {
        for pair in 0..self.pairs.len() {
            self.pairs[pair].ways.iter_mut().for_each(Way::clear);
            for side in 0..2 {
                self.end(pair, side);
            }
        }
        self.settle();
    }

    pub(crate) fn run(&mut self, ms: Millis) {
        let until = self.now + ms;
        let (mut rounds, mut last) = (0, self.now);
        while let Some(next) = self.next_time().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            rounds = if self.now > last { 0 } else { rounds + 1 };
            last = self.now;
            assert!(rounds < MAX_ROUNDS, "somebody asks to be called for ever at {last}");
            for (_, process) in &mut self.processes {
                if let Some(process) = process
                    && process.timeout().is_some_and(|at| at <= self.now)
                {
                    process.handle_timeout(self.now);
                }
            }
            self.settle();
        }
        self.now = until;
    }

    fn next_time(&self) -> Option<Millis> {
        let timeouts = self.processes.iter().filter_map(|(_, process)| process.as_ref()?.timeout());
        let ways = self.pairs.iter().flat_map(|pair| &pair.ways).filter_map(|way| Some(way.front()?.0));
        timeouts.chain(ways).chain(self.pairs.iter().filter_map(|pair| Some(pair.opens.as_ref()?.0))).min()
    }

    fn settle(&mut self) {
        let mut busy = true;
        while busy {
            busy = false;
            for process in 0..self.processes.len() {
                while let Some(want) = self.processes[process].1.as_mut().and_then(Process::want) {
                    busy = true;
                    self.carry_out(process, want);
                }
            }
            for pair in 0..self.pairs.len() {
                busy |= self.open(pair);
                for side in 0..2 {
                    busy |= self.transmit(pair, side) | self.deliver(pair, side);
                }
            }
            for (name, process) in &self.processes {
                if let Some(process) = process {
                    assert!(process.memory() <= process.memory_bound(), "{name} holds too much");
                }
            }
        }
    }

    fn carry_out(&mut self, process: usize, want: Want) {
        match want {
            Want::Connect { link, peer } => {
                self.calls.push((self.now, self.processes[process].0.clone(), peer.clone()));
                let pair = Pair {
                    ends: [Some((process, link)), None],
                    ways: Default::default(),
                    sent: Default::default(),
                    opens: Some((self.now + DELAY, peer)),
                };
                self.pairs.push(pair);
            }
            Want::Close(link) => {
                let is_it = |end: &Option<(usize, Link)>| *end == Some((process, link));
                let found = self
                    .pairs
                    .iter()
                    .enumerate()
                    .find_map(|(pair, it)| it.ends.iter().position(is_it).map(|side| (pair, side)));
                if let Some((pair, side)) = found {
                    self.hang_up(pair, side);
                }
            }
        }
    }

    fn new_link(&mut self) -> Link {
        self.next_link += 1;
        Link(self.next_link)
    }

    fn open(&mut self, pair: usize) -> bool {
        let now = self.now;
        let Some((_, peer)) = self.pairs[pair].opens.take_if(|(at, _)| *at <= now) else { return false };
        let Some((near, link)) = self.pairs[pair].ends[0] else { return true };
        let is_it = |(name, other): &(String, Option<P>)| *name == peer && other.is_some();
        // The newest process of a name has its address.
        let target = self.processes.iter().rposition(is_it).filter(|_| !self.is_down);
        let Some(far) = target.filter(|target| *target != near) else {
            self.end(pair, 0);
            return true;
        };
        let far_link = self.new_link();
        self.pairs[pair].ends[1] = Some((far, far_link));
        if let Some(process) = &mut self.processes[far].1 {
            process.accepted(now, far_link);
        }
        if let Some(process) = &mut self.processes[near].1 {
            process.connected(now, link);
        }
        true
    }

    fn transmit(&mut self, pair: usize, side: usize) -> bool {
        let Some((process, link)) = self.pairs[pair].ends[side] else { return false };
        if self.pairs[pair].opens.is_some() {
            return false;
        }
        let mut bytes = Vec::new();
        let Some(it) = &mut self.processes[process].1 else { return false };
        it.transmit(self.now, link, self.room, &mut bytes);
        assert!(bytes.len() <= self.room);
        if bytes.is_empty() {
            return false;
        }
        self.pairs[pair].sent[side].extend_from_slice(&bytes);
        let arrival = self.now + DELAY;
        self.pairs[pair].ways[1 - side].push_back((arrival, Some(bytes)));
        true
    }

    fn deliver(&mut self, pair: usize, side: usize) -> bool {
        let now = self.now;
        let Some((_, sent)) = self.pairs[pair].ways[side].pop_front_if(|(at, _)| *at <= now) else {
            return false;
        };
        let Some(bytes) = sent else {
            self.end(pair, side);
            return true;
        };
        for piece in bytes.chunks(self.piece) {
            if let Some((process, link)) = self.pairs[pair].ends[side]
                && let Some(process) = &mut self.processes[process].1
            {
                process.receive(now, link, piece);
            }
        }
        true
    }

    /// An end closes; the other learns of it later.
    fn hang_up(&mut self, pair: usize, side: usize) {
        while self.transmit(pair, side) {}
        self.pairs[pair].ends[side] = None;
        self.pairs[pair].ways[1 - side].push_back((self.now + DELAY, None));
    }

    /// An end learns that the connection is over.
    fn end(&mut self, pair: usize, side: usize) {
        if let Some((process, link)) = self.pairs[pair].ends[side].take()
            && let Some(process) = &mut self.processes[process].1
        {
            process.closed(self.now, link);
        }
    }
}
