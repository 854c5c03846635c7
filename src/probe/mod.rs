//! Asking an API once, to see what the config makes of its answers, or what config its answers ask for.
//!
//! Enters: a plan, or an URL with credentials. Leaves: a report in words, or the text of a config. What always holds: one
//! page and a few small requests, each tried once; nothing is shipped and nothing is written to a file; foreign text is
//! scrubbed before it is shown, and values of records are never shown.

mod assess;
mod bounds;
mod choice;
mod draft;
mod examine;
mod explore;
mod first_page;
mod flags;
mod follow;
mod listener;
mod next;
mod paging;
mod propose;
mod redact;
mod report;
mod steps;
mod suggest;
mod value_path;
mod writer;
mod yaml;

pub use examine::examine;
pub use explore::{NoProposal, Proposal, explore};
pub use listener::listener_in_words;
pub use propose::{ProbeTarget, TargetAuth, id_and_secret};
pub use report::ProbeReport;
