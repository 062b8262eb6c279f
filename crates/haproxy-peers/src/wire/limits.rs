//! Every limit of the codec, by name.

/// Most bytes the length of a payload may take (peers-protocol §4).
pub const MAX_LENGTH_VARINT: usize = 5;

/// Most bytes of a varint of 64 bits (peers-protocol §5).
pub const MAX_VARINT: usize = 10;

/// Largest payload a HAProxy with the default `tune.bufsize` accepts, in bytes (peers-protocol §14.2).
pub const DEFAULT_MAX_PAYLOAD: usize = 16_384;

/// Largest whole message that every HAProxy of default settings can buffer, in bytes (peers-protocol §14.2).
pub const SAFE_MESSAGE: usize = 15_360;

/// Longest `server_key` kept unless told otherwise, in bytes: names of servers and addresses are shorter.
pub const DEFAULT_MAX_SERVER_KEY: usize = 256;

/// Strings that one direction of a session remembers; wire ids are 1 to this (peers-protocol §10).
pub const DICTIONARY_SLOTS: usize = 128;

/// Tables a [`Decoder`](crate::Decoder) keeps in mind; definitions of further ones are ignored.
pub const MAX_TABLES: usize = 1_024;
