//! Acknowledgements: type 0x84 (peers-protocol §11.1).

use crate::{DecodeError, EncodeError, Frame, FrameWriter, Padding, Reader, class, kind, varint};

/// The last update received of a table.
///
/// Never a proof and never an error: HAProxy 3.3 to 3.5 swap the bytes of the id after an incremental update
/// (peers-protocol §18.1), so any value may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ack {
    /// Id of the table as numbered by the side that *receives* the ack.
    pub table_id: u32,
    /// Id of the last update received, not the highest.
    pub update_id: u32,
}

impl Ack {
    /// Reads the payload; bytes after the last field are ignored.
    ///
    /// # Errors
    /// When a field is incomplete.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { table_id: reader.varint_u32("table id")?, update_id: reader.u32_be("update id")? })
    }

    /// The acknowledgement that 1.6-dev2 and dev3 send under the type of a definition (peers-protocol §18.14): a table id
    /// and four bytes, the first of them 0. As a definition that would be a table without a name, which nobody sends.
    pub fn from_1_6_dev(frame: &Frame<'_>) -> Option<Self> {
        let mut reader = frame.reader();
        let ack = Self::decode(&mut reader).ok()?;
        (reader.is_empty() && ack.update_id < 1 << 24).then_some(ack)
    }

    /// Appends the message.
    ///
    /// # Errors
    /// When the id is none of a table: 0, or more than 2^31 − 1. Nothing is appended then.
    pub fn encode(self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        EncodeError::check_table_id(self.table_id)?;
        self.encode_unchecked(out);
        Ok(())
    }

    /// Appends the message with whatever id it has: a session acknowledges what its peer sent, by the peer's ids.
    pub fn encode_unchecked(self, out: &mut Vec<u8>) {
        let mut frame = FrameWriter::begin(out, class::STICK_TABLE, kind::ACK);
        varint::encode(self.table_id.into(), frame.payload());
        frame.payload().extend_from_slice(&self.update_id.to_be_bytes());
        frame.finish(Padding::None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// peers-protocol §20, the second as made by the releases of §18.1.
    #[test]
    fn acks_as_documented_and_with_swapped_ids() {
        for (ack, bytes) in [
            (Ack { table_id: 1, update_id: 2 }, [0x0a, 0x84, 5, 1, 0, 0, 0, 2]),
            (Ack { table_id: 1, update_id: 0x0200_0000 }, [0x0a, 0x84, 5, 1, 2, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            ack.encode(&mut out).unwrap();
            assert_eq!(out, bytes);
            assert_eq!(Ack::decode(&mut Reader::new(&bytes[3..], 3)), Ok(ack));
        }
    }

    /// A receiver looks for its table of that number.
    #[test]
    fn an_id_of_no_table_is_not_written() {
        let mut out = Vec::new();
        for table_id in [0, 1 << 31, u32::MAX] {
            let ack = Ack { table_id, update_id: 1 };
            assert_eq!(ack.encode(&mut out), Err(EncodeError::TableId(table_id)));
        }
        assert!(out.is_empty());
        assert_eq!(Ack { table_id: (1 << 31) - 1, update_id: 1 }.encode(&mut out), Ok(()));
    }

    #[test]
    fn trailing_bytes_are_ignored_and_short_acks_are_errors() {
        assert!(Ack::decode(&mut Reader::new(&[1, 0, 0, 0, 2, 99], 0)).is_ok());
        assert_eq!(
            Ack::decode(&mut Reader::new(&[1, 0, 0, 0], 10)),
            Err(DecodeError::truncated(11, "update id"))
        );
    }
}
