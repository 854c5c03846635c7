//! The page for those who come from version 2 of the original.

use super::{blocks, compile, page};

/// The example of several outputs, below APIs with the names in it.
#[test]
fn the_example_of_several_outputs_is_valid() {
    let text = page("docs/migrate.md");
    let outputs = blocks(&text, "yaml").into_iter().find(|(_, block)| block.starts_with("logzio:"));
    let (line, outputs) = outputs.expect("an example");
    let api = |name: &str| format!("  - {{type: general, name: {name}, url: 'https://{}.example/a'}}\n", name.len());
    let config = format!("apis:\n{}{}{outputs}\n", api("sign ins"), api("cloudflare alerts"));
    let reading = compile(&config);
    let is_good = reading.config.is_some() && reading.diagnostics.errors.is_empty();
    assert!(is_good, "docs/migrate.md, line {line}: {:#?}", reading.diagnostics);
}

/// An entry with each of the optional keys.
#[test]
fn every_optional_key_of_the_page_is_a_key() {
    let text = page("docs/migrate.md");
    let (_, section) = text.split_once("## Keys that make it whole").expect("the section");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let keys: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(keys.len() >= 9, "{keys:?}");
    for key in keys {
        // What it lacks or has too much is another matter: here the key counts.
        let config = format!(
            "apis: [{{type: azure_graph, name: a, azure_ad_tenant_id: t, azure_ad_client_id: c, azure_ad_secret_value: s, \
             data_request: {{url: 'https://a.example'}}, {key}: 1}}, {{type: general, name: b, url: 'https://a.example', {key}: 1}}]\n\
             logzio: {{url: 'https://l.example', token: t}}\n"
        );
        let told = format!("{:?}", compile(&config).diagnostics);
        let unknown = told.matches("unknown key").count();
        assert!(unknown < 2, "docs/migrate.md names `{key}`, which no entry has: {told}");
    }
}
