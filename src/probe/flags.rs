//! Hints that name flags instead of config keys, for who called `probe --url` and has no config yet. Pure.

use super::propose::{ProbeTarget, TargetAuth};

/// The flags that stand for keys; longer keys first, as they hold the shorter ones.
const FLAGS: [(&str, &str); 13] = [
    (
        "credentials.id and credentials.key (the secret's value, not its id)",
        "--client (the secret's value, not its id)",
    ),
    ("the header Authorization in http_request.headers", "the header Authorization in --header"),
    ("token_http_request.scope", "--scope"),
    ("token_http_request.url", "--token-url"),
    ("http_request.headers", "--header"),
    ("http_request.url", "--url"),
    ("check http_request.method", "the API does not take GET requests: write the entry by hand"),
    (", and make settings.time_interval longer", ""),
    (": make settings.time_interval longer", ": try again later"),
    ("; lower settings.days_back_fetch", ""),
    ("check filters and start_date_name", "check the parameters in --url"),
    ("name it in tls.ca_file", "name its file in the environment variable SSL_CERT_FILE"),
    ("; to need fewer requests, make settings.time_interval longer", ""),
];

/// The hint, with the flag in the place of each key.
pub(super) fn in_flags(hint: &str, target: &ProbeTarget) -> String {
    let has_headers = !target.headers.is_empty();
    let (given, missing) = match &target.auth {
        TargetAuth::Basic { .. } => ("--basic", None),
        TargetAuth::Token { .. } => ("--client", None),
        TargetAuth::None if has_headers => ("--header", None),
        TargetAuth::None => ("--basic", Some("give the credentials with --basic, --token-url or --header")),
    };
    if let (Some(missing), true) = (missing, hint.contains("header Authorization") || hint.contains("credentials.")) {
        return missing.to_owned();
    }
    let hint = FLAGS.iter().fold(hint.to_owned(), |hint, (key, flag)| hint.replace(key, flag));
    hint.replace("credentials.id and credentials.key", given)
}

/// The flag that gave what stands at this place of the config.
pub(super) fn flag_of(path: &str, target: &ProbeTarget) -> &'static str {
    let has = |part: &str| path.contains(part);
    match &target.auth {
        _ if has("token_http_request.url") => "--token-url",
        _ if has("token_http_request.scope") => "--scope",
        _ if has("headers") => "--header",
        TargetAuth::Basic { .. } if has("credentials") => "--basic",
        TargetAuth::Token { .. } if has("credentials") => "--client",
        _ => "--url",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::FetchError;
    use crate::http::unreachable_advice;
    use crate::plan::Auth;
    use crate::template::Template;
    use reqwest::StatusCode;

    fn target(auth: TargetAuth) -> ProbeTarget {
        ProbeTarget { url: "https://api.example".to_owned(), auth, headers: Vec::new() }
    }

    fn basic() -> TargetAuth {
        TargetAuth::Basic { id: "me".to_owned(), key: "${KEY}".to_owned() }
    }

    #[test]
    fn who_gave_flags_is_told_of_flags() {
        for status in [400_u16, 401, 403, 404, 405, 422, 429, 500] {
            let status = StatusCode::from_u16(status).expect("a status");
            for error_body in ["", "Minimum allowed time is 2024-01-01"] {
                let error = || FetchError::Status { url: "u".to_owned(), status, error_body: error_body.to_owned() };
                let auth = Auth::Basic { id: Template::text("me"), key: Template::text("k") };
                for auth in [auth, Auth::OwnHeader] {
                    for error in [error(), FetchError::Token(Box::new(error()))] {
                        let Some(hint) = error.hint(&auth) else { continue };
                        let hint = in_flags(hint, &target(basic()));
                        let names_key = ["credentials.", "http_request", "settings.", "start_date_name", "tls."];
                        assert!(!names_key.iter().any(|key| hint.contains(key)), "{status}: {hint}");
                    }
                }
            }
        }
        for cause in ["dns error", "invalid certificate: UnknownIssuer", "connection refused"] {
            let hint = in_flags(unreachable_advice(cause, "http_request.url").expect("a hint"), &target(basic()));
            assert!(!hint.contains("http_request") && !hint.contains("tls."), "{hint}");
        }
    }

    #[test]
    fn who_gave_no_credentials_is_told_how() {
        let hint = "check the header Authorization in http_request.headers";
        assert_eq!(
            in_flags(hint, &target(TargetAuth::None)),
            "give the credentials with --basic, --token-url or --header"
        );
    }
}
