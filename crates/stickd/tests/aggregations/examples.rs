//! The example of `examples/hub`, as it is but for its addresses: every limit in it denies at the limit of the cluster.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use stickd_testkit::stickd::SOCKET;
use stickd_testkit::{Config, HaproxyProcess, Release, StickdProcess, http, ports, wait};

use crate::cluster::{CONNECTED, STICKD};
use crate::trials::tests;

tests!(the_limits_of_the_example_hold_over_both_nodes);

struct Example {
    hub: StickdProcess,
    nodes: [HaproxyProcess; 2],
    // Answers the requests that are let through.
    _app: HaproxyProcess,
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hub").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Answers with two thousand bytes where `/data` is asked for.
fn app_config(front: SocketAddr, back: SocketAddr) -> Config {
    let body = "x".repeat(2_000);
    let answer = format!("return status 200 content-type text/plain string {body}");
    Config::new("app").http(front, back).rule("data", &answer)
}

impl Example {
    fn start(release: &Release) -> Self {
        let [hub, lb1, lb2, www1, www2, app, unused] = [(); 7].map(|()| ports::free_address());
        let addresses = [
            ("192.168.50.40:10000", hub),
            ("192.168.50.41:10000", lb1),
            ("192.168.50.42:10000", lb2),
            ("192.168.50.41:80", www1),
            ("192.168.50.42:80", www2),
            ("192.168.50.51:8080", app),
        ];
        let placed = |text: String| {
            let text =
                addresses.iter().fold(text, |text, (there, here)| text.replace(there, &here.to_string()));
            assert!(!text.contains("192.168."), "{text}");
            text
        };
        let section = placed(example("stickd.cfg"))
            .replace("stats socket /run/stickd/stickd.sock mode 660", &format!("stats socket unix@{SOCKET}"));
        let node = |name: &str, front| {
            let text = placed(
                example("haproxy.cfg")
                    .replace("localpeer lb1", &format!("localpeer {name}"))
                    .replace("server lb1", &format!("server {name}"))
                    .replace("192.168.50.41", if name == "lb1" { "192.168.50.41" } else { "192.168.50.42" }),
            );
            HaproxyProcess::start(release, Config::of_text(name, text, front))
        };
        Self {
            hub: StickdProcess::start(STICKD, Some(&section), &[]),
            nodes: [node("lb1", www1), node("lb2", www2)],
            _app: HaproxyProcess::start(release, app_config(app, unused)),
        }
    }

    fn request(&self, node: usize, path: &str, key: &str) -> u16 {
        let address: SocketAddr = self.nodes[node].http_address();
        http::get(address, path, &[("x-api-key", key)]).expect("a response").status
    }

    fn state(&self) -> String {
        let tables = ["clients", "clients.agg", "traffic.agg", "hub"];
        let nodes = self
            .nodes
            .iter()
            .flat_map(|node| tables.map(|table| node.cli().run(&format!("show table mypeers/{table}"))));
        nodes.collect::<String>() + &self.hub.cli().run("show aggregations") + &self.hub.daemon().log()
    }

    /// Lets both nodes have requests in turn until each denies; returns how many passed.
    #[track_caller]
    fn until_both_deny(&self, path: &str, key: &str) -> u32 {
        let mut passed = 0;
        wait::until_or(
            CONNECTED,
            &format!("{path} to be denied"),
            || self.state(),
            || {
                let denied = [0, 1].map(|node| self.request(node, path, key) == 429);
                passed += denied.iter().filter(|denied| !**denied).count() as u32;
                // As slow as not to be over before the sum is there.
                std::thread::sleep(Duration::from_millis(20));
                (denied == [true; 2]).then_some(())
            },
        );
        passed
    }
}

fn the_limits_of_the_example_hold_over_both_nodes(release: &Release) {
    let example = Example::start(release);
    for node in &example.nodes {
        wait::until_or(
            CONNECTED,
            "whole sums",
            || example.state(),
            || {
                let hub = node.cli().table("mypeers/hub");
                (hub.entries.get("complete")?.number("gpt0") == 1).then_some(())
            },
        );
    }
    // One node alone sees half of each: no limit of it could deny. `passed` may exceed a limit by what is on its way.
    for (path, key, limit) in [
        ("/", "rate", 100),
        ("/login", "logins", 5),
        ("/export", "exports", 3),
        ("/connect", "connections", 30),
        // Two thousand bytes each.
        ("/data", "bytes", 5),
    ] {
        let passed = example.until_both_deny(path, key);
        // Without the sum each would let as many pass.
        assert!((limit - 1..2 * limit).contains(&passed), "{passed} of {path}: {}", example.state());
    }
}
