//! The contributions to the sums of a hub: bytes, changed tables, damage, laps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use stick_aggregate::{Aggregate, Rules, Told};
use stick_store::{Clocks, Disk, Loaded, NodeNames, Options, Sums, Writer, load, load_with_sums};
use stick_table::{DataType, Lifetime, Origin, Table, TableDefinition, Value};

use crate::disk::SimDisk;
use crate::tables::clocks;

const GOLDEN: &[u8] = include_bytes!("../golden/format-1-sums.log");
const CLOCKS: Clocks =
    Clocks { now: 500_000, wall: 1_780_000_000_000, boot: 60_000, boot_id: *b"boot-id-of-tests" };
const LINE: &str = "type string len 20 size 1000 expire 60s store gpc0,server_key,http_req_rate(10s)";

/// The nodes `a`, `b`, … with numbers from `first` on; `known` of them are nodes still.
struct Nodes {
    first: u16,
    known: u16,
    asked: Mutex<Vec<String>>,
}

impl NodeNames for Nodes {
    fn names(&self) -> Vec<(Origin, String)> {
        let name = |place: u16| char::from(b'a' + place as u8).to_string();
        (0..self.known).map(|place| (node(self.first + place), name(place))).collect()
    }

    fn returns(&self, name: &str) -> Option<Origin> {
        self.asked.lock().unwrap().push(name.to_owned());
        self.names().into_iter().find(|(_, known)| known == name).map(|(node, _)| node)
    }
}

fn node(number: u16) -> Origin {
    Origin::peer(number).unwrap()
}

fn hub(line: &str, first: u16, known: u16) -> Sums {
    let definition = |name: &str| format!("table {name} {line}").parse::<TableDefinition>().unwrap();
    let output = Arc::new(Table::new(definition("t.agg"), 1).unwrap());
    let aggregate = Arc::new(Aggregate::new(definition("t"), output, &Rules::default(), 1).unwrap());
    let source = Arc::new(Table::new(definition("t"), 1).unwrap());
    Sums { aggregate, source, nodes: Arc::new(Nodes { first, known, asked: Mutex::default() }) }
}

/// A node tells a counter, and a server and a rate as well if it is `whole`.
fn tell(hub: &Sums, number: u16, key: &str, count: u32, whole: bool, now: u64) {
    let mut batch = hub.aggregate.batch();
    let at = |data_type| hub.aggregate.layout().offset(data_type, 0).unwrap();
    let [counter, server, rate] = [DataType::Gpc0, DataType::ServerKey, DataType::HttpReqRate].map(at);
    let words = hub.aggregate.layout().data_words();
    batch.set_columns(std::iter::once(if whole { 0..words } else { counter..counter + 1 })).unwrap();
    let row = batch.push(key.as_bytes(), Lifetime::Restart).unwrap();
    row[counter] = count;
    if whole {
        row[rate..rate + 3].copy_from_slice(&[now as u32, count, 0]);
        row[server] = 0;
        batch.set_string(&Arc::from("srv1"));
    }
    hub.aggregate.absorb(&mut batch, node(number), Told::Live, now);
}

fn sum(hub: &Sums, key: &str, now: u64) -> Option<(u32, u32)> {
    let read = hub.aggregate.output().get(key.as_bytes(), now, |entry| {
        let Some(Value::Unsigned(sum)) = entry.value(DataType::Gpc0, 0) else { panic!("no sum") };
        (sum, entry.remaining().unwrap_or(0))
    });
    read.unwrap()
}

fn written() -> Vec<u8> {
    let disk = SimDisk::default();
    let mut writer =
        Writer::new(disk.clone(), Options::default(), &Loaded::default(), 0x0123_4567_89ab_cdef, &CLOCKS);
    let hub = hub(LINE, 1, 3);
    writer.add_sums("h:/t", hub.clone());
    tell(&hub, 1, "k", 7, true, 499_000);
    tell(&hub, 2, "k", 9, true, 499_500);
    hub.aggregate.process_may_have_changed(node(2));
    tell(&hub, 2, "k", 1, false, 499_600);
    tell(&hub, 1, "gone", 3, false, 499_700);
    writer.tick(&CLOCKS).unwrap();
    hub.aggregate.clear(b"gone", Lifetime::Exactly(6_000), CLOCKS.now).unwrap();
    writer.tick(&CLOCKS).unwrap();
    disk.read("0000000001.log").unwrap()
}

fn read(disk: &SimDisk, hub: &Sums, clocks: &Clocks) -> Loaded {
    load_with_sums(disk, clocks, |_, _| None, |name, _| (name == "h:/t").then(|| hub.clone())).unwrap()
}

#[test]
fn contributions_are_written_in_format_1() {
    let written = written();
    if written != GOLDEN {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("format-1-sums.log");
        std::fs::write(&path, &written).unwrap();
        panic!("the bytes are others, see {}: a change of the format needs another number", path.display());
    }
}

#[test]
fn contributions_of_format_1_are_read() {
    let disk = SimDisk::with("0000000001.log", GOLDEN);
    let clocks = Clocks { now: 1_000, boot: CLOCKS.boot + 5_000, ..CLOCKS };
    let hub = hub(LINE, 40, 3);
    let loaded = read(&disk, &hub, &clocks);
    assert_eq!((&loaded.damage, &loaded.left_out), (&vec![], &vec![]));
    assert_eq!(sum(&hub, "k", clocks.now), Some((17, 54_600)));
    assert_eq!(sum(&hub, "gone", clocks.now).map_or(0, |(sum, _)| sum), 0, "it was cleared");
    let told = hub.aggregate.contributions(b"k", clocks.now).unwrap();
    let told: Vec<_> = told.iter().map(|it| (it.node.number(), it.former, it.values.len())).collect();
    assert_eq!(told, [(40, false, 3), (41, true, 3), (41, false, 1)]);
    let (server, rate) = hub
        .aggregate
        .output()
        .get(b"k", clocks.now, |entry| {
            let Some(Value::Frequency(rate)) = entry.value(DataType::HttpReqRate, 0) else { panic!() };
            (entry.value(DataType::ServerKey, 0), rate.read(10_000, clocks.now as u32))
        })
        .unwrap()
        .unwrap();
    assert_eq!(server, Some(Value::Dictionary(Some("srv1".into()))));
    assert!(rate == 16 || rate == 17, "{rate}: counted 6 s ago");
    // Those who do not ask for contributions hear nothing of them.
    let loaded = load(&disk, &clocks, |_, _| panic!("it is no table")).unwrap();
    assert_eq!((loaded.left_out, loaded.entries), (Vec::new(), 0));
}

#[test]
fn other_nodes_and_columns_are_left_out_and_said() {
    let disk = SimDisk::with("0000000001.log", GOLDEN);
    let changed = "type string len 20 size 10 expire 50s store gpt0,gpc0,http_req_rate(20s)";
    let hub = hub(changed, 40, 1);
    let loaded = read(&disk, &hub, &CLOCKS);
    let said: Vec<_> = loaded.left_out.iter().map(|it| it.reason.as_str()).collect();
    let wanted = [
        "b is no node of the hub any more",
        "server_key is not stored any more",
        "the period of http_req_rate was 10000 ms, and is 20000 ms now",
    ];
    assert_eq!(said, wanted);
    assert_eq!(sum(&hub, "k", CLOCKS.now), Some((7, 50_000)), "that of one node, cut to the new lifetime");
    let loaded = load_with_sums(&disk, &CLOCKS, |_, _| None, |_, _| None).unwrap();
    assert_eq!(loaded.left_out[0].reason, "no hub sums it any more");
}

/// The junk is anywhere: whatever is read is a sum that was there, and nothing fails.
#[test]
fn damage_costs_no_more_than_a_block() {
    for at in (0..GOLDEN.len()).step_by(8) {
        let mut bytes = GOLDEN.to_vec();
        let end = bytes.len().min(at + 8);
        bytes[at..end].fill(0x5a);
        let hub = hub(LINE, 40, 3);
        read(&SimDisk::with("0000000001.log", &bytes), &hub, &CLOCKS);
        let found = sum(&hub, "k", CLOCKS.now).map(|(sum, _)| sum);
        assert!(found.is_none() || found == Some(17), "{found:?} with junk at {at}");
    }
}

/// Many ticks, laps and segments: what is read last is what there was.
#[test]
fn laps_have_all_contributions() {
    let disk = SimDisk::default();
    let options = Options { segment_bytes: 20_000, lap_bytes: 30_000, lap_entries: 40, max_disk: None };
    let hub = hub(LINE, 1, 3);
    let mut writer = Writer::new(disk.clone(), options, &Loaded::default(), 5, &clocks(0));
    writer.add_sums("h:/t", hub.clone());
    let mut wanted: BTreeMap<String, [u32; 3]> = BTreeMap::new();
    let (mut laps, mut now) = (0, 0);
    for round in 0..400_u32 {
        now += 50;
        let key = format!("key-{}", round % 150);
        let place = (round / 150 + round) as usize % 3;
        tell(&hub, place as u16 + 1, &key, round + 1, round % 2 == 0, now);
        wanted.entry(key).or_default()[place] = round + 1;
        if round % 97 == 0 {
            let key = format!("key-{}", round % 13);
            hub.aggregate.clear(key.as_bytes(), Lifetime::Exactly(6_000), now).unwrap();
            wanted.remove(&key);
        }
        laps += u32::from(writer.tick(&clocks(now)).unwrap().ended_lap);
    }
    assert!(laps > 2 && !disk.list().unwrap().contains(&"0000000001.log".to_owned()), "{laps} laps");
    let new = hub_of_next_process();
    let loaded = read(&disk, &new, &clocks(now + 1_000));
    assert_eq!((&loaded.damage, &loaded.left_out), (&vec![], &vec![]));
    let mut found = BTreeMap::new();
    for number in 0..150 {
        let key = format!("key-{number}");
        let counted = sum(&new, &key, now + 1_000).map_or(0, |(sum, _)| sum);
        if counted > 0 {
            found.insert(key, counted);
        }
    }
    let wanted: BTreeMap<_, _> =
        wanted.into_iter().map(|(key, counts)| (key, counts.iter().sum::<u32>())).collect();
    assert_eq!(found, wanted);
}

fn hub_of_next_process() -> Sums {
    hub(LINE, 200, 3)
}
