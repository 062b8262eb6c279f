//! Real HAProxy processes.

mod config;
mod data_type;
mod process;
mod release;

pub use config::Config;
pub use data_type::{DataType, Form};
pub use process::HaproxyProcess;
pub use release::{Release, Source, branch, version_in};
