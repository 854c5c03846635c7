use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use proptest::prelude::*;
use rawzip::{CompressionMethod, ZipArchiveWriter};
use serde_json::{Value, json};

use super::*;

const LIMIT: usize = 1024 * 1024;
const NDJSON: Option<&str> = Some("application/x-ndjson; charset=utf-8");
const CSV: Option<&str> = Some("text/csv");

/// As a fetcher does it.
fn decode(format: Format, content_type: Option<&str>, body: &[u8]) -> Result<Decoded, DecodeError> {
    let decoder = Decoder::new(format, content_type);
    match decoder.first_limit(body) {
        Some(_) => decoder.decode(body, LIMIT),
        None => Ok(Decoded::as_sent(body.to_vec())),
    }
}

#[track_caller]
fn check(content_type: Option<&str>, body: impl AsRef<[u8]>, expected: &str) {
    let decoded = decode(Format::Auto, content_type, body.as_ref());
    assert_eq!(decoded.map(|decoded| decoded.text).as_deref(), Ok(expected));
}

#[track_caller]
fn check_error(content_type: Option<&str>, body: impl AsRef<[u8]>, expected: &str, is_cut: bool) {
    let error = decode(Format::Auto, content_type, body.as_ref()).expect_err("an error");
    assert_eq!((error.to_string().as_str(), error.is_cut()), (expected, is_cut));
}

fn gzip(body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body.as_ref()).expect("memory");
    encoder.finish().expect("memory")
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = Vec::new();
    let mut archive = ZipArchiveWriter::new(&mut zip);
    for (name, content) in files {
        if name.ends_with('/') {
            archive.new_dir(name).create().expect("a directory");
            continue;
        }
        let new = archive.new_file(name).compression_method(CompressionMethod::DEFLATE);
        let (mut entry, config) = new.start().expect("a file");
        let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::fast()));
        writer.write_all(content).expect("memory");
        let (encoder, descriptor) = writer.finish().expect("memory");
        encoder.finish().expect("memory");
        entry.finish(descriptor).expect("memory");
    }
    archive.finish().expect("memory");
    zip
}

#[test]
fn json_is_left_as_it_was_sent() {
    for body in [
        "",
        " \n",
        "null",
        "{\"a\":1}",
        "{\"a\":1}\n",
        "{\n  \"a\": 1\n}\n",
        "[\n{\"a\":1},\n{\"a\":2}\n]",
        "[{\"a\":1}\n,{\"a\":2}]",
        "{\"a\":[1,\n{}]}",
        "1\n2",
        "a,b\n1,2\n",
        "{oops}\n{\"a\":1}",
        "<html>\n{}",
    ] {
        let decoded = decode(Format::Auto, Some("application/json"), body.as_bytes()).expect("JSON");
        assert_eq!(decoded, Decoded { text: body.to_owned(), was_lossy: false, is_made: false });
    }
    let two = "{\"a\":1}\n{\"a\":2}";
    assert_eq!(decode(Format::Json, NDJSON, two.as_bytes()).expect("as it is").text, two, "the config wins");
    let decoded = Decoded::as_sent(b"\xef\xbb\xbf[\"\xff\"]".to_vec());
    assert_eq!((decoded.text.as_str(), decoded.was_lossy), ("[\"\u{fffd}\"]", true));
}

#[test]
fn ndjson_is_known_by_config_content_type_or_first_line() {
    let two = "{\"a\":1}\n{\"a\":2}\n";
    check(None, two, r#"[{"a":1},{"a":2}]"#);
    check(Some("application/json"), format!("\u{feff}\n{two}"), r#"[{"a":1},{"a":2}]"#);
    check(None, "[1]\r\n\r\n[2]", "[[1],[2]]");
    // One line is NDJSON only where something says so.
    check(None, "{\"a\":1}\n", "{\"a\":1}\n");
    for content_type in ["application/x-ndjson", "Application/JSONL", "application/stream+json ;charset=utf-8"] {
        check(Some(content_type), "{\"a\":1}\n", r#"[{"a":1}]"#);
    }
    assert_eq!(decode(Format::Ndjson, CSV, b"1").map(|decoded| decoded.text).as_deref(), Ok("[1]"));
    let long = format!("{{\"a\":\"{}\"}}\n{{}}", "x".repeat(64 * 1024));
    check(None, &long, &long);
}

#[test]
fn ndjson_may_be_empty_and_have_blank_lines() {
    for nothing in ["", "\n", " \r\n\t\n", "\u{feff}"] {
        check(NDJSON, nothing, "[]");
    }
    check(NDJSON, "\n {\"a\": 1.10} \r\n\r\n\"b\"\n\nnull", r#"[{"a": 1.10},"b",null]"#);
    let decoded = decode(Format::Ndjson, None, b"\"\xff\"\n").expect("a text");
    assert_eq!(decoded, Decoded { text: "[\"\u{fffd}\"]".to_owned(), was_lossy: true, is_made: true });
}

#[test]
fn a_line_that_is_no_json_is_named() {
    let trailing = "line 3 is not valid JSON: trailing characters at column 2";
    check_error(NDJSON, "1\n\n1],[2\n3", trailing, false);
    check_error(
        NDJSON,
        "{\"a\":1}\n{\"a\":\n{\"a\":3}\n",
        "line 2 is not valid JSON: EOF while parsing a value at column 5",
        false,
    );
    check_error(
        NDJSON,
        "{\"a\":1}\n{\"a\":\"x",
        "line 2 is not valid JSON: EOF while parsing a string at column 7",
        true,
    );
}

#[test]
fn csv_is_known_by_config_or_content_type_and_its_values_are_texts() {
    let body = "\u{feff}id,\"na \"\"me\",x\r\n1,\"a, \"\"b\"\"\r\nc\",\r\n\r\n02,true,null";
    let records =
        json!([{"id": "1", "na \"me": "a, \"b\"\r\nc", "x": ""}, {"id": "02", "na \"me": "true", "x": "null"}]);
    check(Some("text/csv; header=present"), body, &records.to_string());
    assert_eq!(decode(Format::Csv, None, body.as_bytes()).expect("rows").text, records.to_string());
    check(None, body, body.strip_prefix('\u{feff}').expect("a mark"));
    for nothing in ["", "\n", "a,b", "a,b\r\n", "end", "\"a\n\nb\",c\n\n"] {
        check(CSV, nothing, "[]");
    }
    check(CSV, "end\nend\n\"end\"", r#"[{"end":"end"},{"end":"end"}]"#);
}

#[test]
fn a_row_that_does_not_fit_its_header_is_named() {
    check_error(CSV, "a,b\n1,2\n1,2,3\n", "row 3 has 3 fields, but the header has 2", false);
    check_error(CSV, "a,b\n1\n", "row 2 has 1 fields, but the header has 2", false);
    check_error(CSV, "a,b,a\n", "columns 1 and 3 of the header have the same name", false);
    for open in ["a,b\n1,\"2\n", "a,b\n1,\"2", "a,b\n1,2\n\"", "a\n\"x\n\nend", "\"a"] {
        let error = decode(Format::Csv, None, open.as_bytes()).expect_err("an error");
        assert!(matches!(error, DecodeError::OpenQuote { .. }) && error.is_cut(), "{open:?}: {error}");
    }
    check_error(CSV, "a,b\n1,2\n1,\"2\n", "row 3 has a quote that is not closed", true);
}

#[test]
fn a_web_page_is_left_as_it_is() {
    let page = "<!doctype html>\n<title>Sign in</title>";
    for (format, content_type) in [(Format::Ndjson, None), (Format::Csv, None), (Format::Auto, CSV)] {
        let decoded = decode(format, content_type, page.as_bytes()).expect("as it is");
        assert_eq!(decoded, Decoded { text: page.to_owned(), was_lossy: false, is_made: false });
    }
}

#[test]
fn gzip_files_are_opened() {
    check(Some("application/gzip"), gzip("{\"a\":1}"), "{\"a\":1}");
    check(None, gzip("{\"a\":1}\n{\"a\":2}"), r#"[{"a":1},{"a":2}]"#);
    check(CSV, gzip("a\n1"), r#"[{"a":"1"}]"#);
    check(None, [gzip("{\"a\":1}\n"), gzip("{\"a\":2}\n")].concat(), r#"[{"a":1},{"a":2}]"#);
    check(None, gzip(gzip("[1]")), "[1]");
    check(NDJSON, gzip(""), "[]");
    check_error(None, gzip(gzip(gzip("[1]"))), "there are more than 2 archives in each other", false);

    let mut cut = gzip(vec![b'1'; 100]);
    cut.truncate(cut.len() - 9);
    let error = decode(Format::Auto, None, &cut).expect_err("an error");
    assert!(matches!(error, DecodeError::Damaged { archive: "gzip", is_cut: true, .. }), "{error}");
    let mut wrong = gzip("[1]");
    *wrong.iter_mut().rev().nth(5).expect("a checksum") ^= 1;
    let error = decode(Format::Auto, None, &wrong).expect_err("an error");
    assert!(matches!(error, DecodeError::Damaged { archive: "gzip", is_cut: false, .. }), "{error}");
}

#[test]
fn files_of_a_zip_file_are_joined_in_their_order_each_by_its_own_kind() {
    let files: &[(&str, &[u8])] = &[
        ("logs/", b""),
        ("logs/b.jsonl", b"{\"n\":1}"),
        ("a.csv", b"n\n2\n3\n"),
        ("c", b"{\"n\":4}\n{\"n\":5}"),
        ("d.json", b" [ {\"n\":6}, {\"n\":7} ] "),
        ("e.json", b"{\"n\":8}"),
        ("f.csv.gz", &gzip("n\n9")),
        ("g.json", b"[ ]"),
        ("h.json", b""),
    ];
    let joined = r#"[{"n":1},{"n":"2"},{"n":"3"},{"n":4},{"n":5},{"n":6}, {"n":7},{"n":8},{"n":"9"}]"#;
    check(Some("application/zip"), zip(files), joined);
    check(None, zip(&[("x/", b""), ("x/a.json", b"{\"data\":[1]}")]), "{\"data\":[1]}");
    check(None, zip(&[("a.zip", &zip(&[("b", b"{}\n{}")]))]), "[{},{}]");
    check(None, gzip(zip(&[("a.csv", b"a\n1")])), r#"[{"a":"1"}]"#);
    check(None, zip(&[]), "[]");
}

#[test]
fn what_is_wrong_in_a_zip_file_is_named_with_the_files_number() {
    let files: &[(&str, &[u8])] = &[("x/", b""), ("a.jsonl", b"1"), ("b.jsonl", b"1\n{")];
    check_error(
        None,
        zip(files),
        "file 2 of the zip file: line 2 is not valid JSON: EOF while parsing an object at column 1",
        false,
    );
    let files: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"x")];
    check_error(
        None,
        zip(files),
        "file 2 of the zip file: it is not valid JSON: expected value at line 1 column 1",
        false,
    );
    check_error(
        None,
        zip(&[("a", &gzip(gzip("1")))]),
        "file 1 of the zip file: there are more than 2 archives in each other",
        false,
    );
    let whole = zip(&[("a", b"[1]")]);
    let cut = whole.get(..whole.len() - 30).expect("a part");
    check_error(None, cut, "the zip file is damaged: Missing end of central directory", true);

    let names: Vec<String> = (0..=ENTRIES_MAX).map(|number| number.to_string()).collect();
    let entry = |name| (name, b"[1]".as_slice());
    let files: Vec<(&str, &[u8])> = names.iter().map(String::as_str).map(entry).collect();
    check_error(None, zip(&files), "the zip file has more than 1000 entries", false);
    let all = decode(Format::Auto, None, &zip(files.get(1..).expect("the most"))).expect("all of them");
    assert_eq!(all.text.matches('1').count(), ENTRIES_MAX);
}

#[test]
fn a_line_that_is_no_json_is_a_text_where_any_line_is_a_record() {
    let decoder = Decoder::new(Format::Ndjson, None).taking_any_line(true);
    let decode = |body: &str| decoder.decode(body.as_bytes(), 1_000).map(|decoded| decoded.text);
    let text = r#"[{"a":1},"not \"json\"",{"b":2},"nor this"]"#;
    assert_eq!(decode("{\"a\":1}\nnot \"json\"\r\n\n{\"b\":2}\nnor this\n").as_deref(), Ok(text));
    let cut = decode("{\"a\":1}\n{\"b\":").expect_err("it ends in the middle of a line");
    assert!(cut.is_cut(), "{cut}");
    let other = decode("error code: 1015\n").expect_err("it is something else");
    assert!(other.to_string().starts_with("line 1 is not valid JSON"), "{other}");
    let budget = decode(&format!("1\n{}", "\u{1}".repeat(999))).expect_err("each of them takes six bytes");
    assert_eq!(budget, DecodeError::TooLarge { max: 1_000 });
}

#[test]
fn no_more_is_made_out_of_a_body_than_is_allowed() {
    let decoder = Decoder::new(Format::Auto, CSV);
    let ends = |body: &[u8], needed: usize| {
        assert!(decoder.decode(body, needed).is_ok(), "{needed}");
        let max = needed - 1;
        assert_eq!(decoder.decode(body, max), Err(DecodeError::TooLarge { max }));
    };
    let zeros = vec![b' '; 100_000];
    ends(&gzip(&zeros), zeros.len());
    // What comes out of both layers counts, and that of each file.
    let inner = gzip(&zeros);
    ends(&gzip(&inner), inner.len() + zeros.len());
    ends(&zip(&[("a", &zeros), ("b", &zeros)]), 2 * zeros.len());
    ends(b"a\n1\n2\n", 2 * r#",{"a":"1"}"#.len());
}

#[test]
fn a_bomb_takes_no_more_memory_than_is_allowed() {
    let bomb = gzip(gzip(vec![0; 64 * 1024 * 1024]));
    assert!(bomb.len() < 100_000, "{}", bomb.len());
    let mut budget = Budget::new(LIMIT);
    let inner = archive::gunzip(&bomb, &mut budget).expect("the inner file");
    assert!(inner.capacity() <= LIMIT);
    assert_eq!(archive::gunzip(&inner, &mut budget), Err(DecodeError::TooLarge { max: LIMIT }));
    let exact = archive::gunzip(&gzip(vec![b'1'; 100_001]), &mut Budget::new(100_001)).expect("as large as may be");
    assert_eq!((exact.len(), exact.capacity()), (100_001, 100_001));
}

#[test]
fn ndjson_gives_exactly_its_values_with_their_bytes() {
    let value = prop::sample::select(vec![
        "{}",
        "{\"a\": 1.10}",
        "[1, 2]",
        "\"\\n\\u00e9é\"",
        "12345678901234567890123",
        "null",
    ]);
    let end = prop::sample::select(vec!["\n", "\r\n", "\n\n", " \n \r\n"]);
    proptest!(|(lines in prop::collection::vec((value, end), 0..20), has_end in any::<bool>())| {
        let mut body: String = lines.iter().flat_map(|(value, end)| [*value, *end]).collect();
        if !has_end {
            body.truncate(body.trim_end().len());
        }
        let decoded = decode(Format::Ndjson, None, body.as_bytes()).expect("values");
        let raws: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(&decoded.text).expect("an array");
        let values: Vec<&str> = raws.iter().map(|raw| raw.get()).collect();
        prop_assert_eq!(values, lines.iter().map(|(value, _)| *value).collect::<Vec<_>>());
    });
}

#[test]
fn csv_gives_exactly_the_values_that_were_written() {
    let cell = "[a\", é\r\n]{0,5}";
    proptest!(|(rows in prop::collection::vec((cell, cell, cell), 0..10), is_crlf in any::<bool>(), has_end in any::<bool>())| {
        let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
        let lines = rows.iter().map(|(x, y, z)| [x, y, z].map(|cell| quoted(cell)).join(","));
        let end = if is_crlf { "\r\n" } else { "\n" };
        let mut body = std::iter::once("x,y,z".to_owned()).chain(lines).collect::<Vec<_>>().join(end);
        if has_end {
            body.push_str(end);
        }
        let decoded = decode(Format::Csv, None, body.as_bytes()).expect("rows");
        let records: Vec<Value> = serde_json::from_str(&decoded.text).expect("an array");
        prop_assert_eq!(records, rows.iter().map(|(x, y, z)| json!({ "x": x, "y": y, "z": z })).collect::<Vec<_>>());
    });
}

#[test]
fn no_body_makes_it_panic_and_what_is_made_is_json() {
    let kinds = prop::sample::select(vec![Format::Auto, Format::Json, Format::Ndjson, Format::Csv]);
    let magic = prop::sample::select(vec![&b""[..], b"\x1f\x8b\x08", b"PK\x03\x04", b"PK\x05\x06", b"{}\n{", b"[\n"]);
    proptest!(ProptestConfig::with_cases(2_000), |(format in kinds, magic in magic, rest in prop::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>())| {
        let body = [magic, &rest].concat();
        let mut archive = zip(&[("a.csv", b"a,b\n1,2"), ("b", &body)]);
        let position = at.index(archive.len());
        if let (Some(byte), Some(new)) = (archive.get_mut(position), rest.first()) {
            *byte = *new;
        }
        for body in [body.clone(), gzip(&body), archive] {
            if let Ok(decoded) = decode(format, None, &body) && decoded.is_made {
                prop_assert!(serde_json::from_str::<Vec<serde::de::IgnoredAny>>(&decoded.text).is_ok(), "{}", decoded.text);
            }
        }
    });
}
