//! A peer that is plain bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use haproxy_peers::{Control, Definition, FrameWriter, Padding, UpdateHeader};
use stick_table::{Column, DataType, KeyType, TableDefinition};
use stickd_testkit::wait::SOON;

/// Connects and says a hello; what was answered: a status, or nothing when the connection was closed.
pub(crate) fn hello(address: SocketAddr, target: &str, name: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(format!("HAProxyS 2.1\n{target}\n{name} 1 1\n").as_bytes()).unwrap();
    let mut status = [0; 4];
    let answered = stream.read_exact(&mut status);
    (stream, answered.map(|()| String::from_utf8_lossy(&status).into_owned()).unwrap_or_default())
}

/// A table of integers with `gpc0`.
pub(crate) fn counters(name: &str) -> TableDefinition {
    let table = TableDefinition::new(name, KeyType::Integer, 1_000_000).with_expire(Some(3_600_000));
    table.with_column(Column::plain(DataType::Gpc0).unwrap()).unwrap()
}

/// Its definition and an update for each of these keys.
pub(crate) fn updates(table: &TableDefinition, keys: impl Iterator<Item = u32>, value: u8) -> Vec<u8> {
    assert!(value < 240, "one byte");
    let mut bytes = Vec::new();
    Definition::from_table(1, table).unwrap().encode(Padding::None, &mut bytes).unwrap();
    for (id, key) in (1..).zip(keys) {
        let mut frame = UpdateHeader { id: Some(id), lifetime_ms: Some(3_000_000) }.begin(&mut bytes);
        frame.payload().extend_from_slice(&key.to_be_bytes());
        frame.payload().push(value);
        FrameWriter::finish(frame, Padding::None);
    }
    bytes
}

/// The end of a lesson that told everything.
pub(crate) fn finished() -> Vec<u8> {
    let mut bytes = Vec::new();
    Control::ResyncFinished.encode(&mut bytes);
    bytes
}
