//! What a process serves, by which another process shows that it is its successor.

use std::io;
use std::net::SocketAddr;

use crate::config::Config;

/// Longest description of a process, in bytes: thousands of sections with their addresses.
pub(super) const MAX_DESCRIPTION: u64 = 1 << 20;
/// Last line of a description.
pub(super) const END: &str = "end";

/// The sections of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    sections: Vec<ServedSection>,
}

/// One section as far as it tells processes apart. Texts are escaped: none has a tab or an end of line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServedSection {
    /// `peers` or `aggregations`.
    keyword: String,
    name: String,
    local_peer: String,
    listeners: Vec<String>,
}

impl Identity {
    /// What a process with this configuration serves.
    pub fn of(config: &Config) -> Self {
        let sections = config.sections.iter().filter(|section| !section.disabled);
        let sections = sections.map(|section| ServedSection {
            keyword: section.keyword().to_owned(),
            name: escaped(&section.name),
            local_peer: escaped(&section.local.name),
            listeners: config.listeners_of(section).map(|bind| escaped(&bind.address.to_string())).collect(),
        });
        Self { sections: sections.collect() }
    }

    /// Why a process that serves `successor` is not the successor of this one; `None` when it is.
    ///
    /// Each section must be there under the same name with the same local peer, and, where both listen, at one address that
    /// overlaps: two stickds of one host may well have sections of the same names, but not at the same address.
    pub fn refusal(&self, successor: &Self) -> Option<String> {
        if self.sections.is_empty() && !successor.sections.is_empty() {
            return Some("it serves no section, the process that asks does".to_owned());
        }
        self.sections.iter().find_map(|own| own.refusal(&successor.sections))
    }

    /// One line for each section, then [`END`].
    pub(super) fn describe(&self) -> String {
        let lines = self.sections.iter().map(|section| {
            let ServedSection { keyword, name, local_peer, listeners } = section;
            let fields = [&[keyword.clone(), name.clone(), local_peer.clone()], &listeners[..]].concat();
            fields.join("\t") + "\n"
        });
        lines.collect::<String>() + END + "\n"
    }

    /// Takes one line of a description.
    pub(super) fn add(&mut self, line: &str) -> io::Result<()> {
        let mut fields = line.split('\t').map(str::to_owned);
        let (Some(keyword), Some(name), Some(local_peer)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a section has no local peer"));
        };
        self.sections.push(ServedSection { keyword, name, local_peer, listeners: fields.collect() });
        Ok(())
    }
}

impl ServedSection {
    fn refusal(&self, successors: &[Self]) -> Option<String> {
        let Self { keyword, name, local_peer, listeners } = self;
        let same_name = |other: &&Self| other.keyword == *keyword && other.name == *name;
        let Some(next) = successors.iter().find(same_name) else {
            return Some(format!("its section {keyword} {name} is not one of the process that asks"));
        };
        if next.local_peer != *local_peer {
            let other = &next.local_peer;
            return Some(format!(
                "in section {keyword} {name} it is {local_peer}, and the process that asks is {other}"
            ));
        }
        let overlap = listeners.iter().any(|one| next.listeners.iter().any(|other| overlaps(one, other)));
        if listeners.is_empty() || next.listeners.is_empty() || overlap {
            return None;
        }
        let (own, others) = (listeners.join(" "), next.listeners.join(" "));
        Some(format!(
            "its section {keyword} {name} listens on {own}, that of the process that asks on {others}"
        ))
    }
}

/// Whether two listeners cannot be of two processes at a time, but by [`listen_tcp`](crate::net::listen_tcp)'s sharing.
fn overlaps(one: &str, other: &str) -> bool {
    match (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) {
        (Ok(one), Ok(other)) => {
            let [a, b] = [one, other].map(|address| address.ip().to_canonical());
            one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
        }
        _ => one == other,
    }
}

fn escaped(text: &str) -> String {
    text.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(lines: &[&str]) -> Identity {
        let mut identity = Identity::default();
        lines.iter().for_each(|line| identity.add(&line.replace(' ', "\t")).unwrap());
        identity
    }

    #[test]
    fn a_description_is_read_as_it_was_written() {
        let identity = identity(&["peers p lb1 127.0.0.1:10000 unix@/run/s", "aggregations a hub"]);
        let mut again = Identity::default();
        let text = identity.describe();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.last(), Some(&END));
        lines[..2].iter().for_each(|line| again.add(line).unwrap());
        assert_eq!(again, identity);
        assert!(again.add("peers\tp").is_err());
    }

    #[test]
    fn a_successor_has_every_section_at_an_address_of_the_same() {
        let old = identity(&["peers p lb1 127.0.0.1:10000", "peers q lb1"]);
        let refusal = |lines: &[&str]| old.refusal(&identity(lines)).unwrap_or_default();
        assert_eq!(refusal(&["peers p lb1 127.0.0.1:10000", "peers q lb1"]), "");
        // One section more, other addresses beside the same, every address, a section that listened nowhere.
        assert_eq!(refusal(&["peers r x", "peers q lb1 [::1]:5", "peers p lb1 127.0.0.1:7 [::]:10000"]), "");
        assert!(refusal(&["peers p lb1 127.0.0.1:10000"]).contains("section peers q"));
        assert!(refusal(&["peers p lb2 127.0.0.1:10000", "peers q lb2"]).contains("it is lb1"));
        assert!(
            refusal(&["peers p lb1 127.0.0.1:10001", "peers q lb1"]).contains("listens on 127.0.0.1:10000")
        );
        assert!(refusal(&["aggregations p lb1 127.0.0.1:10000", "peers q lb1"]).contains("section peers p"));
        assert!(refusal(&[]).contains("section peers p"));
    }

    #[test]
    fn a_process_without_sections_is_followed_by_one_without() {
        assert_eq!(Identity::default().refusal(&Identity::default()), None);
        assert!(Identity::default().refusal(&identity(&["peers p lb1"])).is_some());
    }

    #[test]
    fn words_of_a_configuration_stay_in_their_line() {
        assert_eq!(escaped("a\tb\nc"), "a\\tb\\nc");
    }
}
