//! The wording of the lines that the daemon writes about a section: what happened, to which peer, at which address, why, and what to do.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use haproxy_peers::{EndReason, HelloError, LeftOut, PeerKind, ProtocolVersion, SessionEvent, Status};
use tracing::{Level, debug, info, warn};

use super::{Journal, remedies};
use crate::config::CONN_CUR;
use crate::dns::DnsError;
use crate::peers::connection::Connection;
use crate::peers::namesakes::Pair;
use crate::tls::HandshakeError;

/// Longest name of a stranger in a line of the log, in characters.
const MAX_SHOWN: usize = 255;

/// A line that waits until the section's lock is free, with the lines left out before it.
pub(in crate::peers) enum Note {
    AskingForLesson { peer: String, lines_left_out: Option<u64> },
    Forgotten { peer: String, member: &'static str, lines_left_out: Option<u64> },
}

/// Who says hello, as far as it is known before it is admitted.
#[derive(Clone, Copy)]
pub(in crate::peers) struct Stranger<'a> {
    /// Where the connection comes from, as it is shown.
    pub(in crate::peers) address: &'a str,
    /// The same for comparing; `None` for a Unix socket.
    pub(in crate::peers) ip: Option<IpAddr>,
    /// The name in its hello; empty before the hello.
    pub(in crate::peers) name: &'a str,
}

impl<'a> Stranger<'a> {
    /// As much of its name as is shown.
    fn shown(self) -> &'a str {
        let name = self.name;
        name.char_indices().nth(MAX_SHOWN).map_or(name, |(end, _)| &name[..end])
    }
}

/// A limit that was reached.
pub(in crate::peers) enum Limit<'a> {
    /// The system cannot accept a connection.
    Accept(&'a std::io::Error),
    /// `maxconn`, by connections that are all needed.
    Connections,
    /// `maxconn`, by a connection without a hello.
    ConnectionsWithoutHello,
    /// `handshakes max`.
    Handshakes,
    /// `handshakes timeout`, by a connection from this address.
    HandshakeTime { address: &'a str, waits_for: &'static str, limit_ms: u32 },
    /// Members of the section.
    Members,
    /// Memory of tables made from definitions.
    TableMemory,
}

impl Limit<'_> {
    const fn word(&self) -> &'static str {
        match self {
            Self::Accept(_) => "accept",
            Self::Connections | Self::ConnectionsWithoutHello => "maxconn",
            Self::Handshakes => "handshakes max",
            Self::HandshakeTime { .. } => "handshakes timeout",
            Self::Members => "members",
            Self::TableMemory => "dynamic-tables memory",
        }
    }

    fn consequence(&self) -> String {
        match self {
            Self::Accept(error) => {
                return format!(
                    "cannot accept a connection: {error}; raise the limit of open files (LimitNOFILE=) if there are too many"
                );
            }
            Self::Connections => {
                "peers use all connections, and new ones are closed: raise the limit, or see which peers connect in \"show peers\""
            }
            Self::ConnectionsWithoutHello | Self::Handshakes => {
                "a connection without a hello is closed for a new one: see what connects to this port, or raise the limit"
            }
            Self::HandshakeTime { address, waits_for, limit_ms } => {
                return format!(
                    "the connection from {address} is closed, as its {waits_for} did not come within {limit_ms} ms; see what \
                     runs there"
                );
            }
            Self::Members => {
                "a peer that DNS lists has no place among the members: raise the number of its server-template line"
            }
            Self::TableMemory => {
                "tables that peers define use all of it, and evict entries before they reach \"size\": raise the limit"
            }
        }
        .to_owned()
    }
}

/// Attempts, sessions and members.
impl Journal {
    pub(in crate::peers) fn connected(
        &self,
        peer: &str,
        address: &str,
        version: ProtocolVersion,
        status: Status,
    ) {
        let Some(lines_left_out) = self.due(peer, Level::INFO) else { return };
        let (section, status) = (&self.section, status.code());
        info!(section, peer, address, %version, status, lines_left_out, "connected");
    }

    /// An attempt failed. `is_away` when the peer is without a session now: when both sides connect at once, one of the two
    /// attempts is closed, which is no news.
    pub(in crate::peers) fn unreachable(
        &self,
        connection: &Connection,
        address: &str,
        (kind, error): (ErrorKind, &str),
        is_away: bool,
    ) {
        let peer = connection.name.as_str();
        let level = if is_away && self.is_news(peer, error) { Level::WARN } else { Level::DEBUG };
        let Some(lines_left_out) = self.due(peer, level) else { return };
        let section = &self.section;
        if level == Level::WARN {
            let remedy = remedies::unreachable(kind);
            warn!(
                section,
                peer, address, lines_left_out, "cannot reach the peer, trying again: {error}{remedy}"
            );
        } else {
            debug!(section, peer, address, lines_left_out, "cannot reach the peer: {error}");
        }
    }

    pub(in crate::peers) fn refused_by(&self, peer: &str, address: &str, status: Status) {
        let Some(lines_left_out) = self.due(peer, Level::WARN) else { return };
        let (section, meaning, status) = (&self.section, remedies::explain(status), status.code());
        warn!(section, peer, address, status, lines_left_out, "the peer refused: {meaning}");
    }

    pub(in crate::peers) fn accepted(
        &self,
        connection: &Connection,
        version: ProtocolVersion,
        kind: PeerKind,
    ) {
        let Some(lines_left_out) = self.due(&connection.name, Level::INFO) else { return };
        let (section, peer, address) = (&self.section, &connection.name, address_of(connection));
        info!(section, peer, address, %version, member = member_word(kind), lines_left_out, "accepted");
    }

    /// A hub logs what its sums leave out by [`LeftOutLog`](super::LeftOutLog), whoever noticed it.
    pub(in crate::peers) fn event(&self, connection: &Connection, event: &SessionEvent) {
        let level = match event {
            SessionEvent::LeftOut { .. } => return,
            SessionEvent::TableIgnored { .. }
            | SessionEvent::TableLoses { .. }
            | SessionEvent::PeerReportsError { .. }
            | SessionEvent::LessonAbandoned
            | SessionEvent::LessonUnconfirmed => Level::WARN,
            _ => Level::INFO,
        };
        let Some(lines_left_out) = self.due(&connection.name, level) else { return };
        let (section, peer) = (&self.section, &connection.name);
        if level == Level::WARN {
            warn!(section, peer, address = address_of(connection), lines_left_out, "{event}");
        } else {
            info!(section, peer, lines_left_out, "{event}");
        }
    }

    pub(in crate::peers) fn session_ended(&self, connection: &Connection, reason: &EndReason) {
        let level = if matches!(reason, EndReason::Error(_)) { Level::WARN } else { Level::INFO };
        let Some(lines_left_out) = self.due(&connection.name, level) else { return };
        let (section, peer, address) = (&self.section, &connection.name, address_of(connection));
        match reason {
            EndReason::Error(error) => {
                let remedy = remedies::session(error);
                warn!(section, peer, address, lines_left_out, "session closed: {error}{remedy}");
            }
            EndReason::Connection(reason) => {
                info!(section, peer, address, lines_left_out, "session ended: {reason}");
            }
            EndReason::Closed(reason) => {
                info!(section, peer, address, lines_left_out, "session closed: {reason}");
            }
        }
    }

    /// A note that a lesson is asked for; [`write`](Self::write) it without the section's lock.
    pub(in crate::peers) fn note_request(&self, peer: &str) -> Option<Note> {
        let lines_left_out = self.due(peer, Level::INFO)?;
        Some(Note::AskingForLesson { peer: peer.to_owned(), lines_left_out })
    }

    /// The same for a member that the section forgot.
    pub(in crate::peers) fn note_forgotten(&self, peer: &str, kind: PeerKind) -> Option<Note> {
        self.failures.lock().remove(peer);
        let lines_left_out = self.due(peer, Level::INFO)?;
        Some(Note::Forgotten { peer: peer.to_owned(), member: member_word(kind), lines_left_out })
    }

    pub(in crate::peers) fn write(&self, note: &Note) {
        let section = &self.section;
        match note {
            Note::AskingForLesson { peer, lines_left_out } => {
                info!(section, peer, lines_left_out, "asking for a lesson");
            }
            Note::Forgotten { peer, member, lines_left_out } => {
                info!(section, peer, member, lines_left_out, "forgot a member that stayed away");
            }
        }
    }

    /// Once a minute.
    pub(in crate::peers) fn limit_reached(&self, limit: &Limit<'_>) {
        let word = limit.word();
        if self.is_first_of_minute(None, word) {
            let section = &self.section;
            warn!(section, limit = word, "limit reached: {}", limit.consequence());
        }
    }

    /// Once a minute.
    pub(in crate::peers) fn namesakes(&self, peer: &str, pair: &Pair) {
        if !self.is_first_of_minute(None, &format!("name {peer}")) {
            return;
        }
        let Some(lines_left_out) = self.due(peer, Level::WARN) else { return };
        let (section, one, other) = (&self.section, &pair.one, &pair.other);
        warn!(
            section,
            peer,
            lines_left_out,
            "two processes say they are {peer}: {one} and {other}; each session of one ends that of the other: give each node a \
             name of its own (localpeer, -L)"
        );
    }
}

/// Hellos that are refused.
impl Journal {
    pub(in crate::peers) fn tls_failed(&self, from: Stranger<'_>, error: &HandshakeError) {
        // Another reason is another line: a connection that a peer cut off must not hide what is wrong with its certificate.
        let Some(lines_left_out) = self.refusal_due(from.ip, &format!("TLS {error}")) else { return };
        let (section, address, configured_there) = (&self.section, from.address, self.names_at(from.ip));
        warn!(section, address, configured_there, lines_left_out, "TLS handshake failed: {error}");
    }

    pub(in crate::peers) fn hello_refused(&self, from: Stranger<'_>, error: &HelloError) {
        let Some(lines_left_out) = self.refusal_due(from.ip, "hello") else { return };
        let (section, address, local_peer) = (&self.section, from.address, &self.local_peer);
        let status = error.status().map_or(0, Status::code);
        let remedy = remedies::hello(error);
        let configured_there = self.names_at(from.ip);
        warn!(
            section,
            address,
            configured_there,
            status,
            local_peer,
            lines_left_out,
            "refused a hello: {error}; {remedy}"
        );
    }

    /// A certificate that is not for this name.
    pub(in crate::peers) fn name_not_proved(&self, from: Stranger<'_>, status: Status) {
        let peer = from.shown();
        let Some(lines_left_out) = self.refusal_due(from.ip, peer) else { return };
        let error = HandshakeError::PeerName { name: peer.to_owned() };
        let (section, address, status) = (&self.section, from.address, status.code());
        warn!(section, peer, address, status, lines_left_out, "refused a peer: {error}");
    }

    pub(in crate::peers) fn told_to_come_later(&self, from: Stranger<'_>, status: Status) {
        let peer = from.shown();
        let Some(lines_left_out) = self.due(peer, Level::INFO) else { return };
        let (section, address, status) = (&self.section, from.address, status.code());
        info!(section, peer, address, status, lines_left_out, "refused the peer for now");
    }

    pub(in crate::peers) fn own_name_refused(&self, from: Stranger<'_>, status: Status) {
        self.refused(
            from,
            status,
            "refused a peer that says this node's own name: give each node a name of its own (localpeer, -L); a copied \
             configuration or machine has the name of its original",
        );
    }

    pub(in crate::peers) fn dynamic_peer_refused(&self, from: Stranger<'_>, status: Status) {
        let why = "refused a peer that may join: there are \"dynamic-peers max\" of them already, or its name is not valid; raise max, or \
                   name the peer with printable characters";
        self.refused(from, status, why);
    }

    pub(in crate::peers) fn unknown_peer_refused(&self, from: Stranger<'_>, status: Status) {
        self.refused(from, status, "refused an unknown peer: no peer line of this section has its name; add one, or correct the peer's own name (localpeer, -L)");
    }

    fn refused(&self, from: Stranger<'_>, status: Status, why: &str) {
        let peer = from.shown();
        let Some(lines_left_out) = self.refusal_due(from.ip, peer) else { return };
        let (section, address, status) = (&self.section, from.address, status.code());
        warn!(section, peer, address, status, lines_left_out, "{why}");
    }

    pub(in crate::peers) fn closed_without_answer(&self, from: Stranger<'_>, reason: &str) {
        let peer = from.shown();
        let Some(lines_left_out) = self.due(peer, Level::DEBUG) else { return };
        let (section, address) = (&self.section, from.address);
        debug!(section, peer, address, reason, lines_left_out, "closed without an answer");
    }

    pub(in crate::peers) fn predecessor_hello_refused(&self, pid: i32, error: &HelloError) {
        warn!(section = self.section, pid, "refused the hello of the old process: {error}");
    }

    pub(in crate::peers) fn predecessor_told_to_come_later(&self, pid: i32, status: Status) {
        info!(section = self.section, pid, status = status.code(), "refused the old process for now");
    }
}

/// Members that DNS lists.
impl Journal {
    pub(in crate::peers) fn listed(&self, peer: &str, address: SocketAddr, from: &str) {
        self.listing(peer, address, from, "a member is listed");
    }

    pub(in crate::peers) fn moved(&self, peer: &str, address: SocketAddr, from: &str) {
        self.listing(peer, address, from, "a member is listed at another address");
    }

    fn listing(&self, peer: &str, address: SocketAddr, from: &str, news: &str) {
        let Some(lines_left_out) = self.due(from, Level::INFO) else { return };
        info!(section = self.section, peer, %address, from, lines_left_out, "{news}");
    }

    pub(in crate::peers) fn not_listed_any_more(&self, peer: &str, from: &str) {
        let Some(lines_left_out) = self.due(from, Level::INFO) else { return };
        let section = &self.section;
        info!(
            section,
            peer, from, lines_left_out, "DNS no longer lists a member: stickd does not connect to it again"
        );
    }

    pub(in crate::peers) fn not_resolved(&self, domain: &str, members: usize, error: &DnsError) {
        let Some(lines_left_out) = self.due(domain, Level::WARN) else { return };
        let section = &self.section;
        warn!(
            section,
            domain, members, lines_left_out, "cannot resolve the name, and the members stay: {error}"
        );
    }

    pub(in crate::peers) fn resolved_again(&self, domain: &str, members: usize) {
        let Some(lines_left_out) = self.due(domain, Level::INFO) else { return };
        info!(section = self.section, domain, members, lines_left_out, "resolving works again");
    }

    pub(in crate::peers) fn answer_is_wrong(&self, domain: &str, fault: &str) {
        let Some(lines_left_out) = self.due(domain, Level::WARN) else { return };
        warn!(section = self.section, domain, lines_left_out, "{fault}");
    }

    pub(in crate::peers) fn answer_is_wrong_more(&self, domain: &str, more: usize) {
        warn!(
            section = self.section,
            domain, more, "the answer has more faults of this kind than lines of the log"
        );
    }

    pub(in crate::peers) fn nobody_is_listed(&self, domain: &str) {
        warn!(
            section = self.section,
            domain, "the name lists no host, so it has no members; see its records"
        );
    }
}

/// What a sum leaves out: the node, if it is another one, and the table.
pub(in crate::peers) struct Gap<'a> {
    pub(in crate::peers) what: &'a LeftOut,
    /// Name and address of the node that tells it; empty when it is this hub, or the node is forgotten.
    pub(in crate::peers) peer: String,
    pub(in crate::peers) address: String,
    /// The table's name here.
    pub(in crate::peers) table: Option<String>,
}

/// Sums of a hub.
impl Journal {
    pub(in crate::peers) fn conn_cur_hint(&self, table: &str) {
        info!(section = self.section, table, "{CONN_CUR}");
    }

    /// Whether the line could be written; else it is tried again.
    pub(super) fn left_out(&self, gap: &Gap<'_>) -> bool {
        let Gap { what, peer, address, table } = gap;
        let Some(lines_left_out) = self.due(peer, Level::WARN) else { return false };
        let (section, table, why, reason) =
            (&self.section, table.as_deref(), &what.reason, what.reason.word());
        let remedy = why.remedy().map_or_else(String::new, |remedy| format!("; {remedy}"));
        warn!(
            section,
            peer, address, table, reason, lines_left_out, "the sums are not complete: {why}{remedy}"
        );
        true
    }

    pub(super) fn left_out_no_more(&self, gap: &Gap<'_>) {
        let Gap { what, peer, address, table } = gap;
        let Some(lines_left_out) = self.due(peer, Level::INFO) else { return };
        let (section, table, reason) = (&self.section, table.as_deref(), what.reason.word());
        info!(section, peer, address, table, reason, lines_left_out, "the sums include these values again");
    }
}

/// The other end of an established connection; empty before.
fn address_of(connection: &Connection) -> &str {
    connection.established().map_or("", |established| &established.remote)
}

/// How a peer became a member.
const fn member_word(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Local => "local",
        PeerKind::Static => "static",
        PeerKind::Dynamic => "dynamic",
        PeerKind::Discovered => "discovered",
    }
}
