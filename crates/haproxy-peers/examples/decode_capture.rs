//! Prints one direction of a peers session: a file of what one side sent, from its first byte on.
//!
//! ```text
//! cargo run --example decode_capture crates/haproxy-peers/tests/captures/v3.4.0-resync.s2c.bin
//! ```

use std::error::Error;
use std::io::{Write, stdout};
use std::{env, fs};

use haproxy_peers::{
    Decoder, HelloParser, HelloProgress, Message, StatusParser, StatusProgress, TableUpdate,
};

/// Longest handshake, as in a HAProxy of default settings.
const BUFFER: usize = 16_384;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("usage: decode_capture FILE")?;
    let stream = fs::read(&path)?;
    let mut out = stdout().lock();
    let (line, handshake) = handshake(&stream)?;
    writeln!(out, "{:>6} {line}", 0)?;
    let mut rest = &stream[handshake..];
    let mut decoder = Decoder::new();
    while !rest.is_empty() {
        let offset = handshake as u64 + decoder.offset();
        let Some((message, size)) = decoder.decode(rest)? else {
            return Err(format!("the last {} bytes are no whole message", rest.len()).into());
        };
        writeln!(out, "{offset:>6} {}", describe(&message))?;
        rest = &rest[size..];
    }
    Ok(())
}

/// The hello or the status, and how many bytes it takes.
fn handshake(stream: &[u8]) -> Result<(String, usize), Box<dyn Error>> {
    if !stream.starts_with(b"HAProxyS") {
        return match StatusParser::new(BUFFER).feed(stream) {
            StatusProgress::Complete(status, size) => Ok((format!("status {status}"), size)),
            _ => Err("neither a hello nor a status".into()),
        };
    }
    match HelloParser::new(BUFFER).feed(stream, |_any_name| true) {
        HelloProgress::Complete(hello, size) => {
            Ok((format!("hello {} from {} to {}", hello.version, hello.sender, hello.target), size))
        }
        HelloProgress::Refused(error) => Err(error.into()),
        HelloProgress::Incomplete => Err("the hello is incomplete".into()),
    }
}

fn describe(message: &Message<'_>) -> String {
    match message {
        Message::Define(table) => {
            let types: Vec<_> = table.columns().map(|column| column.data_type.name()).collect();
            format!("define {} {} {} {}", table.id, table.display_name(), table.key_type, types.join(","))
        }
        Message::Update(update) => describe_update(update),
        Message::Ack(ack) => format!("ack table {} up to {}", ack.table_id, ack.update_id),
        other => format!("{other:?}"),
    }
}

fn describe_update(TableUpdate { table, key_type, id, update, server_key }: &TableUpdate) -> String {
    let mut line = format!("update {id} {} key={}", table.display_name(), key_type.text(&update.key));
    if let Some(remaining) = update.header.remaining_ms() {
        line += &format!(" remaining={remaining}ms");
    }
    for (data_type, elements) in &update.values {
        let texts: Vec<_> = elements.iter().map(ToString::to_string).collect();
        line += &format!(" {data_type}={}", texts.join(","));
    }
    if let Some(text) = server_key {
        line += &format!(" ({text})");
    }
    line
}
