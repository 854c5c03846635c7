//! A service account, and the token request that it signs (RFC 7523), as Google's endpoint looks at it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

const KEY: &str = include_str!("../../cases/keys/rsa.pem");
const ACCOUNT: &str = "collector@project.iam.example";
const AUDIENCE: &str = "https://oauth2.example/token";
/// How far the clock of a request may be off.
const SECONDS_OFF_MAX: i64 = 30;
/// How long such a JWT may last.
const LIFE_SECONDS_MAX: i64 = 3_600;

/// The key file of the service account.
pub fn service_account() -> String {
    json!({"type": "service_account", "client_email": ACCOUNT, "private_key_id": "k1", "private_key": KEY, "token_uri": AUDIENCE})
        .to_string()
}

/// Whether a JWT is signed by the account's key, and says who asks, for whom, and for what.
pub fn check(jwt: &str) -> Result<(), String> {
    let (signed, signature) = jwt.rsplit_once('.').ok_or("the assertion is no JWT")?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| format!("`{part}`: {error}"));
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let public = RsaKeyPair::from_pkcs8(key.secret_der()).unwrap().public_key().as_ref().to_vec();
    let verified =
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(signed.as_bytes(), &decoded(signature)?);
    verified.map_err(|_| "the signature is wrong")?;
    let claims = signed.split('.').nth(1).ok_or("the assertion has no claims")?;
    let claims: Value = serde_json::from_slice(&decoded(claims)?).map_err(|error| error.to_string())?;
    let scope = "https://www.googleapis.com/auth/admin.reports.audit.readonly";
    for (name, expected) in [("iss", ACCOUNT), ("sub", "admin@example.com"), ("aud", AUDIENCE), ("scope", scope)] {
        if claims[name] != expected {
            return Err(format!("{name} is {} and not {expected}", claims[name]));
        }
    }
    let seconds = |name: &str| claims[name].as_i64().ok_or(format!("{name} is missing"));
    let (issued, expires) = (seconds("iat")?, seconds("exp")?);
    let off = (Utc::now().timestamp() - issued).abs();
    let life = expires - issued;
    match off <= SECONDS_OFF_MAX && (1..=LIFE_SECONDS_MAX).contains(&life) {
        true => Ok(()),
        false => Err(format!("issued {off} s away from now, for {life} s")),
    }
}
