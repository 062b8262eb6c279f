//! The daemon under test, with an HTTP listener.

use std::net::SocketAddr;

use stickd_testkit::stickd::{config, table};
use stickd_testkit::{StickdProcess, ports};

use crate::client::Client;

pub(crate) const STICKD: &str = env!("CARGO_BIN_EXE_stickd");

/// A stickd with the tables `t` (addresses), `n` (numbers with arrays), `s` (texts) and `full` (two entries, nopurge).
pub(crate) struct Node {
    pub(crate) stickd: StickdProcess,
    pub(crate) http: SocketAddr,
}

impl Node {
    /// `words` stand behind the address of the `http bind` line, `global` are more lines of `global`.
    pub(crate) fn start(words: &str, global: &str) -> Self {
        let http = ports::free_address();
        let stickd = StickdProcess::start(STICKD, Some(&text(http, words, global)), &[]);
        Self { stickd, http }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.http)
    }
}

/// The configuration.
pub(crate) fn text(http: SocketAddr, words: &str, global: &str) -> String {
    let tables = [
        table("t", "type ip size 200k expire 10m store gpc0,conn_cnt,http_req_rate(10s)"),
        table("n", "type integer size 100 store gpt(3),gpc(4),gpc_rate(2,10s),server_id"),
        table("s", "type string len 16 size 100 expire 1m store server_key,bytes_in_cnt,bytes_out_rate(1s)"),
        table("full", "type ip size 2 expire 1m nopurge store gpc0"),
    ];
    let line = format!("global\n  http bind {http} {words}\n{global}");
    config(ports::free_address(), &[]).replacen("global\n", &line, 1) + &tables.concat()
}
