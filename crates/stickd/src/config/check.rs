//! `stickd check`: what a configuration means, in words, or what is wrong with it.

use std::fmt::Write;
use std::path::PathBuf;

use stick_table::{Column, KeyType, TableDefinition};

use super::model::{PeersSection, StatsSocket, TableEntry};
use super::{Config, Options};

/// Reads the configuration of `paths` as [`Config::load`] does and describes it. The flag says whether it is good.
pub fn check(paths: &[PathBuf], options: &Options, colors: bool) -> (String, bool) {
    match Config::load(paths, options) {
        Ok(config) => (format!("{}{}", config.warnings.render(colors), summary(&config)), true),
        Err(diagnostics) => (diagnostics.render(colors), false),
    }
}

/// What a configuration means: its sections, peers and tables with the names they have on the wire.
pub fn summary(config: &Config) -> String {
    let mut text = String::from("The configuration is good.\n\n");
    line(&mut text, 0, &format!("this node is \"{}\"", config.local_peer));
    if config.global.stats_sockets.is_empty() {
        line(&mut text, 0, "no runtime socket");
    }
    for socket in &config.global.stats_sockets {
        line(&mut text, 0, &runtime(socket));
    }
    if let Some(connections) = config.global.max_connections {
        line(&mut text, 0, &format!("{} connections of peers at most", connections.number));
    }
    for section in &config.sections {
        peers(&mut text, section);
    }
    if config.sections.is_empty() {
        line(&mut text, 0, "no peers section: nothing is shared");
    }
    if !config.local_tables.is_empty() {
        text.push_str("\nnot shared\n");
        for entry in &config.local_tables {
            line(&mut text, 1, &table(entry, false));
        }
    }
    text
}

fn line(text: &mut String, depth: usize, content: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{content}", "", indent = 2 * depth);
}

fn runtime(socket: &StatsSocket) -> String {
    let level = format!("{:?}", socket.level).to_lowercase();
    format!("runtime socket {}, level {level}", socket.address)
}

fn peers(text: &mut String, section: &PeersSection) {
    let disabled = if section.disabled { " (disabled: not synchronised)" } else { "" };
    text.push('\n');
    line(text, 0, &format!("peers {}{disabled}", section.name));
    for listener in &section.local.listeners {
        let tls = if listener.tls.is_some() { " with TLS" } else { "" };
        line(text, 1, &format!("listens on {}{tls} as \"{}\"", listener.address, section.local.name));
    }
    if let Some(shards) = section.shards {
        line(text, 1, &format!("{shards} shards"));
    }
    for peer in &section.remotes {
        let tls = if peer.tls.is_some() { " with TLS" } else { "" };
        let shard = if peer.shard == 0 { String::new() } else { format!(", shard {}", peer.shard) };
        line(text, 1, &format!("peer {} at {}{tls}{shard}", peer.name, peer.address));
    }
    if let Some(dynamic) = &section.dynamic_peers {
        let blocks: Vec<_> = dynamic.from.iter().map(ToString::to_string).collect();
        let from = if blocks.is_empty() { "anywhere".to_owned() } else { blocks.join(", ") };
        line(text, 1, &format!("any other peer from {from}, {} at most", dynamic.max));
    }
    if section.relay {
        line(text, 1, "relays live updates of each peer to all others");
    }
    for entry in &section.tables {
        line(text, 1, &table(entry, true));
    }
    if let Some(dynamic) = section.dynamic_tables {
        line(
            text,
            1,
            &format!(
                "any other table that is defined by a peer: size {}, {} at most{}",
                dynamic.size,
                dynamic.max,
                memory(dynamic.memory)
            ),
        );
    }
}

/// A limit of memory in the largest unit that says it exactly.
fn memory(bytes: u32) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")];
    let unit = units.into_iter().find(|(length, _)| bytes.is_multiple_of(*length));
    match unit.filter(|_| bytes != 0) {
        Some((length, unit)) => format!(", {} {unit} in all", bytes / length),
        None => String::new(),
    }
}

fn table(entry: &TableEntry, shared: bool) -> String {
    let definition = &entry.definition;
    let mut text = format!("table {}", definition.name);
    if shared && definition.network_name() != definition.name {
        let _ = write!(text, " (on the wire {})", definition.network_name());
    }
    let _ = write!(text, ": {}, size {}", key_type(definition.key_type), definition.size);
    match definition.expire {
        Some(expire) => {
            let _ = write!(text, ", expire {}", duration(expire));
        }
        None => text.push_str(", no expiry"),
    }
    let columns: Vec<_> = definition.columns().iter().map(column).collect();
    if columns.is_empty() {
        text.push_str(", stores nothing");
    } else {
        let _ = write!(text, ", stores {}", columns.join(","));
    }
    text + &flags(definition)
}

/// A data type as it is written in a `store` list.
fn column(column: &Column) -> String {
    let (name, period) = (column.data_type(), duration(column.period()));
    match (column.data_type().is_array(), column.data_type().has_period()) {
        (false, false) => name.to_string(),
        (false, true) => format!("{name}({period})"),
        (true, false) => format!("{name}({})", column.count()),
        (true, true) => format!("{name}({},{period})", column.count()),
    }
}

fn flags(definition: &TableDefinition) -> String {
    let mut flags = String::new();
    for (set, flag) in [(definition.no_purge, ", nopurge"), (definition.recv_only, ", recv-only")] {
        if set {
            flags.push_str(flag);
        }
    }
    if let Some(target) = &definition.write_to {
        let _ = write!(flags, ", writes to {target}");
    }
    flags
}

fn key_type(key_type: KeyType) -> String {
    match key_type {
        KeyType::String { max_len: len } | KeyType::Binary { len } => {
            format!("{} len {len}", key_type.word())
        }
        _ => key_type.word().to_owned(),
    }
}

/// A time in ms in the largest unit that says it exactly.
fn duration(ms: u32) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(length, _)| ms.is_multiple_of(*length));
    unit.map_or_else(|| format!("{ms}ms"), |(length, unit)| format!("{}{unit}", ms / length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (ms, text) in
            [(1, "1ms"), (1500, "1500ms"), (30_000, "30s"), (1_800_000, "30m"), (86_400_000, "1d")]
        {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn the_built_in_configuration_is_described() {
        let options = Options { local_peer: Some("me".to_owned()), ..Options::default() };
        let (text, good) = check(&[], &options, false);
        assert!(good);
        assert_eq!(
            text,
            "\
The configuration is good.

this node is \"me\"
runtime socket unix@stickd.sock, level admin

peers stickd
  listens on 127.0.0.1:10000 as \"me\"
  any other peer from 127.0.0.0/8, ::1/128, 1024 at most
  any other table that is defined by a peer: size 102400, 256 at most, 1 GiB in all
"
        );
    }
}
