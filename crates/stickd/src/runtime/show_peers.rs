//! `show peers`: the sections, the peers, and how far each has come with each table (stick-tables §8).
//!
//! The format is HAProxy's. What stickd adds stands at the end of lines or on lines of its own: `relay=1` where a section
//! relays, `behind=<n>` in each table, `mismatch: …` below a table that the peer defines otherwise, `same name: …` where two
//! processes share a peer's name, and a line `stickd: …` at the end of each peer.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use haproxy_peers::one_line;

use super::Context;
use super::reply::{CHUNK_BYTES, Chunks, Reply, put, quoted};
use super::show_json;
use super::show_table::word;
use crate::date::Day;
use crate::view::{
    DictionaryView, Membership, PeerView, SectionView, SessionView, SharedTableView, TableRef, Timer,
};

/// Ids of a dictionary on the wire.
const DICTIONARY_IDS: usize = 128;

/// Peer flags by HAProxy 3.0's numbers (stick-tables §8).
mod flag {
    pub(super) const TEACHING: u32 = 1;
    pub(super) const NOT_UP_TO_DATE: u32 = 8;
    pub(super) const ALIVE: u32 = 0x20;
    pub(super) const DOWNGRADED: u32 = 0x80;
}

/// Runs `show peers [dict|-] [<section>] [json]`.
pub(crate) fn run(context: &Arc<dyn Context>, arguments: &[Vec<u8>]) -> Reply {
    let (arguments, is_json) = match arguments.split_last() {
        Some((last, before)) if last == show_json::WORD => (before, true),
        _ => (arguments, false),
    };
    let (dictionaries, section) = match arguments.first().map(Vec::as_slice) {
        Some(b"dict") => (true, arguments.get(1)),
        Some(b"-") => (false, arguments.get(1)),
        _ => (false, arguments.first()),
    };
    let mut sections = context.sections();
    if let Some(name) = section {
        sections.retain(|section| section.name.as_bytes() == name);
        if sections.is_empty() {
            return Reply::line("No such peers");
        }
    }
    if is_json {
        return show_json::line(&sections);
    }
    let date = Date(context.wall_clock());
    Reply::Chunks(Box::new(Dump { date, dictionaries, sections: sections.into(), section: 0, peer: None }))
}

/// The sections, rendered peer by peer.
struct Dump {
    date: Date,
    dictionaries: bool,
    sections: VecDeque<SectionView>,
    /// Number of the section in front.
    section: u64,
    /// The next peer of the section in front; `None` before its first line.
    peer: Option<usize>,
}

impl Chunks for Dump {
    fn next_chunk(&mut self, out: &mut String) -> bool {
        while let Some(section) = self.sections.front() {
            // Opaque numbers in the places of HAProxy's pointers.
            let pointer = (self.section + 1) << 44;
            match self.peer {
                None => {
                    if self.section > 0 {
                        out.push('\n');
                    }
                    put_section(out, pointer, &self.date, section);
                    self.peer = Some(0);
                }
                Some(number) if number < section.peers.len() => {
                    let pointer = pointer | (number as u64 + 1) << 20;
                    put_peer(out, pointer, &section.peers[number], self.dictionaries);
                    self.peer = Some(number + 1);
                }
                Some(_) => {
                    self.sections.pop_front();
                    self.section += 1;
                    self.peer = None;
                }
            }
            if out.len() >= CHUNK_BYTES {
                return true;
            }
        }
        false
    }
}

fn put_section(out: &mut String, pointer: u64, date: &Date, section: &SectionView) {
    let SectionView { name, disabled, flags, relay, resync_timeout, peers: _ } = section;
    let relay = if *relay { " relay=1" } else { "" };
    let disabled = u8::from(*disabled);
    put(
        out,
        format_args!(
            "{pointer:#x}: [{date}] id={name} disabled={disabled} flags={flags:#x} \
             resync_timeout={resync_timeout} task_calls=0{relay}\n"
        ),
    );
}

fn put_peer(out: &mut String, pointer: u64, peer: &PeerView, dictionaries: bool) {
    let local = if peer.local { "local" } else { "remote" };
    let active = if peer.is_active() { "active" } else { "inactive" };
    let last_handshake = peer.last_handshake_ms.map_or(Timer::Never, Timer::In);
    put(
        out,
        format_args!(
            "  {pointer:#x}: id={}({local},{active}) addr={} app_state={} learn_state={} last_status={} \
             last_hdshk={last_handshake}\n",
            peer.name,
            peer.address,
            peer.state,
            peer.learning,
            peer.last_status.word(),
        ),
    );
    let nothing = SessionView::default();
    let session = peer.session.as_ref().unwrap_or(&nothing);
    put(
        out,
        format_args!(
            "        reconnect={} heartbeat={} confirm={} tx_hbt={} rx_hbt={} no_hbt={} new_conn={} \
             proto_err={} coll={}\n",
            peer.reconnect,
            session.heartbeat,
            session.confirms,
            session.heartbeats_sent,
            session.heartbeats_received,
            peer.silences,
            peer.connections,
            peer.protocol_errors,
            peer.collisions,
        ),
    );
    put_session(out, pointer, peer);
    let current = [("remote_table", &session.remote_table), ("last_local_table", &session.last_local_table)];
    for (name, table) in current {
        if let Some(TableRef { name: id, local_id, remote_id }) = table {
            let table = table_pointer(id);
            put(
                out,
                format_args!("        {name}:{table:#x} id={id} local_id={local_id} remote_id={remote_id}\n"),
            );
        }
    }
    out.push_str("        shared tables:\n");
    for (number, table) in peer.tables.iter().enumerate() {
        put_table(out, pointer | (number as u64 + 1), table);
        if dictionaries {
            put_dictionary(out, &session.dictionary);
        } else {
            out.push_str("        Dictionary cache not dumped (use \"show peers dict\")\n");
        }
    }
    put_additions(out, peer);
}

fn put_session(out: &mut String, pointer: u64, peer: &PeerView) {
    put(out, format_args!("        flags={:#x}", flags(peer)));
    if let Some(session) = &peer.session {
        let pointer = pointer | 0xf_f000;
        // HAProxy's number of a session that waits for messages, or that is connecting.
        let (st0, state) = if session.established { (7, "EST") } else { (1, "CON") };
        put(out, format_args!(" appctx:{pointer:#x} st0={st0} st1=0 task_calls=0 state={state}"));
        if session.established && session.inbound {
            let layer = if session.tls { "SSL" } else { "RAW" };
            let (source, destination) = (&session.remote, &session.local);
            put(out, format_args!("\n        xprt={layer} src={source} addr={destination}"));
        }
    }
    out.push('\n');
}

fn flags(peer: &PeerView) -> u32 {
    let established = peer.established();
    let flags = [
        (flag::TEACHING, established.is_some_and(|session| session.teaching)),
        (flag::NOT_UP_TO_DATE, peer.not_up_to_date),
        (flag::ALIVE, established.is_some()),
        (flag::DOWNGRADED, peer.downgraded),
    ];
    flags.iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum()
}

fn put_table(out: &mut String, pointer: u64, shared: &SharedTableView) {
    let SharedTableView { table, remote_data, last_acked, last_pushed, last_received, behind, .. } = shared;
    let TableRef { name, local_id, remote_id } = table;
    // What HAProxy counts for the whole table is counted for each session here.
    let update = last_pushed.wrapping_add(*behind as u32);
    put(
        out,
        format_args!(
            "          {pointer:#x} local_id={local_id} remote_id={remote_id} flags=0x0 remote_data={remote_data:#x}\n"
        ),
    );
    put(
        out,
        format_args!(
            "              last_acked={last_acked} last_pushed={last_pushed} last_get={last_received} \
             teaching_origin=0 update={update} behind={behind}\n"
        ),
    );
    let pointer = table_pointer(name);
    put(
        out,
        format_args!(
            "              table:{pointer:#x} id={name} update={update} localupdate={update} refcnt=1\n"
        ),
    );
    for mismatch in &shared.mismatches {
        put(out, format_args!("              mismatch: {}\n", one_line(mismatch)));
    }
}

fn put_dictionary(out: &mut String, dictionary: &DictionaryView) {
    out.push_str("        TX dictionary cache:\n");
    put_texts(out, dictionary.sent.iter().map(|text| &**text));
    out.push_str("        RX dictionary cache:\n");
    let received = &dictionary.received;
    put_texts(out, (0..DICTIONARY_IDS).map(|id| received.get(id).and_then(Option::as_deref).unwrap_or("-")));
}

/// Four texts a line, each with its id.
fn put_texts<'a>(out: &mut String, texts: impl Iterator<Item = &'a str>) {
    let mut open = false;
    for (id, text) in texts.enumerate() {
        if id % 4 == 0 {
            out.push_str("        ");
        }
        put(out, format_args!("  {id:3} -> {}", word(text)));
        open = id % 4 != 3;
        if !open {
            out.push('\n');
        }
    }
    if open {
        out.push('\n');
    }
}

/// The line that HAProxy does not have.
fn put_additions(out: &mut String, peer: &PeerView) {
    let mut member = match &peer.membership {
        Membership::Static => "static".to_owned(),
        Membership::Dynamic => "dynamic".to_owned(),
        Membership::Discovered { from, listed } => {
            format!("discovered from={from} listed={}", u8::from(*listed))
        }
    };
    if peer.forgotten != Timer::Never {
        put(&mut member, format_args!(" forgotten={}", peer.forgotten));
    }
    if let Some(processes) = &peer.namesakes {
        put(out, format_args!("        same name: {processes}\n"));
    }
    let behind = peer.behind();
    let mismatches = peer.mismatches();
    put(
        out,
        format_args!(
            "        stickd: version={} member={member} relay={} behind={behind} mismatches={mismatches} \
             reason={}\n",
            peer.version,
            u8::from(peer.relay),
            quoted(peer.last_reason.as_deref().unwrap_or_default()),
        ),
    );
}

/// An opaque number for a table that is the same wherever the table shows up: FNV-1a of its name, within 47 bits as
/// addresses are.
fn table_pointer(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    hash >> 17 | 1 << 46
}

/// A point in time as `15/Apr/2019:11:28:01`, in UTC.
struct Date(SystemTime);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let seconds = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let Day { year, month, day } = Day::of(seconds);
        let month = MONTHS[usize::from(month) - 1];
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;
    use crate::view::{LearnState, PeerState};
    use haproxy_peers::{LastStatus, Status};
    use std::time::Duration;

    fn peer(name: &str) -> PeerView {
        PeerView {
            name: name.to_owned(),
            address: "10.0.0.2:10000".to_owned(),
            version: "2.1".to_owned(),
            ..PeerView::default()
        }
    }

    fn table_ref(name: &str) -> TableRef {
        TableRef { name: name.to_owned(), local_id: 1, remote_id: 7 }
    }

    fn node() -> Arc<Node> {
        let shared = SharedTableView {
            table: table_ref("p/t1"),
            remote_data: 0x24,
            last_acked: 3,
            last_pushed: 5,
            last_received: 9,
            behind: 12,
            mismatches: vec!["the key is ipv6 there, ip here".to_owned()],
        };
        let session = SessionView {
            established: true,
            inbound: true,
            remote: "10.0.0.2:4321".to_owned(),
            local: "10.0.0.1:10000".to_owned(),
            heartbeat: Timer::In(2_999),
            remote_table: Some(table_ref("p/t1")),
            dictionary: DictionaryView {
                sent: ["a", "b", "c", "d", "e"].map(Arc::from).to_vec(),
                received: vec![None, Some("srv1".into())],
            },
            ..SessionView::default()
        };
        let connected = PeerView {
            state: PeerState::Running,
            learning: LearnState::Finished,
            last_status: LastStatus::Answered(Status::Accepted),
            last_handshake_ms: Some(63_000),
            reconnect: Timer::Past,
            connections: 2,
            session: Some(session),
            tables: vec![shared],
            membership: Membership::Dynamic,
            relay: true,
            last_reason: Some("no heartbeat for 5 s".to_owned()),
            ..peer("B")
        };
        let local = PeerView { local: true, ..peer("A") };
        let p = SectionView {
            name: "p".to_owned(),
            flags: 3,
            relay: true,
            peers: vec![connected, local],
            ..SectionView::default()
        };
        let q = SectionView {
            name: "q".to_owned(),
            disabled: true,
            resync_timeout: Timer::In(4_000),
            ..SectionView::default()
        };
        Node::with_sections(vec![q, p])
    }

    const P: &str = r#": [15/Apr/2019:11:28:01] id=p disabled=0 flags=0x3 resync_timeout=<NEVER> task_calls=0 relay=1
  P: id=B(remote,active) addr=10.0.0.2:10000 app_state=RUNNING learn_state=FINISHED last_status=ESTA last_hdshk=1m3s
        reconnect=<PAST> heartbeat=2s confirm=0 tx_hbt=0 rx_hbt=0 no_hbt=0 new_conn=2 proto_err=0 coll=0
        flags=0x20 appctx:P st0=7 st1=0 task_calls=0 state=EST
        xprt=RAW src=10.0.0.2:4321 addr=10.0.0.1:10000
        remote_table:P id=p/t1 local_id=1 remote_id=7
        shared tables:
          P local_id=1 remote_id=7 flags=0x0 remote_data=0x24
              last_acked=3 last_pushed=5 last_get=9 teaching_origin=0 update=17 behind=12
              table:P id=p/t1 update=17 localupdate=17 refcnt=1
              mismatch: the key is ipv6 there, ip here
        Dictionary cache not dumped (use "show peers dict")
        stickd: version=2.1 member=dynamic relay=1 behind=12 mismatches=1 reason="no heartbeat for 5 s"
  P: id=A(local,inactive) addr=10.0.0.2:10000 app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>
        reconnect=<NEVER> heartbeat=<NEVER> confirm=0 tx_hbt=0 rx_hbt=0 no_hbt=0 new_conn=0 proto_err=0 coll=0
        flags=0x0
        shared tables:
        stickd: version=2.1 member=static relay=0 behind=0 mismatches=0 reason=""

"#;

    /// Puts `P` in the places of pointers, which have 10 digits or more.
    fn without_pointers(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("0x") {
            let digits = rest[at + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
            out.push_str(&rest[..at]);
            out.push_str(if digits >= 10 { "P" } else { &rest[at..at + 2 + digits] });
            rest = &rest[at + 2 + digits..];
        }
        out + rest
    }

    #[test]
    fn sections_are_separated_by_an_empty_line() {
        let q = "P: [15/Apr/2019:11:28:01] id=q disabled=1 flags=0x0 resync_timeout=4s task_calls=0\n\n";
        let node = node();
        for command in ["show peers", "show peers -"] {
            assert_eq!(without_pointers(&node.run(command)), format!("{q}P{P}"));
        }
        for command in ["show peers p", "show peers - p", "show peers p dict"] {
            assert_eq!(without_pointers(&node.run(command)), format!("P{P}"), "{command}");
        }
        assert_eq!(node.run("show peers q dict").lines().count(), 2);
        for command in ["show peers zz", "show peers dict zz"] {
            assert_eq!(node.run(command), "No such peers\n\n");
        }
    }

    #[test]
    fn dictionaries_are_shown_on_demand() {
        let text = node().run("show peers dict p");
        let (_, sent) = text.split_once("        TX dictionary cache:\n").unwrap();
        let (sent, received) = sent.split_once("        RX dictionary cache:\n").unwrap();
        assert_eq!(sent, "            0 -> a    1 -> b    2 -> c    3 -> d\n            4 -> e\n");
        let lines: Vec<_> = received.lines().take(33).collect();
        assert_eq!(lines[0], "            0 -> -    1 -> srv1    2 -> -    3 -> -");
        assert_eq!(lines[31], "          124 -> -  125 -> -  126 -> -  127 -> -");
        assert!(lines[32].starts_with("        stickd: "));
        assert!(!text.contains("not dumped"));
    }

    #[test]
    fn dates_are_in_utc() {
        for (seconds, text) in [
            (0, "01/Jan/1970:00:00:00"),
            (951_782_400, "29/Feb/2000:00:00:00"),
            (1_555_327_681, "15/Apr/2019:11:28:01"),
            (1_798_761_599, "31/Dec/2026:23:59:59"),
            (4_107_542_400, "01/Mar/2100:00:00:00"),
        ] {
            assert_eq!(Date(UNIX_EPOCH + Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
