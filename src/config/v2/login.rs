//! What a login of a named type of `apis` is made of beside its parameters: a key file, and a list of scopes.

use std::path::{Component, Path, PathBuf};

use super::draft::EntryDraft;

/// Where the image has the directory of the config, from its working directory on.
const SHARED: &str = "src/shared";

impl EntryDraft<'_> {
    /// The key file of the login, and its scopes.
    pub(super) fn key_file(&mut self) {
        let named = self.old.named;
        if let Some(file) = &named.dialect.key_file {
            match (self.old.find(&file.path), self.old.has(&file.name)) {
                (Some(found), false) => {
                    if let Some(path) = found.text() {
                        let path = from_config(&path).display().to_string();
                        self.put(&["token_http_request", "assertion", "file"], path, &found.spot);
                    }
                }
                (_, true) => self.take(&file.name, &["token_http_request", "assertion", "file"]),
                (None, false) => {
                    let what = "a required key is missing: the key file of the service account";
                    let hint = Some(format!("its name in the directory of the config, or `{}`", file.path));
                    self.old.reader.error(&self.old.spot_of(&file.name), what, hint);
                }
            }
        }
        let Some(key) = &named.dialect.scopes else { return };
        let default = named.parameters.iter().find(|parameter| parameter.name == *key);
        let default = default.and_then(|parameter| parameter.default.as_ref()?.as_str());
        let own = self.old.find(key);
        let written = own.as_ref().map(|found| {
            let scopes: Vec<String> = found.items().iter().filter_map(|item| item.text()).collect();
            scopes.join(" ")
        });
        let spot = own.map_or_else(|| self.old.spot.clone(), |found| found.spot);
        if let Some(scopes) = written.or(default.map(str::to_owned)) {
            self.put(&["token_http_request", "scope"], scopes, &spot);
        }
    }
}

/// A path from the original's working directory, as it is from the directory of the config.
fn from_config(path: &str) -> PathBuf {
    let path = Path::new(path.trim());
    let plain: PathBuf = path.components().filter(|part| !matches!(part, Component::CurDir)).collect();
    match plain.strip_prefix(SHARED) {
        Ok(beside) => beside.to_owned(),
        Err(_) if plain.is_absolute() => plain,
        Err(_) => Path::new("../..").join(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_from_the_working_directory_is_one_from_the_config() {
        for (path, expected) in [
            ("./src/shared/key.json", "key.json"),
            ("src/shared/keys/key.json", "keys/key.json"),
            ("/run/secrets/key.json", "/run/secrets/key.json"),
            ("keys/key.json", "../../keys/key.json"),
        ] {
            assert_eq!(from_config(path), Path::new(expected), "{path}");
        }
    }
}
