//! How the values of a sender's updates go into a table's rows.

use std::ops::Range;
use std::sync::Arc;

use stick_table::{DataType, Layout, Storage};

use crate::{
    DecodeError, Definition, Reader, ReceiveDictionary, WireFrequency, decode_frequency, decode_signed,
    decode_unsigned, decode_unsigned64, skip_value,
};

/// One data type of the sender.
struct Step {
    data_type: DataType,
    storage: Storage,
    /// Elements on the wire.
    count: u64,
    /// Where the first element goes in the data words, and how many elements fit; nothing is stored when `None`.
    place: Option<(usize, u64)>,
    /// Whether the payload may end here: HAProxy 2.0 writes nothing for an unset `server_key` (peers-protocol §18.4).
    may_be_absent: bool,
}

/// What becomes of the varints of one element, and at which data word.
#[derive(Clone, Copy)]
enum Element {
    Skip,
    Word(u32),
    Words64(u32),
    Frequency(u32),
}

/// The steps to decode the values of one table's updates, made once for each definition.
pub(crate) struct Plan {
    steps: Vec<Step>,
    /// The same element by element, for the quick way; `None` when there are strings, or more elements than the quick
    /// way is meant for.
    elements: Option<Vec<Element>>,
}

/// Most elements of the quick way: more are many bytes anyway, and definitions of strangers announce any number.
const MAX_ELEMENTS: u64 = 1_000;

impl Plan {
    /// The plan for a sender's definition and a table's layout; only types that `stored` accepts are kept.
    pub(crate) fn new(definition: &Definition, layout: &Layout, stored: impl Fn(DataType) -> bool) -> Self {
        let steps = definition.columns().map(|column| {
            let data_type = column.data_type;
            let local = layout.columns().iter().find(|(local, _)| local.data_type() == data_type);
            let place = local
                .filter(|_| stored(data_type))
                .map(|(local, offset)| (*offset, u64::from(local.count()).min(column.count)));
            Step {
                data_type,
                storage: data_type.storage(),
                count: column.count,
                place,
                may_be_absent: data_type == DataType::ServerKey && definition.is_last(data_type),
            }
        });
        let steps: Vec<_> = steps.collect();
        let elements = elements(&steps);
        Self { steps, elements }
    }

    /// The data words that the plan writes.
    pub(crate) fn columns(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.steps.iter().filter_map(|step| {
            let (offset, stored) = step.place?;
            Some(offset..offset + stored as usize * step.storage.words())
        })
    }

    /// Decodes all values into `words`, the data words of a row. `now` is the table's clock in ms, wrapped. Returns the
    /// `server_key` when the table stores it and one was sent.
    #[inline]
    pub(crate) fn decode(
        &self,
        reader: &mut Reader<'_>,
        words: &mut [u32],
        dictionary: &mut ReceiveDictionary,
        now: u32,
    ) -> Result<Option<Arc<str>>, DecodeError> {
        match &self.elements {
            Some(elements) if decode_quickly(elements, reader, words, now).is_some() => Ok(None),
            _ => self.decode_carefully(reader, words, dictionary, now),
        }
    }

    /// Decodes field by field, so that an error can say which one is wrong and where.
    fn decode_carefully(
        &self,
        reader: &mut Reader<'_>,
        words: &mut [u32],
        dictionary: &mut ReceiveDictionary,
        now: u32,
    ) -> Result<Option<Arc<str>>, DecodeError> {
        let mut string = None;
        for step in &self.steps {
            let field = step.data_type.name();
            let (mut offset, stored) = step.place.unwrap_or((0, 0));
            for element in 0..step.count {
                match step.storage {
                    Storage::Dictionary => {
                        if step.may_be_absent && reader.is_empty() {
                            break;
                        }
                        let text = dictionary.decode(reader)?;
                        string = if step.place.is_some() { text } else { None };
                    }
                    storage if element >= stored => {
                        skip_value(storage, reader, field)?;
                        continue;
                    }
                    Storage::Signed => words[offset] = decode_signed(reader, field)?.cast_unsigned(),
                    Storage::Unsigned => words[offset] = decode_unsigned(reader, field)?,
                    Storage::Unsigned64 => {
                        let value = decode_unsigned64(reader, field)?;
                        words[offset] = value as u32;
                        words[offset + 1] = (value >> 32) as u32;
                    }
                    Storage::Frequency => {
                        let counter = decode_frequency(reader, field)?.at(now);
                        words[offset] = counter.tick;
                        words[offset + 1] = counter.current;
                        words[offset + 2] = counter.previous;
                    }
                }
                offset += step.storage.words();
            }
        }
        Ok(string)
    }
}

/// The elements of all steps one after the other.
fn elements(steps: &[Step]) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    for step in steps {
        let (mut offset, stored) = step.place.unwrap_or((0, 0));
        for element in 0..step.count {
            if step.storage == Storage::Dictionary || elements.len() as u64 >= MAX_ELEMENTS {
                return None;
            }
            let at = offset as u32;
            match step.storage {
                // Three varints, whether stored or not.
                Storage::Frequency if element >= stored => elements.extend([Element::Skip; 3]),
                _ if element >= stored => elements.push(Element::Skip),
                Storage::Unsigned64 => elements.push(Element::Words64(at)),
                Storage::Frequency => elements.push(Element::Frequency(at)),
                _ => elements.push(Element::Word(at)),
            }
            offset += step.storage.words();
        }
    }
    Some(elements)
}

/// Decodes the elements without saying what is wrong: `None` when something is, or when the buffer ends too soon behind the
/// payload to read eight bytes at once. The reader is where it was then.
#[inline]
fn decode_quickly(elements: &[Element], reader: &mut Reader<'_>, words: &mut [u32], now: u32) -> Option<()> {
    let mut quick = reader.quick();
    for element in elements {
        match *element {
            Element::Skip => _ = quick.varint()?,
            Element::Word(at) => *words.get_mut(at as usize)? = quick.varint_u32()?,
            Element::Words64(at) => {
                let value = quick.varint()?;
                let words: &mut [u32; 2] = words.get_mut(at as usize..)?.first_chunk_mut()?;
                *words = [value as u32, (value >> 32) as u32];
            }
            Element::Frequency(at) => {
                let wire = WireFrequency {
                    age: quick.varint_u32()?,
                    current: quick.varint_u32()?,
                    previous: quick.varint_u32()?,
                };
                let counter = wire.at(now);
                let words: &mut [u32; 3] = words.get_mut(at as usize..)?.first_chunk_mut()?;
                *words = [counter.tick, counter.current, counter.previous];
            }
        }
    }
    reader.accept(&quick)
}
