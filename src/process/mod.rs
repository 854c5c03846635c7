//! The process as the system sees it: its signals and its end, its user, its log, its version.

pub mod logging;
pub mod privileges;
pub mod signals;
pub mod stop;
pub mod version;
