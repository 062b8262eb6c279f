//! One model, and a peer `b` that is plain bytes.

use haproxy_peers::{
    Ack, Control, Decoder, Definition, DefinitionTail, Hello, Message, Padding, ProtocolVersion, TableUpdate,
    Update, UpdateHeader, WireColumn, WireFrequency, WireKeyType, WireValue,
};
use stick_table::{DataType, Millis};
use stickd_sim::{Haproxy, HaproxyConfig, Link, Process, Quirks, Want, Write};

use crate::node::config;
use crate::shape::word;

/// What is offered to the model at once, in bytes.
const ROOM: usize = 16_384;

pub(crate) struct Wire {
    pub(crate) model: Haproxy,
    pub(crate) now: Millis,
    link: Option<Link>,
    calls: u64,
    /// Status line and messages that came and were not looked at.
    unread: Vec<u8>,
    decoder: Decoder,
    pub(crate) wants: Vec<(Millis, Want)>,
    /// What the last [`heard`](Self::heard) had in it.
    pub(crate) updates: Vec<TableUpdate>,
    pub(crate) definitions: Vec<Definition>,
}

impl Wire {
    /// A model that starts now, and whom nobody called.
    pub(crate) fn alone(config: HaproxyConfig) -> Self {
        let now = 1_000_000;
        let mut wire = Self {
            model: Haproxy::new(config, now),
            now,
            link: None,
            calls: 0,
            unread: Vec::new(),
            decoder: Decoder::new(),
            wants: Vec::new(),
            updates: Vec::new(),
            definitions: Vec::new(),
        };
        wire.settle();
        wire
    }

    /// A model `a` that has considered itself up to date for long, called by `b`.
    pub(crate) fn ready(quirks: Quirks) -> Self {
        Self::ready_with(config("a", &["b"], quirks))
    }

    pub(crate) fn ready_with(config: HaproxyConfig) -> Self {
        let mut wire = Self::alone(config);
        wire.wait(21_000);
        assert!(wire.model.is_up_to_date());
        wire.call(1);
        wire
    }

    /// `b` connects and says hello; the answer must be 200.
    pub(crate) fn call(&mut self, minor: u32) {
        assert_eq!(self.hello(minor, "a", "b", usize::MAX), "200\n");
    }

    /// Connects and says hello in pieces; returns the status line, empty when there is none.
    pub(crate) fn hello(&mut self, minor: u32, target: &str, sender: &str, piece: usize) -> String {
        self.calls += 1;
        let link = Link(self.calls);
        self.link = Some(link);
        self.decoder = Decoder::new();
        self.unread.clear();
        self.model.accepted(self.now, link);
        let version = ProtocolVersion { major: 2, minor };
        let hello = Hello { version, target: target.into(), sender: sender.into(), pid: 1, relative_pid: 1 };
        let mut bytes = Vec::new();
        hello.encode(&mut bytes).unwrap();
        for piece in bytes.chunks(piece) {
            self.model.receive(self.now, link, piece);
        }
        self.settle();
        let end = self.unread.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        String::from_utf8(self.unread.drain(..end).collect()).unwrap()
    }

    pub(crate) fn hang_up(&mut self) {
        let link = self.link.take().unwrap();
        self.model.closed(self.now, link);
        self.settle();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.link.is_some()
    }

    pub(crate) fn send(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        self.model.receive(self.now, self.link.unwrap(), &bytes);
        self.settle();
    }

    pub(crate) fn say(&mut self, control: Control) {
        self.send(|out| control.encode(out));
    }

    pub(crate) fn ack(&mut self, update_id: u32) {
        self.send(|out| Ack { table_id: 1, update_id }.encode_unchecked(out));
    }

    pub(crate) fn define(&mut self, name: &str) {
        let definition = definition(name);
        self.send(|out| definition.encode(Padding::None, out).unwrap());
    }

    /// Sends an update of what was defined last.
    pub(crate) fn update(
        &mut self,
        id: Option<u32>,
        lifetime_ms: Option<u32>,
        key: u32,
        rate: WireFrequency,
    ) {
        let update = Update {
            header: UpdateHeader { id, lifetime_ms },
            key: key.to_be_bytes().to_vec(),
            values: vec![
                (DataType::Gpc0, vec![WireValue::Unsigned(key)]),
                (DataType::HttpReqRate, vec![WireValue::Frequency(rate)]),
            ],
            trailing: Vec::new(),
        };
        self.send(|out| update.encode(&definition("t"), Padding::None, out).unwrap());
    }

    /// The model learns a key of table `t` as `id`.
    pub(crate) fn learn(&mut self, id: Option<u32>, lifetime_ms: Option<u32>, key: u32) {
        self.define("t");
        self.update(id, lifetime_ms, key, WireFrequency::default());
    }

    pub(crate) fn write(&mut self, key: u32) {
        assert!(self.model.write(self.now, Write { table: 0, key, gpc0: key, requests: 1 }));
        self.settle();
    }

    pub(crate) fn remaining(&self, key: u32) -> Option<u32> {
        self.model.read(self.now, 0, key)?.remaining_ms
    }

    /// Lets time pass; whoever the model calls cannot be reached.
    pub(crate) fn wait(&mut self, ms: Millis) {
        let until = self.now + ms;
        for _ in 0..100_000 {
            let Some(at) = self.model.timeout().filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(at);
            self.model.handle_timeout(self.now);
            self.settle();
        }
        panic!("the model asks to be called for ever");
    }

    fn settle(&mut self) {
        loop {
            while let Some(want) = self.model.want() {
                match &want {
                    Want::Connect { link, .. } => self.model.closed(self.now, *link),
                    Want::Close(link) if Some(*link) == self.link => self.link = None,
                    Want::Close(_) => {}
                }
                self.wants.push((self.now, want));
            }
            let before = self.unread.len();
            if let Some(link) = self.link {
                self.model.transmit(self.now, link, ROOM, &mut self.unread);
            }
            if self.unread.len() == before && self.model.timeout().is_none_or(|at| at > 0) {
                return;
            }
        }
    }

    /// What the model said since the last time.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        (self.updates, self.definitions) = (Vec::new(), Vec::new());
        let bytes = std::mem::take(&mut self.unread);
        let (mut rest, mut words) = (&bytes[..], Vec::new());
        while let Some((message, size)) = self.decoder.decode(rest).unwrap() {
            words.push(match &message {
                Message::Error(error) => error.to_string(),
                _ => word(&message),
            });
            match message {
                Message::Update(update) => self.updates.push(update),
                Message::Define(definition) => self.definitions.push((*definition).clone()),
                _ => {}
            }
            rest = &rest[size..];
        }
        assert!(rest.is_empty());
        words
    }
}

fn definition(name: &str) -> Definition {
    let rate = WireColumn { data_type: DataType::HttpReqRate, count: 1, period: 10_000 };
    Definition {
        id: 7,
        name: name.into(),
        key_type: WireKeyType::INTEGER,
        key_size: 4,
        data_types: 1 << 2 | 1 << 10,
        tail: Some(DefinitionTail { expire_ms: 60_000, parameters: vec![rate] }),
    }
}
