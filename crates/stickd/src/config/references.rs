//! Names that lead from one declaration to another: `peers` and `write-to`, and names that must be unique.

use std::collections::{BTreeMap, BTreeSet};

use super::aggregations::AggregationsDraft;
use super::arguments::{Report, Word, listed};
use super::diagnostic::{Diagnostic, closest};
use super::model::{PeersSection, TableEntry};
use super::peers::PeersDraft;
use super::proxy::ProxyDraft;
use super::source::Span;
use super::table::TableDraft;

/// Names that a message lists, and among which it looks for the one that may be meant, at most: there may be as many messages
/// as names.
const MOST_LISTED: usize = 20;
const MOST_COMPARED: usize = 200;

/// Reports tables that share a name and references that lead nowhere.
pub(super) fn check(
    sections: &[PeersDraft],
    hubs: &[AggregationsDraft],
    proxies: &[ProxyDraft],
    report: &mut Report,
) {
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    let of_sections = sections.iter().flat_map(|section| &section.table_names);
    let of_proxies =
        proxies.iter().filter(|proxy| proxy.line.is_some()).map(|proxy| (&proxy.name.text, &proxy.name));
    for (full_name, word) in of_sections.map(|(name, word)| (name, word)).chain(of_proxies) {
        if let Some(&first) = names.get(full_name.as_str()) {
            report.push(
                Diagnostic::error(word.span, format!("the table \"{full_name}\" is declared twice"))
                    .label("second declaration")
                    .related(first, "first declaration"),
            );
        } else {
            names.insert(full_name, word.span);
        }
    }
    let known: BTreeSet<_> = sections.iter().map(|section| section.name.text.as_str()).collect();
    let tables: Vec<_> = tables(sections, proxies).collect();
    for table in &tables {
        if let Some(section) = &table.peers {
            check_section(section, &known, hubs, report);
        }
        if let Some(target) = &table.write_to {
            check_target(table, target, &tables, &names, report);
            check_target_is_not_relayed(target, &tables, sections, report);
        }
    }
}

/// Adds what the `stick` lines of all proxies put into tables, and reports those of tables that are not declared.
pub(super) fn apply_stick_rules(
    sections: &mut [PeersDraft],
    proxies: &mut [ProxyDraft],
    report: &mut Report,
) {
    let of_proxy = |proxy: &ProxyDraft| {
        let own = proxy.line.map(|_| proxy.name.text.clone());
        let rules: Vec<_> = proxy
            .rules
            .iter()
            .filter_map(|rule| {
                Some((
                    rule.table.as_ref().map(|word| word.text.clone()).or_else(|| own.clone())?,
                    rule.clone(),
                ))
            })
            .collect();
        rules
    };
    for (name, rule) in proxies.iter().flat_map(of_proxy).collect::<Vec<_>>() {
        let of_sections = sections.iter_mut().flat_map(|section| &mut section.tables);
        let mut tables = of_sections.chain(proxies.iter_mut().filter_map(|proxy| proxy.table.as_mut()));
        if let Some(table) = tables.find(|table| table.definition.name == name) {
            table.add_server();
            continue;
        }
        drop(tables);
        // One whose own line has faults is there all the same.
        let of_sections =
            sections.iter().flat_map(|section| &section.table_names).map(|(name, _)| name.as_str());
        let of_proxies =
            proxies.iter().filter(|proxy| proxy.line.is_some()).map(|proxy| proxy.name.text.as_str());
        let known: BTreeSet<_> = of_sections.chain(of_proxies).collect();
        if let Some(word) = rule.table.filter(|word| !known.contains(word.text.as_str())) {
            let known: Vec<_> = known.into_iter().collect();
            let error = Diagnostic::error(word.span, format!("there is no table \"{}\"", word.text));
            report.push(names_help(error.label("not declared"), &word.text, &known, "tables"));
        }
    }
}

/// Hands the tables out to the sections they are shared in, in declaration order; returns those shared with nobody.
pub(super) fn distribute(
    sections: &mut [PeersSection],
    drafts: Vec<PeersDraft>,
    proxies: Vec<ProxyDraft>,
) -> Vec<TableEntry> {
    let mut local = Vec::new();
    let place_of = |name: &str| sections.iter().position(|section| section.name == name);
    let entry = |table: TableDraft| TableEntry {
        definition: table.definition,
        span: table.span,
        is_stored: !table.no_state,
        has_list: table.has_list,
    };
    let mut all = Vec::new();
    for draft in drafts {
        let place = place_of(&draft.name.text);
        all.extend(draft.tables.into_iter().map(|table| (place, entry(table))));
    }
    for table in proxies.into_iter().filter_map(|proxy| proxy.table) {
        let place = table.peers.as_ref().and_then(|section| place_of(&section.text));
        all.push((place, entry(table)));
    }
    all.sort_by_key(|(_, entry)| entry.span);
    for (place, entry) in all {
        let tables = place.map_or(&mut local, |place| &mut sections[place].tables);
        tables.push(entry);
    }
    local
}

fn tables<'d>(sections: &'d [PeersDraft], proxies: &'d [ProxyDraft]) -> impl Iterator<Item = &'d TableDraft> {
    let of_sections = sections.iter().flat_map(|section| &section.tables);
    of_sections.chain(proxies.iter().filter_map(|proxy| proxy.table.as_ref()))
}

fn check_section(name: &Word, known: &BTreeSet<&str>, hubs: &[AggregationsDraft], report: &mut Report) {
    if known.contains(name.text.as_str()) {
        return;
    }
    if let Some(hub) = hubs.iter().find(|hub| hub.name().text == name.text) {
        report.push(
            Diagnostic::error(name.span, format!("\"{}\" is an aggregations section", name.text))
                .label("no tables are declared for it")
                .related(hub.name().span, "makes its tables from what its peers define")
                .help("remove \"peers\" and the name here, or the whole table"),
        );
        return;
    }
    let known: Vec<_> = known.iter().copied().collect();
    let error = Diagnostic::error(name.span, format!("there is no peers section \"{}\"", name.text))
        .label("not declared");
    report.push(names_help(error, &name.text, &known, "peers sections"));
}

fn check_target(
    source: &TableDraft,
    target: &Word,
    tables: &[&TableDraft],
    names: &BTreeMap<&str, Span>,
    report: &mut Report,
) {
    if source.definition.name == target.text {
        let error = Diagnostic::error(target.span, "a table cannot write to itself");
        return report.push(error.label("this very table"));
    }
    let Some(found) = tables.iter().find(|table| table.definition.name == target.text) else {
        // A target whose own line has faults is there all the same.
        if !names.contains_key(target.text.as_str()) {
            let known: Vec<_> =
                names.keys().copied().filter(|&name| name != source.definition.name).collect();
            let error = Diagnostic::error(target.span, format!("there is no table \"{}\"", target.text))
                .label("not declared");
            report.push(names_help(error, &target.text, &known, "tables"));
        }
        return;
    };
    if found.definition.key_type != source.definition.key_type {
        report.push(
            Diagnostic::error(target.span, format!("the keys of \"{}\" are of another type", target.text))
                .label("cannot be written to")
                .related(source.type_span, "keys of this table")
                .related(found.type_span, "keys of the target"),
        );
    }
    if let Some(onward) = &found.write_to {
        report.push(
            Diagnostic::error(
                target.span,
                format!("the table \"{}\" writes to another table itself", target.text),
            )
            .label("cannot be written to")
            .related(onward.span, "its own target"),
        );
    }
}

/// What `write-to` copies looks as if a peer had told it of the target, so a relay would pass it on: to nodes that may
/// have copies of their own, and in a section whose peers are others.
fn check_target_is_not_relayed(
    target: &Word,
    tables: &[&TableDraft],
    sections: &[PeersDraft],
    report: &mut Report,
) {
    let Some(found) = tables.iter().find(|table| table.definition.name == target.text) else { return };
    let holds = |section: &&PeersDraft| match &found.peers {
        Some(name) => section.name.text == name.text,
        None => section.table_names.iter().any(|(name, _)| *name == target.text),
    };
    if let Some(relay) = sections.iter().find(holds).and_then(|section| section.relay.as_ref()) {
        report.push(
            Diagnostic::error(target.span, format!("the section of the table \"{}\" relays", target.text))
                .label("cannot be written to")
                .related(relay.span, "would pass on what is copied")
                .help("a node that wants a copy has its own `write-to`"),
        );
    }
}

fn names_help(error: Diagnostic, name: &str, known: &[&str], what: &str) -> Diagnostic {
    let error = match closest(name, known.iter().take(MOST_COMPARED).copied()) {
        Some(meant) => error.help(format!("did you mean \"{meant}\"?")),
        None => error,
    };
    let names = match known.get(..MOST_LISTED) {
        Some(first) if known.len() > first.len() => {
            format!("{} and {} more", first.join(", "), known.len() - first.len())
        }
        _ => listed(known),
    };
    error.help(format!("declared {what}: {names}"))
}
