//! HAProxy's syntax, and nothing of stickd's own: words, quotes and variables of a line, places in texts, messages, arguments, and
//! the words of HAProxy that stickd does not obey.

pub(super) mod arguments;
pub mod diagnostic;
pub mod lexer;
pub mod source;
pub mod words;
