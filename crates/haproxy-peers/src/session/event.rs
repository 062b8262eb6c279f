//! What a session tells its section.

use std::fmt;

use super::OwnValuesTaught;

/// Something that happened in a session, for the section and for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The peer asked for a lesson, which began.
    LessonRequested,
    /// The peer's update ids start over: it is another process than the one of its sessions before.
    IdsStartOver,
    /// The lesson from this peer ended; `complete` when the peer says that it is up to date itself.
    LessonLearned {
        /// FINISHED or PARTIAL.
        complete: bool,
    },
    /// The process before this one was configured otherwise, so its lesson does not tell all that peers know; comes before
    /// [`LessonLearned`](Self::LessonLearned).
    LessonLacks {
        /// Tables, and data types of tables.
        lacking: String,
    },
    /// The peer is alive, but its lesson did not come or broke off.
    LessonAbandoned,
    /// The peer confirmed the lesson it got.
    LessonTaught,
    /// A hub of the same nodes taught one of them.
    TaughtElsewhere(OwnValuesTaught),
    /// The peer did not confirm the lesson it got; it hears of changes again all the same.
    LessonUnconfirmed,
    /// A table was made from the peer's definition.
    TableCreated {
        /// Its network name.
        table: String,
    },
    /// The peer's updates of a table are ignored.
    TableIgnored {
        /// Its network name.
        table: String,
        /// Why.
        reason: String,
    },
    /// A hub leaves out what the peer tells of a table; see [`TableSet::left_out`](crate::TableSet::left_out).
    LeftOut {
        /// Its network name.
        table: String,
        /// Why.
        reason: String,
    },
    /// What a hub left out before is taken from now on, so the peer has to tell it again.
    LessonNeeded,
    /// The peer defines a table in another way than this side; its updates are taken as far as they fit.
    TableDiffers {
        /// Its network name.
        table: String,
        /// What differs.
        differences: String,
    },
    /// The same, and values that the peer tells are not kept here, or mean something else.
    TableLoses {
        /// Its network name.
        table: String,
        /// What differs.
        differences: String,
        /// What to change.
        remedy: String,
    },
    /// The peer said that it got something malformed; it closes the connection.
    PeerReportsError {
        /// Whether a message was too large for it.
        size_limit: bool,
    },
}

impl fmt::Display for SessionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LessonRequested => f.write_str("the peer asked for a lesson"),
            Self::IdsStartOver => f.write_str("the peer's update ids start over: another process took its place"),
            Self::LessonLearned { complete: true } => f.write_str("the lesson is finished"),
            Self::LessonLearned { complete: false } => {
                f.write_str("the lesson ended as partial: the peer is not up to date itself")
            }
            Self::LessonLacks { lacking } => {
                write!(f, "the former process stored nothing of {lacking}: asking the peers for it")
            }
            Self::LessonAbandoned => f.write_str("the peer does not teach: giving up its lesson, and asking another peer"),
            Self::LessonTaught => f.write_str("the peer confirmed its lesson"),
            Self::TaughtElsewhere(taught) => {
                write!(f, "node {} has its former values from this hub", crate::shown(taught.node.as_bytes()))
            }
            Self::LessonUnconfirmed => f.write_str(
                "the peer did not confirm its lesson within 60 s: live updates go on, and it may have missed entries",
            ),
            Self::TableCreated { table } => write!(f, "table {table} was made from the peer's definition"),
            Self::TableIgnored { table, reason } => {
                write!(f, "updates of table {table} are ignored: {reason}")
            }
            Self::LeftOut { table, reason } => write!(f, "table {table} is left out of the sums: {reason}"),
            Self::LessonNeeded => {
                f.write_str("the sums accept values that they left out: the peer has to send them again")
            }
            Self::TableDiffers { table, differences } => {
                write!(f, "table {table} is defined differently by the peer: {differences}")
            }
            Self::TableLoses { table, differences, remedy } => {
                write!(f, "table {table} is defined differently by the peer: {differences}; {remedy}")
            }
            Self::PeerReportsError { size_limit: false } => f.write_str("the peer reports that this node sent a malformed message, and closes the session; see its log"),
            Self::PeerReportsError { size_limit: true } => {
                f.write_str("the peer reports a message over its size limit, and closes the session; give both the same tune.bufsize")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log has them, and `show peers` the last one.
    #[test]
    fn events_are_told_in_words() {
        let table = || "t".to_owned();
        for (event, text) in [
            (SessionEvent::LessonRequested, "the peer asked for a lesson"),
            (SessionEvent::IdsStartOver, "the peer's update ids start over: another process took its place"),
            (SessionEvent::LessonLearned { complete: true }, "the lesson is finished"),
            (
                SessionEvent::LessonLearned { complete: false },
                "the lesson ended as partial: the peer is not up to date itself",
            ),
            (
                SessionEvent::LessonLacks { lacking: "gpc0 of table t".into() },
                "the former process stored nothing of gpc0 of table t: asking the peers for it",
            ),
            (
                SessionEvent::LessonAbandoned,
                "the peer does not teach: giving up its lesson, and asking another peer",
            ),
            (SessionEvent::LessonTaught, "the peer confirmed its lesson"),
            (
                SessionEvent::LessonUnconfirmed,
                "the peer did not confirm its lesson within 60 s: live updates go on, and it may have missed entries",
            ),
            (SessionEvent::TableCreated { table: table() }, "table t was made from the peer's definition"),
            (
                SessionEvent::TableIgnored { table: table(), reason: "no room".into() },
                "updates of table t are ignored: no room",
            ),
            (
                SessionEvent::LeftOut { table: table(), reason: "no room".into() },
                "table t is left out of the sums: no room",
            ),
            (
                SessionEvent::LessonNeeded,
                "the sums accept values that they left out: the peer has to send them again",
            ),
            (
                SessionEvent::TableDiffers { table: table(), differences: "expire".into() },
                "table t is defined differently by the peer: expire",
            ),
            (
                SessionEvent::TableLoses {
                    table: table(),
                    differences: "gpc0".into(),
                    remedy: "add it".into(),
                },
                "table t is defined differently by the peer: gpc0; add it",
            ),
            (
                SessionEvent::PeerReportsError { size_limit: false },
                "the peer reports that this node sent a malformed message, and closes the session; see its log",
            ),
            (
                SessionEvent::PeerReportsError { size_limit: true },
                "the peer reports a message over its size limit, and closes the session; give both the same tune.bufsize",
            ),
        ] {
            assert_eq!(event.to_string(), text);
        }
    }
}
