//! What a configuration means, in words.

use std::fmt::Write;

use stick_aggregate::Rules;
use stick_table::{Column, DataType, KeyType, TableDefinition};

use super::Config;
use super::address::{Address, WildcardFamilies};
use super::http::HttpBind;
use super::hub::{Hub, Mapping, PeerLevel, Source};
use super::model::{DynamicTables, PeersSection, StatsSocket, Verify};
use super::template::{MemberNames, Membership};

/// What has to be known of sums of `conn_cur`.
pub(crate) const CONN_CUR: &str = "the sum of conn_cur reads 0 in HAProxy 2.5 to 3.1; from 3.2 on write recv-only on the line of the result there";

/// What a configuration means: its sections, peers and tables with the names they have on the wire.
pub fn summary(config: &Config) -> String {
    let mut text = String::from("The configuration is good.\n\n");
    line(&mut text, 0, &format!("this node is \"{}\"", config.local_peer));
    for taken in &config.taken {
        line(&mut text, 0, &taken.to_string());
    }
    if config.global.stats_sockets.is_empty() {
        line(&mut text, 0, "no runtime socket");
    }
    for socket in &config.global.stats_sockets {
        line(&mut text, 0, &runtime(socket));
    }
    for bind in &config.global.http.binds {
        line(&mut text, 0, &http(bind));
    }
    if let Some(connections) = config.global.max_connections {
        line(&mut text, 0, &format!("{} connections of peers at most", connections.number));
    }
    if let Some(state) = &config.global.state {
        let most = state.max_disk.map_or_else(String::new, |bytes| format!(", at most {}", limit(bytes)));
        let directory = state.directory.display();
        line(
            &mut text,
            0,
            &format!("keeps tables in {directory}, written every {} ms{most}", state.every_ms),
        );
    }
    if let Some(source) = config.global.source {
        let port = if source.port() == 0 { String::new() } else { format!(", port {}", source.port()) };
        line(&mut text, 0, &format!("connects to peers from {}{port}", source.ip()));
    }
    for shared in &config.global.shared {
        let tls = if shared.bind.tls.is_some() { " with TLS" } else { "" };
        let families = families(&shared.bind.address, shared.bind.families);
        let names = shared.sections.join(", ");
        line(
            &mut text,
            0,
            &format!("listens on {}{families}{tls} for the sections {names}", shared.bind.address),
        );
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
            line(&mut text, 1, &table(&entry.definition, false));
        }
    }
    text
}

fn line(text: &mut String, depth: usize, content: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{content}", "", indent = 2 * depth);
}

fn runtime(socket: &StatsSocket) -> String {
    let families = families(&socket.address, socket.families);
    format!("runtime socket {}{families}, level {}", socket.address, socket.level.word())
}

fn http(bind: &HttpBind) -> String {
    let socket = &bind.socket;
    let families = families(&socket.address, socket.families);
    let tls = match &bind.tls {
        Some(tls) if tls.verify == Verify::Required => " with TLS and certificates of clients",
        Some(_) => " with TLS",
        None => "",
    };
    let token = if bind.token_file.is_some() { ", a token is needed" } else { "" };
    format!("HTTP on {}{families}{tls}, level {}{token}", socket.address, socket.level.word())
}

/// What an IPv6 wildcard serves, to stand behind it.
fn families(address: &Address, families: WildcardFamilies) -> &'static str {
    match (address, families) {
        (Address::Ip(ip), _) if ip.is_ipv4() || !address.is_wildcard() => "",
        (Address::Ip(_), WildcardFamilies::AsSystem) => " (IPv6, and IPv4 unless net.ipv6.bindv6only is 1)",
        (Address::Ip(_), WildcardFamilies::Both) => " (IPv4 and IPv6)",
        (Address::Ip(_), WildcardFamilies::V6Only) => " (IPv6 only)",
        _ => "",
    }
}

/// A `peers` or an `aggregations` section.
fn peers(text: &mut String, section: &PeersSection) {
    let disabled = if section.disabled { " (disabled: not synchronised)" } else { "" };
    text.push('\n');
    line(text, 0, &format!("{} {}{disabled}", section.keyword(), section.name));
    for listener in &section.local.listeners {
        let tls = if listener.tls.is_some() { " with TLS" } else { "" };
        let families = families(&listener.address, listener.families);
        let name = &section.local.name;
        line(text, 1, &format!("listens on {}{families}{tls} as \"{name}\"", listener.address));
    }
    if let Some(shards) = section.shards {
        line(text, 1, &format!("{shards} shards"));
    }
    for peer in &section.remotes {
        let tls = if peer.tls.is_some() { " with TLS" } else { "" };
        let shard = if peer.shard == 0 { String::new() } else { format!(", shard {}", peer.shard) };
        let place = match &peer.address {
            Some(address) => format!("at {address}"),
            None => "that connects itself".to_owned(),
        };
        let what = peer_word(section.hub.is_some(), peer.level);
        let group = match peer.level {
            PeerLevel::Up { group: Some(group) } => format!(", group {group}"),
            _ => String::new(),
        };
        line(text, 1, &format!("{what} {} {place}{tls}{shard}{group}", peer.name));
    }
    if let Some(dynamic) = &section.dynamic_peers {
        let blocks: Vec<_> = dynamic.from.iter().map(ToString::to_string).collect();
        let from = if blocks.is_empty() { "anywhere".to_owned() } else { blocks.join(", ") };
        let what = peer_word(section.hub.is_some(), PeerLevel::Balancer);
        line(text, 1, &format!("any other {what} from {from}, {} at most", dynamic.max));
    }
    for template in &section.templates {
        let tls = if template.tls.is_some() { " with TLS" } else { "" };
        let shard = if template.shard == 0 { String::new() } else { format!(", shard {}", template.shard) };
        let domain = &template.domain;
        let what = match template.port {
            None => format!("the SRV records of {domain}"),
            Some(port) => format!("the addresses of {domain}, port {port}"),
        };
        let names = match template.names {
            MemberNames::Target => "their targets".to_owned(),
            MemberNames::Number => {
                format!("{0}{1} to {0}{2}", template.prefix, template.numbers.0, template.numbers.1)
            }
            MemberNames::Address => format!("{} and the address", template.prefix),
        };
        let peers = peer_word(section.hub.is_some(), PeerLevel::Balancer);
        let most = template.most();
        line(text, 1, &format!("{peers}s by {what}{tls}{shard}, {most} at most, named by {names}"));
    }
    let Membership { resolve_every, name_servers, forget } = &section.membership;
    if !section.templates.is_empty() {
        let servers: Vec<_> = name_servers.iter().map(ToString::to_string).collect();
        let whom =
            if servers.is_empty() { "the system's name servers".to_owned() } else { servers.join(", ") };
        line(text, 1, &format!("asks {whom} every {}", duration(*resolve_every)));
    }
    if !section.templates.is_empty() || *forget != Membership::FORGET {
        line(
            text,
            1,
            &format!("forgets peers that are not listed after {} without a session", duration(*forget)),
        );
    }
    if section.relay {
        line(text, 1, "relays live updates of each peer to all others");
    }
    for entry in &section.tables {
        let mut described = table(&entry.definition, true);
        if !entry.has_list {
            described = described.replace(", stores ", ", stores what its first peer defines, until then ");
        }
        line(text, 1, &described);
    }
    if let Some(hub) = &section.hub {
        aggregation(text, hub);
    }
    if let Some(dynamic) = section.dynamic_tables {
        let what = if section.hub.is_some() {
            "tables that peers define, and their results"
        } else {
            "any other table that is defined by a peer"
        };
        let (max, memory) = (dynamic.max, memory(dynamic.memory));
        let size = match dynamic.size {
            DynamicTables::AGGREGATED_SIZE if section.hub.is_some() => String::new(),
            size => format!("size {size}, "),
        };
        line(text, 1, &format!("{what}: {size}{max} at most{memory}"));
    }
}

/// What a peer is to this node.
fn peer_word(hub: bool, level: PeerLevel) -> &'static str {
    match level {
        PeerLevel::Balancer if !hub => "peer",
        PeerLevel::Balancer => "load balancer",
        PeerLevel::Down => "lower-level aggregator",
        PeerLevel::Up { .. } => "upper-level aggregator",
        PeerLevel::Beside => "aggregator of the same nodes",
    }
}

/// Which tables become which, and how.
fn aggregation(text: &mut String, hub: &Hub) {
    for Mapping { from, to } in &hub.mappings {
        let sources = match from {
            Source::Any => "any table NAME that is no result becomes".to_owned(),
            Source::Suffix(suffix) => format!("each table NAME{suffix} becomes"),
        };
        line(text, 1, &format!("{sources} NAME{to}"));
    }
    let differ = |(data_type, rule): &&(_, _)| Rules::default().get(*data_type) != *rule;
    for (data_type, rule) in hub.rules.iter().filter(differ) {
        line(text, 1, &format!("{data_type}: {rule}"));
    }
    for definition in &hub.tables {
        line(text, 1, &format!("{}, whatever the nodes define", table(definition, false)));
        if definition.column(DataType::ConnCur).is_some() {
            line(text, 2, CONN_CUR);
        }
    }
    let timeout = match hub.node_timeout {
        0 => "until its session ends".to_owned(),
        ms => format!("for {} after its session ended", duration(ms)),
    };
    line(text, 1, &format!("the values of a node count {timeout}"));
    if let Some(name) = &hub.status_table {
        line(text, 1, &format!("its own state is in the table /{name}"));
    }
}

/// A number of bytes in the largest unit that says it exactly.
fn limit(bytes: u64) -> String {
    memory(bytes).trim_start_matches(", ").trim_end_matches(" in all").to_owned()
}

/// A limit of memory in the largest unit that says it exactly.
fn memory(bytes: u64) -> String {
    let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes")];
    let unit = units.into_iter().find(|(length, _)| bytes.is_multiple_of(*length));
    match unit.filter(|_| bytes != 0) {
        Some((length, unit)) => format!(", {} {unit} in all", bytes / length),
        None => String::new(),
    }
}

fn table(definition: &TableDefinition, shared: bool) -> String {
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
        let options = super::super::Options { local_peer: Some("me".to_owned()), ..Default::default() };
        assert_eq!(
            summary(&Config::builtin(&options).unwrap()),
            "\
The configuration is good.

this node is \"me\"
runtime socket unix@stickd.sock, level admin
HTTP on 127.0.0.1:8404, level operator

peers stickd
  listens on 127.0.0.1:10000 as \"me\"
  any other peer from 127.0.0.0/8, ::1/128, 1024 at most
  any other table that is defined by a peer: size 102400, 256 at most, 1 GiB in all
"
        );
    }
}
