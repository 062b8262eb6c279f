//! Sessions as `show peers` tells of them.

/// What a member says of one remote peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) peer: String,
    /// Whether there is a connection (`appctx:`).
    pub(super) connected: bool,
    /// `last_status`, e.g. `ESTA` or `NONE`.
    pub(super) status: String,
    /// `last_hdshk`, e.g. `6s`.
    pub(super) handshake: String,
    /// `new_conn`.
    pub(super) connections: String,
    /// Ids of updates of the first shared table: last pushed to the peer, acknowledged by it, got from it.
    pub(super) pushed: String,
    pub(super) acked: String,
    pub(super) got: String,
}

impl Session {
    /// Whether updates flow.
    pub(super) fn established(&self) -> bool {
        self.connected && self.status == "ESTA"
    }

    /// The remote peers in the answer to `show peers`, by name.
    pub(super) fn parse(answer: &str) -> Vec<Self> {
        let mut sessions = Vec::new();
        let mut current: Option<Self> = None;
        for line in answer.lines() {
            if let Some(id) =
                line.split(' ').find_map(|word| word.strip_prefix("id=")).filter(|id| id.contains('('))
            {
                sessions.extend(current.take());
                current = id.split_once("(remote,").map(|(peer, _)| Self::new(peer));
            }
            if let Some(session) = &mut current {
                session.read(line);
            }
        }
        sessions.extend(current);
        sessions.sort_by(|one, other| one.peer.cmp(&other.peer));
        sessions
    }

    fn new(peer: &str) -> Self {
        let unknown = || "-".to_owned();
        Self {
            peer: peer.to_owned(),
            connected: false,
            status: unknown(),
            handshake: unknown(),
            connections: unknown(),
            pushed: unknown(),
            acked: unknown(),
            got: unknown(),
        }
    }

    /// Takes what is wanted from a line of its peer; of several shared tables the last one counts.
    fn read(&mut self, line: &str) {
        self.connected |= line.contains(" appctx:");
        for (name, value) in line.split_whitespace().filter_map(|word| word.split_once('=')) {
            let place = match name {
                "last_status" => &mut self.status,
                "last_hdshk" => &mut self.handshake,
                "new_conn" => &mut self.connections,
                "last_pushed" => &mut self.pushed,
                "last_acked" => &mut self.acked,
                "last_get" => &mut self.got,
                _ => continue,
            };
            value.clone_into(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both layouts: `app_state` is there from HAProxy 3.0 on.
    const ANSWER: &str = "\
0x555570c98fc0: [22/Nov/2026:23:44:23] id=p disabled=0 flags=0x6891 resync_timeout=0s task_calls=12
  0x555570c9d140: id=stickd(remote,active) addr=127.0.0.1:12013 last_status=ESTA last_hdshk=6s
        reconnect=1s heartbeat=1s confirm=0 tx_hbt=1 rx_hbt=1 no_hbt=0 new_conn=3 proto_err=0 coll=0
        flags=0x20000200 appctx:0x7fdd14039910 st0=7 st1=0 task_calls=12 state=EST
        remote_table:0x555570dcd010 id=clients local_id=1 remote_id=1
        shared tables:
          0x555570dcd010 local_id=1 remote_id=1 flags=0x0 remote_data=0x604
              last_acked=4 last_pushed=5 last_get=6 teaching_origin=1 update=1
              table:0x555570c9fd80 id=clients update=1 localupdate=1 commitupdate=1 refcnt=1
  0x555570c9c0d0: id=lb2(remote,active) addr=127.0.0.1:12012 app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>
        reconnect=3s heartbeat=1s confirm=0 tx_hbt=1 rx_hbt=1 no_hbt=0 new_conn=2 proto_err=0 coll=1
        flags=0x20000200
        shared tables:
  0x555570c99130: id=lb1(local,inactive) addr=127.0.0.1:12011 last_status=NONE last_hdshk=<NEVER>
        flags=0x0
";

    #[test]
    fn reads_remote_peers() {
        let sessions = Session::parse(ANSWER);
        let [lb2, stickd] = sessions.as_slice() else { panic!("{sessions:?}") };
        assert_eq!((stickd.peer.as_str(), stickd.established()), ("stickd", true));
        assert_eq!((stickd.handshake.as_str(), stickd.connections.as_str()), ("6s", "3"));
        assert_eq!((stickd.acked.as_str(), stickd.pushed.as_str(), stickd.got.as_str()), ("4", "5", "6"));
        assert_eq!((lb2.peer.as_str(), lb2.established(), lb2.status.as_str()), ("lb2", false, "NONE"));
        assert_eq!(lb2.pushed, "-");
    }
}
