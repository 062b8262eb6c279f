//! What stickd and real HAProxys of every release tell each other: every key and data type, remaining lifetimes, live
//! updates, tables that are defined differently, options of tables and sections.

mod definitions;
mod lifetimes;
mod live;
mod options;
mod pair;
mod rows;
mod values;
