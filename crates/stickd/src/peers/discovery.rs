//! Who is a member by DNS: the name of a template is asked for again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use haproxy_peers::shown;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::journal::Journal;
use super::members::Listed;
use crate::config::address::Family;
use crate::config::{MemberNames, ServerTemplate};
use crate::dns::{Answer, DnsError, QUESTIONS_AT_ONCE, RecordType, Resolver, Service};

/// Most lines of the log about one answer.
const MAX_FAULTS: usize = 8;

/// Asks for the name of a template until `stopped` says so, and tells the cluster who is listed.
pub(super) async fn discover(cluster: Arc<Cluster>, template: usize, mut stopped: watch::Receiver<bool>) {
    let config = cluster.config();
    let Some(line) = config.templates.get(template) else { return };
    let resolver = Resolver::new(config.membership.name_servers.clone());
    let pause = Duration::from_millis(config.membership.resolve_every.into());
    let mut directory = Directory::new(line.clone());
    let ask = async {
        let mut before = None;
        loop {
            let state = directory.look(&resolver).await;
            cluster.list(template, directory.members.values());
            if state.failure.is_none() {
                cluster.members.note_answer(template);
            }
            log(&cluster.journal, line, &state, before.as_ref(), directory.members.len());
            before = Some(state);
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = ask => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// How asking went, as the log tells it when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    /// Why nothing was learned.
    failure: Option<DnsError>,
    /// What is wrong with an answer.
    faults: BTreeSet<String>,
    /// Whether the answer lists nobody.
    empty: bool,
}

fn log(journal: &Journal, line: &ServerTemplate, state: &State, before: Option<&State>, members: usize) {
    if before == Some(state) {
        return;
    }
    let domain = &line.domain;
    let had_failed = before.is_some_and(|before| before.failure.is_some());
    match &state.failure {
        Some(error) => journal.not_resolved(domain, members, error),
        None if had_failed => journal.resolved_again(domain, members),
        None => {}
    }
    let news = |fault: &&String| before.is_none_or(|before| !before.faults.contains(*fault));
    for fault in state.faults.iter().filter(news).take(MAX_FAULTS) {
        journal.answer_is_wrong(domain, fault);
    }
    let more = state.faults.iter().filter(news).count().saturating_sub(MAX_FAULTS);
    if more > 0 {
        journal.answer_is_wrong_more(domain, more);
    }
    if state.empty && before.is_none_or(|before| !before.empty) {
        journal.nobody_is_listed(domain);
    }
}

/// Who is listed, with a name for each.
struct Directory {
    template: ServerTemplate,
    /// By name.
    members: BTreeMap<String, Listed>,
}

/// A host and port that is listed.
type Place = (String, SocketAddr);
/// Listed places, each with further addresses of its host.
type Places = BTreeMap<Place, Vec<SocketAddr>>;

impl Directory {
    fn new(template: ServerTemplate) -> Self {
        Self { template, members: BTreeMap::new() }
    }

    /// Asks, and takes over what the answer says.
    async fn look(&mut self, resolver: &Resolver) -> State {
        let mut state = State::default();
        let places = match self.template.port {
            Some(port) => self.addresses(resolver, port).await,
            None => self.services(resolver, &mut state.faults).await,
        };
        match places {
            Ok(places) => {
                state.empty = places.is_empty();
                self.take(&places, &mut state.faults);
            }
            Err(error) => state.failure = Some(error),
        }
        state
    }

    /// The addresses of the name. What cannot be said of one family stays as it is.
    async fn addresses(&self, resolver: &Resolver, port: u16) -> Result<Places, DnsError> {
        let domain = &self.template.domain;
        let mut places = Places::new();
        let (mut failure, mut answered) = (None, false);
        for (family, kind) in [(Family::V4, RecordType::A), (Family::V6, RecordType::Aaaa)] {
            if self.template.family.is_some_and(|only| only != family) {
                continue;
            }
            match resolver.ask(domain, kind).await {
                Ok(answer) => {
                    answered = true;
                    let of = |ip: IpAddr| ((domain.clone(), SocketAddr::new(ip, port)), Vec::new());
                    places.extend(answer.addresses.into_iter().map(of));
                }
                Err(error) => {
                    failure = Some(error);
                    let known = self.members.values().map(|member| (member.host.clone(), member.address));
                    let known = known.filter(|(_, address)| address.is_ipv4() == (family == Family::V4));
                    places.extend(known.map(|place| (place, Vec::new())));
                }
            }
        }
        match failure {
            Some(error) if !answered => Err(error),
            _ => Ok(places),
        }
    }

    /// The services of the name with the addresses of each. One whose address cannot be said stays where it is.
    async fn services(&self, resolver: &Resolver, faults: &mut BTreeSet<String>) -> Result<Places, DnsError> {
        let answer = resolver.ask(&self.template.domain, RecordType::Srv).await?;
        let mut places = Places::new();
        let mut is_silent = false;
        for some in self.wanted(&answer, faults).chunks(QUESTIONS_AT_ONCE) {
            if is_silent {
                // Asking for all of them could take hours.
                places.extend(some.iter().filter_map(|service| self.known(service)));
                continue;
            }
            let mut failures = 0;
            for (service, found) in self.hosts(resolver, &answer, some).await {
                let known = self.known(&service);
                let place = match found {
                    Ok(found) => place(&service, found, known.map(|((_, address), _)| address.ip())),
                    Err(error) => {
                        failures += usize::from(error.is_silence());
                        faults.insert(format!("no address of {}: {error}", shown(service.target.as_bytes())));
                        known
                    }
                };
                places.extend(place);
            }
            is_silent = failures == some.len();
        }
        Ok(places)
    }

    /// The services to look at, those of members first: no more than there may be members.
    fn wanted(&self, answer: &Answer, faults: &mut BTreeSet<String>) -> Vec<Service> {
        let is_there = |service: &&Service| !service.target.is_empty() && service.port != 0;
        let services: BTreeSet<_> = answer.services.iter().filter(is_there).cloned().collect();
        let (mut wanted, new): (Vec<_>, Vec<_>) =
            services.into_iter().partition(|service| self.known(service).is_some());
        wanted.extend(new);
        let most = self.template.most() as usize;
        if wanted.len() > most {
            faults.insert(too_many(most));
            wanted.truncate(most);
        }
        wanted
    }

    /// The addresses of services; asks where they did not come with the answer.
    async fn hosts(
        &self,
        resolver: &Resolver,
        answer: &Answer,
        services: &[Service],
    ) -> Vec<(Service, Result<Vec<IpAddr>, DnsError>)> {
        let mut questions = JoinSet::new();
        for service in services {
            let family = self.template.family;
            let added = added(answer, service, family);
            let (resolver, service) = (resolver.clone(), service.clone());
            questions.spawn(async move {
                let found =
                    if added.is_empty() { host(&resolver, &service.target, family).await } else { Ok(added) };
                (service, found)
            });
        }
        let mut answers = Vec::new();
        while let Some(answered) = questions.join_next().await {
            answers.extend(answered);
        }
        answers
    }

    /// Where a service was before.
    fn known(&self, service: &Service) -> Option<(Place, Vec<SocketAddr>)> {
        let same = |member: &&Listed| member.host == service.target && member.address.port() == service.port;
        let member = self.members.values().find(same)?;
        Some(((member.host.clone(), member.address), member.others.clone()))
    }

    /// Gives each place a name; a member keeps the one it has.
    fn take(&mut self, places: &Places, faults: &mut BTreeSet<String>) {
        let before = std::mem::take(&mut self.members);
        let most = self.template.most() as usize;
        // Those that are members already come first, so that a limit is not for them.
        let known: BTreeSet<_> =
            before.values().map(|member| (member.host.clone(), member.address)).collect();
        let (old, new): (Vec<_>, Vec<_>) = places.keys().partition(|place| known.contains(*place));
        let mut names = Numbers::new(&self.template, &before, &old);
        for place in old.into_iter().chain(new) {
            if self.members.len() >= most {
                faults.insert(too_many(most));
                break;
            }
            let (host, address) = place.clone();
            let others = places.get(place).cloned().unwrap_or_default();
            let name = match self.template.names {
                MemberNames::Target => host.split('.').next().unwrap_or_default().to_owned(),
                MemberNames::Address => {
                    format!("{}{}", self.template.prefix, address.ip().to_string().replace(['.', ':'], "-"))
                }
                MemberNames::Number => names
                    .of(&host, address)
                    .map_or_else(String::new, |number| format!("{}{number}", self.template.prefix)),
            };
            let allowed = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
            if name.is_empty() || !name.chars().all(allowed) {
                faults.insert(format!("\"{}\" gives no name for a peer", shown(host.as_bytes())));
            } else if let Some(other) = self.members.get(&name) {
                faults.insert(format!(
                    "{} and {address} would both be \"{name}\": the first one is taken",
                    other.address
                ));
            } else {
                self.members.insert(name.clone(), Listed { name, address, others, host });
            }
        }
    }
}

/// Numbers of members that are named by them: a place keeps its number, the lowest free one is given to the next.
struct Numbers {
    given: BTreeMap<Place, u32>,
    taken: BTreeSet<u32>,
    range: (u32, u32),
}

impl Numbers {
    fn new(template: &ServerTemplate, before: &BTreeMap<String, Listed>, old: &[&Place]) -> Self {
        let number = |member: &Listed| {
            let place = (member.host.clone(), member.address);
            let number = member.name.strip_prefix(&template.prefix)?.parse().ok()?;
            old.contains(&&place).then_some((place, number))
        };
        let given: BTreeMap<_, _> = before.values().filter_map(number).collect();
        let taken = given.values().copied().collect();
        Self { given, taken, range: template.numbers }
    }

    fn of(&mut self, host: &str, address: SocketAddr) -> Option<u32> {
        if let Some(number) = self.given.get(&(host.to_owned(), address)) {
            return Some(*number);
        }
        let number = (self.range.0..=self.range.1).find(|number| !self.taken.contains(number))?;
        self.taken.insert(number);
        Some(number)
    }
}

fn too_many(most: usize) -> String {
    format!("the name lists more than {most} members: the others are left out")
}

/// Where a service is, from the addresses of its host: at `known` as long as that is one of them, else at the lowest.
fn place(
    service: &Service,
    mut found: Vec<IpAddr>,
    known: Option<IpAddr>,
) -> Option<(Place, Vec<SocketAddr>)> {
    found.sort_unstable();
    found.dedup();
    let first = known.filter(|known| found.contains(known)).or_else(|| found.first().copied())?;
    let at = |ip| SocketAddr::new(ip, service.port);
    let others = found.into_iter().filter(|ip| *ip != first).map(at).collect();
    Some(((service.target.clone(), at(first)), others))
}

/// Addresses that came with a service.
fn added(answer: &Answer, service: &Service, family: Option<Family>) -> Vec<IpAddr> {
    let target = service.target.to_ascii_lowercase();
    let of_host = answer.added.iter().filter(|(name, _)| *name == target).map(|(_, ip)| *ip);
    of_host.filter(|ip| family.is_none_or(|family| ip.is_ipv4() == (family == Family::V4))).collect()
}

/// The addresses of a host. One family is enough when nothing can be learned of the other.
async fn host(resolver: &Resolver, name: &str, family: Option<Family>) -> Result<Vec<IpAddr>, DnsError> {
    let ask = async |of, kind| match family {
        Some(only) if only != of => Ok(Vec::new()),
        _ => resolver.ask(name, kind).await.map(|answer| answer.addresses),
    };
    match tokio::join!(ask(Family::V4, RecordType::A), ask(Family::V6, RecordType::Aaaa)) {
        (Ok(v4), Ok(v6)) => Ok(v4.into_iter().chain(v6).collect()),
        (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Options};

    fn directory(line: &str) -> Directory {
        let text = format!("peers p\n bind :1\n server-template {line}\n");
        let options = Options { local_peer: Some("n".to_owned()), ..Options::default() };
        let config = Config::parse_text("t", &text, &options).unwrap_or_else(|error| panic!("{error}"));
        Directory::new(config.sections[0].templates[0].clone())
    }

    /// What a directory makes of places, each `<host>@<address>`.
    fn take(directory: &mut Directory, places: &[&str]) -> (Vec<String>, BTreeSet<String>) {
        let place = |text: &&str| {
            let (host, address) = text.split_once('@').unwrap();
            ((host.to_owned(), address.parse().unwrap()), Vec::new())
        };
        let mut faults = BTreeSet::new();
        directory.take(&places.iter().map(place).collect(), &mut faults);
        let members = directory.members.values().map(|member| format!("{}={}", member.name, member.address));
        (members.collect(), faults)
    }

    #[test]
    fn numbers_are_given_in_order_and_kept() {
        let mut directory = directory("lb 2-4 a.b:1");
        let (members, _) = take(&mut directory, &["h@10.0.0.9:1", "h@10.0.0.10:1"]);
        assert_eq!(members, ["lb2=10.0.0.9:1", "lb3=10.0.0.10:1"], "by number, not by text");
        let (members, _) = take(&mut directory, &["h@10.0.0.1:1", "h@10.0.0.10:1"]);
        assert_eq!(members, ["lb2=10.0.0.1:1", "lb3=10.0.0.10:1"]);
        let (members, faults) =
            take(&mut directory, &["h@10.0.0.2:1", "h@10.0.0.1:1", "h@10.0.0.3:1", "h@10.0.0.10:1"]);
        assert_eq!(members, ["lb2=10.0.0.1:1", "lb3=10.0.0.10:1", "lb4=10.0.0.2:1"], "members stay");
        assert_eq!(faults.len(), 1);
        assert_eq!(take(&mut directory, &[]).0, [""; 0]);
    }

    #[test]
    fn a_service_stays_at_its_address_and_keeps_the_others_of_its_host() {
        let service = Service { target: "h.a".to_owned(), port: 5 };
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let found = |known: Option<&str>| {
            let all = ips(&["::1", "127.0.0.1", "127.0.0.2", "127.0.0.1"]);
            let ((host, address), others) =
                place(&service, all, known.map(|known| known.parse().unwrap())).unwrap();
            let others: Vec<_> = others.iter().map(ToString::to_string).collect();
            format!("{host} {address} {}", others.join(" "))
        };
        assert_eq!(found(None), "h.a 127.0.0.1:5 127.0.0.2:5 [::1]:5");
        assert_eq!(found(Some("::1")), "h.a [::1]:5 127.0.0.1:5 127.0.0.2:5");
        assert_eq!(found(Some("127.0.0.9")), "h.a 127.0.0.1:5 127.0.0.2:5 [::1]:5");
        assert_eq!(place(&service, Vec::new(), None), None);
    }

    #[test]
    fn names_of_targets_and_addresses() {
        let mut targets = directory("lb 5 _p._tcp.a.b");
        let places =
            ["lb-1.a.b@10.0.0.2:5", "lb-0.a.b@10.0.0.1:5", "lb-0.c.d@10.0.0.3:5", "\\.x.a@10.0.0.4:5"];
        let (members, faults) = take(&mut targets, &places);
        assert_eq!(members, ["lb-0=10.0.0.1:5", "lb-1=10.0.0.2:5"]);
        let faults: Vec<_> = faults.into_iter().collect();
        assert_eq!(
            faults,
            [
                "\"\\\\.x.a\" gives no name for a peer",
                "10.0.0.1:5 and 10.0.0.3:5 would both be \"lb-0\": the first one is taken"
            ]
        );
        let mut addresses = directory("lb- 5 _p._tcp.a.b names address");
        let (members, _) = take(&mut addresses, &["x.a.b@10.0.0.2:5", "y.a.b@[2001:db8::1]:5"]);
        assert_eq!(members, ["lb-10-0-0-2=10.0.0.2:5", "lb-2001-db8--1=[2001:db8::1]:5"]);
    }
}
