//! Logs on a simulated disk: crashes at every call, damage anywhere, changed configurations.

mod changed;
mod crashes;
mod damage;
mod disk;
mod golden;
mod laps;
mod late;
mod sums;
mod tables;
