//! Random schedules with crashes and errors at any call: what was durable is there, and nothing that never was.

use std::io;
use std::sync::Arc;

use stick_store::{Options, Writer};
use stick_table::defect::Defect;
use stick_table::{Millis, Table};

use crate::disk::{Random, SimDisk};
use crate::tables::{Allowed, LINES, all_contents, clocks, contents, key, load_all, set};

/// Segments and laps so small that there are many.
pub(crate) const SMALL: Options =
    Options { segment_bytes: 4_000, lap_bytes: 3_000, lap_entries: 20, max_disk: None };

pub(crate) fn writer(
    disk: &SimDisk,
    loaded: &stick_store::Loaded,
    tables: &[Arc<Table>],
    now: Millis,
) -> Writer<SimDisk> {
    let mut writer = Writer::new(disk.clone(), SMALL, loaded, 5, &clocks(now));
    for ((name, _), table) in LINES.iter().zip(tables) {
        writer.add(name, table);
    }
    writer
}

/// Runs a world of some crashes by a seed; what was found wrong.
fn run(seed: u64) -> Result<(), String> {
    let mut random = Random(seed);
    let mut disk = SimDisk::default();
    let mut now: Millis = 1_000_000;
    let mut allowed = Allowed::default();
    for process in 0..4 {
        let (tables, loaded) = load_all(&disk, &clocks(now));
        let found = all_contents(&tables, now);
        if let Some(fault) = allowed.faults(&found, now).first() {
            return Err(format!("seed {seed}, process {process}: {fault}; {loaded:?}"));
        }
        // What was found is what it is from now on, though older versions lie on the disk as well.
        let mut writer = writer(&disk, &loaded, &tables, now);
        for (key, version) in &found {
            allowed.may_be(*key, Some(*version));
        }
        let calls = 1 + random.below(60) as usize;
        disk.die_in(calls);
        if random.below(2) == 0 {
            let kind = [io::ErrorKind::StorageFull, io::ErrorKind::Other][random.below(2) as usize];
            disk.fail_in(1 + random.below(calls as u64) as usize, kind);
        }
        for _ in 0..400 {
            step(&tables, &mut allowed, now, &mut random);
            now += random.below(200);
            if random.below(6) == 0 {
                let before = all_contents(&tables, now);
                if writer.tick(&clocks(now)).is_ok() && !disk.is_dead() {
                    allowed.is_durable(&before);
                }
            }
            if disk.is_dead() {
                break;
            }
        }
        drop(writer);
        disk = disk.crash(&mut random);
        now += [0, 100, 5_000][random.below(3) as usize];
    }
    Ok(())
}

/// Changes something.
fn step(tables: &[Arc<Table>], allowed: &mut Allowed, now: Millis, random: &mut Random) {
    let place = random.below(3) as usize;
    let table = &tables[place];
    let number = random.below(40) as u8;
    match random.below(10) {
        0 => {
            if table.remove(&key(place, number), now).unwrap() {
                allowed.may_be((place, number), None);
            }
        }
        1 if random.below(8) == 0 => {
            for key in contents(table, place, now).keys() {
                allowed.may_be(*key, None);
            }
            table.remove_where(now, |_| true);
        }
        _ => {
            set(table, place, number, random.below(1 << 20) as u32, now);
            allowed.may_be((place, number), contents(table, place, now).get(&(place, number)).copied());
        }
    }
}

#[test]
fn what_was_durable_is_there_after_any_crash() {
    for seed in 0..600 {
        run(seed).unwrap();
    }
}

/// Whether a defect is found within some seeds.
fn finds(defect: Defect) -> bool {
    Defect::switch(Some(defect));
    // What is read of a damaged block may be so wrong that a check panics.
    let found = (0..400).any(|seed| !matches!(std::panic::catch_unwind(|| run(seed)), Ok(Ok(()))));
    Defect::switch(None);
    found
}

#[test]
fn crashes_find_defects() {
    // Tests of the whole workspace are built with defects.
    let there = Defect::switch(None);
    for defect in Defect::OF_STORE {
        assert_eq!(finds(defect), there, "{}", defect.name());
    }
}
