//! What a connection may do, and the commands that show or lower it.

use crate::config::Level;

use super::reply::Reply;

/// The answer to a command that needs a higher level.
pub(crate) const DENIED: &str = "Permission denied";

/// HAProxy's word for a level.
pub(crate) fn word(level: Level) -> &'static str {
    level.word()
}

/// Runs `operator` and `user`: a connection can lower its level, never raise it.
pub(crate) fn lower(level: &mut Level, to: Level) -> Reply {
    if *level < to {
        return Reply::line(DENIED);
    }
    *level = to;
    Reply::done()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_only_lowered() {
        let mut level = Level::Admin;
        for (to, after, text) in [
            (Level::Operator, "operator", ""),
            (Level::Operator, "operator", ""),
            (Level::User, "user", ""),
            (Level::Operator, "user", "Permission denied\n"),
        ] {
            let (Reply::Text(answer) | Reply::Message(_, answer)) = lower(&mut level, to) else {
                panic!("a text is expected")
            };
            assert_eq!((answer.as_str(), word(level)), (text, after));
        }
    }
}
