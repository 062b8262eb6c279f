//! The members of a cluster that are not configured: where those are that DNS lists.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haproxy_peers::Section;
use parking_lot::Mutex;

use super::cluster::Cluster;
use super::journal::Limit;
use super::target::Target;
use crate::config::{Address, ServerTemplate};
use crate::tls::{Connector, Loaded, TlsError};

/// A member that DNS lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// What it calls itself.
    pub(super) name: String,
    /// Where it is.
    pub(super) address: SocketAddr,
    /// Further addresses of its host, tried in this order after that one.
    pub(super) others: Vec<SocketAddr>,
    /// Name of its host.
    pub(super) host: String,
}

/// Where the discovered members of a cluster are. One that is not listed any more stays until the section forgets it.
pub(super) struct Members {
    /// By name.
    members: Mutex<HashMap<String, Member>>,
    /// For each template, how to connect to its members over TLS.
    connectors: Vec<Option<Arc<Connector>>>,
    /// Where connections to them come from.
    source: Option<SocketAddr>,
    /// For each template, whether DNS has answered by now.
    answered: Vec<AtomicBool>,
}

struct Member {
    target: Target,
    template: usize,
    listed: bool,
}

/// What became of a name that was listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    New,
    /// At another address than before.
    Moved,
    Known,
    /// A member of another template.
    Taken,
}

impl Members {
    /// Nobody yet.
    pub(super) fn new(
        templates: &[ServerTemplate],
        source: Option<SocketAddr>,
        files: &Loaded,
    ) -> Result<Self, TlsError> {
        let connector = |template: &ServerTemplate| {
            template
                .tls
                .as_ref()
                .map(|tls| files.connector_for_members(tls))
                .transpose()
                .map(|connector| connector.map(Arc::new))
        };
        let connectors = templates.iter().map(connector).collect::<Result<_, _>>()?;
        let answered = templates.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Self { members: Mutex::default(), connectors, source, answered })
    }

    /// DNS has answered for a template.
    pub(super) fn note_answer(&self, template: usize) {
        if let Some(answered) = self.answered.get(template) {
            answered.store(true, Ordering::Relaxed);
        }
    }

    /// Whether DNS has answered for all templates since this process began: else there may be more members than are known.
    pub(super) fn are_known(&self) -> bool {
        self.answered.iter().all(|answered| answered.load(Ordering::Relaxed))
    }

    /// Whether there is nothing new in what a template lists.
    fn knows(&self, template: usize, listed: &Listed) -> bool {
        let members = self.members.lock();
        members.get(&listed.name).is_some_and(|member| {
            let Target { address, others, host, .. } = &member.target;
            let same =
                *address == Address::Ip(listed.address) && *others == listed.others && *host == listed.host;
            member.listed && member.template == template && same
        })
    }

    /// Notes a member that a template lists.
    pub(super) fn list(&self, template: usize, listed: &Listed) -> Listing {
        let address = Address::Ip(listed.address);
        let mut members = self.members.lock();
        let before = members.get(&listed.name);
        let listing = match before {
            Some(member) if member.listed && member.template != template => return Listing::Taken,
            Some(member) if member.listed && member.target.address == address => Listing::Known,
            Some(member) if member.listed => Listing::Moved,
            _ => Listing::New,
        };
        let connector = self.connectors.get(template).cloned().flatten();
        let (others, host) = (listed.others.clone(), listed.host.clone());
        let target = Target { address, others, source: self.source, connector, host };
        members.insert(listed.name.clone(), Member { target, template, listed: true });
        listing
    }

    /// Notes that a template does not list a member any more.
    pub(super) fn unlist(&self, name: &str) {
        if let Some(member) = self.members.lock().get_mut(name) {
            member.listed = false;
        }
    }

    /// The names that a template lists.
    pub(super) fn of(&self, template: usize) -> BTreeSet<String> {
        let members = self.members.lock();
        let of = members.iter().filter(|(_, member)| member.listed && member.template == template);
        of.map(|(name, _)| name.clone()).collect()
    }

    /// The section forgot a member.
    pub(super) fn forget(&self, name: &str) {
        self.members.lock().retain(|known, member| known != name || member.listed);
    }

    pub(super) fn target(&self, name: &str) -> Option<Target> {
        Some(self.members.lock().get(name)?.target.clone())
    }

    /// The template that listed a member, and where it was last.
    pub(super) fn origin(&self, name: &str) -> Option<(usize, Address)> {
        let members = self.members.lock();
        let member = members.get(name)?;
        Some((member.template, member.target.address.clone()))
    }
}

impl Cluster {
    /// Takes over who a template lists now.
    pub(super) fn list<'l>(self: &Arc<Self>, template: usize, listed: impl Iterator<Item = &'l Listed>) {
        let Some(line) = self.config().templates.get(template) else { return };
        let from = &line.domain;
        let mut gone = self.members.of(template);
        for member in listed {
            let (peer, address) = (&member.name, member.address);
            // Which may be this very process.
            if self.is_configured(peer) {
                continue;
            }
            gone.remove(peer);
            if self.members.knows(template, member) {
                continue;
            }
            // In one go: another template may begin or cease to list the name meanwhile.
            let listing = self.with_section(|section, now| {
                let listing = self.members.list(template, member);
                if !matches!(listing, Listing::New | Listing::Moved) {
                    return Some(listing);
                }
                self.journal.add_peer(peer);
                if section.discover(now, peer, line.shard) {
                    return Some(listing);
                }
                self.members.unlist(peer);
                self.members.forget(peer);
                self.journal.remove_peer(peer);
                None
            });
            match listing {
                Some(Listing::Known | Listing::Taken) => {}
                Some(Listing::New) => self.journal.listed(peer, address, from),
                Some(Listing::Moved) => self.journal.moved(peer, address, from),
                None => self.journal.limit_reached(&Limit::Members),
            }
        }
        for peer in gone {
            self.with_section(|section, now| {
                self.members.unlist(&peer);
                section.withdraw(now, &peer);
            });
            self.journal.not_listed_any_more(&peer, from);
        }
    }

    /// The section forgot a member.
    pub(super) fn forgotten(&self, name: &str) {
        if self.tables().is_hub() {
            // The sums are without what it told.
            self.changed();
        }
        self.members.forget(name);
        if self.members.target(name).is_none() {
            self.journal.remove_peer(name);
        }
    }

    /// Whether the configuration has a line for a peer of this name.
    fn is_configured(&self, name: &str) -> bool {
        self.is_local_name(name) || self.config().remotes.iter().any(|remote| remote.name == name)
    }

    /// Members that came by themselves.
    pub fn dynamic_peers(&self) -> usize {
        self.with_view(Section::dynamic_peers)
    }

    /// Members that DNS lists, or listed before they were forgotten.
    pub fn discovered_peers(&self) -> usize {
        self.with_view(Section::discovered_peers)
    }

    /// The name that lists a member, and where it is.
    pub fn listed(&self, name: &str) -> Option<(&str, Address)> {
        let (template, address) = self.members.origin(name)?;
        Some((self.config().templates.get(template)?.domain.as_str(), address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, port: u16) -> Listed {
        Listed {
            name: name.to_owned(),
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            others: Vec::new(),
            host: "h".to_owned(),
        }
    }

    #[test]
    fn a_name_belongs_to_who_listed_it_first() {
        let members = Members::new(&[], None, &Loaded::default()).unwrap();
        assert_eq!(members.list(0, &listed("a", 1)), Listing::New);
        assert_eq!(members.list(0, &listed("a", 1)), Listing::Known);
        assert!(members.knows(0, &listed("a", 1)));
        let renamed = Listed { host: "i".to_owned(), ..listed("a", 1) };
        let wider = Listed { others: vec![SocketAddr::from(([127, 0, 0, 2], 1))], ..listed("a", 1) };
        assert!(!members.knows(0, &wider));
        assert!(!members.knows(0, &renamed) && !members.knows(0, &listed("a", 2)));
        assert!(!members.knows(1, &listed("a", 1)));
        assert_eq!(members.list(0, &listed("a", 2)), Listing::Moved);
        assert_eq!(members.list(1, &listed("a", 3)), Listing::Taken);
        assert_eq!(members.origin("a").unwrap().1.to_string(), "127.0.0.1:2");
        members.forget("a");
        assert!(members.target("a").is_some(), "it is listed");
        members.unlist("a");
        assert!(members.target("a").is_some(), "its session may still be lifted to another version");
        assert_eq!(members.list(1, &listed("a", 3)), Listing::New);
        members.unlist("a");
        members.forget("a");
        assert!(members.target("a").is_none() && members.origin("a").is_none());
    }
}
