//! `top`: the status table in a terminal, made of what `/status.json` says.
//!
//! Enters: the text of an answer, keys, the time. Leaves: lines. All of it is pure; `commands::top` asks the fetcher and owns the
//! terminal. What always holds: no text from outside reaches the terminal with a control character in it, and no number is
//! shown as if it were new when the fetcher doesn't answer any more.

mod draw;
mod status;
mod text;
mod view;

pub use draw::draw;
pub use status::{ParseError, PrintableText, ReceivedApi, ReceivedStatus};
pub use text::table;
pub use view::{AfterKey, TopView};
