//! The part that `show table`, `set table` and `clear table` share: which table, and which of its entries.

use std::borrow::Cow;
use std::sync::Arc;

use stick_table::{KeyType, Table};
use thiserror::Error;

use super::Context;
use super::filter::{Filter, FilterError};

/// The three commands on tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Show,
    Set,
    Clear,
}

/// Words before the arguments: `show table <name>`.
pub(crate) const WORDS_BEFORE: usize = 3;

/// Which entries a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// All of them.
    All,
    /// The one of a canonical key, named by its key or by its pointer. It need not exist when named by its key.
    Key(Vec<u8>),
    /// Those for which all filters hold.
    Matching(Vec<Filter>),
}

/// Why a command on a table is refused, in HAProxy's words.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum TargetError {
    #[error("No such table")]
    UnknownTable,
    #[error(
        "Nodes count in this table, each for itself: their sum is {0}, and \"show contributions\" tells them apart"
    )]
    Source(String),
    #[error("Key value expected")]
    MissingKey,
    #[error("Invalid key")]
    InvalidKey,
    #[error(
        "{} tables of type other than ip, ipv6, string and integer is not supported",
        match .0 {
            Action::Show => "Showing keys from",
            Action::Set => "Inserting keys into",
            Action::Clear => "Removing keys from",
        }
    )]
    KeyType(Action),
    #[error("Pointer expected (0xffff notation)")]
    MissingPointer,
    #[error("Malformed ptr.")]
    MalformedPointer,
    #[error("No entry can be found matching ptr.")]
    UnknownPointer,
    #[error("content-based lookup is only supported with the \"show\" and \"clear\" actions")]
    FilterOnSet,
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error("{}", usage(*.0))]
    Usage(Action),
}

fn usage(action: Action) -> &'static str {
    match action {
        Action::Show => {
            "Optional argument only supports \"data.<store_data_type>\" <operator> <value> or key <key> or ptr <ptr>"
        }
        Action::Set => {
            "Required arguments: <table> key <key> [data.<store_data_type> <value>]* or <table> ptr <ptr> [data.<store_data_type> <value>]*"
        }
        Action::Clear => {
            "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key> or <table> ptr <ptr>"
        }
    }
}

impl Action {
    /// The table named by the first argument.
    ///
    /// # Errors
    /// When it is missing or there is no such table.
    pub(crate) fn table(
        self,
        context: &dyn Context,
        arguments: &[Vec<u8>],
    ) -> Result<Arc<Table>, TargetError> {
        let name = arguments.first().ok_or(TargetError::Usage(self))?;
        let name = std::str::from_utf8(name).map_err(|_| TargetError::UnknownTable)?;
        match (context.table(name), context.sum(name)) {
            (Some(table), _) => Ok(table),
            (None, Some(sum)) => Err(TargetError::Source(sum.output().definition().name.clone())),
            (None, None) => Err(TargetError::UnknownTable),
        }
    }

    /// Reads the target from the words after the table's name.
    ///
    /// # Errors
    /// When the words name nothing this action can be done on.
    pub(crate) fn target(
        self,
        context: &dyn Context,
        table: &Table,
        words: &[Vec<u8>],
    ) -> Result<Target, TargetError> {
        let definition = table.definition();
        match words.first().map(Vec::as_slice) {
            None => Ok(Target::All),
            Some(b"key") => {
                let key = words.get(1).ok_or(TargetError::MissingKey)?;
                parse_key(self, definition.key_type, key).map(Target::Key)
            }
            Some(b"ptr") => {
                let handle = parse_pointer(words.get(1))?;
                let key = table.key_of_handle(handle, context.now());
                key.map(Target::Key).ok_or(TargetError::UnknownPointer)
            }
            Some(word) if word.starts_with(b"data.") && self == Self::Set => Err(TargetError::FilterOnSet),
            Some(word) if word.starts_with(b"data.") => {
                Ok(Target::Matching(Filter::parse_all(definition, WORDS_BEFORE, words)?))
            }
            Some(_) => Err(TargetError::Usage(self)),
        }
    }
}

/// The canonical form of a key. The keys of string tables are any bytes, others are text.
pub(crate) fn parse_key(action: Action, key_type: KeyType, word: &[u8]) -> Result<Vec<u8>, TargetError> {
    match key_type {
        KeyType::Binary { .. } => Err(TargetError::KeyType(action)),
        KeyType::String { .. } => {
            key_type.canonical(word).map(Cow::into_owned).ok_or(TargetError::InvalidKey)
        }
        KeyType::Integer | KeyType::Ip | KeyType::Ipv6 => {
            let key = std::str::from_utf8(word).ok().and_then(|word| key_type.parse(word).ok());
            key.ok_or(TargetError::InvalidKey)
        }
    }
}

/// Reads `0x` and hexadecimal digits. What is over 64 bits is well formed, but nothing's pointer.
fn parse_pointer(word: Option<&Vec<u8>>) -> Result<u64, TargetError> {
    let digits = word.and_then(|word| word.strip_prefix(b"0x")).ok_or(TargetError::MissingPointer)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(TargetError::MalformedPointer);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| TargetError::MalformedPointer)?;
    u64::from_str_radix(digits, 16).map_err(|_| TargetError::UnknownPointer)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Node, split};
    use super::*;
    use proptest::prelude::*;

    fn target(action: Action, text: &str) -> Result<Target, String> {
        let node = Node::sample();
        let arguments = split(text);
        let table = action.table(&*node, &arguments).map_err(|error| error.to_string())?;
        action.target(&*node, &table, &arguments[1..]).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_read_by_the_type_of_the_table() {
        for (text, key) in [
            ("p/t1 key 10.0.0.1", &[10, 0, 0, 1][..]),
            ("p/t1 key ::ffff:10.0.0.1 more", &[10, 0, 0, 1]),
            ("p/n key -1", &[255; 4]),
            ("p/s key abc", b"abc"),
            (r"p/s key a\ b\;c", b"a b;c"),
        ] {
            assert_eq!(target(Action::Show, text), Ok(Target::Key(key.to_vec())), "{text}");
        }
        assert_eq!(target(Action::Clear, "p/t1"), Ok(Target::All));
    }

    #[test]
    fn refusals_have_the_words_of_haproxy() {
        use Action::{Clear, Set, Show};
        let other = "tables of type other than ip, ipv6, string and integer is not supported";
        for (action, text, message) in [
            (Show, "zz", "No such table"),
            (Show, "p/t1 key", "Key value expected"),
            (Show, "p/t1 key abc", "Invalid key"),
            (Show, "p/bin key 00", &format!("Showing keys from {other}")),
            (Set, "p/bin key 00", &format!("Inserting keys into {other}")),
            (Clear, "p/bin key 00", &format!("Removing keys from {other}")),
            (Show, "p/t1 ptr", "Pointer expected (0xffff notation)"),
            (Show, "p/t1 ptr 12", "Pointer expected (0xffff notation)"),
            (Show, "p/t1 ptr 0X12", "Pointer expected (0xffff notation)"),
            (Show, "p/t1 ptr 0x", "Malformed ptr."),
            (Show, "p/t1 ptr 0x1z", "Malformed ptr."),
            (Show, "p/t1 ptr 0x12", "No entry can be found matching ptr."),
            (Show, "p/t1 ptr 0xffffffffffffffffffff", "No entry can be found matching ptr."),
            (Set, "p/t1 data.gpc0 eq 1", &TargetError::FilterOnSet.to_string()),
            (
                Clear,
                "p/t1 data.gpc0 eq x",
                "Filter entry #1: Require a valid integer value to compare against",
            ),
            (Show, "p/t1 foo", usage(Show)),
            (Set, "p/t1 foo", usage(Set)),
            (Set, "", usage(Set)),
            (Clear, "", usage(Clear)),
        ] {
            assert_eq!(target(action, text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_pointer_leads_to_its_entry() {
        let node = Node::sample();
        node.run("set table p/n key 7");
        let table = node.table("p/n").unwrap();
        let handle = table.get(&[0, 0, 0, 7], node.now(), |entry| entry.handle()).unwrap().unwrap();
        let words = split(&format!("ptr {handle:#x}"));
        assert_eq!(Action::Show.target(&*node, &table, &words), Ok(Target::Key(vec![0, 0, 0, 7])));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r"(p/(t1|n|s|bin)|\PC{0,5}) (key|ptr|data\.\PC{0,8}|x)? ?(0x)?\PC{0,20}") {
            for action in [Action::Show, Action::Set, Action::Clear] {
                let _ = target(action, &text);
            }
        }
    }
}
