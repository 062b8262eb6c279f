//! What there is to show, as plain data: one model for the text of the runtime API, the state in the log, JSON and metrics.
//!
//! [`status`](crate::status) fills it in from the daemon. [`metrics`](crate::metrics) says which numbers of it are counters and
//! limits. Times are in ms and ages at the moment of the view, unless a field says otherwise.

pub(crate) mod entry;
mod hubs;
mod limits;
mod peers;
mod process;
mod store;
mod tables;
mod timer;
pub(crate) mod top;

use serde::Serialize;

pub use hubs::{HubPeerView, HubView, LeftOutView, SumView};
pub use limits::{LimitsView, Usage};
pub use peers::{
    DictionaryView, LearnState, Membership, PeerState, PeerView, SectionView, SessionView, SharedTableView,
    TableRef,
};
pub use process::{ProcessView, StateView};
pub use store::{StateReport, StoreView};
pub use tables::TableView;
pub use timer::Timer;

/// Everything at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct View {
    /// The process, its counts and limits.
    pub process: ProcessView,
    /// The tables in declaration order, those made from definitions of peers last.
    pub tables: Vec<TableView>,
    /// The sections with their peers, the most recently declared first.
    pub sections: Vec<SectionView>,
    /// The hubs in declaration order.
    pub hubs: Vec<HubView>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::metrics::counter::Counter;

    #[test]
    fn the_view_is_plain_json() {
        let mut view = View::default();
        view.process.counts.add(Counter::UpdatesSent, 3);
        let session = SessionView { established: true, ..SessionView::default() };
        let peer = PeerView {
            name: "lb1".to_owned(),
            membership: Membership::Discovered { from: "lb.example".to_owned(), listed: true },
            reconnect: Timer::In(5),
            forgotten: Timer::Past,
            tables: vec![SharedTableView::default()],
            session: Some(session),
            ..PeerView::default()
        };
        view.sections = vec![SectionView { peers: vec![peer], ..SectionView::default() }];
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["process"]["counts"], json!({ "updates_sent": 3 }));
        assert_eq!(json["process"]["limits"]["handshakes"], json!({ "used": 0, "limit": 0, "hits": 0 }));
        let peer = &json["sections"][0]["peers"][0];
        let membership = json!({ "kind": "discovered", "from": "lb.example", "listed": true });
        assert_eq!(peer["membership"], membership);
        assert_eq!((&peer["reconnect"], &peer["forgotten"]), (&json!(5), &json!(0)));
        assert_eq!(peer["session"]["heartbeat"], json!(null));
        assert_eq!(peer["tables"][0]["local_id"], json!(0), "number and name are fields of the table");
        assert_eq!((&peer["state"], &peer["last_status"]), (&json!("stopped"), &json!("NONE")));
    }
}
