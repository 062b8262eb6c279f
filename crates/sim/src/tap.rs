//! Reads along what passes through one direction of a connection: what was said when, and when it was heard.

use std::collections::VecDeque;

use haproxy_peers::{Control, Decoder, Message, ProtocolVersion, WireValue};
use stick_table::{DataType, Millis};

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The hello, of a process of this name.
    Hello { version: ProtocolVersion, target: String, sender: String },
    /// Its answer.
    Status(u32),
    /// A lesson is asked for.
    Request,
    /// A lesson ends.
    End { complete: bool },
    /// The end is confirmed.
    Confirm,
    /// An acknowledgement, by the table's id at the one who hears it.
    Ack { table_id: u32, id: u32 },
    /// An update.
    Update(Update),
    /// An error message: the other end sent something malformed.
    Error,
    /// Heartbeats, definitions.
    Other,
}

/// An update of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// The table's id at the one who says it.
    pub(crate) table_id: u32,
    /// The table's name on the wire.
    pub(crate) table: String,
    /// The key.
    pub(crate) key: u32,
    /// The value of `gpc0`, which is a new one for each write.
    pub(crate) value: u32,
    /// The update's id.
    pub(crate) id: u32,
    /// Whether it tells the remaining lifetime.
    pub(crate) timed: bool,
}

/// Something said, and between which two moments it was put into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    /// The earliest moment.
    pub(crate) made: Millis,
    /// The latest.
    pub(crate) entered: Millis,
    /// What.
    pub(crate) said: Said,
}

/// One direction. `T` is what the world adds to each thing said.
#[derive(Debug)]
pub(crate) struct Tap<T> {
    /// Lines of the handshake that are to come.
    lines: usize,
    text: Vec<String>,
    decoder: Decoder,
    /// Bytes that are no whole message yet.
    rest: Vec<u8>,
    entered: u64,
    heard: u64,
    /// Since when what is said now may have been put into words.
    since: Millis,
    /// Said, not heard to its end, with where it ends.
    waiting: VecDeque<(u64, Noted, T)>,
}

impl<T> Tap<T> {
    /// The direction of the one who connects, or of the one who accepts.
    pub(crate) fn new(connects: bool) -> Self {
        Self {
            lines: if connects { 3 } else { 1 },
            text: Vec::new(),
            decoder: Decoder::new(),
            rest: Vec::new(),
            entered: 0,
            heard: 0,
            since: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Somebody asked for bytes to send and got `bytes`. `drained` says whether that was everything there was: what comes
    /// next will be put into words later.
    ///
    /// # Errors
    /// When it is not the protocol.
    pub(crate) fn say(
        &mut self,
        now: Millis,
        bytes: &[u8],
        drained: bool,
        mut note: impl FnMut(&Noted) -> T,
    ) -> Result<(), String> {
        self.rest.extend_from_slice(bytes);
        let mut taken = 0;
        while let Some((said, size)) = self.next(taken)? {
            taken += size;
            self.entered += size as u64;
            let noted = Noted { made: self.since, entered: now, said };
            let added = note(&noted);
            self.waiting.push_back((self.entered, noted, added));
        }
        self.rest.drain(..taken);
        if drained {
            self.since = now;
        }
        Ok(())
    }

    /// Whoever sends looked for something to say, and had nothing.
    pub(crate) fn nothing(&mut self, now: Millis) {
        self.since = now;
    }

    fn next(&mut self, from: usize) -> Result<Option<(Said, usize)>, String> {
        let bytes = &self.rest[from..];
        if self.lines == 0 {
            let decoded = self.decoder.decode(bytes).map_err(|error| error.to_string())?;
            return Ok(decoded.map(|(message, size)| (said(message), size)));
        }
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        self.text.push(String::from_utf8_lossy(&bytes[..end]).into_owned());
        self.lines -= 1;
        let said = match (self.lines, &self.text[..]) {
            (0, [status]) => Said::Status(status.trim().parse().unwrap_or(0)),
            (0, [version, target, sender]) => Said::Hello {
                version: if version.ends_with("2.0") { ProtocolVersion::V2_0 } else { ProtocolVersion::V2_1 },
                target: target.clone(),
                sender: sender.split(' ').next().unwrap_or_default().to_owned(),
            },
            _ => Said::Other,
        };
        Ok(Some((said, end + 1)))
    }

    /// Bytes were heard; what they complete.
    pub(crate) fn hear(&mut self, bytes: usize) -> Vec<(Noted, T)> {
        self.heard += bytes as u64;
        let mut complete = Vec::new();
        while let Some((_, noted, added)) = self.waiting.pop_front_if(|(end, ..)| *end <= self.heard) {
            complete.push((noted, added));
        }
        complete
    }
}

fn said(message: Message<'_>) -> Said {
    match message {
        Message::Control(Control::ResyncRequest) => Said::Request,
        Message::Control(Control::ResyncFinished) => Said::End { complete: true },
        Message::Control(Control::ResyncPartial) => Said::End { complete: false },
        Message::Control(Control::ResyncConfirm) => Said::Confirm,
        Message::Ack(ack) => Said::Ack { table_id: ack.table_id, id: ack.update_id },
        Message::Error(_) => Said::Error,
        Message::Update(update) => {
            let gpc0 = update.update.values.iter().find(|(data_type, _)| *data_type == DataType::Gpc0);
            let value = match gpc0.and_then(|(_, values)| values.first()) {
                Some(WireValue::Unsigned(value)) => *value,
                _ => 0,
            };
            let key = update.update.key.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            Said::Update(Update {
                table_id: update.table.id,
                table: update.table.display_name().into_owned(),
                key,
                value,
                id: update.id,
                timed: update.update.header.lifetime_ms.is_some(),
            })
        }
        _ => Said::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_heard_with_its_last_byte() {
        let mut tap = Tap::new(true);
        let mut said = Vec::new();
        tap.nothing(5);
        tap.say(7, b"HAProxyS 2.1\nb\na 1 1\n\0\0\0", false, |noted| said.push(noted.clone())).unwrap();
        tap.say(9, b"\x04", true, |noted| said.push(noted.clone())).unwrap();
        let version = ProtocolVersion::V2_1;
        let hello = Said::Hello { version, target: "b".into(), sender: "a".into() };
        assert_eq!(
            said.iter().map(|noted| &noted.said).collect::<Vec<_>>(),
            [&Said::Other, &Said::Other, &hello, &Said::Request, &Said::Other]
        );
        assert_eq!((said[4].made, said[4].entered), (5, 9), "it may have waited to be sent");
        assert_eq!(tap.hear(20).len(), 2);
        assert_eq!(tap.hear(2).len(), 1);
        assert_eq!(tap.hear(1)[0].0.said, Said::Request);
        assert_eq!(tap.hear(1).len(), 0);
        assert_eq!(tap.hear(1).len(), 1);
        assert!(tap.say(10, &[10, 0x80, 1, 0, 255, 0, 0], true, |_| ()).is_err(), "no such class");
    }
}
