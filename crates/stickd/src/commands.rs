//! The subcommands, one file each.

mod check;
mod run;

pub(crate) use check::check;
pub(crate) use run::run;
