//! A new process is up to date: what does it know of what its predecessor counted?
//!
//! After `-sf`: everything. After `kill -9`: what some neighbour knew; the requests between that and what was sent are lost
//! with the process, counted as such, and what the new process has is the truth from then on.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cluster::{MEMBERS, NAMES, Seen};
use crate::compare::Tables;
use crate::kind::Field;
use crate::ledger::{Place, Truth};
use crate::soak::{Soak, State};

/// What the others knew while a member was down.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    others: Vec<Tables>,
    /// Somebody could not be asked.
    incomplete: bool,
}

impl Memory {
    /// The lowest count of a key at those that may teach it.
    fn least(&self, place: &Place, sent: u64) -> u64 {
        let known = |tables: &Tables| count(&tables[&place.0], place, sent).ok().flatten().unwrap_or(0);
        if self.incomplete { 0 } else { self.others.iter().map(known).min().unwrap_or(0) }
    }
}

impl Soak {
    /// Starts a member that was killed.
    pub(crate) fn start_again(&mut self, member: usize) -> Result<()> {
        let memory = Some(self.memory(member)?);
        self.cluster.start_again(member);
        self.states[member] = State::Learning { since: Instant::now(), old: None, memory };
        Ok(())
    }

    fn memory(&self, member: usize) -> Result<Memory> {
        let mut memory = Memory::default();
        for other in (0..MEMBERS).filter(|other| *other != member) {
            match self.states[other] {
                State::Ready => memory.others.push(self.tables(other)?),
                // It goes on with what it has, whatever that is.
                State::Frozen(_) | State::Doomed(_) => memory.incomplete = true,
                // It has what it was taught by those that are ready.
                State::Down(_) | State::Learning { .. } => {}
            }
        }
        Ok(memory)
    }

    /// Compares what a new process knows of its own keys with what was sent to its predecessor.
    pub(crate) fn recovered(&mut self, member: usize) -> Result<()> {
        let State::Learning { memory, .. } = &self.states[member] else { return Ok(()) };
        let after = if memory.is_some() { Some(self.memory(member)?) } else { None };
        let least = |place: &Place, sent| {
            memory.iter().chain(&after).map(|memory| memory.least(place, sent)).min().unwrap_or(0)
        };
        let tables = self.tables(member)?;
        let mut ledger = self.ledger.lock();
        let own: Vec<Place> = ledger
            .keys()
            .filter(|((kind, _), truth)| {
                truth.owner == member && kind.is_lasting() && !truth.resting && truth.touched.is_some()
            })
            .map(|(place, _)| place.clone())
            .collect();
        let (mut lost, mut found) = ([0, 0], 0);
        for place in own {
            let seen = &tables[&place.0];
            let Some(truth) = ledger.get_mut(&place) else { continue };
            let sent = truth.count;
            let known = match count(seen, &place, sent) {
                Ok(known) => known,
                Err(what) => bail!("{}: {} in {}: {what}", NAMES[member], place.1, place.0.name()),
            };
            if memory.is_none() {
                check_all_known(member, &place, truth, known)?;
                continue;
            }
            let (least, most) = (least(&place, sent), truth.most);
            let now = known.unwrap_or(0);
            if now < least || now > most {
                bail!(
                    "{} was killed and taught again: it knows of {now} requests for {} in {}; {sent} were answered, \
                     {} were not; all others knew of at least {least}, and nobody can know of more than {most}",
                    NAMES[member],
                    place.1,
                    place.0.name(),
                    truth.doubtful
                );
            }
            if now < sent {
                lost[0] += sent - now;
                lost[1] += 1;
            }
            // More than was sent to it: another had what an earlier kill seemed to have lost, or no answer came.
            found += now.saturating_sub(sent + truth.doubtful);
            adopt(truth, seen, &place, now);
        }
        drop(ledger);
        if lost[0] + found > 0 {
            let what = format!("lost by kill: {} requests of {} keys; found: {found}", lost[0], lost[1]);
            self.journal.say(format!("{}: up to date again; {what}", NAMES[member]));
        }
        let requests = (self.summary.lost[0] + lost[0]).saturating_sub(found);
        self.summary.lost = [requests, self.summary.lost[1] + lost[1]];
        Ok(())
    }
}

fn check_all_known(member: usize, place: &Place, truth: &Truth, known: Option<u64>) -> Result<()> {
    let sent = truth.count;
    if known != Some(sent) {
        let known = known.map_or_else(|| "nothing".to_owned(), |known| format!("{known} requests"));
        bail!(
            "{} was replaced with -sf while it had no traffic: the new process knows of {known} for {} in {}, {sent} \
             were sent",
            NAMES[member],
            place.1,
            place.0.name()
        );
    }
    Ok(())
}

/// From now on the truth is what the owner has.
fn adopt(truth: &mut Truth, seen: &Seen, place: &Place, count: u64) {
    truth.doubtful = 0;
    truth.count = count;
    truth.touched = seen.table.entries.get(&place.1).filter(|entry| entry.exp > 0).map(|entry| {
        let age = place.0.expire().saturating_sub(Duration::from_millis(entry.exp));
        seen.after.checked_sub(age).unwrap_or(seen.after)
    });
}

/// How often a key was counted by what a member has; `None` when there is no entry. An entry that counts nothing stands
/// for everything `sent`.
fn count(seen: &Seen, (kind, key): &Place, sent: u64) -> Result<Option<u64>, String> {
    let Some(entry) = seen.table.entries.get(key).filter(|entry| entry.exp > 0) else { return Ok(None) };
    let mut counts = BTreeSet::new();
    for field in kind.fields() {
        if let Field::Counted(name) = field {
            let value = entry.fields.get(*name).and_then(|value| value.parse::<u64>().ok());
            counts.insert(value.ok_or_else(|| format!("no {name}"))?);
        }
    }
    if counts.len() > 1 {
        return Err(format!("counters that rise together differ: {:?}", entry.fields));
    }
    Ok(Some(counts.pop_first().unwrap_or(sent)))
}
