//! Junk and cuts anywhere: everything outside of the damaged blocks is there.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::*;
use stick_store::{Disk, Loaded, Options, Writer};
use stick_table::Millis;

use crate::disk::SimDisk;
use crate::tables::{Contents, LINES, all_contents, clocks, contents, load_all, set, tables};

const NOW: Millis = 1_000_000;
/// Entries that a tick changes, of each table.
const ENTRIES: u8 = 3;
const TICKS: u8 = 30;
/// Bytes of damage.
const JUNK: usize = 64;

/// One segment, in which each tick wrote entries of its own: what they are, and where.
fn log(lap_bytes: u64) -> (SimDisk, String, Vec<(Range<usize>, Contents)>) {
    let disk = SimDisk::default();
    let options = Options { lap_bytes, ..Options::default() };
    let mut writer = Writer::new(disk.clone(), options, &Loaded::default(), 5, &clocks(NOW));
    let tables = tables();
    for ((name, _), table) in LINES.iter().zip(&tables) {
        writer.add(name, table);
    }
    let mut ticks = Vec::new();
    for tick in 0..TICKS {
        for (place, table) in tables.iter().enumerate() {
            for number in 0..ENTRIES {
                set(table, place, tick * ENTRIES + number, u32::from(tick) + 7, NOW);
            }
        }
        let before = writer.bytes() as usize;
        writer.tick(&clocks(NOW)).unwrap();
        let is_of_tick = |number: u8| number / ENTRIES == tick;
        let written: Contents = (0..tables.len())
            .flat_map(|place| contents(&tables[place], place, NOW))
            .filter(|((_, number), _)| is_of_tick(*number))
            .collect();
        ticks.push((before..writer.bytes() as usize, written));
    }
    let name = disk.list().unwrap().pop().unwrap();
    (disk, name, ticks)
}

/// Checks what is loaded when a range of a segment is damaged.
fn check(
    disk: &SimDisk,
    ticks: &[(Range<usize>, Contents)],
    damaged: &Range<usize>,
) -> Result<(), TestCaseError> {
    let (tables, loaded) = load_all(disk, &clocks(NOW));
    let found = all_contents(&tables, NOW);
    let all: BTreeMap<_, _> = ticks.iter().flat_map(|(_, contents)| contents.clone()).collect();
    for (key, version) in &found {
        prop_assert_eq!(all.get(key), Some(version), "never was: {:?}", key);
    }
    // The first tick begins with the headers and the tables.
    for (range, contents) in ticks {
        if range.start.max(damaged.start) < range.end.min(damaged.end) {
            continue;
        }
        for (key, version) in contents {
            prop_assert_eq!(found.get(key), Some(version), "{:?} is not damaged; {:?}", key, loaded);
        }
    }
    // Of a file that ends between two blocks nobody can tell that there was more.
    if found.len() < all.len() && damaged.len() == JUNK {
        prop_assert!(!loaded.damage.is_empty(), "something is lost, and nothing said");
    }
    for damage in &loaded.damage {
        let range = damage.offset as usize..(damage.offset + damage.bytes) as usize;
        prop_assert!(range.start <= damaged.end && damaged.start <= range.end, "{:?} is not damaged", damage);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// With and without laps in between.
    #[test]
    fn junk_costs_the_blocks_that_it_meets(
        junk in any::<[[u8; 32]; 2]>(),
        place in any::<prop::sample::Index>(),
        with_laps: bool,
    ) {
        let (disk, name, ticks) = log(if with_laps { 2_000 } else { u64::MAX });
        let offset = place.index(disk.bytes() as usize);
        disk.damage(&name, offset, &junk.concat());
        check(&disk, &ticks, &(offset..offset + JUNK))?;
    }

    #[test]
    fn a_cut_costs_what_is_behind_it(place in any::<prop::sample::Index>()) {
        let (disk, name, ticks) = log(u64::MAX);
        let length = disk.bytes() as usize;
        let offset = place.index(length);
        disk.cut(&name, offset);
        let headers = ticks[0].0.end;
        if offset >= headers {
            check(&disk, &ticks, &(offset..length))?;
        } else {
            load_all(&disk, &clocks(NOW));
        }
    }
}

/// Where the headers are, and the tables.
#[test]
fn headers_and_tables_are_there_twice() {
    let (disk, name, ticks) = log(u64::MAX);
    let all: Contents = ticks.into_iter().flat_map(|(_, contents)| contents).collect();
    // The lap begins behind them.
    for offset in (0..1_100).step_by(7) {
        let damaged = disk.copy();
        damaged.damage(&name, offset, &[0xa5; JUNK]);
        let (tables, loaded) = load_all(&damaged, &clocks(NOW));
        assert_eq!(all_contents(&tables, NOW), all, "at {offset}: {loaded:?}");
    }
}

#[test]
fn files_that_are_none_are_set_aside() {
    let (disk, name, _) = log(u64::MAX);
    disk.damage(&name, 0, &[1; 64]);
    disk.damage(&name, 128, &[1; 64]);
    let (tables, loaded) = load_all(&disk, &clocks(NOW));
    assert!(all_contents(&tables, NOW).is_empty());
    let [aside] = &loaded.set_aside[..] else { panic!("{loaded:?}") };
    assert_eq!(
        (aside.file.as_str(), aside.reason.as_str()),
        (name.as_str(), "both of its headers are damaged")
    );
    assert_eq!(aside.name, Some(format!("{name}.unreadable")));
    assert_eq!(disk.list().unwrap(), [format!("{name}.unreadable")]);
    let (_, again) = load_all(&disk, &clocks(NOW));
    assert!(again.set_aside.is_empty() && again.bytes == 0, "it is not looked at again: {again:?}");
}
