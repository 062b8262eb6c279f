//! Selection of a table defined before: type 0x83 (peers-protocol §11.2).

use crate::{DecodeError, FrameWriter, Padding, Reader, class, kind, varint};

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
    pub fn encode(self, out: &mut Vec<u8>) {
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
        Switch { table_id: 2 }.encode(&mut out);
        assert_eq!(out, [0x0a, 0x83, 0x01, 0x02]);
        assert_eq!(Switch::decode(&mut Reader::new(&out[3..], 3)), Ok(Switch { table_id: 2 }));
        assert_eq!(Switch::decode(&mut Reader::new(&[], 3)), Err(DecodeError::truncated(3, "table id")));
    }
}
