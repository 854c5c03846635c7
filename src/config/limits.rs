//! Limits of the process.

use super::reader::{Reader, Section};
use crate::memory::{BUDGET_BYTES_DEFAULT, BUDGET_BYTES_MAX, BUDGET_BYTES_MIN};

/// The units of a number of bytes, in small letters; `Mi` is what Kubernetes writes.
const UNITS: [(&str, u64); 10] = [
    ("kib", 1 << 10),
    ("ki", 1 << 10),
    ("kb", 1_000),
    ("mib", 1 << 20),
    ("mi", 1 << 20),
    ("mb", 1_000_000),
    ("gib", 1 << 30),
    ("gi", 1 << 30),
    ("gb", 1_000_000_000),
    ("b", 1),
];

/// The bytes that pages, records and batches may take in memory (`limits.memory`).
pub(super) fn read(reader: &Reader<'_>, section: &Section<'_, '_>) -> u64 {
    let Some(text) = section.text("memory") else { return BUDGET_BYTES_DEFAULT };
    let error = |what: &str| {
        reader.error(&text.spot, what, Some("a number with its unit, like 128MiB, 500MB or 1GiB".to_owned()));
        BUDGET_BYTES_DEFAULT
    };
    match bytes(&text.value) {
        None => error("it is not a number of bytes"),
        Some(bytes) if bytes < BUDGET_BYTES_MIN => {
            error(&format!("it should be {} MiB at least", BUDGET_BYTES_MIN >> 20))
        }
        Some(bytes) if bytes > BUDGET_BYTES_MAX => {
            error(&format!("it should be {} GiB at most", BUDGET_BYTES_MAX >> 30))
        }
        Some(bytes) => bytes,
    }
}

/// A number with its unit, or of bytes.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(unit_at)?;
    let each = match unit {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_bytes_has_a_unit_as_people_write_it() {
        for (text, expected) in [
            ("128MiB", Some(128 << 20)),
            ("128 mi", Some(128 << 20)),
            ("500MB", Some(500_000_000)),
            ("1 GiB", Some(1 << 30)),
            ("16777216", Some(16 << 20)),
            ("12b", Some(12)),
            ("0.5GiB", None),
            ("-1MB", None),
            ("5 apples", None),
            ("MiB", None),
            ("99999999999999999999GiB", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
