//! HAProxy's peers protocol, versions 2.1 and 2.0, without I/O.
//!
//! Bytes go in as slices and come out into a `Vec<u8>`; nothing here opens a socket, reads a clock or panics on
//! what a peer sends. Every decoding error says at which byte of the stream it happened.
//!
//! Where to look first:
//!
//! - [`Decoder`] and [`Message`]: read a recorded or live stream, message by message. Enough for tools.
//! - [`HelloParser`], [`StatusParser`], [`Hello`], [`Status`]: what precedes the messages.
//! - [`decode_frame`], [`FrameWriter`], [`UpdateHeader`], [`decode_key`], [`Reader`]: the pieces for those who decode
//!   straight into their own rows, without allocation.
//! - [`Definition`]: what a sender says about a table, and how that [agrees](Definition::agreement) with one's own.

mod limits;
pub use limits::{
    DEFAULT_MAX_PAYLOAD, DEFAULT_MAX_SERVER_KEY, DICTIONARY_SLOTS, MAX_LENGTH_VARINT, MAX_TABLES, MAX_VARINT,
    SAFE_MESSAGE,
};

mod shown;
pub use shown::{is_printable, one_line, shown};

mod error;
pub use error::{DecodeError, DecodeErrorKind};

mod encode_error;
pub use encode_error::EncodeError;

pub mod varint;

mod reader;
pub use reader::Reader;

mod version;
pub use version::ProtocolVersion;

mod status;
pub use status::{LastStatus, Status, StatusParser, StatusProgress};

mod hello;
pub use hello::{Hello, HelloError, HelloParser, HelloProgress};

mod frame;
pub use frame::{Frame, FrameWriter, Padding, class, decode_frame, kind};

mod control;
pub use control::Control;

mod error_message;
pub use error_message::ErrorMessage;

mod ack;
pub use ack::Ack;

mod switch;
pub use switch::Switch;

mod wire_key_type;
pub use wire_key_type::WireKeyType;

mod define;
pub use define::{DefineHead, DefineOutcome, Definition, DefinitionTail, UnusableReason, WireColumn};

mod agreement;
pub use agreement::{Agreement, Difference};

mod to_table;
pub use to_table::ToTableError;

mod dictionary;
pub use dictionary::{DictionaryItem, ReceiveDictionary, SendDictionary};

mod key;
pub use key::{decode_key, encode_key};

mod value;
pub use value::{
    WireFrequency, WireValue, decode_frequency, decode_signed, decode_unsigned, decode_unsigned64,
    encode_frequency, encode_signed, encode_unsigned, encode_unsigned64, skip_value,
};

mod update;
pub use update::{Update, UpdateForm, UpdateHeader};

mod message;
pub use message::{Decoder, IgnoredReason, Message, TableUpdate};

mod shard;
pub use shard::TableShards;

mod hub;
pub use hub::{Hub, Mapping, NamedPart, PeerLevel};

mod tables;
pub use tables::{
    CreateError, DynamicTables, DynamicUsage, LeftOut, LeftOutReason, ORDER_MS, Order, OrderError, Orders,
    SharedTable, TablePart, TableSet, TableSetError, UpdateIds,
};

mod session;
pub use session::{
    Counters, HEARTBEAT_MS, LevelsError, Limits, OwnValuesTaught, Received, Relays, Resume, Role,
    SILENCE_IN_LESSON_MS, SILENCE_MS, SILENCE_WITHOUT_HEARTBEATS_MS, Sent, Session, SessionError,
    SessionEvent, SessionSetup, SessionView, SharedTableView,
};
pub(crate) use session::{LessonsTaught, Levels};

mod section;
pub use section::{
    Action, ConfiguredPeer, EndReason, Greeting, HubState, LastHeard, PeerCounters, PeerId, PeerKind,
    PeerView, ResyncState, Section, SectionConfig, SectionError, SectionView, SessionId, StopProgress,
};
