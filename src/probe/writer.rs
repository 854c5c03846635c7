//! The text of a config that grows line by line; where it is shown, without the secrets that were given. Pure.

use super::choice::Choice;
use super::yaml;

/// Words before a credential in a header, which are no secret.
const SCHEMES: [&str; 13] = [
    "bearer",
    "basic",
    "token",
    "apikey",
    "api-key",
    "key",
    "splunk",
    "ssws",
    "oauth",
    "geniekey",
    "bot",
    "apitoken",
    "zoho-oauthtoken",
];
/// How long a scheme is at most that isn't one of these.
const SCHEME_CHARS_MAX: usize = 20;
/// The environment variable that is proposed for a token.
const TOKEN_VARIABLE: &str = "API_TOKEN";

/// For whom a config is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// To be compiled here and now: with everything that was given, and no real listener.
    Asking,
    /// To be shown: with placeholders for secrets.
    Showing,
}

/// ConfigText that grows line by line.
pub(super) struct ConfigText {
    pub(super) text: String,
    pub(super) is_for: For,
}

impl ConfigText {
    pub(super) fn head(&mut self, url: &str) {
        if self.is_for == For::Asking {
            // Nobody is asked there; a token so short is found in no text.
            return self.text.push_str("logzio: {url: 'http://127.0.0.1:9', token: '-'}\n");
        }
        self.comment(0, &format!("Proposed from the answers of {url}"));
        self.comment(0, "Put your own values in place of what stands between << and >>, then:");
        self.comment(0, "  logzio-api-fetcher check --config config.yaml");
        self.comment(0, "  logzio-api-fetcher probe --config config.yaml");
        self.line(0, "logzio:");
        self.line(2, "url: 'https://<<LISTENER-HOST>>:8071'");
        self.line(2, "token: '<<LOG-SHIPPING-TOKEN>>'");
    }

    pub(super) fn line(&mut self, indent: usize, line: &str) {
        self.text.push_str(&format!("{}{line}\n", " ".repeat(indent)));
    }

    pub(super) fn comment(&mut self, indent: usize, comment: &str) {
        self.line(indent, &format!("# {}", yaml::comment(comment)));
    }

    pub(super) fn pair(&mut self, indent: usize, key: &str, value: &str) {
        self.line(indent, &format!("{key}: {}", yaml::scalar(value)));
    }

    pub(super) fn choice(&mut self, indent: usize, key: &str, choice: &Choice) {
        choice.comments.iter().for_each(|comment| self.comment(indent, comment));
        choice.value.iter().for_each(|value| self.pair(indent, key, value));
    }

    pub(super) fn credentials(&mut self, id: &str, key: &str, placeholders: [&str; 2]) {
        let [id, key] = [(id, placeholders[0]), (key, placeholders[1])].map(|(text, name)| self.hidden(text, name));
        self.line(4, "credentials:");
        if id.starts_with("<<") || key.starts_with("<<") {
            self.comment(
                6,
                "what was given as it is, is not printed; ${VARIABLE} and ${file:/run/secrets/name} work here",
            );
        }
        self.pair(6, "id", &id);
        self.pair(6, "key", &key);
    }

    /// A value that may be secret: where it is shown, only what refers to a variable or a file stays.
    pub(super) fn hidden(&self, value: &str, placeholder: &str) -> String {
        let stays = self.is_for == For::Asking || is_reference(value);
        if stays { value.to_owned() } else { placeholder.to_owned() }
    }

    /// The value of a header `Authorization`: its scheme is no secret and stays, and what follows it comes from a variable.
    pub(super) fn authorization(&mut self, value: &str) -> String {
        let Some((scheme, rest)) = value.split_once(' ').filter(|_| self.is_for == For::Showing) else {
            return self.hidden(value, "<<AUTHORIZATION>>");
        };
        let is_known = SCHEMES.contains(&scheme.to_ascii_lowercase().as_str());
        if is_scheme(scheme) && is_reference(rest) {
            return value.to_owned();
        }
        if !is_known || is_reference(value) {
            return self.hidden(value, "<<AUTHORIZATION>>");
        }
        self.comment(8, &format!("put what follows `{scheme}` into the environment variable {TOKEN_VARIABLE}"));
        format!("{scheme} ${{{TOKEN_VARIABLE}}}")
    }

    /// A token endpoint; its query may hold anything.
    pub(super) fn secretless_url(&self, url: &str) -> String {
        match url.split_once('?') {
            Some((base, query)) => format!("{base}?{}", self.hidden(query, "<<QUERY>>")),
            None => url.to_owned(),
        }
    }
}

/// Whether a word can be a scheme (RFC 9110, section 11.1) rather than a secret: short, and without digits.
fn is_scheme(word: &str) -> bool {
    let is_short = !word.is_empty() && word.len() <= SCHEME_CHARS_MAX;
    is_short && word.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
}

/// Whether a text is nothing but `${…}`, perhaps behind the name of a scheme.
fn is_reference(text: &str) -> bool {
    let mut rest = text;
    let mut literal = String::new();
    let mut count = 0_usize;
    while let Some((before, from_mark)) = rest.split_once("${") {
        let Some((_, after)) = from_mark.split_once('}') else { return false };
        literal.push_str(before);
        literal.push(' ');
        (rest, count) = (after, count + 1);
    }
    literal.push_str(rest);
    let is_scheme = |word: &str| SCHEMES.contains(&word.to_ascii_lowercase().as_str());
    count > 0 && literal.split_whitespace().all(is_scheme)
}

/// A placeholder of that name.
pub(super) fn placeholder(name: &str) -> String {
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).take(40).collect();
    if name.is_empty() { "<<VALUE>>".to_owned() } else { format!("<<{}>>", name.to_ascii_uppercase()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_to_secrets_stay() {
        for text in ["${A}", "Bearer ${A}", "${file:/run/a b}", "${A}${B}", "Token  ${A} "] {
            assert!(is_reference(text), "{text}");
        }
        for text in ["", "abc", "Bearer", "Bearer abc${A}", "${A}abc", "${A", "$A", "abc ${A}"] {
            assert!(!is_reference(text), "{text}");
        }
    }
}
