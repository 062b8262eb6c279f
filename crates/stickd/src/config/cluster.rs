//! What the lines of a `peers` section mean together (stick-tables §9).
//!
//! - The local peer is the line with this node's name. A section without such a line is refused, unless it has
//!   `dynamic-peers` or `server-template` and a `bind` line: then the node takes part under its name without being listed.
//! - The listener is the address of the local `peer` or `server` line, else the `bind` line. Without any the node only calls others.
//! - Another node whose line has no address is waited for.
//! - A disabled section needs nothing of that.

use std::collections::BTreeSet;

use super::address::{Address, WildcardFamilies};
use super::arguments::{Report, Word};
use super::diagnostic::Diagnostic;
use super::global::Bases;
use super::hub::PeerLevel;
use super::model::{Bind, LocalPeer, PeersSection, RemotePeer};
use super::peers::{Member, PeersDraft};
use super::socket::address;
use super::transport::Parameters;

/// What a section needs to know of the rest.
pub(super) struct Context<'c> {
    /// This node's name.
    pub(super) local_peer: &'c str,
    /// Where the name comes from, for messages.
    pub(super) local_peer_origin: &'static str,
    pub(super) bases: &'c Bases,
    /// Whether `global` has listeners for several sections.
    pub(super) has_shared: bool,
}

/// Builds the section. `None` after a fault; all are reported.
pub(super) fn build(draft: &PeersDraft, context: &Context<'_>, report: &mut Report) -> Option<PeersSection> {
    let errors = report.errors();
    duplicates(&draft.members, report);
    mixing(draft, report);
    let is_local = |member: &&Member| member.name.text == context.local_peer;
    let local = local(draft, draft.members.iter().find(is_local), context, report);
    let mut remotes = Vec::new();
    for member in draft.members.iter().filter(|member| !is_local(member)) {
        remotes.extend(remote(draft, member, context, report));
    }
    let templates = draft.templates.build(
        context.bases,
        |template, report| shard(draft, &template.domain, &template.server, report),
        report,
    );
    (report.errors() == errors).then_some(())?;
    relaying(draft, remotes.len(), report);
    uncovered(draft, report);
    Some(PeersSection {
        name: draft.name.text.clone(),
        disabled: draft.disabled,
        local: local?,
        remotes,
        tables: Vec::new(),
        shards: draft.shards,
        dynamic_peers: draft.dynamic_peers.clone(),
        templates,
        membership: draft.templates.membership.clone(),
        dynamic_tables: draft.dynamic_tables,
        handshakes: draft.handshakes,
        relay: draft.relay.is_some(),
        hub: None,
        span: draft.name.span,
    })
}

fn duplicates(members: &[Member], report: &mut Report) {
    for (number, member) in members.iter().enumerate() {
        if let Some(first) = members[..number].iter().find(|first| first.name.text == member.name.text) {
            report.push(
                Diagnostic::error(
                    member.name.span,
                    format!("the peer \"{}\" is declared twice", member.name.text),
                )
                .label("second declaration")
                .related(first.name.span, "first declaration"),
            );
        }
    }
}

fn mixing(draft: &PeersDraft, report: &mut Report) {
    let peer_line = draft.members.iter().find(|member| member.is_peer_line());
    if let (Some(listener), Some(member)) = (&draft.listener, peer_line) {
        report.push(
            Diagnostic::error(member.keyword.span, "\"peer\" lines do not go together with a \"bind\" line")
                .label("write \"server\" here")
                .related(listener.keyword.span, "the section's listener")
                .help("either `peer NAME ADDRESS` for every node, or `bind` and `server NAME [ADDRESS]`"),
        );
    }
}

/// Warns where there is nobody to relay to.
fn relaying(draft: &PeersDraft, remotes: usize, report: &mut Report) {
    if let Some(keyword) = &draft.relay
        && !draft.disabled
        && draft.dynamic_peers.is_none()
        && draft.templates.templates.is_empty()
        && remotes < 2
    {
        let peers = if remotes == 0 { "no other peer" } else { "one other peer only" };
        report.push(
            Diagnostic::warning(keyword.span, format!("\"relay\" has no effect: the section has {peers}"))
                .label("what a peer tells goes to all others but that peer")
                .help("list the peers, or let them join with `dynamic-peers`"),
        );
    }
}

/// Reports the first shard that no peer has although others have one: nobody holds its keys for the section. Peers without a
/// shard do not count: load balancers list each other so, and get every key.
fn uncovered(draft: &PeersDraft, report: &mut Report) {
    let Some(shards) = draft.shards else { return };
    let members = draft.members.iter().map(|member| member.server.shard);
    let templates = draft.templates.templates.iter().map(|template| template.server.shard);
    let used: BTreeSet<u32> = members.chain(templates).flatten().map(|(shard, _)| shard).collect();
    if used.iter().all(|&shard| shard == 0) {
        return;
    }
    let missing = (1..=shards).find(|shard| !used.contains(shard));
    if let (Some(missing), Some(keyword)) = (missing, draft.shards_keyword()) {
        let warning = Diagnostic::warning(keyword.span, format!("no peer has shard {missing} of {shards}"));
        report.push(
            warning
                .label("its keys reach only peers without a shard")
                .help(format!("add a line with \"shard {missing}\", or lower \"shards\"")),
        );
    }
}

fn local(
    draft: &PeersDraft,
    member: Option<&Member>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<LocalPeer> {
    let name = context.local_peer.to_owned();
    let bind = draft.listener.as_ref().and_then(|listener| {
        let address_span = listener.address.span;
        let address = address(&listener.address, report)?;
        let tls = listener.parameters.bind_tls(address_span, context.bases, report);
        let families = listener.parameters.listening_families(&address, None, report);
        Some(Bind { address, families, tls, span: address_span })
    });
    let Some(member) = member else {
        let may_join = draft.dynamic_peers.is_some() || !draft.templates.templates.is_empty();
        let may_be_absent = draft.disabled || (may_join && draft.listener.is_some());
        if !may_be_absent {
            if !draft.lacks_a_line {
                missing_local(draft, context, report);
            }
            return None;
        }
        return Some(LocalPeer {
            name,
            listeners: bind.into_iter().collect(),
            tls: None,
            span: draft.name.span,
        });
    };
    if let Some((shard, span)) = member.server.shard.filter(|&(shard, _)| shard != 0) {
        let warning = Diagnostic::warning(span, format!("shard {shard} has no effect on the local peer"));
        report.push(warning.label("taken as 0: this node holds every shard"));
    }
    let bind = if member.is_peer_line() {
        Some(peer_line_bind(member, context, report)?)
    } else {
        member.server.warn_listening_words(report);
        server_line_bind(draft, member, bind, context, report)?
    };
    let tls = bind.as_ref().and_then(|bind| own_server_tls(member, bind, context, report));
    Some(LocalPeer { name, listeners: bind.into_iter().collect(), tls, span: member.name.span })
}

/// The listener of a local `peer` line: its own address.
pub(super) fn peer_line_bind(member: &Member, context: &Context<'_>, report: &mut Report) -> Option<Bind> {
    let Some(word) = &member.address else {
        report.push(
            Diagnostic::error(member.name.span, format!("the peer \"{}\" has no address", member.name.text))
                .label("this node: its address is where it listens")
                .help("for example `peer node1 10.0.0.1:10000`"),
        );
        return None;
    };
    let address = address(word, report)?;
    let tls = member.default_bind.bind_tls(word.span, context.bases, report);
    let families = member.default_bind.listening_families(&address, Some(&member.server), report);
    Some(Bind { address, families, tls, span: word.span })
}

/// The listener for a local `server` line: its own address, else the `bind` line; none without both. `None` after a fault.
///
/// HAProxy takes no address on its own `server` line. Where one has it, the section is a copy of another node's: its `bind` line says
/// where that node listens, and how.
fn server_line_bind(
    draft: &PeersDraft,
    member: &Member,
    bind: Option<Bind>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Option<Bind>> {
    let line = draft.listener.as_ref();
    let Some(word) = &member.address else {
        match line {
            Some(_) => return Some(Some(bind?)),
            None => warn_deaf(draft, member, report),
        }
        return Some(None);
    };
    let own = address(word, report)?;
    if let Some(bind) = &bind
        && bind.address.is_wildcard()
        && bind.address.overlaps(bind.families, &own, WildcardFamilies::default())
    {
        return Some(Some(bind.clone()));
    }
    if let Some(line) = line.filter(|_| bind.as_ref().is_none_or(|bind| bind.address != own)) {
        let title = format!("this node listens on {own}, not where \"bind\" says");
        report.push(
            Diagnostic::warning(line.address.span, title)
                .label("of another node")
                .related(word.span, "the address of this node")
                .help(format!("write `bind {}` and `server {}`", word.text, member.name.text)),
        );
    }
    let parameters = line.map_or(&member.default_bind, |line| &line.parameters);
    let tls = parameters.bind_tls(word.span, context.bases, report);
    let families = parameters.listening_families(&own, None, report);
    Some(Some(Bind { address: own, families, tls, span: word.span }))
}

/// Warns of a node that nobody can reach; HAProxy takes such a section, too.
fn warn_deaf(draft: &PeersDraft, member: &Member, report: &mut Report) {
    if draft.disabled {
        return;
    }
    report.push(
        Diagnostic::warning(draft.name.span, format!("the section \"{}\" has no listener", draft.name.text))
            .label("this node only calls others")
            .related(member.name.span, "this node, without an address")
            .help("add for example `bind 10.0.0.1:10000` if others are to call it"),
    );
}

/// How to connect to the own listener over TLS; the two lines should agree.
pub(super) fn own_server_tls(
    member: &Member,
    bind: &Bind,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<super::model::ServerTls> {
    if member.server.has_tls() != bind.tls.is_some() {
        let (here, there) =
            if bind.tls.is_some() { ("no \"ssl\" here", "TLS") } else { ("\"ssl\" here", "no TLS") };
        report.push(
            Diagnostic::warning(member.name.span, "this node and its listener disagree about TLS")
                .label(here)
                .related(bind.span, format!("{there} here"))
                .help("a new process could not be taught by the old one at a hand-over: set \"ssl\" on both or none"),
        );
    }
    member.server.server_tls(member.name.span, context.bases, report)
}

fn missing_local(draft: &PeersDraft, context: &Context<'_>, report: &mut Report) {
    let Context { local_peer, local_peer_origin, .. } = context;
    let error = Diagnostic::error(
        draft.name.span,
        format!("this node is not in the section \"{}\"", draft.name.text),
    );
    let error = error.label(format!("no peer is named \"{local_peer}\""));
    let origin = format!("this node is \"{local_peer}\" by {local_peer_origin}");
    let Some(first) = draft.members.first() else {
        return report.push(error.help(format!("{origin}; add `peer {local_peer} ADDRESS:PORT`")));
    };
    let add = if draft.listener.is_some() { "server" } else { "peer" };
    let address = if draft.listener.is_some() { "" } else { " ADDRESS:PORT" };
    report.push(
        error
            .help(format!("{origin}; the section has {}", draft.member_names()))
            .help(format!("start with `-L {0}`, or write `localpeer {0}` in global", first.name.text))
            .help(format!("or add `{add} {local_peer}{address}`")),
    );
}

fn remote(
    draft: &PeersDraft,
    member: &Member,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<RemotePeer> {
    let (mut address, mut tls) = (None, None);
    if let Some(word) = &member.address {
        address = Some(address_of_remote(word, report)?);
        tls = member.server.server_tls(member.name.span, context.bases, report);
    } else if member.is_peer_line() {
        let title = format!("the peer \"{}\" has no address", member.name.text);
        report.push(
            Diagnostic::warning(member.name.span, title)
                .label("waited for: this node does not call it")
                .help("write where it listens behind the name, or `server` for a node that calls this one"),
        );
    }
    member.server.warn_listening_words(report);
    let shard = shard(draft, &member.name, &member.server, report);
    Some(RemotePeer {
        name: member.name.text.clone(),
        address,
        shard,
        tls,
        level: PeerLevel::default(),
        span: member.name.span,
    })
}

/// An address to connect to.
pub(super) fn address_of_remote(word: &Word, report: &mut Report) -> Option<Address> {
    let address = address(word, report)?;
    if address.is_wildcard() {
        report.push(
            Diagnostic::error(word.span, format!("\"{}\" is no address to connect to", word.text))
                .label("means every address of this machine")
                .help(
                    "write the address of that node: scripts write such an address for the node that the file is for, \
                     whose name `-L` or `localpeer` says",
                ),
        );
        return None;
    }
    Some(address)
}

fn shard(draft: &PeersDraft, name: &Word, server: &Parameters, report: &mut Report) -> u32 {
    let Some((shard, span)) = server.shard else { return 0 };
    let shards = draft.shards.unwrap_or(0);
    if shard <= shards || draft.has_faulty_shards() {
        return shard;
    }
    let label = match shards {
        0 => "the section has no \"shards\" line".to_owned(),
        _ => format!("the section has {shards} shards"),
    };
    report.push(
        Diagnostic::warning(span, format!("shard {shard} of \"{}\" does not exist", name.text))
            .label(label)
            .help("taken as 0: the peer gets every entry"),
    );
    0
}

/// Reports a section that is declared twice.
pub(super) fn check_unique<'d>(
    mut sections: impl Iterator<Item = &'d Word>,
    name: &Word,
    report: &mut Report,
) {
    if let Some(first) = sections.find(|section| section.text == name.text) {
        report.push(
            Diagnostic::error(name.span, format!("the section \"{}\" is declared twice", name.text))
                .label("second declaration")
                .related(first.span, "first declaration"),
        );
    }
}
