//! The real binary against a mock API and a mock listener in another process, beside the least that any correct fetcher
//! must do with the same bytes.
//!
//! `cargo bench --bench end_to_end` prints one line per case; with `-- quick` only the smallest, with
//! `-- only 100000 1 http` that many records of so many APIs over HTTP, `https` or `http2`; a fourth word is what stands in the
//! config: `id`, `content`, `apis` or `outputs`. What is measured:
//!
//! - CPU: user and system time of the whole process, from `exec` to its end;
//! - the floor: one thread finds the records of the same pages by serde_json's `RawValue`, adds the custom fields, and
//!   compresses the same batches by the same means, without network, dates, memory of what was delivered, or checkpoint;
//! - medians of three rounds, but for a million records;
//! - memory: the largest resident size, and how much that is above a process that finds no record;
//! - what arrived: every case ends with the question whether the listener has each record once.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "it is a bench")]
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "it is a bench, and it prints")]

mod cases;
mod floor;
mod mock;
mod process;
#[path = "../common/records.rs"]
mod records;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["mock", wire, directory] => mock::serve(mock::Wire::of(wire), directory.as_ref()),
        ["measure", arguments @ ..] => process::measure(arguments),
        ["quick"] => cases::run(cases::Extent::Quick),
        ["only", records, apis, wire, form @ ..] => {
            let load = cases::Load { records: records.parse().unwrap(), apis: apis.parse().unwrap() };
            let form = cases::Form::of(form.first().unwrap_or(&"id"));
            cases::run(cases::Extent::Only(load, mock::Wire::of(wire), form));
        }
        [] => cases::run(cases::Extent::Full),
        other => panic!("unknown arguments: {other:?}; there are `quick` and `only RECORDS APIS WIRE [FORM]`"),
    }
}
