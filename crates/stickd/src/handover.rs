//! The change from one process to the next.
//!
//! Each process has a door, a Unix socket in a directory that only its user can enter. A new process that is started with
//! `-sf` asks there and describes its sections. The old one says no unless it is followed by a process of the same sections.
//! The new process then binds the same addresses beside the old one and says that it is ready. The old one closes its
//! listeners and its sessions with remote peers, connects to the door of the new one for each section, teaches it every
//! entry with its remaining lifetime, and ends. A new process that fails before it is ready leaves the old one as it was.

mod directory;

mod door;
pub(crate) use door::running;
pub use door::{Door, Doorkeeper};

mod identity;
pub use identity::Identity;

mod predecessors;
pub use predecessors::Predecessors;

mod successor;
pub use successor::Successor;
