//! The tests of this program, more of them at once than there are processors: most of their time they wait, for HAProxy's attempts
//! to connect every 5 s above all.

use libtest_mimic::{Arguments, Trial};
use stickd_testkit::{Release, Source};

/// Tests at the same time, unless `--test-threads` says otherwise. Each has two HAProxys and a hub.
const AT_ONCE: usize = 8;

/// Each release and what it is called in names of tests, as in `stickd_testkit::on_every_release`.
const RELEASES: [(&str, Source); 4] = [
    ("haproxy_2_6", Source::DebianBookworm),
    ("haproxy_2_8", Source::PythonWheel),
    ("haproxy_3_0", Source::DebianTrixie),
    ("haproxy_newest", Source::DebianSid),
];

/// Runs the tests as the command line says, the longest ones first.
pub(crate) fn run(tests: Vec<Trial>) {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    libtest_mimic::run(&arguments, tests).exit();
}

/// A test for each release; a failed one panics.
pub(crate) fn on_every_release(module: &str, name: &str, test: fn(&Release)) -> Vec<Trial> {
    let trial = |(release, source)| {
        let name = format!("{}::{release}::{name}", within(module));
        Trial::test(name, move || {
            test(&Release::of(source));
            Ok(())
        })
    };
    RELEASES.map(trial).into()
}

/// A test of its own; a failed one panics.
pub(crate) fn once(module: &str, name: &str, test: fn()) -> Trial {
    Trial::test(format!("{}::{name}", within(module)), move || {
        test();
        Ok(())
    })
}

/// A module without this program's name.
fn within(module: &str) -> &str {
    module.split_once("::").map_or(module, |(_, rest)| rest)
}

/// Makes `tests()` of a module: of functions that take a release, and behind `once` of functions that do not.
macro_rules! tests {
    ($($test:ident),* $(,)? $(; once $($single:ident),*)?) => {
        pub(crate) fn tests() -> Vec<libtest_mimic::Trial> {
            let single: Vec<libtest_mimic::Trial> =
                vec![$($($crate::trials::once(module_path!(), stringify!($single), $single)),*)?];
            let every: Vec<Vec<libtest_mimic::Trial>> =
                vec![$($crate::trials::on_every_release(module_path!(), stringify!($test), $test)),*];
            single.into_iter().chain(every.into_iter().flatten()).collect()
        }
    };
}
pub(crate) use tests;
