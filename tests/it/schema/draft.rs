//! A config whose values can be put and taken away.

/// A config with one entry in each list, whose values can be put and taken away. Values are YAML, as it is written.
#[derive(Clone)]
pub struct Draft(Vec<(String, String)>);

impl Draft {
    /// A complete one.
    pub fn new() -> Self {
        let pairs = [
            ("logzio.url", "https://listener.logz.io:8071"),
            ("logzio.token", "t"),
            ("auth_apis.type", "general"),
            ("auth_apis.name", "one"),
            ("auth_apis.credentials.id", "a"),
            ("auth_apis.credentials.key", "b"),
            ("auth_apis.http_request.url", "https://api.example/v1"),
            ("auth_apis.start_date_name", "since"),
            ("auth_apis.json_paths.data", "data"),
            ("auth_apis.json_paths.data_date", "date"),
            ("auth_apis.json_paths.next_url", "next"),
            ("auth_apis.settings.time_interval", "5"),
            ("oauth_apis.type", "azure_graph"),
            ("oauth_apis.name", "two"),
            ("oauth_apis.credentials.id", "a"),
            ("oauth_apis.credentials.key", "b"),
            ("oauth_apis.token_http_request.url", "https://login.example/token"),
            ("oauth_apis.http_request.url", "https://api.example/v1"),
            ("oauth_apis.json_paths.data_date", "created"),
            ("oauth_apis.settings.time_interval", "5"),
        ];
        Self(pairs.map(|(way, value)| (way.to_owned(), value.to_owned())).to_vec())
    }

    /// Puts a value in the place of what is there, and below it; an empty one only takes that away.
    pub fn put(mut self, way: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != way && !known.starts_with(&format!("{way}.")));
        if !value.is_empty() {
            self.0.push((way.to_owned(), value.to_owned()));
        }
        self
    }

    pub fn text(&self) -> String {
        flow(&self.0.iter().map(|(way, value)| (way.as_str(), value.as_str())).collect::<Vec<_>>())
    }
}

/// A mapping in one line.
fn flow(pairs: &[(&str, &str)]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (way, _) in pairs {
        let name = way.split('.').next().unwrap();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let member = |name: &&str| {
        let below: Vec<(&str, &str)> = pairs
            .iter()
            .filter_map(|(way, value)| Some((way.strip_prefix(*name)?.strip_prefix('.')?, *value)))
            .collect();
        match pairs.iter().find(|(way, _)| way == name) {
            Some((_, value)) => format!("{name}: {value}"),
            None if name.ends_with("_apis") || *name == "steps" => format!("{name}: [{}]", flow(&below)),
            None => format!("{name}: {}", flow(&below)),
        }
    };
    format!("{{{}}}", names.iter().map(member).collect::<Vec<_>>().join(", "))
}
