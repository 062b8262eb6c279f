//! Questions and answers as bytes (RFC 1035, RFC 2782 for SRV, RFC 6891 for long answers).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

use super::{DnsError, MAX_ALIASES};

/// Longest answer over UDP that is asked for, in bytes: what no network cuts in pieces.
const UDP_SIZE: u16 = 1232;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Services: hosts and ports.
    Srv,
}

/// What an SRV record says. Priority and weight are for those who want one of many; here all are wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Service {
    /// Name of the host, without a dot at the end.
    pub(crate) target: String,
    /// Port.
    pub(crate) port: u16,
}

/// What a server knows of a name. Nothing in it also means that there is no such name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Addresses, when these were asked for.
    pub(crate) addresses: Vec<IpAddr>,
    /// Services, when these were asked for.
    pub(crate) services: Vec<Service>,
    /// Addresses that the server added to services, by the name of the host in small letters.
    pub(crate) added: Vec<(String, IpAddr)>,
    /// Set when the name is another name for this one, of which the answer says nothing.
    pub(super) alias: Option<String>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Answer(Answer),
    /// It did not fit.
    Truncated,
    /// The server cannot say.
    Refused(Code),
}

/// Why bytes are no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) String);

/// A server's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(RCODE);

impl Code {
    /// Whether the server may only have stumbled over an extension.
    pub(super) fn is_of_extensions(self) -> bool {
        matches!(self.0, RCODE::FormatError | RCODE::NotImplemented)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RCODE::FormatError => f.write_str("\"format error\""),
            RCODE::ServerFailure => f.write_str("\"server failure\""),
            RCODE::NotImplemented => f.write_str("\"not implemented\""),
            RCODE::Refused => f.write_str("\"refused\""),
            other => write!(f, "code {}", other as u16),
        }
    }
}

/// A question to a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'q> {
    pub(super) id: u16,
    pub(super) name: &'q str,
    pub(super) kind: RecordType,
    /// Whether to ask for long answers over UDP.
    pub(super) extended: bool,
}

impl Question<'_> {
    fn record_type(&self) -> TYPE {
        match self.kind {
            RecordType::A => TYPE::A,
            RecordType::Aaaa => TYPE::AAAA,
            RecordType::Srv => TYPE::SRV,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, DnsError> {
        let error = |error: simple_dns::SimpleDnsError| DnsError::Name(error.to_string());
        let mut packet = Packet::new_query(self.id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new(self.name).map_err(error)?;
        let question =
            simple_dns::Question::new(name, QTYPE::TYPE(self.record_type()), CLASS::IN.into(), false);
        packet.questions.push(question);
        if self.extended {
            *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: UDP_SIZE, version: 0 });
        }
        packet.build_bytes_vec().map_err(error)
    }

    /// Reads what came; `None` when it is for another question.
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Option<Reply>, Unreadable> {
        // Another's message need not be readable.
        if bytes.get(..2) != Some(&self.id.to_be_bytes()[..]) {
            return Ok(None);
        }
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            // What is cut off may end anywhere.
            Err(_) if bytes.get(2).is_some_and(|flags| flags & 2 != 0) => return Ok(Some(Reply::Truncated)),
            Err(error) => return Err(Unreadable(error.to_string())),
        };
        if !packet.has_flags(PacketFlag::RESPONSE) {
            return Ok(None);
        }
        let is_ours = match packet.questions.first() {
            Some(question) => {
                same(&question.qname, self.name) && question.qtype == QTYPE::TYPE(self.record_type())
            }
            // A server that cannot read a question cannot repeat it.
            None => !matches!(packet.rcode(), RCODE::NoError | RCODE::NameError),
        };
        if !is_ours {
            return Ok(None);
        }
        if packet.has_flags(PacketFlag::TRUNCATION) {
            return Ok(Some(Reply::Truncated));
        }
        Ok(Some(match packet.rcode() {
            RCODE::NoError => Reply::Answer(self.answer(&packet)),
            RCODE::NameError => Reply::Answer(Answer::default()),
            code => Reply::Refused(Code(code)),
        }))
    }

    fn answer(&self, packet: &Packet<'_>) -> Answer {
        let mut answer = Answer::default();
        let mut name = plain(self.name);
        // Aliases stand in the answer with what they lead to, in any order.
        for _ in 0..MAX_ALIASES {
            let Some(alias) = packet.answers.iter().find_map(|record| alias(record, &name)) else { break };
            name = alias;
        }
        for record in packet.answers.iter().filter(|record| same(&record.name, &name)) {
            match (&record.rdata, self.kind) {
                (RData::A(a), RecordType::A) => answer.addresses.push(Ipv4Addr::from(a.address).into()),
                (RData::AAAA(a), RecordType::Aaaa) => answer.addresses.push(Ipv6Addr::from(a.address).into()),
                (RData::SRV(srv), RecordType::Srv) => {
                    answer.services.push(Service { target: text(&srv.target), port: srv.port });
                }
                _ => {}
            }
        }
        for record in &packet.additional_records {
            match &record.rdata {
                RData::A(a) => answer.added.push((owner(record), Ipv4Addr::from(a.address).into())),
                RData::AAAA(a) => answer.added.push((owner(record), Ipv6Addr::from(a.address).into())),
                _ => {}
            }
        }
        if answer.addresses.is_empty()
            && answer.services.is_empty()
            && !name.eq_ignore_ascii_case(&plain(self.name))
        {
            answer.alias = Some(name);
        }
        answer
    }
}

/// What a name is an alias of.
fn alias(record: &ResourceRecord<'_>, name: &str) -> Option<String> {
    match &record.rdata {
        RData::CNAME(alias) if same(&record.name, name) => Some(text(&alias.0)),
        _ => None,
    }
}

fn owner(record: &ResourceRecord<'_>) -> String {
    text(&record.name).to_ascii_lowercase()
}

fn same(name: &Name<'_>, other: &str) -> bool {
    text(name).eq_ignore_ascii_case(&plain(other))
}

fn text(name: &Name<'_>) -> String {
    plain(&name.to_string())
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUESTION: Question<'_> =
        Question { id: 0x1234, name: "a.b", kind: RecordType::Srv, extended: true };

    fn ask(name: &'static str, kind: RecordType) -> Question<'static> {
        Question { name, kind, ..QUESTION }
    }

    /// Header with flags and counts, and the question for `a.b`.
    fn head(flags: u16, kind: u8, answers: u8, additional: u8) -> Vec<u8> {
        let [high, low] = flags.to_be_bytes();
        let mut bytes = vec![0x12, 0x34, high, low, 0, 1, 0, answers, 0, 0, 0, additional];
        bytes.extend_from_slice(&[1, b'a', 1, b'b', 0, 0, kind, 0, 1]);
        bytes
    }

    /// A record of the name at an offset.
    fn record(at: u8, kind: u8, data: &[u8]) -> Vec<u8> {
        [&[0xc0, at, 0, kind, 0, 1, 0, 0, 0, 5, 0, data.len() as u8], data].concat()
    }

    #[test]
    fn a_question_has_these_bytes() {
        let expected = [
            &[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1][..],
            &[1, b'a', 1, b'b', 0, 0, 33, 0, 1],
            // The extension: root, type 41, 1232 bytes, no flags, no options.
            &[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(QUESTION.encode().unwrap(), expected.concat());
        let plain = Question { extended: false, ..QUESTION };
        assert_eq!(plain.encode().unwrap().len(), 21);
    }

    #[test]
    fn services_come_with_the_addresses_of_their_hosts() {
        // lb-0.a.b at offset 39: the target of the first record.
        let target = [0, 1, 0, 2, 0x27, 0x10, 4, b'l', b'b', b'-', b'0', 0xc0, 12];
        let other = [0, 1, 0, 2, 0x27, 0x11, 4, b'L', b'B', b'-', b'1', 0xc0, 12];
        let bytes = [
            head(0x8180, 33, 2, 1),
            record(12, 33, &target),
            record(12, 33, &other),
            record(39, 1, &[10, 0, 0, 7]),
        ];
        let Ok(Some(Reply::Answer(answer))) = QUESTION.decode(&bytes.concat()) else { panic!("no answer") };
        let service = |target: &str, port| Service { target: target.to_owned(), port };
        assert_eq!(answer.services, [service("lb-0.a.b", 10_000), service("LB-1.a.b", 10_001)]);
        assert_eq!(answer.added, [("lb-0.a.b".to_owned(), IpAddr::from([10, 0, 0, 7]))]);
    }

    #[test]
    fn aliases_are_followed_inside_an_answer_and_told_when_they_lead_out_of_it() {
        let question = ask("A.B.", RecordType::A);
        let alias = record(12, 5, &[1, b'c', 0xc0, 12]);
        // c.a.b stands at offset 33: behind the head and the twelve bytes of its record.
        let inside = [head(0x8180, 1, 2, 0), alias.clone(), record(33, 1, &[10, 0, 0, 1])].concat();
        let Ok(Some(Reply::Answer(answer))) = question.decode(&inside) else { panic!("no answer") };
        assert_eq!((answer.addresses, answer.alias), (vec![IpAddr::from([10, 0, 0, 1])], None));
        let outside = [head(0x8180, 1, 1, 0), alias].concat();
        let Ok(Some(Reply::Answer(answer))) = question.decode(&outside) else { panic!("no answer") };
        assert_eq!(answer.alias.as_deref(), Some("c.a.b"));
        // An alias of itself ends.
        let circle = [head(0x8180, 1, 1, 0), record(12, 5, &[0xc0, 12])].concat();
        assert_eq!(question.decode(&circle), Ok(Some(Reply::Answer(Answer::default()))));
    }

    #[test]
    fn who_cannot_say_is_told_from_who_knows_of_nothing() {
        let reply = |flags| QUESTION.decode(&head(flags, 33, 0, 0)).unwrap();
        assert_eq!(reply(0x8180), Some(Reply::Answer(Answer::default())));
        assert_eq!(reply(0x8183), Some(Reply::Answer(Answer::default())), "no such name");
        assert_eq!(reply(0x8182), Some(Reply::Refused(Code(RCODE::ServerFailure))));
        assert_eq!(reply(0x8185), Some(Reply::Refused(Code(RCODE::Refused))));
        assert_eq!(reply(0x8380), Some(Reply::Truncated));
        let Some(Reply::Refused(code)) = reply(0x8181) else { panic!("no code") };
        assert!(code.is_of_extensions());
    }

    #[test]
    fn what_is_for_others_is_left_alone() {
        let bytes = head(0x8180, 33, 0, 0);
        let decode = |bytes: &[u8]| QUESTION.decode(bytes);
        assert_eq!(decode(&[&[0x12, 0x35], &bytes[2..]].concat()), Ok(None), "another number");
        assert_eq!(decode(&head(0x0100, 33, 0, 0)), Ok(None), "a question");
        assert_eq!(decode(&head(0x8180, 1, 0, 0)), Ok(None), "another type");
        assert_eq!(ask("a.c", RecordType::Srv).decode(&bytes), Ok(None), "another name");
        assert_eq!(decode(b""), Ok(None));
        let unasked = |flags| [0x12, 0x34, 0x81, flags, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(decode(&unasked(0x80)), Ok(None), "to no question");
        assert!(matches!(decode(&unasked(0x81)), Ok(Some(Reply::Refused(_)))), "what cannot be read");
        // Cut in the middle of a record, and said so or not.
        let record = record(12, 33, &[0, 0, 0, 0, 0, 1, 0]);
        let cut = |flags| [&head(flags, 33, 1, 0)[..], &record[..9]].concat();
        assert_eq!(decode(&cut(0x8380)), Ok(Some(Reply::Truncated)));
        assert!(decode(&cut(0x8180)).is_err());
    }

    /// Pointers lead back only, and a name has 255 bytes at most: no answer is followed for ever.
    #[test]
    fn names_that_lead_in_circles_are_refused() {
        // Where the first record stands, right behind the question.
        const AT: u8 = 21;
        for owner in [
            // To itself, to the next pointer, and back from there.
            &[0xc0, AT][..],
            &[0xc0, AT + 2, 0xc0, AT],
            // To a label before it that leads to it again.
            &[1, b'x', 0xc0, AT],
            // Past the end.
            &[0xff, 0xff],
        ] {
            let fields = [0, 33, 0, 1, 0, 0, 0, 5, 0, 7, 0, 0, 0, 0, 0, 1, 0];
            let bytes = [&head(0x8180, 33, 1, 0), owner, &fields].concat();
            assert!(QUESTION.decode(&bytes).is_err(), "{owner:x?}");
        }
        let target = record(12, 33, &[0, 0, 0, 0, 0, 1, 1, b'x', 0xc0, AT + 18]);
        assert!(QUESTION.decode(&[head(0x8180, 33, 1, 0), target].concat()).is_err());
    }

    /// As long as TCP allows, every record the alias of the next one.
    #[test]
    fn few_aliases_of_a_huge_answer_are_followed() {
        let question = ask("a.b", RecordType::A);
        let name = |number: u16| [&[5][..], format!("{number:05}").as_bytes(), &[0]].concat();
        let fields = [0, 5, 0, 1, 0, 0, 0, 5, 0, 7];
        let mut bytes = [head(0x8180, 1, 0, 0), vec![0xc0, 12], fields.to_vec(), name(0)].concat();
        let mut records = 1_u16;
        while bytes.len() + 24 <= usize::from(u16::MAX) {
            bytes.extend([name(records - 1), fields.to_vec(), name(records)].concat());
            records += 1;
        }
        bytes[6..8].copy_from_slice(&records.to_be_bytes());
        assert!(records > 2_000);
        let Ok(Some(Reply::Answer(answer))) = question.decode(&bytes) else { panic!("no answer") };
        assert_eq!(answer.alias.as_deref(), Some("00007"));
        // More records than there are bytes for.
        bytes[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
        assert!(question.decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(flags: u16, answers in 0u8..4, bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            for kind in [RecordType::A, RecordType::Aaaa, RecordType::Srv] {
                let question = ask("a.b", kind);
                let _ = question.decode(&[&[0x12, 0x34], &bytes[..]].concat());
                let number = match kind { RecordType::A => 1, RecordType::Aaaa => 28, RecordType::Srv => 33 };
                let all = [head(flags | 0x8000, number, answers, answers), bytes.clone()].concat();
                let _ = question.decode(&all);
                let made = [head(0x8180, number, 1, 0), record(12, number, &bytes)].concat();
                let _ = question.decode(&made);
            }
        }
    }
}
