//! A calm point: everything is made whole, and everything is compared.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::cluster::{HAPROXYS, MEMBERS, NAMES};
use crate::compare::{Comparison, Fault, Look, Round, Tables, compare};
use crate::kind::Kind;
use crate::ledger::Place;
use crate::soak::Soak;

/// Longest time until all members are up to date and reach all others. HAProxy waits 5 s between attempts to connect, and
/// looks for a sign of life for 5 to 10 s.
const JOINED: Duration = Duration::from_secs(60);
/// How long updates must have passed everywhere before the members count as joined, and how quickly they must pass then. A
/// HAProxy that was refused a connection tries again for some seconds, even when the other has connected to it meanwhile;
/// when it gets through, that closes the session that was there, and the next one comes up to 2 s later
/// (peers-protocol §2.5).
const STEADY: Duration = Duration::from_secs(4);
const AT_ONCE: Duration = Duration::from_secs(1);
/// Longest time from then until all agree, and after the last requests.
const AGREED: Duration = Duration::from_secs(20);
/// How long all must go on to agree.
const STAYS: Duration = Duration::from_millis(1_500);
/// Faults of a comparison that are told.
const TOLD: usize = 5;

impl Soak {
    /// Ends the traffic, heals everything, waits until the members agree, and begins the next round.
    pub(crate) fn calm(&mut self) -> Result<()> {
        self.flowing = false;
        (0..MEMBERS).for_each(|member| self.traffic.close(member));
        let now = Instant::now();
        self.healing.iter_mut().for_each(|(at, _)| *at = now);
        let began = Instant::now();
        while self.unready() > 0 || !self.healing.is_empty() {
            self.tick()?;
            if began.elapsed() > JOINED {
                bail!("waited {JOINED:?} for all members to be up to date; now: {:?}", self.states);
            }
        }
        self.join(began)?;
        let joined = began.elapsed();
        let first = self.agree(Look::First).context("before a request for each key")?;
        let agreed = began.elapsed();
        self.touch_all()?;
        let (last, tables) = self.settle(Look::Last)?;
        if !last.faults.is_empty() && last.faults.iter().all(|fault| fault.is_late_haproxy) {
            // Two HAProxys may close their session once more after all seemed steady, and updates that wait are untimed.
            let keys = last.faults.len();
            self.journal.say(format!("an update of {keys} keys passed late between two HAProxys: once more"));
            self.touch_all()?;
            self.agree(Look::Last).context("after a second request for each key")?;
        } else if !last.faults.is_empty() {
            return Err(self.disagreement(&last.faults, &tables)).context("after a request for each key");
        }
        self.run_until(Instant::now() + STAYS)?;
        let tables = self.all_tables()?;
        let last = compare(&self.ledger.lock(), &tables, &self.round, Look::Last);
        if !last.faults.is_empty() {
            return Err(self.disagreement(&last.faults, &tables))
                .with_context(|| format!("all agreed, but {STAYS:?} later"));
        }
        self.tell(&first, &last, [joined, agreed]);
        for (member, name) in NAMES.iter().enumerate().skip(HAPROXYS) {
            self.usages.sample(name, self.cluster.daemon(member).pid())?;
        }
        let round = self.summary.calm_points as u32;
        let joined = self.round.joined.unwrap_or(began);
        self.ledger.lock().begin_round(round, joined, &mut self.rng);
        self.round = Round::default();
        Ok(())
    }

    /// Sends a request for each key that does not rest.
    fn touch_all(&self) -> Result<()> {
        let active = self.ledger.lock().active();
        active.iter().try_for_each(|(owner, place)| self.touch(*owner, place))
    }

    fn touch(&self, owner: usize, place: &Place) -> Result<()> {
        self.traffic.touch(owner, place).with_context(|| {
            format!("a request to {} for {} in {} failed", NAMES[owner], place.1, place.0.name())
        })
    }

    /// Waits until all sessions are there to stay, and nothing waits in them.
    fn join(&mut self, began: Instant) -> Result<()> {
        self.probe()?;
        loop {
            self.run_until(Instant::now() + STEADY)?;
            if self.probe()? < AT_ONCE {
                self.round.joined = Some(Instant::now());
                return Ok(());
            }
            if began.elapsed() > JOINED {
                bail!("{JOINED:?} after all links were whole, sessions still come and go");
            }
        }
    }

    /// Waits until a request to each member is known to each other; says how long that took.
    fn probe(&mut self) -> Result<Duration> {
        let mut probes: BTreeMap<usize, Place> = BTreeMap::new();
        let active = self.ledger.lock().active();
        for (owner, place) in active {
            if place.0 == Kind::Web {
                probes.entry(owner).or_insert(place);
            }
        }
        for (owner, place) in &probes {
            self.touch(*owner, place)?;
        }
        let began = Instant::now();
        loop {
            self.tick()?;
            let mut missing = Vec::new();
            for (member, name) in NAMES.iter().enumerate() {
                let seen = self.cluster.table(member, Kind::Web)?;
                let ledger = self.ledger.lock();
                for (owner, (kind, key)) in &probes {
                    let count = ledger.get(*kind, key).map_or(0, |truth| truth.count).to_string();
                    let has = seen.table.entries.get(key).and_then(|entry| entry.fields.get("gpc0"));
                    if has != Some(&count) {
                        missing.push(format!("{} → {name}", NAMES[*owner]));
                    }
                }
            }
            if missing.is_empty() {
                return Ok(began.elapsed());
            }
            if began.elapsed() > JOINED {
                bail!("{JOINED:?} after all links were whole, updates do not pass: {}", missing.join(", "));
            }
        }
    }

    pub(crate) fn all_tables(&self) -> Result<Vec<Tables>> {
        (0..MEMBERS).map(|member| self.tables(member)).collect()
    }

    fn agree(&mut self, look: Look) -> Result<Comparison> {
        let (comparison, tables) = self.settle(look)?;
        if comparison.faults.is_empty() {
            return Ok(comparison);
        }
        Err(self.disagreement(&comparison.faults, &tables))
            .with_context(|| format!("waited {AGREED:?} for all to agree"))
    }

    /// Compares until all agree, for 20 s at most.
    fn settle(&mut self, look: Look) -> Result<(Comparison, Vec<Tables>)> {
        let began = Instant::now();
        loop {
            let tables = self.all_tables()?;
            let comparison = compare(&self.ledger.lock(), &tables, &self.round, look);
            let is_late = began.elapsed() > AGREED;
            let agrees = comparison.faults.is_empty() && comparison.avoidable.is_empty();
            if is_late && !comparison.avoidable.is_empty() {
                let what = format!("{:#}", self.disagreement(&comparison.avoidable, &tables));
                self.journal.say(format!("stickds are behind what members know that they reach: {what}"));
            }
            if agrees || is_late {
                return Ok((comparison, tables));
            }
            self.tick()?;
        }
    }

    fn tell(&mut self, first: &Comparison, last: &Comparison, [joined, agreed]: [Duration; 2]) {
        let summary = &mut self.summary;
        summary.calm_points += 1;
        summary.keys += last.keys;
        summary.entries += first.entries + last.entries;
        let worst = first.worst.max(last.worst);
        summary.worst_lifetime = summary.worst_lifetime.max(worst);
        summary.behind += first.behind;
        let line = format!(
            "calm point {}: all agree on {} keys ({} and {} entries compared; lifetimes within {} ms; differing \
             until the next request: {}; joined after {:.1} s, agreed after {:.1} s)",
            summary.calm_points,
            last.keys,
            first.entries,
            last.entries,
            worst.as_millis(),
            first.behind,
            joined.as_secs_f32(),
            agreed.as_secs_f32()
        );
        self.journal.say(line);
    }

    /// Everything about the first faults.
    fn disagreement(&self, faults: &[Fault], tables: &[Tables]) -> anyhow::Error {
        let mut text = format!("{} disagreements:", faults.len());
        for fault in faults.iter().take(TOLD) {
            let (kind, key) = &fault.place;
            text += &format!("\n  {} at {}: {}", key, NAMES[fault.member], fault.what);
            let ledger = self.ledger.lock();
            if let Some(truth) = ledger.get(*kind, key) {
                let age = truth.touched.map_or(-1.0, |touched| touched.elapsed().as_secs_f32());
                text += &format!(
                    "\n    sent: {} requests to {}, the last {age:.1} s ago{}{}",
                    truth.count,
                    NAMES[truth.owner],
                    if truth.resting { ", resting" } else { "" },
                    if truth.gone_by.is_some() { ", a visitor of an earlier round" } else { "" }
                );
            }
            for (member, tables) in tables.iter().enumerate() {
                let entry = tables[kind].table.entries.get(key);
                let entry = entry.map_or_else(
                    || "no entry".to_owned(),
                    |entry| format!("{} ms left, {:?}", entry.exp, entry.fields),
                );
                text += &format!("\n    {} in {}: {entry}", NAMES[member], kind.name());
            }
        }
        let members = |flags: &[bool; MEMBERS]| {
            let names = NAMES.iter().zip(flags).filter(|(_, flag)| **flag).map(|(name, _)| *name);
            names.collect::<Vec<_>>().join(" ")
        };
        text += &format!("\n  new processes in this round: {}", members(&self.round.replaced));
        text += &format!("\n  of these killed: {}", members(&self.round.killed));
        for (member, disturbed) in self.round.disturbed.iter().enumerate() {
            text += &format!("\n  links of {} disturbed: {}", NAMES[member], members(disturbed));
        }
        anyhow::Error::msg(text)
    }
}
