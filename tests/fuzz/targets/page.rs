//! A path on the first line, an id path on the second, a page after them: each record becomes one line of JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logzio_api_fetcher::record::path::JsonPath;
use logzio_api_fetcher::record::{CustomFields, Page, Paths, Record};

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (Some(data), Some(id), Some(page)) = (lines.next(), lines.next(), lines.next()) else { return };
    let (Ok(data), Ok(id)) = (JsonPath::parse(data), JsonPath::parse(id)) else { return };
    let date = JsonPath::parse("date").expect("a path");
    let paths = Paths { id: Some(id.clone().into()), next_url: Some(id), ..Paths::new(data, date) };
    let fields = [("type".to_owned(), "x".into()), ("a".to_owned(), 1.into())];
    let fields = CustomFields::new(&fields).expect("plain values");
    let Ok(read) = Page::read(page, &paths, &fields) else { return };
    for record in read.records {
        assert_eq!(record.identity(), Record::read(record.raw, &paths).identity(), "both ways to read it");
        let (mut line, mut slowly) = (Vec::new(), Vec::new());
        record.append_line(&fields, &mut line);
        fields.append_line(record.raw, &mut slowly);
        assert_eq!(line, slowly, "both ways to write it");
        assert!(!line.contains(&b'\n'));
        let parsed = serde_json::from_slice::<serde::de::IgnoredAny>(&line);
        // One level deeper than the page, where the limit of the reader lies.
        if let Err(error) = parsed {
            assert!(error.to_string().contains("recursion limit"), "{error}: {}", String::from_utf8_lossy(&line));
        }
    }
});
