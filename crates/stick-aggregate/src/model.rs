//! An aggregate against a naive twin, under random operations.

mod check;
mod operation;
mod rates;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use stick_table::{DataType, KeyType, Lifetime, Millis, Origin, Table, TableDefinition, Value};

use self::operation::{Operation, Values, operation, rule};
use self::rates::{both, read};
use crate::{Absorbed, Aggregate, OwnWalk, Rule, Rules, Told};

const EXPIRE: u32 = 3_000;
const PERIOD: u32 = 1_000;
const KEYS: u8 = 50;
const SIZE: u32 = 40;
const STORE: [&str; 7] =
    ["server_id", "gpt0", "conn_cnt", "conn_cur", "http_req_rate(1s)", "bytes_in_cnt", "server_key"];

#[derive(Clone, Debug)]
struct Part {
    node: u16,
    values: Values,
    end: Millis,
    former: bool,
    stale: bool,
    offered: bool,
    /// Of the session that told it.
    known: bool,
}

struct Model {
    aggregate: Aggregate,
    rules: Rules,
    twin: BTreeMap<u8, Vec<Part>>,
    /// Keys whose published entry may outlive what the aggregate knows.
    orphans: Vec<u8>,
    /// What nodes told last and was refused, and when it ends.
    refused: BTreeMap<(u8, u16), (Values, Millis)>,
    /// Keys that came when something was left out.
    partial: BTreeSet<u8>,
    /// What the rates of all nodes read together when a key was told last: they only fell since then.
    sums: BTreeMap<u8, i128>,
    now: Millis,
}

fn key(number: u8) -> [u8; 4] {
    [10, 0, number, number]
}

impl Model {
    fn new(choice: &[Rule]) -> Self {
        let table = |name: &str, size| {
            let empty = TableDefinition::new(name, KeyType::Ip, size).with_expire(Some(EXPIRE));
            STORE.iter().fold(empty, |table, column| table.with_column(column.parse().unwrap()).unwrap())
        };
        let types = [
            DataType::ServerId,
            DataType::Gpt0,
            DataType::ConnCnt,
            DataType::BytesInCnt,
            DataType::HttpReqRate,
        ];
        let mut rules = Rules::default();
        for (data_type, &rule) in types.into_iter().zip(choice) {
            // Not every type takes every rule.
            let _ = rules.set(data_type, rule);
        }
        let output = Arc::new(Table::new(table("o", 1_000), 1).unwrap());
        let aggregate = Aggregate::new(table("s", SIZE), output, &rules, 3).unwrap();
        // The clock wraps on the way.
        let now = u64::from(u32::MAX) - 5_001;
        Self {
            aggregate,
            rules,
            twin: BTreeMap::new(),
            orphans: Vec::new(),
            refused: BTreeMap::new(),
            partial: BTreeSet::new(),
            sums: BTreeMap::new(),
            now,
        }
    }

    fn adds(&self, data_type: DataType) -> bool {
        matches!(self.rules.get(data_type), Rule::Sum | Rule::Max | Rule::Min)
    }

    /// Whether a process that tells `new` knows `old`.
    fn knows(&self, new: &Values, old: &Values) -> bool {
        let (is, was) = (read(new.rate, self.now), read(old.rate, self.now));
        (!self.adds(DataType::ConnCnt) || new.count >= old.count)
            && (!self.adds(DataType::BytesInCnt) || new.bytes >= old.bytes)
            && (!self.adds(DataType::HttpReqRate) || is + was / 8 + 1 >= was)
    }

    fn leapt(&self, before: &Values, former: &Values) -> bool {
        let half = |before: u64, former: u64| before < former.div_ceil(2);
        let (before_rate, former_rate) = (read(before.rate, self.now), read(former.rate, self.now));
        (self.adds(DataType::ConnCnt) && half(before.count.into(), former.count.into()))
            || (self.adds(DataType::BytesInCnt) && half(before.bytes, former.bytes))
            || (self.adds(DataType::HttpReqRate) && half(before_rate.into(), former_rate.into()))
    }

    /// What two processes of a node told together.
    fn combined(&self, newer: &Values, older: &Values) -> Values {
        let tag = match self.rules.get(DataType::Gpt0) {
            Rule::Or => newer.tag.zip(older.tag).map(|(one, other)| one | other).or(newer.tag).or(older.tag),
            _ => newer.tag.or(older.tag),
        };
        let count = match self.rules.get(DataType::ConnCnt) {
            Rule::Last => newer.count,
            Rule::Or => newer.count | older.count,
            _ => newer.count.saturating_add(older.count),
        };
        let bytes = match self.rules.get(DataType::BytesInCnt) {
            // All columns are told, or few.
            Rule::Last if newer.id.is_none() => older.bytes,
            Rule::Last => newer.bytes,
            Rule::Or => newer.bytes | older.bytes,
            _ => newer.bytes.saturating_add(older.bytes),
        };
        let rate = match self.rules.get(DataType::HttpReqRate) {
            Rule::Last => newer.rate,
            _ => both(older.rate, newer.rate, self.now),
        };
        let (id, open, server) =
            (newer.id.or(older.id), newer.open.or(older.open), newer.server.or(older.server));
        Values { id, tag, count, open, rate, bytes, server }
    }

    fn tell(&mut self, operation: &Operation) {
        let Operation::Tell { node, lesson, lifetime, keep, few, changes } = operation else { return };
        let lifetime = match (keep, lifetime) {
            (true, _) => Lifetime::Keep,
            (_, None) => Lifetime::Restart,
            (_, Some(ms)) => Lifetime::Exactly(*ms),
        };
        let told = if *lesson { Told::Lesson } else { Told::Live };
        for (number, values) in changes {
            let mut values = values.clone();
            values.rate.tick = (self.now as u32).wrapping_sub(values.rate.tick) & !1;
            if *few {
                values = Values { count: values.count, rate: values.rate, ..Values::default() };
            }
            let was_whole = self.aggregate.is_whole();
            let absorbed = self.absorb(*number, &values, *few, *node, told, lifetime);
            if absorbed.created == 1 && !was_whole && !self.is_told(*number) {
                self.partial.insert(*number);
            }
            if absorbed.created + absorbed.updated == 1 {
                self.refused.remove(&(*number, *node));
            }
            self.follow_absorbed(*number, values, *few, *node, told, lifetime, absorbed);
        }
    }

    fn absorb(
        &self,
        number: u8,
        values: &Values,
        few: bool,
        node: u16,
        told: Told,
        lifetime: Lifetime,
    ) -> Absorbed {
        let mut batch = self.aggregate.batch();
        let at = |data_type| self.aggregate.layout().offset(data_type, 0).unwrap();
        let types = DataType::ALL.into_iter().filter(|&data_type| {
            self.aggregate.source().column(data_type).is_some()
                && (!few || matches!(data_type, DataType::ConnCnt | DataType::HttpReqRate))
        });
        batch
            .set_columns(types.map(|data_type| at(data_type)..at(data_type) + data_type.storage().words()))
            .unwrap();
        let words = batch.push(&key(number), lifetime).unwrap();
        words[at(DataType::ConnCnt)] = values.count;
        let rate = [values.rate.tick, values.rate.current, values.rate.previous];
        words[at(DataType::HttpReqRate)..][..3].copy_from_slice(&rate);
        if !few {
            words[at(DataType::ServerId)] = values.id.unwrap().cast_unsigned();
            words[at(DataType::Gpt0)] = values.tag.unwrap();
            words[at(DataType::ConnCur)] = values.open.unwrap();
            let bytes = [values.bytes as u32, (values.bytes >> 32) as u32];
            words[at(DataType::BytesInCnt)..][..2].copy_from_slice(&bytes);
            if let Some(server) = values.server {
                batch.set_string(&Arc::from(server.to_string()));
            }
        }
        self.aggregate.absorb(&mut batch, Origin::peer(node).unwrap(), told, self.now)
    }

    #[expect(clippy::too_many_arguments, reason = "all that a change is")]
    fn follow_absorbed(
        &mut self,
        number: u8,
        mut values: Values,
        few: bool,
        node: u16,
        told: Told,
        lifetime: Lifetime,
        absorbed: Absorbed,
    ) {
        let now = self.now;
        let mut parts = self.twin.remove(&number).unwrap_or_default();
        parts.retain(|part| part.end > now);
        let end = match lifetime {
            Lifetime::Restart => Some(now + u64::from(EXPIRE)),
            Lifetime::Exactly(ms) => Some(now + u64::from(ms.min(EXPIRE))),
            Lifetime::Touched(age) => Some(now + u64::from(EXPIRE.saturating_sub(age))),
            Lifetime::Keep => None,
        };
        if let [only] = &mut *parts.iter_mut().filter(|part| part.node == node).collect::<Vec<_>>()
            && only.former
        {
            (only.former, only.stale) = (false, true);
        }
        let find =
            |parts: &[Part], former| parts.iter().position(|part| part.node == node && part.former == former);
        let fresh = |values, end| Part {
            node,
            values,
            end,
            former: false,
            stale: false,
            offered: false,
            known: false,
        };
        let Some(present) = find(&parts, false) else {
            let Some(end) = end.filter(|&end| end > now) else {
                assert_eq!(absorbed.skipped, 1);
                self.put_back(number, parts);
                return;
            };
            if absorbed.refused == 1 {
                assert!(parts.is_empty() && !self.aggregate.is_whole(), "a key that is there has room");
                self.refused.insert((number, node), (values, end));
                self.orphans.push(number);
                return;
            }
            assert_eq!(absorbed.created, 1);
            let place = if told == Told::Lesson { 0 } else { parts.len() };
            parts.insert(place, fresh(values, end));
            self.put_back(number, parts);
            self.check_news(number);
            return;
        };
        let mut old = parts[present].clone();
        let former = find(&parts, true).map(|place| parts[place].clone());
        let all = former
            .as_ref()
            .map_or_else(|| old.values.clone(), |former| self.combined(&old.values, &former.values));
        let is_known = old.known && !old.stale;
        let mut kept = former.clone();
        let mut ignored = false;
        let old_server = old.values.server;
        if !old.stale && old.offered {
            ignored = !self.knows(&values, &all);
            if !ignored {
                kept = None;
            }
        } else if is_known {
            match &former {
                Some(former) => kept = kept.filter(|_| !self.knows(&values, &former.values)),
                None if self.knows(&values, &old.values) => {}
                None => kept = Some(Part { former: true, known: false, ..old.clone() }),
            }
        } else if !old.stale {
            kept = kept.filter(|former| {
                !(self.knows(&values, &former.values) && self.leapt(&old.values, &former.values))
            });
        } else if self.knows(&values, &all) {
            kept = None;
        } else if former.is_none() || !self.knows(&values, &old.values) {
            let end = former.as_ref().map_or(old.end, |former| old.end.max(former.end));
            kept = Some(Part {
                values: all,
                end,
                former: true,
                stale: false,
                offered: false,
                known: false,
                ..old.clone()
            });
        }
        let is_first = is_known && former.is_none();
        let begins_anew = kept.is_some() && (old.stale || is_first) && !self.knows(&values, &old.values);
        if kept.is_none() || begins_anew {
            parts.retain(|part| !(part.node == node && part.former));
        }
        let mut place = find(&parts, false).unwrap();
        if let Some(former) = kept.as_ref().filter(|_| begins_anew) {
            parts.insert(place, former.clone());
            place += 1;
        }
        if ignored {
            assert_eq!(absorbed.skipped, 1);
            if !few {
                let newest = |data_type| self.rules.get(data_type) == Rule::Last;
                old.values.id = values.id;
                old.values.open = values.open;
                old.values.server = values.server.or(old_server);
                if self.rules.get(DataType::Gpt0) != Rule::Or {
                    old.values.tag = values.tag;
                }
                if newest(DataType::BytesInCnt) {
                    old.values.bytes = values.bytes;
                }
            }
            if self.rules.get(DataType::ConnCnt) == Rule::Last {
                old.values.count = values.count;
            }
            if self.rules.get(DataType::HttpReqRate) == Rule::Last {
                old.values.rate = values.rate;
            }
            if let Some(end) = end.filter(|_| lifetime != Lifetime::Exactly(0)) {
                old.end = end;
            }
            parts[place] = old.clone();
        } else {
            assert_eq!(absorbed.updated, 1);
            if !few && values.server.is_none() && !begins_anew {
                values.server = old_server;
            }
            let end = end.unwrap_or_else(|| {
                if begins_anew { kept.as_ref().map_or(old.end, |former| former.end) } else { old.end }
            });
            old.end = end;
            parts[place] = Part { known: is_known && kept.is_some(), ..fresh(values, end) };
            if told == Told::Live {
                let part = parts.remove(place);
                parts.push(part);
            }
        }
        if let Some(former) = find(&parts, true) {
            parts[former].end = parts[former].end.max(old.end);
        }
        if old.end <= now {
            parts.retain(|part| part.node != node);
            if parts.is_empty() {
                self.orphans.push(number);
            }
        }
        self.put_back(number, parts);
        self.check_news(number);
    }

    /// Whether some node has a part of the key.
    fn is_told(&self, number: u8) -> bool {
        self.twin.get(&number).is_some_and(|parts| parts.iter().any(|part| part.end > self.now))
    }

    /// The nodes that are wanted tell all they have again, as far as it was refused.
    fn heal(&mut self) {
        let now = self.now;
        self.refused.retain(|_, (_, end)| *end > now);
        for node in 1..5 {
            if !self.aggregate.wants_lesson(Origin::peer(node).unwrap()) {
                continue;
            }
            self.aggregate.asked(Origin::peer(node).unwrap());
            let own: Vec<_> = self.refused.iter().filter(|((_, of), _)| *of == node).collect();
            let own: Vec<_> = own.into_iter().map(|(&(number, _), told)| (number, told.clone())).collect();
            for (number, (mut values, end)) in own {
                // The age stands in the tick until it is told.
                values.rate.tick = (now as u32).wrapping_sub(values.rate.tick);
                let few = values.id.is_none();
                let (lifetime, changes) = (Some((end - now) as u32), vec![(number, values)]);
                self.tell(&Operation::Tell { node, lesson: true, lifetime, keep: false, few, changes });
            }
            self.aggregate.told_all(Origin::peer(node).unwrap());
        }
        if self.aggregate.is_whole() {
            assert!(self.refused.is_empty(), "nothing is left out");
        }
    }

    fn put_back(&mut self, number: u8, parts: Vec<Part>) {
        if !parts.is_empty() {
            self.twin.insert(number, parts);
        }
    }

    fn run(&mut self, operation: &Operation) {
        let now = self.now;
        match operation {
            Operation::Tell { .. } => self.tell(operation),
            Operation::Restart { node } => {
                self.aggregate.process_may_have_changed(Origin::peer(*node).unwrap());
                self.of_node(*node, |part| part.stale |= !part.former);
            }
            Operation::RestartOften { node, times } => {
                (0..*times)
                    .for_each(|_| self.aggregate.process_may_have_changed(Origin::peer(*node).unwrap()));
                self.of_node(*node, |part| part.stale |= !part.former);
            }
            Operation::Teach { node, limit } => self.teach(*node, *limit),
            Operation::Taught { node } => {
                self.aggregate.taught(Origin::peer(*node).unwrap());
                self.fold_offered(*node);
            }
            Operation::TaughtElsewhere { node, ago } => {
                let since = now - ago;
                self.aggregate.taught_elsewhere(Origin::peer(*node).unwrap(), since);
                self.learn_elsewhere(*node, since);
            }
            Operation::Forget { node } => {
                self.aggregate.forget(Origin::peer(*node).unwrap());
                let twin = std::mem::take(&mut self.twin);
                for (number, mut parts) in twin {
                    let before = parts.len();
                    parts.retain(|part| part.node != *node);
                    if parts.len() < before {
                        self.orphans.push(number);
                    }
                    self.put_back(number, parts);
                }
                self.refused.retain(|(_, of), _| of != node);
            }
            Operation::Heal => self.heal(),
            Operation::Clear { number } => self.clear(*number),
            Operation::ClearAll => {
                let live = self.twin.values().flatten().filter(|part| part.end > now).count();
                assert_eq!(self.aggregate.clear_all(Lifetime::Exactly(1), now), live as u64);
                self.orphans.extend(std::mem::take(&mut self.twin).into_keys());
                self.refused.clear();
                assert_eq!(self.aggregate.usage().keys, 0);
            }
            Operation::Refresh { budget } => {
                let refreshed = self.aggregate.refresh(now, *budget);
                assert!(refreshed.keys <= *budget);
            }
            Operation::RefreshAll => {
                // The first one may begin where another one stopped.
                self.aggregate.refresh(now, 100_000);
                self.aggregate.refresh(now, 100_000);
                assert!(!self.aggregate.is_behind());
                let numbers: Vec<u8> = self.twin.keys().copied().collect();
                numbers.into_iter().for_each(|number| self.check(number));
            }
            Operation::Pass { ms } => self.now += ms,
        }
        if self.aggregate.is_whole() {
            self.partial.clear();
        }
        self.aggregate.validate();
        self.check_contributions();
        self.check_refused();
    }

    fn clear(&mut self, number: u8) {
        let parts = self.twin.remove(&number).unwrap_or_default();
        let live = parts.iter().filter(|part| part.end > self.now).count();
        self.refused.retain(|(of, _), _| *of != number);
        assert_eq!(self.aggregate.clear(&key(number), Lifetime::Exactly(1), self.now).unwrap(), live as u32);
        let open = self
            .aggregate
            .output()
            .get(&key(number), self.now, |entry| {
                (entry.value(DataType::ConnCnt, 0).unwrap(), entry.remaining().unwrap())
            })
            .unwrap();
        if live > 0 {
            assert!(matches!(open, Some((Value::Unsigned(0), 1..=2))), "{open:?}");
        }
    }

    fn of_node(&mut self, node: u16, change: impl Fn(&mut Part)) {
        self.twin.values_mut().flatten().filter(|part| part.node == node).for_each(change);
    }

    fn teach(&mut self, node: u16, limit: usize) {
        let mut walk = OwnWalk::default();
        let mut taught: BTreeMap<Vec<u8>, (u32, u32)> = BTreeMap::new();
        let at = self.aggregate.layout().offset(DataType::ConnCnt, 0).unwrap();
        while self.aggregate.own_values(Origin::peer(node).unwrap(), &mut walk, limit, self.now, |own| {
            let before = taught.insert(own.key().to_vec(), (own.words()[at], own.remaining().unwrap()));
            assert_eq!(before, None, "visited once");
        }) {}
        let mut expected = BTreeMap::new();
        let now = self.now;
        for (number, parts) in &self.twin {
            let own: Vec<&Part> = parts.iter().filter(|part| part.node == node && part.end > now).collect();
            if !own.iter().any(|part| part.former || part.stale || part.offered || part.known) {
                continue;
            }
            let newest = own.iter().find(|part| !part.former).or_else(|| own.first()).unwrap();
            let older = own.iter().find(|part| part.former && newest.former != part.former);
            let values = older
                .map_or_else(|| newest.values.clone(), |older| self.combined(&newest.values, &older.values));
            let end = own.iter().map(|part| part.end).max().unwrap();
            expected.insert(key(*number).to_vec(), (values.count, (end - now) as u32));
        }
        assert_eq!(taught, expected);
        for parts in self.twin.values_mut() {
            let live = || parts.iter().filter(|part| part.node == node && part.end > now);
            if live().all(|part| part.former) {
                let alone = parts.iter_mut().filter(|part| part.node == node && part.end > now);
                alone.for_each(|part| (part.former, part.stale) = (false, true));
            }
        }
        self.of_node(node, |part| {
            if !part.former && part.end > now && (part.stale || part.offered || part.known) {
                (part.stale, part.offered, part.known) = (false, true, false);
            }
        });
        // What is beside a former part is offered with it.
        for parts in self.twin.values_mut() {
            if parts.iter().any(|part| part.node == node && part.former && part.end > now) {
                let own = parts.iter_mut().filter(|part| part.node == node && !part.former && part.end > now);
                own.for_each(|part| (part.stale, part.offered, part.known) = (false, true, false));
            }
        }
    }

    fn learn_elsewhere(&mut self, node: u16, since: Millis) {
        let twin = self.twin.clone();
        for (number, mut parts) in twin {
            parts.retain(|part| part.end > self.now);
            let find = |former| parts.iter().position(|part| part.node == node && part.former == former);
            let (present, former) = (find(false), find(true));
            let Some(one) = present.or(former) else {
                self.twin.insert(number, parts);
                continue;
            };
            if parts[one].offered && !parts[one].stale {
                self.twin.insert(number, parts);
                continue;
            }
            if let (Some(present), Some(former)) = (present, former) {
                let (new, old) = (parts[present].clone(), parts[former].clone());
                let is_since = new.end - Millis::from(EXPIRE) >= since;
                let is_of_former = new.stale && !is_since;
                if is_of_former {
                    parts[present].values = self.combined(&new.values, &old.values);
                    parts[present].end = new.end.max(old.end);
                }
                let is_learned = is_since && self.knows(&new.values, &old.values);
                let part = &mut parts[present];
                if !is_learned {
                    (part.stale, part.offered, part.known) = (false, false, true);
                }
                if is_of_former || is_learned {
                    parts.remove(former);
                }
            } else if parts[one].stale || parts[one].former {
                let part = &mut parts[one];
                (part.former, part.stale, part.offered, part.known) = (false, false, false, true);
            }
            self.twin.remove(&number);
            self.put_back(number, parts);
        }
    }

    fn fold_offered(&mut self, node: u16) {
        let twin = self.twin.clone();
        let now = self.now;
        for (number, mut parts) in twin {
            parts.retain(|part| part.end > now);
            let is_taught = |part: &Part| part.offered || part.known && !part.stale;
            let present = parts.iter().position(|part| part.node == node && is_taught(part) && !part.former);
            let former = parts.iter().position(|part| part.node == node && part.former);
            if let Some(present) = present {
                (parts[present].offered, parts[present].known) = (false, false);
                if let Some(former) = former {
                    parts[present].values = self.combined(&parts[present].values, &parts[former].values);
                    parts[present].end = parts[present].end.max(parts[former].end);
                    parts.remove(former);
                }
            }
            self.twin.remove(&number);
            self.put_back(number, parts);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(300)))]

    #[test]
    fn agrees_with_its_naive_twin(
        rules in proptest::collection::vec(rule(), 5),
        operations in proptest::collection::vec(operation(), 1..80),
    ) {
        let mut model = Model::new(&rules);
        for operation in &operations {
            model.run(operation);
        }
    }
}
