//! Sockets of the runtime API, and what their users may do.

use super::{Address, Span, WildcardFamilies};

/// A `stats socket` line: one socket of the runtime API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatsSocket {
    /// Where to listen.
    pub address: Address,
    /// What it serves at an IPv6 wildcard.
    pub families: WildcardFamilies,
    /// Permissions of a Unix socket, 0 to 0o7777; the umask decides when `None`.
    pub mode: Option<u32>,
    /// Owner of a Unix socket.
    pub user: Option<Owner>,
    /// Group of a Unix socket.
    pub group: Option<Owner>,
    /// What its users may do.
    pub level: Level,
    /// What stands before messages until a connection asks for something else.
    pub severity: SeverityOutput,
    /// The address in the configuration.
    pub span: Span,
}

/// What stands before the messages of a runtime connection. Dumps such as `show table` are no messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeverityOutput {
    /// Nothing.
    #[default]
    None,
    /// `[3]: `
    Number,
    /// `[err]: `
    String,
}

impl SeverityOutput {
    /// The words for it.
    pub(crate) const WORDS: [&str; 3] = ["none", "number", "string"];

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "none" => Self::None,
            "number" => Self::Number,
            "string" => Self::String,
            _ => return None,
        })
    }
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// By name (`user`, `group`).
    Name(String),
    /// By number (`uid`, `gid`).
    Id(u32),
}

/// What a user of a runtime socket may do; each level includes the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Look at what is not sensitive.
    User,
    /// Look at everything and change little: HAProxy's default.
    #[default]
    Operator,
    /// Everything.
    Admin,
}

impl Level {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The level of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::User, Self::Operator, Self::Admin].into_iter().find(|level| level.word() == word)
    }
}
