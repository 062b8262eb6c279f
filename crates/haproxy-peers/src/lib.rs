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

mod wire;
pub use wire::{
    Ack, Control, DEFAULT_MAX_PAYLOAD, DEFAULT_MAX_SERVER_KEY, DICTIONARY_SLOTS, DecodeError,
    DecodeErrorKind, Decoder, DefineHead, DefineOutcome, Definition, DefinitionTail, DictionaryItem,
    EncodeError, ErrorMessage, Frame, FrameWriter, Hello, HelloError, HelloParser, HelloProgress,
    IgnoredReason, LastStatus, MAX_LENGTH_VARINT, MAX_TABLES, MAX_VARINT, Message, Padding, ProtocolVersion,
    Reader, ReceiveDictionary, SAFE_MESSAGE, SendDictionary, Status, StatusParser, StatusProgress, Switch,
    TableUpdate, UnusableReason, Update, UpdateForm, UpdateHeader, WireColumn, WireFrequency, WireKeyType,
    WireValue, class, decode_frame, decode_frequency, decode_key, decode_signed, decode_unsigned,
    decode_unsigned64, encode_frequency, encode_key, encode_signed, encode_unsigned, encode_unsigned64, kind,
    skip_value, varint,
};

mod shown;
pub use shown::{is_printable, one_line, shown};

mod hub;
pub use hub::{Hub, HubError, Mapping, NamedPart, PeerLevel};

mod tables;
pub use tables::{
    Agreement, CreateError, Difference, DynamicTables, DynamicUsage, LeftOut, LeftOutReason, ORDER_MS, Order,
    OrderError, Orders, SharedTable, TablePart, TableSet, TableSetError, TableShards, ToTableError,
    UpdateIds,
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
