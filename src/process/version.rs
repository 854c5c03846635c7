//! Which build this is. `build.rs` says where it is from.

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, 12 characters; nothing where the build knew none.
pub const COMMIT: Option<&str> = filled(env!("BUILD_COMMIT"));

/// The day on which it was built, or the one that `SOURCE_DATE_EPOCH` gave: `2026-01-31`, UTC.
pub const BUILT: &str = env!("BUILD_DATE");

/// All of it: `0.1.0 (1a2b3c4d5e6f, built 2026-01-31)`.
pub const LINE: &str = env!("BUILD_VERSION");

/// Whether it can be a member of a cluster.
pub const HAS_CLUSTER: bool = cfg!(feature = "cluster");

const fn filled(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}
