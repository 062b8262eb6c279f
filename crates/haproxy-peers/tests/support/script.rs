//! A peer that is plain bytes: it says what a test tells it, and lists what it hears.

use haproxy_peers::{
    Ack, Control, Decoder, Definition, ErrorMessage, FrameWriter, Message, Padding, TableUpdate,
    UpdateHeader, encode_key,
};
use stick_table::{DataType, TableDefinition};

use super::link::{End, Link, Way};
use super::{LinkId, World};

/// One end of a connection that a test plays.
pub(crate) struct Script {
    link: LinkId,
    side: usize,
    decoder: Decoder,
    /// Received, not listed yet.
    pending: Vec<u8>,
}

/// A message with a payload, of a class and a type.
pub(crate) fn with_payload(class: u8, kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut frame = FrameWriter::begin(&mut bytes, class, kind);
    frame.payload().extend_from_slice(payload);
    frame.finish(Padding::None);
    bytes
}

pub(crate) fn control(message: Control) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

impl Script {
    /// Connects to a node under a name and sends a hello; the answer is in [`take`](Self::take).
    pub(crate) fn hello(world: &mut World, node: usize, name: &str, version: &str) -> Self {
        Self::hello_by(world, Way::Network, node, (name, 1), version)
    }

    /// As the process before a node, under the node's own name and the newest version.
    pub(crate) fn predecessor(world: &mut World, node: usize) -> Self {
        let name = world.nodes[node].name.clone();
        Self::hello_by(world, Way::Predecessor, node, (&name, 1), "2.1")
    }

    fn hello_by(world: &mut World, way: Way, node: usize, (name, pid): (&str, u32), version: &str) -> Self {
        let target = world.nodes[node].name.clone();
        let far = End::Greeting { node, parser: haproxy_peers::HelloParser::new(super::BUFFER), way };
        world.links.push(Link::new(End::scripted(), far));
        let mut script = Self::at(LinkId(world.links.len() - 1), 0);
        script.send(world, format!("HAProxyS {version}\n{target}\n{name} {pid} 1\n").as_bytes());
        world.run(2 * world.delay);
        script
    }

    /// As [`hello`](Self::hello), and is accepted.
    pub(crate) fn call(world: &mut World, node: usize, name: &str, version: &str) -> Self {
        Self::hello(world, node, name, version).accepted(world)
    }

    /// As [`call`](Self::call), by a process of another id than the other scripts have.
    pub(crate) fn call_as(world: &mut World, node: usize, name: &str, pid: u32, version: &str) -> Self {
        Self::hello_by(world, Way::Network, node, (name, pid), version).accepted(world)
    }

    /// Makes sure that the node accepted.
    pub(crate) fn accepted(mut self, world: &mut World) -> Self {
        let answer = self.take(world);
        assert!(answer.starts_with(b"200\n"), "{}", answer.escape_ascii());
        self.pending.extend_from_slice(&answer[4..]);
        self
    }

    /// The newest attempt of a node to reach a scripted peer, when it is there within `ms`.
    pub(crate) fn incoming(world: &mut World, ms: u64) -> Option<Self> {
        let known = world.links.len();
        let came = world.run_until(ms, |world| {
            world.links[known..].iter().any(|link| matches!(link.ends[1], End::Scripted { .. }))
        });
        came.then(|| Self::at(LinkId(world.links.len() - 1), 1))
    }

    /// Waits for an attempt and answers with a status.
    pub(crate) fn answer(world: &mut World, ms: u64, status: &str) -> Self {
        let mut script = Self::incoming(world, ms).expect("nobody connects");
        world.run(2 * world.delay);
        let hello = script.take(world);
        assert!(hello.starts_with(b"HAProxyS 2."), "{}", hello.escape_ascii());
        script.send(world, format!("{status}\n").as_bytes());
        if status != "200" {
            script.close(world);
        }
        world.run(2 * world.delay);
        script
    }

    fn at(link: LinkId, side: usize) -> Self {
        Self { link, side, decoder: Decoder::new(), pending: Vec::new() }
    }

    pub(crate) fn send(&mut self, world: &mut World, bytes: &[u8]) {
        let at = world.now + world.delay;
        world.links[self.link.0].send(self.side, Some(bytes.to_vec()), at);
    }

    /// Sends and lets the node take and answer it.
    pub(crate) fn say(&mut self, world: &mut World, bytes: &[u8]) {
        self.send(world, bytes);
        world.run(2 * world.delay);
    }

    pub(crate) fn close(&mut self, world: &mut World) {
        let at = world.now + world.delay;
        world.links[self.link.0].send(self.side, None, at);
    }

    pub(crate) fn is_closed(&self, world: &World) -> bool {
        matches!(world.links[self.link.0].ends[self.side], End::Scripted { closed: true, .. })
    }

    /// The bytes received since the last call.
    pub(crate) fn take(&mut self, world: &mut World) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.pending);
        if let End::Scripted { received, .. } = &mut world.links[self.link.0].ends[self.side] {
            bytes.append(received);
        }
        bytes
    }

    /// The messages received since the last call, one a line.
    pub(crate) fn heard(&mut self, world: &mut World) -> Vec<String> {
        let bytes = self.take(world);
        let (mut rest, mut lines) = (&bytes[..], Vec::new());
        while let Some((message, size)) = self.decoder.decode(rest).unwrap() {
            lines.push(describe(&message));
            rest = &rest[size..];
        }
        assert!(rest.is_empty(), "the node sends whole messages");
        lines
    }

    /// As [`heard`](Self::heard), without heartbeats and definitions.
    pub(crate) fn news(&mut self, world: &mut World) -> Vec<String> {
        let mut lines = self.heard(world);
        lines.retain(|line| line != "heartbeat" && !line.starts_with("define"));
        lines
    }

    pub(crate) fn control(&mut self, world: &mut World, message: Control) {
        self.say(world, &control(message));
    }

    pub(crate) fn define(&mut self, world: &mut World, id: u32, table: &TableDefinition) {
        let mut bytes = Vec::new();
        Definition::from_table(id, table).unwrap().encode(Padding::None, &mut bytes).unwrap();
        self.say(world, &bytes);
    }

    pub(crate) fn ack(&mut self, world: &mut World, table_id: u32, update_id: u32) {
        let mut bytes = Vec::new();
        Ack { table_id, update_id }.encode_unchecked(&mut bytes);
        self.say(world, &bytes);
    }

    /// An update of a table like [`counters`](super::counters): id, remaining lifetime, key, counter.
    pub(crate) fn update(
        &mut self,
        world: &mut World,
        id: Option<u32>,
        lifetime_ms: Option<u32>,
        number: u32,
        value: u8,
    ) {
        let bytes = update(id, lifetime_ms, number, value);
        self.say(world, &bytes);
    }
}

/// The bytes of [`Script::update`].
pub(crate) fn update(id: Option<u32>, lifetime_ms: Option<u32>, number: u32, value: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut frame = UpdateHeader { id, lifetime_ms }.begin(&mut bytes);
    encode_key(stick_table::KeyType::Integer, &number.to_be_bytes(), frame.payload());
    frame.payload().extend_from_slice(&[value, 0]);
    frame.finish(Padding::None);
    bytes
}

fn describe(message: &Message<'_>) -> String {
    match message {
        Message::Control(Control::ResyncRequest) => "request".into(),
        Message::Control(Control::ResyncFinished) => "finished".into(),
        Message::Control(Control::ResyncPartial) => "partial".into(),
        Message::Control(Control::ResyncConfirm) => "confirm".into(),
        Message::Control(Control::Heartbeat) => "heartbeat".into(),
        Message::Control(Control::Relay) => "relay".into(),
        Message::Error(ErrorMessage::Protocol) => "protocol error".into(),
        Message::Error(ErrorMessage::SizeLimit) => "size limit".into(),
        Message::Define(table) => format!("define {} {}", table.id, table.display_name()),
        Message::Ack(ack) => format!("ack {} {}", ack.table_id, ack.update_id),
        Message::Update(update) => describe_update(update),
        other => format!("{other:?}"),
    }
}

fn describe_update(TableUpdate { table, key_type, id, update, server_key }: &TableUpdate) -> String {
    let mut line = format!("{} {id} {}", table.display_name(), key_type.text(&update.key));
    for (data_type, elements) in &update.values {
        if *data_type != DataType::ServerKey {
            let texts: Vec<_> = elements.iter().map(ToString::to_string).collect();
            line += &format!(" {}", texts.join(","));
        }
    }
    if let Some(text) = server_key {
        line += &format!(" {text}");
    }
    if let Some(left) = update.header.remaining_ms() {
        line += &format!(" left={left}");
    }
    line
}
