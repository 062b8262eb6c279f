//! What an operator can do when nothing can listen at an address.

use std::io::{Error, ErrorKind};

use crate::handover::running;

/// A remedy, to stand behind an error; nothing where its text says it. `-sf` is named only where a stickd runs.
pub(crate) fn bind_hint(is_unix: bool, error: &Error, predecessors: &[i32]) -> String {
    hint(is_unix, error.kind(), predecessors, &running()).map_or_else(String::new, |hint| format!("; {hint}"))
}

fn hint(is_unix: bool, kind: ErrorKind, predecessors: &[i32], running: &[u32]) -> Option<String> {
    let which = if is_unix { "ss -lxp" } else { "ss -lntp" };
    let text = match kind {
        ErrorKind::AddrInUse if !predecessors.is_empty() => {
            format!("a process that -sf does not name has the address: \"{which}\" tells which")
        }
        ErrorKind::AddrInUse if !running.is_empty() => {
            let pids: Vec<_> = running.iter().map(ToString::to_string).collect();
            format!("to take over from the stickd that runs, add -sf {}", pids.join(" or -sf "))
        }
        ErrorKind::AddrInUse => {
            format!("no stickd of this user runs: \"{which}\" tells which program has the address")
        }
        ErrorKind::AddrNotAvailable => {
            "this machine does not have the address: \"ip address\" lists those it has".to_owned()
        }
        ErrorKind::PermissionDenied if !is_unix => {
            "a port below 1024 needs the capability CAP_NET_BIND_SERVICE".to_owned()
        }
        _ => return None,
    };
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_take_over_is_proposed_where_one_is_possible() {
        let of = |kind, predecessors: &[i32], running: &[u32]| hint(false, kind, predecessors, running);
        let taken = |running: &[u32]| of(ErrorKind::AddrInUse, &[], running).unwrap();
        assert_eq!(taken(&[12, 34]), "to take over from the stickd that runs, add -sf 12 or -sf 34");
        assert!(!taken(&[]).contains("-sf") && taken(&[]).contains("ss -lntp"));
        assert!(
            of(ErrorKind::AddrInUse, &[12], &[12]).unwrap().starts_with("a process that -sf does not name")
        );
        for kind in [ErrorKind::PermissionDenied, ErrorKind::AddrNotAvailable, ErrorKind::NotFound] {
            assert!(!of(kind, &[], &[12]).unwrap_or_default().contains("-sf"), "{kind}");
        }
        assert_eq!(hint(true, ErrorKind::PermissionDenied, &[], &[]), None, "the text says it");
    }
}
