//! The target of a peer's whole stream after the handshake.

use std::collections::BTreeMap;

use haproxy_peers::{
    DecodeError, DecodeErrorKind, Decoder, ProtocolVersion, Received, Role, Session, SessionError,
    SessionEvent, SessionView,
};

use crate::cuts::cuts;
use crate::node::{self, Contents, START};

/// What became of a stream.
#[derive(Debug)]
struct Outcome {
    error: Option<SessionError>,
    events: Vec<SessionEvent>,
    received: Received,
    contents: BTreeMap<String, Contents>,
    view: SessionView,
    sent: Vec<u8>,
}

/// A stream that a peer sends: tables, events, counts and answers are the same however it is cut into pieces, an error is
/// one for the stream's decoder too, and what is answered decodes. The first byte chooses version and role.
pub fn stream(data: &[u8]) {
    let Some((&options, stream)) = data.split_first() else { return };
    let [whole, others @ ..] = cuts(stream).map(|pieces| run(options, &pieces));
    for other in others {
        assert_eq!(whole.error, other.error);
        assert_eq!(whole.events, other.events);
        assert_eq!(whole.received, other.received);
        assert_eq!(whole.contents, other.contents);
        assert_eq!(format!("{:?}", whole.view), format!("{:?}", other.view));
        assert_eq!(whole.sent, other.sent);
    }
    let decoded = decode(stream);
    match (whole.error, decoded) {
        // A session looks into fewer messages than the decoder: not into those of tables that it does not share.
        (Some(SessionError::Malformed(error)), Err(found)) => {
            // The decoder knows no limit of strings, and finds that the payload has no such string a little later.
            let too_long = matches!(error.kind, DecodeErrorKind::StringTooLong { .. });
            assert!(too_long || found.offset <= error.offset, "{error}, but {found}");
        }
        (Some(SessionError::Malformed(error)), Ok(updates)) => panic!("{error}, but {updates} updates"),
        (None, Ok(updates)) => assert!(whole.received.updates <= updates),
        _ => {}
    }
    decode(&whole.sent).expect("what is sent decodes");
}

fn run(options: u8, pieces: &[&[u8]]) -> Outcome {
    let version = if options & 1 == 0 { ProtocolVersion::V2_1 } else { ProtocolVersion::V2_0 };
    let role =
        [Role::Remote, Role::Remote, Role::Predecessor, Role::Successor][usize::from(options >> 1 & 3)];
    let tables = node::tables(node::LARGE, true, None);
    let mut session = Session::new(node::setup(&tables, version, role), START);
    if options & 8 != 0 {
        session.request_lesson();
    }
    let mut error = None;
    for piece in pieces {
        error = session.handle_input(START + 5, piece).err();
        if let Some(error) = error {
            assert_eq!(session.handle_input(START + 5, b"\0\x04"), Err(error), "an error does not end it");
            break;
        }
    }
    let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
    assert!(events.len() < 256 + stream_events(&events));
    let mut sent = Vec::new();
    while session.poll_transmit(START + 5, sent.len() + 1_000, &mut sent) {}
    let mut view = session.view();
    assert!(view.received_strings.len() <= 128 && view.sent_strings.len() <= 128);
    // An upper bound that counts changes before they are coalesced.
    view.tables.iter_mut().for_each(|table| table.behind = 0);
    Outcome {
        error,
        events,
        received: session.received(),
        contents: node::all_contents(&tables, START + 5),
        view,
        sent,
    }
}

/// Events that are never lost.
fn stream_events(events: &[SessionEvent]) -> usize {
    let kept = |event: &&SessionEvent| {
        matches!(event, SessionEvent::LessonLearned { .. } | SessionEvent::LessonTaught)
    };
    events.iter().filter(kept).count() + 1
}

/// Decodes a stream as far as it goes: the number of updates, or where it is malformed.
fn decode(mut stream: &[u8]) -> Result<u64, DecodeError> {
    let mut decoder = Decoder::new();
    let mut updates = 0;
    loop {
        match decoder.decode(stream) {
            Ok(Some((message, size))) => {
                updates += u64::from(matches!(message, haproxy_peers::Message::Update(_)));
                stream = &stream[size..];
            }
            Ok(None) => return Ok(updates),
            Err(error) => return Err(error),
        }
    }
}
