//! What the lines of an `aggregations` section mean together.
//!
//! - The line with `local` is this node, under that line's name, and its address is where it listens.
//! - A load balancer without an address is waited for.
//! - A disabled section needs neither that line nor a mapping.

use std::collections::BTreeMap;

use haproxy_peers::NamedPart;
use stick_table::TableDefinition;

use super::aggregations::{AggregationsDraft, LevelDraft};
use super::arguments::{Report, Word};
use super::cluster::{Context, address_of_remote, own_server_tls, peer_line_bind};
use super::diagnostic::Diagnostic;
use super::hub::{Hub, Mapping, PeerLevel, Source};

use super::mappings::{self, MappingDraft};
use super::model::{DynamicPeers, DynamicTables, LocalPeer, PeersSection, RemotePeer, TableEntry};
use super::peers::Member;
use super::table::TableDraft;

/// Builds the section; `dynamic` is the `dynamic-peers` line of `global`. `None` after a fault; all are reported.
pub(super) fn build(
    draft: &AggregationsDraft,
    dynamic: Option<&DynamicPeers>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<PeersSection> {
    let errors = report.errors();
    let peers = &draft.peers;
    twice_named(draft, report);
    mappings::check(&draft.mappings, report);
    any_below_another(draft, report);
    if !draft.has_mappings && !peers.disabled {
        missing_mapping(draft, report);
    }
    let hub = Hub {
        mappings: draft.mappings.iter().map(MappingDraft::mapping).collect(),
        rules: draft.rules.clone(),
        tables: tables(draft),
        node_timeout: draft.node_timeout,
        status_table: draft.status_table.as_ref().map(|word| word.text.clone()),
    };
    check_status_table(draft, &hub, report);
    check_tables(draft, &hub, report);
    let local = local(draft, context, report);
    let mut remotes = Vec::new();
    for (member, level) in nodes(draft).filter(|(_, level)| !level.is("local")) {
        remotes.extend(remote(member, level.level(), context, report));
    }
    // Without shards, as the lines are refused that have one.
    let templates = peers.templates.build(context.bases, |_, _| 0, report);
    (report.errors() == errors).then_some(())?;
    let dynamic_peers = peers.dynamic_peers.as_ref().or(dynamic).cloned();
    let may_be_joined = dynamic_peers.is_some() || !templates.is_empty();
    if !peers.disabled && !may_be_joined && !remotes.iter().any(is_source) {
        report.push(
            Diagnostic::warning(peers.name.span, "the section has nobody to aggregate")
                .label("no load balancer and no lower-level aggregator")
                .help("add `peer NAME ADDRESS` lines, or let them join with `dynamic-peers` or be found with `server-template`"),
        );
    }
    Some(PeersSection {
        name: peers.name.text.clone(),
        disabled: peers.disabled,
        local: local?,
        remotes,
        tables: status_table(draft),
        shards: None,
        dynamic_peers,
        templates,
        membership: peers.templates.membership.clone(),
        dynamic_tables: Some(peers.dynamic_tables.unwrap_or(DynamicTables::aggregated())),
        handshakes: peers.handshakes,
        relay: false,
        hub: Some(hub),
        span: peers.name.span,
    })
}

/// The table of the hub's own state, if there is to be one.
fn status_table(draft: &AggregationsDraft) -> Vec<TableEntry> {
    let entry = |word: &Word| TableEntry {
        definition: crate::peers::status_table(format!("{}/{}", draft.name().text, word.text)),
        span: word.span,
        is_stored: false,
        has_list: true,
    };
    draft.status_table.iter().map(entry).collect()
}

/// The tables of `table` lines, by the names on them.
fn tables(draft: &AggregationsDraft) -> Vec<TableDefinition> {
    let table = |table: &TableDraft| {
        let mut definition = table.definition.clone();
        definition.name = word_of(&definition.name).to_owned();
        definition
    };
    draft.peers.tables.iter().map(table).collect()
}

/// The word on the line of a table, whose full name has that of the section before it.
fn word_of(full_name: &str) -> &str {
    full_name.split_once('/').map_or(full_name, |(_, word)| word)
}

/// A `table` line describes a source: results are defined as their sources are.
fn check_tables(draft: &AggregationsDraft, hub: &Hub, report: &mut Report) {
    let engine = hub.to_engine();
    let mut names = BTreeMap::new();
    for (full_name, word) in &draft.peers.table_names {
        if let Some(first) = names.insert(full_name, word.span) {
            report.push(
                Diagnostic::error(word.span, format!("the table \"{}\" is declared twice", word.text))
                    .label("second declaration")
                    .related(first, "first declaration"),
            );
        }
    }
    for table in &draft.peers.tables {
        let name = word_of(&table.definition.name);
        if let Some(target) = &table.write_to {
            let error = Diagnostic::error(target.span, "a table that is aggregated has no copy");
            report.push(error.label("remove \"write-to\" and the name"));
        }
        let help = match engine.part_of(name) {
            NamedPart::Source(_) => continue,
            NamedPart::Result(source) => format!("it is made as its source is: describe `{source}`"),
            NamedPart::Other => "write the whole name of a table that a `from` line takes".to_owned(),
        };
        report.push(
            Diagnostic::error(table.span, format!("the table \"{name}\" is not aggregated"))
                .label("no source of a `from` line")
                .help(help),
        );
    }
}

fn nodes(draft: &AggregationsDraft) -> impl Iterator<Item = (&Member, &LevelDraft)> {
    draft.peers.members.iter().zip(&draft.levels)
}

fn is_source(remote: &RemotePeer) -> bool {
    matches!(remote.level, PeerLevel::Balancer | PeerLevel::Down)
}

fn twice_named(draft: &AggregationsDraft, report: &mut Report) {
    for (number, (member, level)) in nodes(draft).enumerate() {
        let same = |(first, _): &(&Member, _)| first.name.text == member.name.text;
        let Some((first, first_level)) = nodes(draft).take(number).find(same) else { continue };
        let name = &member.name.text;
        let error = Diagnostic::error(member.name.span, format!("the peer \"{name}\" is declared twice"))
            .label("second declaration")
            .related(first.name.span, "first declaration");
        let differ = !level.is("local") && !first_level.is("local") && level.level() != first_level.level();
        report.push(if differ {
            error.help("a peer has one place: above this node (`up`), below it (`down`), beside it (`beside`), or a load balancer")
        } else {
            error
        });
    }
}

/// What comes back from the upper level has other names than the results of this node, so `any` would take it: `rates.l2` would
/// become `rates.l2.agg`, that `rates.l2.l2` above, and so on.
fn any_below_another(draft: &AggregationsDraft, report: &mut Report) {
    let any = draft.mappings.iter().find_map(MappingDraft::any);
    let up = draft.levels.iter().find(|level| level.is("up")).and_then(|level| level.word.as_ref());
    if let (Some(any), Some(up)) = (any, up) {
        report.push(
            Diagnostic::error(any.span, "\"from any\" takes the results of the upper level as well")
                .label("their results would be aggregated above again, without an end")
                .related(up.span, "the upper level")
                .help("name the tables that are counted here: `from .local to .agg`"),
        );
    }
}

fn missing_mapping(draft: &AggregationsDraft, report: &mut Report) {
    let name = draft.name();
    report.push(
        Diagnostic::error(name.span, format!("the section \"{}\" aggregates nothing", name.text))
            .label("a \"from\" line is missing")
            .help("`from any to .agg` makes `rates.agg` from the tables `rates` of all nodes")
            .help("`from .local to .agg` makes `rates.agg` from the tables `rates.local`"),
    );
}

/// The hub's own table must be neither a source nor a result.
fn check_status_table(draft: &AggregationsDraft, hub: &Hub, report: &mut Report) {
    let Some(name) = &draft.status_table else { return };
    let takes =
        |mapping: &Mapping| matches!(&mapping.from, Source::Suffix(suffix) if name.text.ends_with(suffix));
    let why = if hub.mappings.iter().any(takes) {
        "is named like a table to be aggregated"
    } else if hub.mappings.iter().any(|mapping| name.text.ends_with(&mapping.to)) {
        "is named like a result"
    } else {
        return;
    };
    report.push(
        Diagnostic::error(name.span, format!("the table \"{}\" {why}", name.text))
            .label("the hub's own state goes here")
            .help("give it a name without the suffixes of the mappings, for example `status-table hub`"),
    );
}

fn local(draft: &AggregationsDraft, context: &Context<'_>, report: &mut Report) -> Option<LocalPeer> {
    let mut locals = nodes(draft).filter(|(_, level)| level.is("local"));
    let Some((member, level)) = locals.next() else {
        let peers = &draft.peers;
        if !peers.disabled {
            if !peers.lacks_a_line {
                missing_local(draft, context, report);
            }
            return None;
        }
        let name = context.local_peer.to_owned();
        return Some(LocalPeer { name, listeners: Vec::new(), tls: None, span: peers.name.span });
    };
    for (_, second) in locals {
        let spans =
            [second, level].map(|level| level.word.as_ref().map_or(member.name.span, |word| word.span));
        report.push(
            Diagnostic::error(spans[0], "a section has one local peer")
                .label("second \"local\"")
                .related(spans[1], "first \"local\"")
                .help("`local` is this node; the others are without, or `up` or `down`"),
        );
    }
    let (name, span) = (member.name.text.clone(), member.name.span);
    if member.address.is_none() && context.has_shared {
        // A listener of `global` serves it.
        return Some(LocalPeer { name, listeners: Vec::new(), tls: None, span });
    }
    let bind = peer_line_bind(member, context, report)?;
    let tls = own_server_tls(member, &bind, context, report);
    Some(LocalPeer { name, listeners: vec![bind], tls, span })
}

fn missing_local(draft: &AggregationsDraft, context: &Context<'_>, report: &mut Report) {
    let name = draft.name();
    let error = Diagnostic::error(name.span, format!("this node is not in the section \"{}\"", name.text))
        .label("no peer is \"local\"");
    let own = draft.peers.members.iter().find(|member| member.name.text == context.local_peer);
    let Some(own) = own else {
        let help = "add this node and where it listens: `peer NAME 0.0.0.0:10000 local`";
        return report.push(error.help(help));
    };
    report.push(
        error
            .related(own.name.span, format!("this node by {}?", context.local_peer_origin))
            .help("write `local` behind the address of this node"),
    );
}

fn remote(
    member: &Member,
    level: PeerLevel,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<RemotePeer> {
    member.server.warn_listening_words(report);
    let (mut address, mut tls) = (None, None);
    if let Some(word) = &member.address {
        address = Some(address_of_remote(word, report)?);
        tls = member.server.server_tls(member.name.span, context.bases, report);
    } else if level != PeerLevel::Balancer {
        report.push(
            Diagnostic::error(member.name.span, format!("the peer \"{}\" has no address", member.name.text))
                .label("another aggregator: where to connect is missing")
                .help("a load balancer is waited for when its line has no address, other aggregators are called"),
        );
        return None;
    }
    Some(RemotePeer { name: member.name.text.clone(), address, shard: 0, tls, level, span: member.name.span })
}
