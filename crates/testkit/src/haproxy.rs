//! Real HAProxy processes.

mod config;
mod data_type;
mod process;
mod release;

pub use config::Config;
pub use data_type::{DataType, Form};
pub use process::HaproxyProcess;
pub use release::{Release, Source, branch, version_in};

/// Makes one `#[test]` per release out of each function named, so that a failure names its release:
///
/// ```
/// use stickd_testkit::{Release, on_every_release};
///
/// fn knows_rates(release: &Release) {
///     assert!(release.data_types().iter().any(|data_type| data_type.name == "conn_rate"));
/// }
///
/// on_every_release!(knows_rates);
/// ```
///
/// gives `haproxy_2_6::knows_rates`, `haproxy_2_8::knows_rates`, `haproxy_3_0::knows_rates` and
/// `haproxy_newest::knows_rates`.
#[macro_export]
macro_rules! on_every_release {
    ($($test:ident),* $(,)?) => {
        $crate::on_every_release!(@module haproxy_2_6 DebianBookworm: $($test)*);
        $crate::on_every_release!(@module haproxy_2_8 PythonWheel: $($test)*);
        $crate::on_every_release!(@module haproxy_3_0 DebianTrixie: $($test)*);
        $crate::on_every_release!(@module haproxy_newest DebianSid: $($test)*);
    };
    (@module $module:ident $source:ident: $($test:ident)*) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    super::$test(&$crate::Release::of($crate::Source::$source));
                }
            )*
        }
    };
}
