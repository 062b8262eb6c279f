//! Streams of real HAProxy processes, decoded to their end, compared with an independent listing, and encoded again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use haproxy_peers::{
    Ack, Control, Decoder, Definition, DictionaryItem, HelloParser, HelloProgress, Message, Padding,
    SendDictionary, Status, StatusParser, StatusProgress, TableUpdate, UpdateForm, WireValue,
};
use serde_json::Value;

const BUFFER: usize = 16_384;

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

#[test]
fn every_captured_stream_decodes_and_encodes_to_the_same_bytes() {
    let mut connections = 0;
    let mut messages = 0;
    for entry in fs::read_dir(captures()).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".decoded.json") else {
            continue;
        };
        let listing: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for direction in ["c2s", "s2c"] {
            let stream = fs::read(captures().join(format!("{name}.{direction}.bin"))).unwrap();
            messages += Stream::new(format!("{name}.{direction}"), &stream, &listing[direction]).check();
        }
        connections += 1;
    }
    // What the directory holds: a test over fewer streams would pass too easily.
    assert_eq!((connections, messages), (CONNECTIONS, MESSAGES));
}

const CONNECTIONS: usize = 46;
const MESSAGES: usize = 4_943;

/// One direction of a connection beside its listing.
struct Stream<'a> {
    name: String,
    bytes: &'a [u8],
    listing: &'a Value,
    /// What a sender of the same strings would make of them.
    dictionary: SendDictionary,
}

impl<'a> Stream<'a> {
    fn new(name: String, bytes: &'a [u8], listing: &'a Value) -> Self {
        assert_eq!(listing["bytes"], bytes.len(), "{name}");
        Self { name, bytes, listing, dictionary: SendDictionary::new() }
    }

    /// Returns the number of messages.
    fn check(mut self) -> usize {
        let listed = self.listing["messages"].as_array().unwrap();
        let handshake = self.check_handshake();
        let mut rest = &self.bytes[handshake..];
        let mut decoder = Decoder::new();
        for listed in listed {
            let place = format!("{} at {}", self.name, listed["offset"]);
            assert_eq!(listed["offset"], handshake as u64 + decoder.offset(), "{place}");
            let size = listed["hex"].as_str().unwrap().len() / 2;
            for cut in 0..size {
                assert_eq!(decoder.decode(&rest[..cut]), Ok(None), "{place} cut at {cut}");
            }
            let (message, taken) =
                decoder.decode(rest).unwrap().unwrap_or_else(|| panic!("{place}: incomplete"));
            assert_eq!(
                (taken, hex(&rest[..taken])),
                (size, listed["hex"].as_str().unwrap().to_owned()),
                "{place}"
            );
            self.check_message(&message, listed, &place);
            let mut encoded = Vec::new();
            encode(&message, &mut encoded);
            assert_eq!(hex(&encoded), listed["hex"].as_str().unwrap(), "{place}");
            rest = &rest[taken..];
        }
        assert!(rest.is_empty(), "{}: {} bytes after the last message", self.name, rest.len());
        listed.len()
    }

    /// Returns the number of bytes before the first message.
    fn check_handshake(&self) -> usize {
        let lines: Vec<&str> = self.listing["handshake_lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line.as_str().unwrap())
            .collect();
        let mut encoded = Vec::new();
        let consumed = if self.name.ends_with(".c2s") {
            let HelloProgress::Complete(hello, consumed) =
                HelloParser::new(BUFFER).feed(self.bytes, |name| name == lines[1])
            else {
                panic!("{}: no hello", self.name)
            };
            assert_eq!(lines[0], format!("HAProxyS {}", hello.version));
            assert_eq!(lines[2], format!("{} {} {}", hello.sender, hello.pid, hello.relative_pid));
            hello.encode(&mut encoded).unwrap();
            consumed
        } else {
            let StatusProgress::Complete(status, consumed) = StatusParser::new(BUFFER).feed(self.bytes)
            else {
                panic!("{}: no status", self.name)
            };
            assert_eq!(lines, [status.code().to_string()]);
            assert!(matches!(status, Status::Accepted | Status::VersionMismatch));
            status.encode(&mut encoded);
            consumed
        };
        assert_eq!(encoded, self.bytes[..consumed], "{}", self.name);
        consumed
    }

    fn check_message(&mut self, message: &Message<'_>, listed: &Value, place: &str) {
        let fields = match message {
            Message::Control(control) => {
                assert_eq!(listed["msg"], control_name(*control), "{place}");
                &[][..]
            }
            Message::Define(definition) => {
                check_definition(definition, listed, place);
                &[
                    "id",
                    "name",
                    "key_type",
                    "key_type_net",
                    "key_len",
                    "data_types",
                    "data_bitfield",
                    "expire_ms",
                ]
            }
            Message::Ack(Ack { table_id, update_id }) => {
                assert_eq!(listed["msg"], "ack", "{place}");
                assert_eq!(
                    (&listed["table_id"], &listed["update_id"]),
                    (&(*table_id).into(), &(*update_id).into())
                );
                &["table_id", "update_id"]
            }
            Message::Update(update) => {
                self.check_update(update, listed, place);
                match update.update.header.form() {
                    UpdateForm::Explicit => &["table", "key", "data", "update_id"][..],
                    UpdateForm::Incremental => &["table", "key", "data", "implied_update_id"],
                    UpdateForm::ExplicitTimed => &["table", "key", "data", "update_id", "expire_ms"],
                    UpdateForm::IncrementalTimed => {
                        &["table", "key", "data", "implied_update_id", "expire_ms"]
                    }
                }
            }
            other => panic!("{place}: {other:?}"),
        };
        // Every field of the listing was compared: those above, and the four of all messages.
        let listed = listed.as_object().unwrap();
        assert_eq!(listed.len(), fields.len() + 4, "{place}");
        assert!(
            fields.iter().chain(&["msg", "hex", "offset", "t_s"]).all(|field| listed.contains_key(*field))
        );
    }

    fn check_update(&mut self, decoded: &TableUpdate, listed: &Value, place: &str) {
        let TableUpdate { table, key_type, id, update, server_key } = decoded;
        let (message, id_field) = match update.header.form() {
            UpdateForm::Explicit => ("update", "update_id"),
            UpdateForm::Incremental => ("incupdate", "implied_update_id"),
            UpdateForm::ExplicitTimed => ("update_timed", "update_id"),
            UpdateForm::IncrementalTimed => ("incupdate_timed", "implied_update_id"),
        };
        assert_eq!(listed["msg"], message, "{place}");
        assert_eq!(listed[id_field], *id, "{place}");
        assert_eq!(listed["table"], *table.display_name(), "{place}");
        assert_eq!(listed.get("expire_ms").map(|ms| ms.as_u64().unwrap() as u32), update.header.lifetime_ms);
        let key = listed["key"].as_str().map_or_else(|| listed["key"].to_string(), str::to_owned);
        assert_eq!(key_type.parse(&key).as_deref(), Ok(&update.key[..]), "{place}");
        let data = listed["data"].as_object().unwrap();
        assert_eq!(data.len(), update.values.len(), "{place}");
        for (data_type, elements) in &update.values {
            let listed = &data[data_type.name()];
            match (elements.as_slice(), listed) {
                (elements, Value::Array(listed)) if data_type.is_array() => {
                    assert_eq!(elements.len(), listed.len(), "{place}");
                    for (element, listed) in elements.iter().zip(listed) {
                        self.check_value(element, listed, None, place);
                    }
                }
                ([element], listed) => self.check_value(element, listed, server_key.as_ref(), place),
                (elements, _) => panic!("{place}: {data_type} has {} elements", elements.len()),
            }
        }
        assert!(update.trailing.is_empty(), "{place}");
    }

    fn check_value(&mut self, value: &WireValue, listed: &Value, text: Option<&Arc<str>>, place: &str) {
        match value {
            WireValue::Signed(value) => assert_eq!(listed, value, "{place}"),
            WireValue::Unsigned(value) => assert_eq!(listed, value, "{place}"),
            WireValue::Unsigned64(value) => assert_eq!(listed, value, "{place}"),
            WireValue::Frequency(rate) => {
                assert_eq!(listed["elapsed_ms"], rate.age, "{place}");
                assert_eq!(listed["curr"], rate.current, "{place}");
                assert_eq!(listed["prev"], rate.previous, "{place}");
            }
            WireValue::Dictionary(item) => {
                let text = text.unwrap_or_else(|| panic!("{place}: no text"));
                let (id, new) = match item {
                    DictionaryItem::Known(id) => (*id, false),
                    DictionaryItem::New(id, _) => (*id, true),
                    DictionaryItem::None => panic!("{place}: no value"),
                };
                assert_eq!(listed["dict_id"], id, "{place}");
                assert_eq!(listed["new"], new, "{place}");
                assert_eq!(listed["value"], **text, "{place}");
                assert_eq!(
                    self.dictionary.item(text),
                    *item,
                    "{place}: HAProxy's dictionary and ours differ"
                );
            }
        }
    }
}

fn control_name(control: Control) -> &'static str {
    match control {
        Control::ResyncRequest => "resync_request",
        Control::ResyncFinished => "resync_finished",
        Control::ResyncPartial => "resync_partial",
        Control::ResyncConfirm => "resync_confirm",
        Control::Heartbeat => "heartbeat",
        Control::Relay => "relay",
    }
}

fn check_definition(definition: &Definition, listed: &Value, place: &str) {
    assert_eq!(listed["msg"], "define", "{place}");
    assert_eq!(listed["id"], definition.id, "{place}");
    assert_eq!(listed["name"], *definition.display_name(), "{place}");
    assert_eq!(listed["key_type"], definition.key_type.to_string(), "{place}");
    assert_eq!(listed["key_type_net"], definition.key_type.0, "{place}");
    assert_eq!(listed["key_len"], definition.key_size, "{place}");
    assert_eq!(listed["data_bitfield"], definition.data_types, "{place}");
    let expire = definition.tail.as_ref().map(|tail| tail.expire_ms);
    assert_eq!(listed["expire_ms"].as_u64(), expire, "{place}");
    let columns: Vec<_> = definition.columns().collect();
    let types = listed["data_types"].as_array().unwrap();
    assert_eq!(types.len(), columns.len(), "{place}");
    for (column, listed) in columns.iter().zip(types) {
        assert_eq!(listed["id"], column.data_type.number(), "{place}");
        assert_eq!(listed["name"], column.data_type.name(), "{place}");
        assert_eq!(listed["nelem"].as_u64().unwrap_or(1), column.count, "{place}");
        assert_eq!(listed["period_ms"].as_u64().unwrap_or(0), column.period, "{place}");
    }
    if definition.tail.is_some() {
        let name = definition.display_name();
        let local_name = if name.starts_with('/') { format!("p{name}") } else { name.into_owned() };
        let table = definition.to_table(local_name, 1000).unwrap();
        assert_eq!(Definition::from_table(definition.id, &table).unwrap(), *definition, "{place}");
        assert_eq!(definition.agreement(&table).differences(), [], "{place}");
    }
}

fn encode(message: &Message<'_>, out: &mut Vec<u8>) {
    match message {
        Message::Control(control) => control.encode(out),
        Message::Error(error) => error.encode(out),
        Message::Define(definition) => definition.encode(Padding::None, out).unwrap(),
        Message::Switch(switch) => switch.encode(out).unwrap(),
        Message::Ack(ack) => ack.encode(out).unwrap(),
        Message::Update(update) => update.update.encode(&update.table, Padding::None, out).unwrap(),
        Message::Ignored { frame, reason } => panic!("{frame:?} ignored: {reason:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
