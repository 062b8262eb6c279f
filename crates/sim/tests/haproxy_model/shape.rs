//! Streams as short texts: what is said about which table, under which id, without keys and values.

use std::fs;
use std::path::{Path, PathBuf};

use haproxy_peers::{Control, Decoder, Message, UpdateForm};
use serde_json::Value;

/// A listing of a captured connection.
pub(crate) fn listing(name: &str) -> Value {
    serde_json::from_slice(&fs::read(captures().join(format!("{name}.decoded.json"))).unwrap()).unwrap()
}

/// Bytes of one direction of a captured connection.
pub(crate) fn bytes(name: &str, direction: &str) -> Vec<u8> {
    fs::read(captures().join(format!("{name}.{direction}.bin"))).unwrap()
}

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../haproxy-peers/tests/captures")
}

/// Where the messages start: after the hello's three lines, or the status.
pub(crate) fn after_handshake(stream: &[u8]) -> usize {
    let lines = if stream.starts_with(b"HAProxyS") { 3 } else { 1 };
    let ends = stream.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap()
}

/// The messages of one direction, handshake included in `stream`, up to its byte `end`.
pub(crate) fn shape(stream: &[u8], end: usize) -> Vec<String> {
    let mut rest = &stream[after_handshake(stream)..end];
    let mut decoder = Decoder::new();
    let mut shape = Vec::new();
    while let Some((message, size)) = decoder.decode(rest).unwrap() {
        shape.push(word(&message));
        rest = &rest[size..];
    }
    assert!(rest.is_empty());
    shape
}

pub(crate) fn word(message: &Message<'_>) -> String {
    match message {
        Message::Control(control) => match control {
            Control::ResyncRequest => "request",
            Control::ResyncFinished => "finished",
            Control::ResyncPartial => "partial",
            Control::ResyncConfirm => "confirm",
            Control::Heartbeat => "heartbeat",
            Control::Relay => "relay",
        }
        .into(),
        Message::Define(definition) => format!("define {}", definition.id),
        Message::Ack(ack) => format!("ack {}:{}", ack.table_id, ack.update_id),
        Message::Update(update) => {
            let form = match update.update.header.form() {
                UpdateForm::Explicit => "update",
                UpdateForm::Incremental => "implied",
                UpdateForm::ExplicitTimed => "timed",
                UpdateForm::IncrementalTimed => "implied timed",
            };
            format!("{form} {}", update.id)
        }
        other => panic!("{other:?}"),
    }
}

/// The first byte of a captured direction that was sent after a time.
pub(crate) fn end_at(listing: &Value, direction: &str, seconds: f64) -> usize {
    let messages = listing[direction]["messages"].as_array().unwrap();
    let later = messages.iter().find(|message| message["t_s"].as_f64().unwrap() > seconds);
    let end = later.map_or(&listing[direction]["bytes"], |message| &message["offset"]);
    usize::try_from(end.as_u64().unwrap()).unwrap()
}
