//! Bytes and messages: what goes over the wire (docs/peers-protocol.md), without any state but the dictionaries.

mod limits;
pub use limits::{
    DEFAULT_MAX_PAYLOAD, DEFAULT_MAX_SERVER_KEY, DICTIONARY_SLOTS, MAX_LENGTH_VARINT, MAX_TABLES, MAX_VARINT,
    SAFE_MESSAGE,
};

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
