//! Hubs side by side: what one of them taught a node, the others know.
//!
//! A node's process that began again asks one of its hubs for what it had told before, and counts on from there. The others have
//! what the former process told as well, and cannot know whether the next value holds it or comes on top. The hub that taught it
//! says so, to those that its configuration calls `beside`:
//!
//! ```text
//! | 00 f3 | length | length of the name | name of the node | ms since its session began | ms since its lesson began |
//! ```
//!
//! Class and type are stickd's own, and every HAProxy passes over them (peers-protocol §4). Lengths and times are varints. No
//! value crosses, so no sum becomes part of another one.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use stick_table::Millis;

use crate::{DecodeError, FrameWriter, Padding, Reader, class, varint};

/// Type of the message.
pub(crate) const KIND: u8 = 0xf3;
/// How long other hubs are told of a lesson, in ms: one that is not connected now may be in a moment.
pub(crate) const TOLD_FOR_MS: u64 = 15_000;
/// Most lessons that are told of; the oldest ones are dropped.
const MAX_LESSONS: usize = 4_096;

/// A node's process has what a hub knew of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnValuesTaught {
    /// The node's name.
    pub node: String,
    /// When its session with that hub began, by the clock of whoever holds this, in ms.
    pub session_began: Millis,
    /// When the lesson began.
    pub lesson_began: Millis,
}

impl OwnValuesTaught {
    fn encode(&self, now: Millis, out: &mut Vec<u8>) {
        let mut frame = FrameWriter::begin(out, class::CONTROL, KIND);
        let payload = frame.payload();
        varint::encode(self.node.len() as u64, payload);
        payload.extend_from_slice(self.node.as_bytes());
        for at in [self.session_began, self.lesson_began] {
            varint::encode(now.saturating_sub(at), payload);
        }
        frame.finish(Padding::ForOldReceivers);
    }

    /// Reads the payload; `None` when the name is none.
    pub(crate) fn decode(reader: &mut Reader<'_>, now: Millis) -> Result<Option<Self>, DecodeError> {
        let len = reader.varint_u32("length of a node's name")?;
        let name = reader.bytes(len as usize, "name of a node")?;
        let session_began = now.saturating_sub(reader.varint("age of a session")?);
        let lesson_began = now.saturating_sub(reader.varint("age of a lesson")?);
        let node = std::str::from_utf8(name).ok().filter(|name| !name.is_empty());
        Ok(node.map(|node| Self { node: node.to_owned(), session_began, lesson_began }))
    }
}

/// The lessons that hubs beside this one are told of. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LessonsTaught(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// With their numbers, which ascend, and when they were confirmed.
    lessons: VecDeque<(u64, Millis, OwnValuesTaught)>,
    /// Number of the last one.
    last: u64,
}

impl LessonsTaught {
    /// Notes a lesson that a node has confirmed.
    pub(crate) fn add(&self, taught: OwnValuesTaught, now: Millis) {
        let mut known = self.0.lock();
        known.lessons.retain(|(_, at, other)| other.node != taught.node && now < at + TOLD_FOR_MS);
        if known.lessons.len() == MAX_LESSONS {
            known.lessons.pop_front();
        }
        known.last += 1;
        let number = known.last;
        known.lessons.push_back((number, now, taught));
    }

    /// Appends the lessons behind number `after`; returns the number of the last one.
    pub(crate) fn encode(&self, after: u64, now: Millis, out: &mut Vec<u8>) -> u64 {
        let known = self.0.lock();
        let news = known.lessons.iter().filter(|(number, at, _)| *number > after && now < at + TOLD_FOR_MS);
        news.for_each(|(.., taught)| taught.encode(now, out));
        known.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taught(node: &str, session_began: Millis, lesson_began: Millis) -> OwnValuesTaught {
        OwnValuesTaught { node: node.to_owned(), session_began, lesson_began }
    }

    #[test]
    fn a_lesson_is_told_once_to_each_and_by_its_age() {
        let lessons = LessonsTaught::default();
        lessons.add(taught("lb1", 1_000, 1_200), 1_300);
        let mut out = Vec::new();
        assert_eq!(lessons.encode(0, 1_500, &mut out), 1);
        assert_eq!(out, [0, 0xf3, 8, 3, b'l', b'b', b'1', 0xf4, 16, 0xfc, 3]);
        let read = OwnValuesTaught::decode(&mut Reader::new(&out[3..], 3), 90_000).unwrap();
        assert_eq!(read, Some(taught("lb1", 89_500, 89_700)), "by the clock of who reads it");
        out.clear();
        assert_eq!((lessons.encode(1, 1_500, &mut out), out.len()), (1, 0));
        // The node's next lesson takes its place; one that is too long ago is not told.
        lessons.add(taught("lb2", 2_000, 2_000), 2_000);
        lessons.add(taught("lb1", 3_000, 3_000), 3_000);
        assert_eq!(lessons.encode(1, 2_000 + TOLD_FOR_MS, &mut out), 3);
        assert_eq!(out.len(), 13, "one: {out:?}");
    }

    #[test]
    fn what_is_no_name_says_nothing_and_what_is_cut_off_is_malformed() {
        let decode = |bytes: &[u8]| OwnValuesTaught::decode(&mut Reader::new(bytes, 0), 5);
        assert_eq!(decode(&[0, 1, 1]), Ok(None));
        assert_eq!(decode(&[2, 0xff, 0xfe, 1, 1]), Ok(None));
        assert_eq!(decode(&[1, b'a', 9, 9, 7, 7]), Ok(Some(taught("a", 0, 0))), "what follows is for later");
        for bytes in [&[][..], &[3, b'a'], &[1, b'a'], &[1, b'a', 1]] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
