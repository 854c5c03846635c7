//! What the tool says of itself: the config's schema. Reads nothing and asks nobody.

use super::{Exit, print};
use crate::config::schema;

pub(super) fn schema() -> Exit {
    print(&schema::text());
    Exit::Clean
}
