//! The dialect of the original's versions 0.2 to 2.1, a list `apis`: the same config sends the same requests and ships the same
//! lines, but for what the original does wrong.
//!
//! `tests/cases/dialect2/observed` holds what the original was seen to do: a config, the requests that it made with the answers
//! that it got, and the lines that it shipped, for up to two iterations. Here the same config runs against the same answers.
//! What is deliberately different stands in `tests/cases/dialect2/differences.yaml`, each with its reason and what is wanted
//! instead.
//!
//! `OBSERVED_ONLY=gen_stop` plays the cases alone whose name begins so.

mod accounts;
mod case;
mod certificates;
mod compare;
mod configs;
mod directory;
mod faulty;
mod first_start;
mod observed;
mod outputs;
mod play;
mod services;
mod types;
