//! Laps, segments, and the bytes that they take.

use stick_store::{Disk, Loaded, Options, TickError, Writer};
use stick_table::Millis;

use crate::crashes::{SMALL, writer};
use crate::disk::{Random, SimDisk};
use crate::tables::{LINES, all_contents, clocks, contents, key, load_all, set, tables};

const NOW: Millis = 1_000_000;

#[test]
fn old_segments_go_and_everything_stays() {
    let disk = SimDisk::default();
    let tables = tables();
    let mut writer = writer(&disk, &Loaded::default(), &tables, NOW);
    let mut random = Random(1);
    let mut most = 0;
    let mut laps = 0;
    for round in 0..600 {
        for _ in 0..5 {
            let (place, number) = (random.below(3) as usize, random.below(30) as u8);
            if random.below(8) == 0 {
                tables[place].remove(&key(place, number), NOW).unwrap();
            } else {
                set(&tables[place], place, number, round, NOW);
            }
        }
        laps += u32::from(writer.tick(&clocks(NOW)).unwrap().ended_lap);
        most = most.max(disk.bytes());
        assert_eq!(writer.bytes(), disk.bytes());
    }
    // A lap is 90 entries at most, of 60 bytes, and blocks of a few entries are as long again.
    assert!(laps > 20 && most < 60_000, "{laps} laps, {most} bytes");
    let numbers = disk.list().unwrap();
    assert!(numbers.len() < 16 && !numbers.contains(&"0000000001.log".to_owned()), "{numbers:?}");
    let (loaded_tables, loaded) = load_all(&disk, &clocks(NOW));
    assert_eq!(all_contents(&loaded_tables, NOW), all_contents(&tables, NOW));
    assert_eq!((loaded.damage, loaded.left_out, loaded.set_aside), (vec![], vec![], vec![]));
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let disk = SimDisk::default();
    let tables = tables();
    let mut writer = writer(&disk, &Loaded::default(), &tables, NOW);
    set(&tables[0], 0, 1, 1, NOW);
    assert!(writer.tick(&clocks(NOW)).unwrap().bytes > 0);
    let (bytes, calls) = (disk.bytes(), disk.calls());
    for _ in 0..10 {
        assert_eq!(writer.tick(&clocks(NOW)).unwrap().bytes, 0);
    }
    assert_eq!((disk.bytes(), disk.calls()), (bytes, calls));
    assert_eq!(writer.backlog(), 0);
}

/// More removals than the table remembers: the log starts over with that table.
#[test]
fn a_table_that_is_cleared_stays_so() {
    let disk = SimDisk::default();
    let tables = tables();
    let mut writer = writer(&disk, &Loaded::default(), &tables, NOW);
    for number in 0..200 {
        set(&tables[0], 0, number, 1, NOW);
        set(&tables[1], 1, number, 1, NOW);
    }
    writer.tick(&clocks(NOW)).unwrap();
    for round in 0..12 {
        tables[0].remove_where(NOW, |_| true);
        (0..200).for_each(|number| set(&tables[0], 0, number, round, NOW));
    }
    tables[0].remove_where(NOW, |entry| entry.key()[3] >= 100);
    assert_eq!(tables[0].len(), 100);
    writer.tick(&clocks(NOW)).unwrap();
    let (loaded_tables, _) = load_all(&disk, &clocks(NOW));
    assert_eq!(all_contents(&loaded_tables, NOW), all_contents(&tables, NOW));
}

/// Tables come and go while the log is written.
#[test]
fn tables_come_and_go() {
    let disk = SimDisk::default();
    let tables = tables();
    let mut writer = Writer::new(disk.clone(), SMALL, &Loaded::default(), 5, &clocks(NOW));
    for (place, (name, _)) in LINES.iter().enumerate() {
        set(&tables[place], place, 1, 7, NOW);
        writer.add(name, &tables[place]);
        writer.tick(&clocks(NOW)).unwrap();
        set(&tables[place], place, 2, 7, NOW);
        writer.tick(&clocks(NOW)).unwrap();
    }
    let (loaded_tables, _) = load_all(&disk, &clocks(NOW));
    assert_eq!(all_contents(&loaded_tables, NOW), all_contents(&tables, NOW));
    writer.remove(LINES[0].0);
    for round in 0..200 {
        set(&tables[1], 1, 1, round, NOW);
        writer.tick(&clocks(NOW)).unwrap();
    }
    let (loaded_tables, _) = load_all(&disk, &clocks(NOW));
    assert!(loaded_tables[0].is_empty(), "it left with the laps");
    for place in 1..3 {
        assert_eq!(contents(&loaded_tables[place], place, NOW), contents(&tables[place], place, NOW));
    }
}

#[test]
fn the_limit_of_the_disk_is_kept() {
    let disk = SimDisk::default();
    let tables = tables();
    let limit = 12_000;
    let options = Options { max_disk: Some(limit), ..SMALL };
    let mut writer = Writer::new(disk.clone(), options, &Loaded::default(), 5, &clocks(NOW));
    for ((name, _), table) in LINES.iter().zip(&tables) {
        writer.add(name, table);
    }
    let mut full = 0;
    for round in 0..3_000 {
        set(&tables[0], 0, (round % 250) as u8, round, NOW);
        match writer.tick(&clocks(NOW)) {
            Ok(_) => {}
            Err(TickError::Full(at)) => {
                assert_eq!(at, limit);
                full += 1;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(disk.bytes() <= limit, "{} bytes", disk.bytes());
    }
    assert!(full > 0, "it never came near");
    // With room it goes on by itself.
    tables[0].remove_where(NOW, |_| true);
    drop(writer);
    let (loaded_tables, loaded) = load_all(&disk, &clocks(NOW));
    let mut writer =
        Writer::new(disk.clone(), Options { max_disk: None, ..options }, &loaded, 5, &clocks(NOW));
    for ((name, _), table) in LINES.iter().zip(&loaded_tables) {
        writer.add(name, table);
    }
    writer.tick(&clocks(NOW)).unwrap();
}

/// A process after the other: each goes on where the one before was.
#[test]
fn generations_follow_one_another() {
    let disk = SimDisk::default();
    for round in 0..20_u8 {
        let (tables, loaded) = load_all(&disk, &clocks(NOW));
        assert_eq!(tables[0].len(), u32::from(round));
        let mut writer = writer(&disk, &loaded, &tables, NOW);
        set(&tables[0], 0, round, 1, NOW);
        for _ in 0..4 {
            writer.tick(&clocks(NOW)).unwrap();
        }
        assert!(disk.list().unwrap().len() <= 3, "{:?}", disk.list());
    }
}
