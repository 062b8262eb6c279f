//! Selection of a table defined before: type 0x83 (peers-protocol §11.2).

use crate::{DecodeError, EncodeError, FrameWriter, Padding, Reader, class, kind, varint};

/// Makes a table current again. No HAProxy sends it, all of them take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Switch {
    /// The sender's id of the table.
    pub table_id: u32,
}

impl Switch {
    /// Reads the payload; bytes after the field are ignored.
    ///
    /// # Errors
    /// When the field is incomplete.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { table_id: reader.varint_u32("table id")? })
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

    /// Appends the message with whatever id it has, for tests of receivers.
    pub fn encode_unchecked(self, out: &mut Vec<u8>) {
        let mut frame = FrameWriter::begin(out, class::STICK_TABLE, kind::SWITCH);
        varint::encode(self.table_id.into(), frame.payload());
        frame.finish(Padding::None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_example() {
        let mut out = Vec::new();
        Switch { table_id: 2 }.encode(&mut out).unwrap();
        assert_eq!(out, [0x0a, 0x83, 0x01, 0x02]);
        assert_eq!(Switch::decode(&mut Reader::new(&out[3..], 3)), Ok(Switch { table_id: 2 }));
        assert_eq!(Switch::decode(&mut Reader::new(&[], 3)), Err(DecodeError::truncated(3, "table id")));
    }

    #[test]
    fn an_id_of_no_table_is_not_written() {
        let mut out = Vec::new();
        for table_id in [0, 1 << 31, u32::MAX] {
            assert_eq!(Switch { table_id }.encode(&mut out), Err(EncodeError::TableId(table_id)));
        }
        assert!(out.is_empty());
        assert_eq!(Switch { table_id: (1 << 31) - 1 }.encode(&mut out), Ok(()));
    }
}
