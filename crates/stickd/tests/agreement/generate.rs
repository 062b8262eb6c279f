//! Files with one generated or changed line each, by a seed.

use stickd::config::syntax::words;

/// Values that words take, good and bad ones.
const VALUES: [&str; 34] = [
    "1",
    "0",
    "2",
    "5s",
    "100ms",
    "none",
    "required",
    "optional",
    "on",
    "off",
    "all",
    "local0",
    "info",
    "TLSv1.2",
    "TLSv1.3",
    "TLSv1.0",
    "ipv4",
    "fdr",
    "127.0.0.1:19990",
    "127.0.0.1",
    "10.0.0.1:80",
    "lo",
    "admin",
    "last,libc,none",
    "HIGH",
    "h2",
    "x",
    "-1",
    "99999999999",
    "str(a.example)",
    "1-2",
    "/tmp",
    "1k",
    "50%",
];
/// stickd's own words for lines of peers, with what follows.
const PARAMETERS: [&str; 18] = [
    "ssl",
    "no-ssl",
    "verify none",
    "verify required",
    "no-sslv3",
    "no-tlsv10",
    "no-tlsv11",
    "no-tlsv12",
    "no-tlsv13",
    "force-tlsv12",
    "force-tlsv13",
    "ssl-min-ver TLSv1.2",
    "ssl-max-ver TLSv1.3",
    "alpn haproxy-peers",
    "sni str(a.example)",
    "verifyhost a.example",
    "shard 1",
    "v4v6",
];
/// Lines of `global` that stickd obeys, good and bad ones.
const GLOBAL: [&str; 24] = [
    "localpeer me",
    "node n1",
    "description a b c",
    "maxconn 100",
    "maxconn 2000000",
    "maxconn x",
    "maxconn",
    "log stderr local0",
    "log stdout format raw local0 info",
    "log 127.0.0.1:514 local0",
    "log /dev/log local1 notice err",
    "log stdout len 4096 format rfc5424 daemon",
    "log 127.0.0.1",
    "log stderr",
    "stats timeout 30s",
    "stats maxconn 5",
    "stats socket /tmp/stickd-agreement.sock mode 600 level admin",
    "stats socket 127.0.0.1:19991 level operator",
    "setenv A b",
    "presetenv A b",
    "unsetenv A",
    "resetenv A",
    "tune.bufsize 32768",
    "ca-base /tmp",
];
/// Lines of a peers section, good and bad ones.
const SECTION: [&str; 22] = [
    "shards 3",
    "shards 0",
    "shards x",
    "shards",
    "shards 2 3",
    "disabled",
    "enabled",
    "log global",
    "log stderr local0",
    "no log",
    "no shards",
    "default x",
    "peer",
    "peer x",
    "server y",
    "peer lb2 0.0.0.0:19992",
    "peer lb1 127.0.0.1:19994",
    "table t type ip size 1k expire 10s store gpc0",
    "table t type ip",
    "table t",
    "timeout connect 5s",
    "nonsense 1",
];

/// A file and the line that is looked at.
pub(crate) struct Case {
    kind: &'static str,
    global: Vec<String>,
    section: Vec<String>,
    line: String,
    own: Option<&'static str>,
}

impl Case {
    /// What kind of line was generated.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Why stickd takes the line as it is, and HAProxy does not.
    pub(crate) fn of_stickd(&self) -> Option<&'static str> {
        self.own
    }

    /// The file for HAProxy, which does not start without a listener for traffic.
    pub(crate) fn with_traffic(&self) -> String {
        self.text() + "frontend f\n  mode tcp\n  timeout client 1s\n  bind 127.0.0.1:19995\n"
    }

    /// The file for stickd.
    pub(crate) fn text(&self) -> String {
        let indented = |lines: &[String]| lines.iter().map(|line| format!("  {line}\n")).collect::<String>();
        format!(
            "global\n{}peers p\n{}backend b\n  stick-table type ip size 1k peers p\n",
            indented(&self.global),
            indented(&self.section)
        )
    }
}

pub(crate) struct Generator {
    state: u64,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    /// The next number below `bound`, by SplitMix64.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }

    /// The next case.
    pub(crate) fn case(&mut self) -> Case {
        let in_style_of_servers = self.below(2) == 0;
        let mut section: Vec<String> = if in_style_of_servers {
            [
                "default-server check-send-proxy",
                "bind 127.0.0.1:19993",
                "server me",
                "server lb1 127.0.0.1:19994",
            ]
            .map(str::to_owned)
            .to_vec()
        } else {
            ["peer me 127.0.0.1:19993", "peer lb1 127.0.0.1:19994"].map(str::to_owned).to_vec()
        };
        if in_style_of_servers {
            section.remove(0);
        }
        let mut global = vec!["log stderr local0".to_owned()];
        let (kind, line) = match self.below(7) {
            0 => {
                let line = self.keyword("global");
                global.push(line.clone());
                ("HAProxy's words of global", line)
            }
            1 => {
                let line = self.changed(&GLOBAL);
                global.push(line.clone());
                ("stickd's words of global", line)
            }
            2 => {
                let line = self.changed(&SECTION);
                section.push(line.clone());
                ("lines of a peers section", line)
            }
            3 if in_style_of_servers => {
                section[0] = self.with_parameters("bind 127.0.0.1:19993", "bind");
                ("bind", section[0].clone())
            }
            3 | 4 => {
                let last = section.len() - 1;
                let line = section[last].clone();
                section[last] = self.with_parameters(&line, "server");
                (if in_style_of_servers { "server" } else { "peer" }, section[last].clone())
            }
            5 => {
                let line = self.with_parameters("default-server", "server");
                section.insert(0, line.clone());
                ("default-server", line)
            }
            _ => {
                let line = self.with_parameters("default-bind", "bind");
                section.insert(0, line.clone());
                ("default-bind", line)
            }
        };
        let own = line.starts_with("log std").then_some("a log line needs no facility: stickd writes none");
        Case { kind, global, section, line, own }
    }

    /// A line with a keyword of HAProxy's and a plausible value or two.
    fn keyword(&mut self, place: &str) -> String {
        let all = words::all(place);
        let (word, _) = all[self.below(all.len())];
        let values = (0..self.below(3)).map(|_| self.one(&VALUES)).collect::<Vec<_>>().join(" ");
        let no = if self.below(8) == 0 { "no " } else { "" };
        format!("{no}{word} {values}").trim_end().to_owned()
    }

    /// One of the lines, most often changed.
    fn changed(&mut self, lines: &[&str]) -> String {
        let line = self.one(lines).to_owned();
        if self.below(3) == 0 { line } else { self.change(&line) }
    }

    /// A line with one to three parameters, sometimes changed.
    fn with_parameters(&mut self, line: &str, place: &str) -> String {
        let mut line = line.to_owned();
        for _ in 0..=self.below(3) {
            let parameter = if self.below(2) == 0 {
                self.one(&PARAMETERS).to_owned()
            } else {
                let all = words::all(place);
                let (word, has_value) = all[self.below(all.len())];
                match (has_value, self.below(10)) {
                    (true, 0) | (false, 1..) => word.to_owned(),
                    _ => format!("{word} {}", self.one(&VALUES)),
                }
            };
            line = format!("{line} {parameter}");
        }
        if self.below(4) == 0 { self.change(&line) } else { line }
    }

    /// A line with a word removed, doubled, moved, misspelt or replaced.
    fn change(&mut self, line: &str) -> String {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let at = self.below(words.len());
        match self.below(5) {
            0 if words.len() > 1 => drop(words.remove(at)),
            1 => words.insert(at, words[at].clone()),
            2 => words.swap(at, 0),
            3 => {
                let letter = self.one(&["x", "-", ".", ":", "0", "\"", "\\", "#"]);
                let place = self.below(words[at].len() + 1);
                if words[at].is_char_boundary(place) {
                    words[at].insert_str(place, letter);
                }
            }
            _ => words[at] = self.one(&VALUES).to_owned(),
        }
        words.join(" ")
    }
}
