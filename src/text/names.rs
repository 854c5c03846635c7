//! The names of secrets.

/// Names that other systems give to fields with secrets in them.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_NAME_PARTS.iter().any(|part| name.contains(part))
}

/// What the names of secrets have in them.
pub(crate) const SECRET_NAME_PARTS: [&str; 14] = [
    "secret",
    "pass",
    "pwd",
    "token",
    "key",
    "assertion",
    "auth",
    "sig",
    "cred",
    "code",
    "session",
    "jwt",
    "hmac",
    "sas",
];
