//! Format 1 (docs/state-format.md): the header of a segment and the head of a block, byte by byte.

use std::ops::Range;

use stick_table::defect::Defect;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::clock::Written;

/// Which start of the machine a clock counts from.
pub type BootId = [u8; 16];

/// The format that is written.
pub const FORMAT: u16 = 1;

/// Headers and blocks begin at multiples of so many bytes.
pub(crate) const ALIGN: usize = 64;
/// Bytes of a segment before its first block: the header twice, with a gap, so that no 64 bytes of damage meet both.
pub(crate) const HEADERS: usize = SECOND_HEADER + HEADER;
/// Where the second header is.
const SECOND_HEADER: usize = 2 * HEADER;
/// Most bytes of a block's body that are believed.
pub(crate) const MAX_BODY: usize = 1 << 20;

const fn field(after: &Range<usize>, bytes: usize) -> Range<usize> {
    after.end..after.end + bytes
}

fn u16_at(bytes: &[u8], field: Range<usize>) -> u16 {
    u16::from_le_bytes(bytes[field].try_into().unwrap_or_default())
}

fn u32_at(bytes: &[u8], field: Range<usize>) -> u32 {
    u32::from_le_bytes(bytes[field].try_into().unwrap_or_default())
}

fn u64_at(bytes: &[u8], field: Range<usize>) -> u64 {
    u64::from_le_bytes(bytes[field].try_into().unwrap_or_default())
}

/// The header of a segment.
///
/// ```text
/// magic 8 | format 2 | least reader 2 | 0 4 | generation 8 | boot id 16 | seed 8 | segment 8 | XXH3-64 of these 56 bytes 8
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The number of the process that wrote it, among those that used the directory.
    pub(crate) generation: u64,
    pub(crate) boot_id: BootId,
    /// Secret: hashes of blocks begin with it, so that no key that a client chooses passes for a block.
    pub(crate) seed: u64,
    /// The segment's number, as in its name.
    pub(crate) segment: u64,
}

const MAGIC: [u8; 8] = *b"\x93STK\r\n\x1a\n";
const HEADER_MAGIC: Range<usize> = 0..8;
const HEADER_FORMAT: Range<usize> = field(&HEADER_MAGIC, 2);
const LEAST_READER: Range<usize> = field(&HEADER_FORMAT, 2);
const HEADER_ZERO: Range<usize> = field(&LEAST_READER, 4);
const GENERATION: Range<usize> = field(&HEADER_ZERO, 8);
const BOOT_ID: Range<usize> = field(&GENERATION, 16);
const SEED: Range<usize> = field(&BOOT_ID, 8);
const SEGMENT: Range<usize> = field(&SEED, 8);
const HEADER_HASH: Range<usize> = field(&SEGMENT, 8);
const HEADER: usize = HEADER_HASH.end;

/// Why a segment cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Both headers are damaged, or the file is none of ours.
    Damaged,
    /// It needs a reader of this format or a later one.
    Newer(u16),
}

impl Header {
    /// Appends both headers.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut header = [0; HEADER];
        header[HEADER_MAGIC].copy_from_slice(&MAGIC);
        header[HEADER_FORMAT].copy_from_slice(&FORMAT.to_le_bytes());
        header[LEAST_READER].copy_from_slice(&FORMAT.to_le_bytes());
        header[GENERATION].copy_from_slice(&self.generation.to_le_bytes());
        header[BOOT_ID].copy_from_slice(&self.boot_id);
        header[SEED].copy_from_slice(&self.seed.to_le_bytes());
        header[SEGMENT].copy_from_slice(&self.segment.to_le_bytes());
        let hash = xxh3_64(&header[..HEADER_HASH.start]);
        header[HEADER_HASH].copy_from_slice(&hash.to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(&[0; SECOND_HEADER - HEADER]);
        out.extend_from_slice(&header);
    }

    /// The header of a segment, by the first copy that is whole.
    pub(crate) fn decode(segment: &[u8]) -> Result<Self, HeaderFault> {
        let mut fault = HeaderFault::Damaged;
        for at in [0, SECOND_HEADER] {
            let Some(header) = segment.get(at..at + HEADER) else { continue };
            if header[HEADER_MAGIC] != MAGIC
                || u64_at(header, HEADER_HASH) != xxh3_64(&header[..HEADER_HASH.start])
            {
                continue;
            }
            let least = u16_at(header, LEAST_READER);
            if least > FORMAT {
                fault = HeaderFault::Newer(least);
                continue;
            }
            let mut boot_id = [0; 16];
            boot_id.copy_from_slice(&header[BOOT_ID]);
            return Ok(Self {
                generation: u64_at(header, GENERATION),
                boot_id,
                seed: u64_at(header, SEED),
                segment: u64_at(header, SEGMENT),
            });
        }
        Err(fault)
    }
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A table: its name, a line break, its definition. Tables have numbers of their segment.
    Table,
    /// Entries with their newest values.
    Rows,
    /// Keys that were removed.
    Removed,
    /// All entries of a table follow, from here to its [`CaughtUp`](Self::CaughtUp): those before count no more.
    StartOver,
    /// The end of that; its body is the number of the block that began it.
    CaughtUp,
    /// All entries of all tables follow, from here to the [`LapEnd`](Self::LapEnd), between what changes meanwhile.
    LapBegin,
    /// The end of that; its body is the number of the block that began it.
    LapEnd,
    /// Nothing, to keep others apart.
    Gap,
    /// A source of a hub: its name, a line break, its definition. Its number is one of those of tables.
    Source,
    /// What the nodes told of keys of a source.
    Contributions,
    /// Of a later format: passed over.
    Unknown(u16),
}

impl Kind {
    const fn number(self) -> u16 {
        match self {
            Self::Table => 1,
            Self::Rows => 2,
            Self::Removed => 3,
            Self::StartOver => 4,
            Self::CaughtUp => 5,
            Self::LapBegin => 6,
            Self::LapEnd => 7,
            Self::Gap => 8,
            Self::Source => 9,
            Self::Contributions => 10,
            Self::Unknown(number) => number,
        }
    }

    const fn of_number(number: u16) -> Self {
        match number {
            1 => Self::Table,
            2 => Self::Rows,
            3 => Self::Removed,
            4 => Self::StartOver,
            5 => Self::CaughtUp,
            6 => Self::LapBegin,
            7 => Self::LapEnd,
            8 => Self::Gap,
            9 => Self::Source,
            10 => Self::Contributions,
            number => Self::Unknown(number),
        }
    }
}

/// The head of a block; its body follows, and zeros up to a multiple of 64 bytes.
///
/// ```text
/// magic 4 | kind 2 | 0 2 | table 4 | rows 4 | bytes of the body 4 | 0 4 | number 8 | wall ms 8 | boot ms 8 |
/// XXH3-64 of the body 8 | XXH3-64 of these 56 bytes 8
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// The number of the table that it is about, in its segment.
    pub(crate) table: u32,
    /// Entries or keys in the body.
    pub(crate) rows: u32,
    /// Bytes of the body.
    pub(crate) bytes: u32,
    /// One more than that of the block before, in one generation.
    pub(crate) number: u64,
    /// When it was written.
    pub(crate) wall: u64,
    pub(crate) boot: u64,
    body_hash: u64,
}

const BLOCK_MAGIC: [u8; 4] = *b"STKB";
const MAGIC_OF_BLOCK: Range<usize> = 0..4;
const KIND: Range<usize> = field(&MAGIC_OF_BLOCK, 2);
const KIND_ZERO: Range<usize> = field(&KIND, 2);
const TABLE: Range<usize> = field(&KIND_ZERO, 4);
const ROWS: Range<usize> = field(&TABLE, 4);
const BYTES: Range<usize> = field(&ROWS, 4);
const BYTES_ZERO: Range<usize> = field(&BYTES, 4);
const NUMBER: Range<usize> = field(&BYTES_ZERO, 8);
const WALL: Range<usize> = field(&NUMBER, 8);
const BOOT: Range<usize> = field(&WALL, 8);
const BODY_HASH: Range<usize> = field(&BOOT, 8);
const HEAD_HASH: Range<usize> = field(&BODY_HASH, 8);
/// Bytes of a head.
pub(crate) const HEAD: usize = HEAD_HASH.end;

const _: () = assert!(HEADER == ALIGN && HEAD == ALIGN && HEADERS.is_multiple_of(ALIGN));

/// What a block is before it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewBlock {
    pub(crate) kind: Kind,
    pub(crate) table: u32,
    pub(crate) rows: u32,
    pub(crate) number: u64,
    pub(crate) wall: u64,
    pub(crate) boot: u64,
}

impl NewBlock {
    /// Appends the block with its body and padding.
    pub(crate) fn encode(&self, body: &[u8], seed: u64, out: &mut Vec<u8>) {
        let mut head = [0; HEAD];
        head[MAGIC_OF_BLOCK].copy_from_slice(&BLOCK_MAGIC);
        head[KIND].copy_from_slice(&self.kind.number().to_le_bytes());
        head[TABLE].copy_from_slice(&self.table.to_le_bytes());
        head[ROWS].copy_from_slice(&self.rows.to_le_bytes());
        head[BYTES].copy_from_slice(&(body.len() as u32).to_le_bytes());
        head[NUMBER].copy_from_slice(&self.number.to_le_bytes());
        head[WALL].copy_from_slice(&self.wall.to_le_bytes());
        head[BOOT].copy_from_slice(&self.boot.to_le_bytes());
        head[BODY_HASH].copy_from_slice(&xxh3_64_with_seed(body, seed).to_le_bytes());
        let hash = xxh3_64_with_seed(&head[..HEAD_HASH.start], seed);
        head[HEAD_HASH].copy_from_slice(&hash.to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
    }
}

impl Head {
    /// The head at the beginning of `bytes`, if there is a whole one.
    pub(crate) fn decode(bytes: &[u8], seed: u64) -> Option<Self> {
        let head = bytes.get(..HEAD)?;
        if head[MAGIC_OF_BLOCK] != BLOCK_MAGIC
            || u64_at(head, HEAD_HASH) != xxh3_64_with_seed(&head[..HEAD_HASH.start], seed)
        {
            return None;
        }
        let it = Self {
            kind: Kind::of_number(u16_at(head, KIND)),
            table: u32_at(head, TABLE),
            rows: u32_at(head, ROWS),
            bytes: u32_at(head, BYTES),
            number: u64_at(head, NUMBER),
            wall: u64_at(head, WALL),
            boot: u64_at(head, BOOT),
            body_hash: u64_at(head, BODY_HASH),
        };
        (it.bytes as usize <= MAX_BODY).then_some(it)
    }

    /// The body behind the head at the beginning of `bytes`, if it is whole.
    pub(crate) fn body<'b>(&self, bytes: &'b [u8], seed: u64) -> Option<&'b [u8]> {
        let body = bytes.get(HEAD..HEAD + self.bytes as usize)?;
        let is_whole = xxh3_64_with_seed(body, seed) == self.body_hash;
        (is_whole || Defect::StoreTrustsDamage.is_on()).then_some(body)
    }

    /// Bytes of the whole block, with its padding.
    pub(crate) const fn size(&self) -> usize {
        (HEAD + self.bytes as usize).next_multiple_of(ALIGN)
    }

    /// When it was written.
    pub(crate) const fn written(&self, boot_id: BootId) -> Written {
        Written { wall: self.wall, boot: self.boot, boot_id: Some(boot_id) }
    }
}

/// A segment of these blocks, with right hashes: kind, table, rows and body of each. For the fuzz target of the reader, to which
/// random bytes would be no block at all.
#[doc(hidden)]
pub fn segment_of<'b>(blocks: impl IntoIterator<Item = (u16, u32, u32, &'b [u8])>) -> Vec<u8> {
    let seed = 1;
    let mut out = Vec::new();
    Header { generation: 1, boot_id: [0; 16], seed, segment: 1 }.encode(&mut out);
    for (number, (kind, table, rows, body)) in (1..).zip(blocks) {
        let kind = Kind::of_number(kind);
        NewBlock { kind, table, rows, number, wall: 0, boot: 0 }.encode(body, seed, &mut out);
    }
    out
}

/// The name of a segment's file.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{number:010}.log")
}

/// The number of a segment by the name of its file.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number =
        name.strip_suffix(".log").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    number.parse().ok().filter(|&number| segment_name(number) == name)
}
