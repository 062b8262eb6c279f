//! Replays the corpus of every target, and every input that once was a crash.

use std::collections::BTreeSet;
use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use stickd_fuzz_targets::{TARGETS, Target};

/// Most bytes that one input may take at a time: what it fills is bounded by the tables, buffers and limits it is given.
const MOST_MEMORY: u64 = 64 << 20;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The files of `fuzz/<what>/<target>` in the order of their names; none where there is no such directory.
fn files(what: &str, target: &str) -> Vec<PathBuf> {
    let Ok(directory) = fs::read_dir(fuzz().join(what).join(target)) else { return Vec::new() };
    let mut files: Vec<_> = directory.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs a target with every file of a directory; returns how many there are and the names of those that fail.
fn replay(target: &Target, what: &str) -> (usize, Vec<String>) {
    let files = files(what, target.name);
    let failed = files.iter().filter(|file| {
        let data = fs::read(file).unwrap();
        let run = || allocation_counter::measure(|| (target.run)(&data)).bytes_max;
        match panic::catch_unwind(run) {
            Ok(bytes) if bytes > MOST_MEMORY => {
                eprintln!("{}: {bytes} bytes of memory", file.display());
                true
            }
            outcome => outcome.is_err(),
        }
    });
    (files.len(), failed.map(|file| file.display().to_string()).collect())
}

#[test]
fn every_file_of_the_corpus_passes() {
    let mut all_failed = Vec::new();
    for target in &TARGETS {
        let (count, failed) = replay(target, "corpus");
        assert!(count > 0, "fuzz/corpus/{} has no file", target.name);
        all_failed.extend(failed);
    }
    assert!(all_failed.is_empty(), "these fail: {all_failed:#?}");
}

#[test]
fn no_past_crash_comes_back() {
    let failed: Vec<_> = TARGETS.iter().flat_map(|target| replay(target, "crashes").1).collect();
    assert!(failed.is_empty(), "these fail: {failed:#?}");
}

/// A file in a directory of another name would never be run.
#[test]
fn directories_and_programs_are_those_of_the_targets() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    for (what, all) in [("corpus", true), ("crashes", false), ("fuzz_targets", true)] {
        let Ok(directory) = fs::read_dir(fuzz().join(what)) else {
            assert!(!all, "fuzz/{what} is missing");
            continue;
        };
        let found = directory.map(|entry| entry.unwrap().path().file_stem().unwrap().display().to_string());
        let found: BTreeSet<_> = found.collect();
        let strange: Vec<_> = found.difference(&targets).collect();
        assert!(strange.is_empty(), "fuzz/{what} has what is no target: {strange:?}");
        let missing: Vec<_> = targets.difference(&found).collect();
        assert!(missing.is_empty() || !all, "fuzz/{what} lacks {missing:?}");
    }
}

/// Short inputs of every kind, so that each target is seen to take them.
#[test]
fn targets_take_anything_short() {
    for target in &TARGETS {
        (target.run)(&[]);
        for byte in 0..=u8::MAX {
            (target.run)(&[byte]);
            (target.run)(&[byte, !byte, 0x80, byte]);
        }
    }
}
