//! `show state`: tables on disk.

use super::reply::{Reply, put};
use crate::view::StoreView;

/// Runs `show state`.
pub(crate) fn run(view: Option<&StoreView>) -> Reply {
    let Some(view) = view else {
        return Reply::info(
            "No tables are kept on disk: \"state DIRECTORY\" in the global section keeps them",
        );
    };
    let StoreView { directory, numbers, report } = view;
    let mut out = format!("directory: {directory}\n");
    let condition = if report.failure.is_some() { "degraded" } else { "ok" };
    put(&mut out, format_args!("state: {condition}\n"));
    if let Some(failure) = &report.failure {
        put(&mut out, format_args!("failure: {}\n", haproxy_peers::one_line(failure)));
    }
    put(&mut out, format_args!("bytes: {}\nsegments: {}\n", numbers.bytes, numbers.segments));
    put(&mut out, format_args!("last_sync: {} ms ago, of everything from before\n", numbers.lag_ms));
    put(&mut out, format_args!("lag_ms: {}\nfailures: {}\n", numbers.lag_ms, numbers.failures));
    let (entries, expired, refused) = (report.entries, report.expired, report.refused);
    put(&mut out, format_args!("loaded: {entries} entries, {expired} expired, {refused} without room\n"));
    let unreadable = report.unreadable.len() + report.more_unreadable;
    put(&mut out, format_args!("unreadable: {unreadable}\n"));
    for part in &report.unreadable {
        put(&mut out, format_args!("  {}\n", haproxy_peers::one_line(part)));
    }
    if report.more_unreadable > 0 {
        put(&mut out, format_args!("  and {} more\n", report.more_unreadable));
    }
    Reply::Text(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{StateReport, StateView};

    #[test]
    fn everything_is_said() {
        let report = StateReport {
            entries: 7,
            expired: 2,
            unreadable: vec!["1.log: 64 bytes at offset 128, 3 entries or keys of t".to_owned()],
            more_unreadable: 4,
            failure: Some("1.log: disk full".to_owned()),
            ..StateReport::default()
        };
        let numbers = StateView { bytes: 1_000, segments: 2, lag_ms: 77, failures: 9 };
        let view = StoreView { directory: "/var/lib/stickd".to_owned(), numbers, report };
        let Reply::Text(text) = run(Some(&view)) else { panic!("a text is expected") };
        assert_eq!(
            text,
            "directory: /var/lib/stickd\nstate: degraded\nfailure: 1.log: disk full\nbytes: 1000\nsegments: 2\n\
             last_sync: 77 ms ago, of everything from before\nlag_ms: 77\nfailures: 9\nloaded: 7 entries, 2 expired, 0 without room\nunreadable: 5\n  \
             1.log: 64 bytes at offset 128, 3 entries or keys of t\n  and 4 more\n"
        );
        assert!(matches!(run(None), Reply::Message(..)));
    }
}
