//! What is published, and what is kept, beside the twin.

use stick_table::{DataType, Value};

use super::rates::read;
use super::{KEYS, Model, PERIOD, Part, Values, key};
use crate::Rule;

impl Model {
    /// The live parts of a key, one for each node, in the order in which they were told.
    fn by_node(&self, number: u8) -> Vec<Values> {
        let live = |part: &&Part| part.end > self.now;
        let parts = self.twin.get(&number).map_or(&[][..], |parts| parts);
        let own =
            |node, former| parts.iter().filter(live).find(|part| part.node == node && part.former == former);
        let mut nodes = Vec::new();
        for part in parts.iter().filter(live) {
            match (part.former, own(part.node, !part.former)) {
                (true, Some(_)) => {}
                (false, Some(former)) => nodes.push(self.combined(&part.values, &former.values)),
                (_, None) => nodes.push(part.values.clone()),
            }
        }
        nodes
    }

    pub(super) fn check_news(&mut self, number: u8) {
        let readings = self.by_node(number).into_iter().map(|node| i128::from(read(node.rate, self.now)));
        self.sums.insert(number, readings.sum());
        self.check(number);
    }

    /// What is published of a key must be what the twin makes of its parts.
    pub(super) fn check(&self, number: u8) {
        let nodes = self.by_node(number);
        if nodes.is_empty() || (self.partial.contains(&number) && !self.aggregate.is_whole()) {
            return;
        }
        let remaining = self.twin[&number].iter().map(|part| part.end.saturating_sub(self.now)).max();
        let value = |data_type| {
            self.aggregate
                .output()
                .get(&key(number), self.now, |entry| entry.value(data_type, 0).unwrap())
                .unwrap()
        };
        let fold = |rule, values: &mut dyn Iterator<Item = i128>, most: i128| {
            let values: Vec<i128> = values.collect();
            let result = match rule {
                Rule::Sum => values.iter().sum(),
                Rule::Last => values.last().copied().unwrap_or(0),
                Rule::Max => values.iter().copied().max().unwrap_or(0),
                Rule::Min => values.iter().copied().min().unwrap_or(0),
                Rule::Or => values.iter().fold(0, |bits, more| bits | more),
            };
            result.min(most)
        };
        let rule = |data_type| self.rules.get(data_type);
        let most = i128::from(u32::MAX);
        let id = fold(
            rule(DataType::ServerId),
            &mut nodes.iter().filter_map(|node| node.id).map(i128::from),
            most,
        );
        assert_eq!(value(DataType::ServerId), Some(Value::Signed(id as i32)));
        let tag =
            fold(rule(DataType::Gpt0), &mut nodes.iter().filter_map(|node| node.tag).map(i128::from), most);
        assert_eq!(value(DataType::Gpt0), Some(Value::Unsigned(tag as u32)));
        let count = fold(rule(DataType::ConnCnt), &mut nodes.iter().map(|node| node.count.into()), most);
        assert_eq!(value(DataType::ConnCnt), Some(Value::Unsigned(count as u32)));
        let open = fold(Rule::Sum, &mut nodes.iter().filter_map(|node| node.open).map(i128::from), most);
        assert_eq!(value(DataType::ConnCur), Some(Value::Unsigned(open as u32)));
        let told_bytes = nodes.iter().filter(|node| node.id.is_some()).map(|node| i128::from(node.bytes));
        let bytes = fold(rule(DataType::BytesInCnt), &mut told_bytes.into_iter(), u64::MAX.into());
        assert_eq!(value(DataType::BytesInCnt), Some(Value::Unsigned64(bytes as u64)));
        let server = nodes.iter().rev().find_map(|node| node.server);
        if let Some(server) = server {
            assert_eq!(value(DataType::ServerKey), Some(Value::Dictionary(Some(server.to_string().into()))));
        }
        let Some(Value::Frequency(rate)) = value(DataType::HttpReqRate) else { panic!("no rate") };
        let readings = || nodes.iter().map(|node| read(node.rate, self.now).into());
        let expected = fold(rule(DataType::HttpReqRate), &mut readings(), most);
        let wrong = (i128::from(read(rate, self.now)) - expected).abs();
        // The bound that the crate states. What is expected was rounded for each node.
        let peak = self.twin[&number].iter().filter(|part| part.end > self.now);
        let peak: u32 = peak.map(|part| part.values.rate.current.max(part.values.rate.previous)).sum();
        let before = self.sums[&number];
        let drift = i128::from(peak / 64 + 2 * peak / PERIOD);
        let allowed = nodes.len() as i128 + 3 + (before / 64).max(1) + drift;
        assert!(wrong <= allowed, "{wrong} of {expected}, with {allowed} allowed");
        let published =
            self.aggregate.output().get(&key(number), self.now, |entry| entry.remaining()).unwrap().flatten();
        let remaining = remaining.unwrap_or(0) as u32;
        let published = published.unwrap_or(0);
        // A deadline is never at tick 0.
        assert!(published == remaining || published == remaining + 1, "{published} {remaining}");
    }

    /// What is published of a key is never less than what a node told of it, also where that was refused.
    pub(super) fn check_refused(&self) {
        if self.rules.get(DataType::ConnCnt) != Rule::Sum
            || self.rules.get(DataType::HttpReqRate) != Rule::Sum
        {
            return;
        }
        let refused = self.refused.iter().filter(|(_, (_, end))| *end > self.now);
        let refused = refused.map(|(&(number, _), (values, _))| (number, values));
        let partial = self.partial.iter().filter_map(|number| Some((*number, self.twin.get(number)?)));
        let partial = partial.flat_map(|(number, parts)| {
            let live = parts.iter().filter(|part| part.end > self.now);
            live.map(move |part| (number, &part.values))
        });
        for (number, values) in refused.chain(partial) {
            let published = self
                .aggregate
                .output()
                .get(&key(number), self.now, |entry| {
                    (entry.value(DataType::ConnCnt, 0), entry.value(DataType::HttpReqRate, 0))
                })
                .unwrap();
            let Some((Some(Value::Unsigned(count)), Some(Value::Frequency(rate)))) = published else {
                continue;
            };
            assert!(count >= values.count, "{count} of key {number} is less than {}", values.count);
            let (rate, own) = (read(rate, self.now), read(values.rate, self.now));
            assert!(rate + 1 >= own, "the rate {rate} of key {number} is less than {own}");
        }
    }

    pub(super) fn check_contributions(&self) {
        for number in 0..KEYS {
            let told = self.aggregate.contributions(&key(number), self.now).unwrap();
            let mut told: Vec<_> =
                told.iter().map(|told| (told.node.number(), told.former, told.remaining)).collect();
            let parts = self.twin.get(&number).into_iter().flatten().filter(|part| part.end > self.now);
            let left = |part: &Part| Some((part.end - self.now) as u32);
            let mut expected: Vec<_> =
                parts.map(|part| (part.node, part.former || part.stale, left(part))).collect();
            told.sort();
            expected.sort();
            assert_eq!(told, expected);
            if told.is_empty() && !self.orphans.contains(&number) {
                let published =
                    self.aggregate.output().get(&key(number), self.now, |entry| entry.remaining()).unwrap();
                // The zeros of a cleared key end after 1 ms, or 2: a deadline is never at tick 0.
                assert!(published.is_none_or(|left| left <= Some(2)), "nothing outlives what it is made of");
            }
        }
    }
}
