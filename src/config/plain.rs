//! Whether a text of the config may be named in a message: what stands in the place of a key or a name may be a secret,
//! by a slip (a blank that is missing behind a colon, quotes around too much).

/// The longest text that may be named.
const NAMED_CHARS_MAX: usize = 40;
/// The longest word in it: longer ones are rather random letters.
const WORD_CHARS_MAX: usize = 14;

/// Whether a text is words of letters, as names are: `EVENTS_API_KEY`, `X-Api-Version`, `api.key`. Digits rather belong to
/// secrets, but for one or two behind words in capitals, as in `OAUTH2_KEY_1`.
pub(super) fn is_plain(text: &str) -> bool {
    let text = text.trim_start_matches(['$', '/']).trim_end_matches("[]");
    let is_in_capitals = !text.bytes().any(|b| b.is_ascii_lowercase());
    let is_word = |word: &str| {
        let letters = match is_in_capitals {
            true => word.trim_end_matches(|c: char| c.is_ascii_digit()),
            false => word,
        };
        let capitals = letters.bytes().skip(1).filter(u8::is_ascii_uppercase).count();
        // `Name`, `NAME` or `clientId`, but no change of case at every other letter.
        let is_cased = capitals <= 2 || capitals + 1 == letters.len();
        is_cased
            && letters.bytes().all(|b| b.is_ascii_alphabetic())
            && letters.len() <= WORD_CHARS_MAX
            && word.len() - letters.len() <= 2
    };
    text.bytes().any(|b| b.is_ascii_alphabetic())
        && text.len() <= NAMED_CHARS_MAX
        && text.split(['_', '-', '.', '/']).all(is_word)
}

/// What stands for a text that isn't shown.
pub(super) const NOT_SHOWN: &str = "‹not shown›";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_names_from_what_may_be_a_secret() {
        for name in [
            "KEY",
            "EVENTS_API_KEY",
            "OAUTH2_KEY_1",
            "X-Api-Version",
            "clientId",
            "event_type[]",
            "$filter",
            "/run/secrets/api.key",
        ] {
            assert!(is_plain(name), "{name}");
        }
        for secret in [
            "",
            "hunter2-Prod-Secret",
            "key:hunter",
            "8f14e45f",
            "8F14E45F",
            "AKIAIOSFODNN7EXAMPLE",
            "JBSWY3DPEHPK3PXP",
            "xoxbTokenOfASlackAppThatIsLong",
            "aBcDeFgH",
            "a b",
            "p@ss",
            "é",
        ] {
            assert!(!is_plain(secret), "{secret}");
        }
    }
}
