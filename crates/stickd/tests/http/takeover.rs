//! The listener passes from one process to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use stickd_testkit::wait::{self, SOON};
use stickd_testkit::{Signal, StickdProcess};

use crate::client::Client;
use crate::node::{Node, STICKD, text};

#[test]
fn no_request_is_refused_while_another_process_takes_over() {
    let Node { mut stickd, http } = Node::start("level operator", "");
    let client = Client::new(http);
    client.send("PUT", "/v1/tables/t/entries/10.0.0.1", r#"{"data":{"gpc0":7}}"#);
    let file = std::fs::read_to_string(stickd.directory().join("stickd.0.cfg")).unwrap();
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let askers: Vec<_> = (0..3)
        .map(|_| {
            let (stop, asked, client) = (Arc::clone(&stop), Arc::clone(&asked), client.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.try_ask("GET", "/v1/tables", "", b"").unwrap();
                    assert_eq!(answer.status, 200);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..2 {
        let before = asked.load(Ordering::Relaxed);
        wait::until(SOON, "requests", || (asked.load(Ordering::Relaxed) > before + 20).then_some(()));
        let old = stickd.replace(Some(&file), &[]).unwrap();
        assert_eq!(old.wait_exit(SOON).code(), Some(0), "{}", old.log());
    }
    let before = asked.load(Ordering::Relaxed);
    wait::until(SOON, "requests", || (asked.load(Ordering::Relaxed) > before + 20).then_some(()));
    stop.store(true, Ordering::Relaxed);
    askers.into_iter().for_each(|asker| asker.join().unwrap());
    wait::until(SOON, "the entry of the first process", || {
        let answer = client.get("/v1/tables/t/entries/10.0.0.1");
        (answer.status == 200 && answer.json()["entry"]["data"]["gpc0"] == 7).then_some(())
    });
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let node = Node::start("level user", "");
    let ended = StickdProcess::try_start(STICKD, Some(&text(node.http, "", "")), &[]).unwrap_err();
    assert!(
        ended.log.contains(&format!("HTTP has no socket: cannot listen on {}", node.http)),
        "{}",
        ended.log
    );
}

#[test]
fn the_start_says_where_the_page_is_and_the_stop_is_quick() {
    let node = Node::start("level user", "");
    let line = format!("listening for HTTP address=\"http://{}/\"", node.http);
    assert!(node.stickd.daemon().log().contains(&line), "{}", node.stickd.daemon().log());
    node.stickd.signal(Signal::TERM);
    assert_eq!(node.stickd.daemon().wait_exit(SOON).code(), Some(0));
}
