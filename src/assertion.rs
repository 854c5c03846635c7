//! Signed JWTs that get a token (RFC 7523): what a key file says, and the JWT that is made of it. Pure; time and chance are
//! arguments.
//!
//! Three kinds of files are told apart by what is in them: a Google service account, Box's config, and a private key alone,
//! which is a client's own (`private_key_jwt`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde_json::{Map, Value, json};

use crate::record::Fingerprint;
use crate::text::Secret;

/// How long an assertion lasts: Google takes an hour at most,
const LIFE_SERVICE_ACCOUNT: Duration = Duration::from_secs(3600);
/// Box a minute at most,
const LIFE_BOX: Duration = Duration::from_secs(45);
/// and others mostly five minutes.
const LIFE_CLIENT: Duration = Duration::from_secs(300);
/// The token endpoint that the files of service accounts name.
const TOKEN_URL_USUAL: &str = "https://oauth2.googleapis.com/token";
/// How many bytes each of the two numbers of an ES256 signature has (RFC 7518, section 3.4).
const ES256_NUMBER_BYTES: usize = 32;

/// What a replay sends in the place of a signed JWT.
pub const STAND_IN: &str = "assertion-1";

/// What an assertion is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionUse {
    /// It is the grant itself (RFC 7523, section 2.1).
    Grant,
    /// It says which client asks for a token of its own (section 2.2).
    Client,
}

/// How to make assertions. Its key is never printed.
#[derive(Clone)]
pub struct Assertion {
    /// What it is for.
    pub purpose: AssertionUse,
    /// The token endpoint that the file names, where it does.
    pub token_url: Option<String>,
    /// The client that Box wants to be named beside it, with its secret.
    pub client: Option<(String, Secret)>,
    /// `None` for a stand-in, which is not signed.
    key: Option<Arc<dyn SigningKey>>,
    key_id: Option<String>,
    /// Those that are always the same.
    claims: Map<String, Value>,
    life: Duration,
    /// Of the file and of what was said beside it.
    fingerprint: Fingerprint,
}

/// What the config says beside the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssertionOptions<'o> {
    /// For whom it speaks.
    pub subject: Option<&'o str>,
    /// For whom it is meant.
    pub audience: Option<&'o str>,
    /// The scope to ask for, where the assertion names it.
    pub scope: Option<&'o str>,
    /// The client's id, for a key alone.
    pub client_id: Option<&'o str>,
    /// The name of the key, for a key alone.
    pub key_id: Option<&'o str>,
    /// The token endpoint: the audience where nothing else is said.
    pub token_url: &'o str,
}

impl Assertion {
    /// Of the content of a file.
    ///
    /// # Errors
    /// What is wrong with it, as it follows the file's name; nothing of its content.
    pub fn read(file: &[u8], options: &AssertionOptions<'_>) -> Result<Self, String> {
        let assertion = match serde_json::from_slice::<Value>(file) {
            Ok(json) if json.get("boxAppSettings").is_some() => Self::of_box(&json, options),
            Ok(json) if json.get("private_key").is_some() => Self::of_service_account(&json, options),
            Ok(_) => Err("is neither the key file of a service account nor Box's config".to_owned()),
            Err(_) => Self::of_client(file, options),
        }?;
        let said = format!("{options:?}");
        Ok(Self { fingerprint: Fingerprint::of(&[file, said.as_bytes()]), ..assertion })
    }

    fn of_service_account(json: &Value, options: &AssertionOptions<'_>) -> Result<Self, String> {
        let issuer = text(json, &["client_email"]).ok_or("has no `client_email`")?;
        let key = text(json, &["private_key"]).ok_or("has no `private_key`")?;
        let own_audience = text(json, &["token_uri"]);
        let audience = options.audience.or(own_audience).unwrap_or(options.token_url);
        let claims =
            [("iss", Some(issuer)), ("sub", options.subject), ("aud", Some(audience)), ("scope", options.scope)];
        let key_id = text(json, &["private_key_id"]);
        let assertion = Self::new(AssertionUse::Grant, key.as_bytes(), key_id, &claims, LIFE_SERVICE_ACCOUNT)?;
        Ok(Self { token_url: own_audience.map(str::to_owned), ..assertion })
    }

    fn of_box(json: &Value, options: &AssertionOptions<'_>) -> Result<Self, String> {
        let settings = |names: &[&str]| text(json, &[&["boxAppSettings"], names].concat());
        let id = settings(&["clientID"]).ok_or("has no `boxAppSettings.clientID`")?;
        let secret = settings(&["clientSecret"]).ok_or("has no `boxAppSettings.clientSecret`")?;
        let key = settings(&["appAuth", "privateKey"]).ok_or("has no `boxAppSettings.appAuth.privateKey`")?;
        let enterprise = text(json, &["enterpriseID"]);
        let subject = options.subject.or(enterprise).ok_or("has no `enterpriseID`, and there is no `subject`")?;
        let kind = if Some(subject) == enterprise { "enterprise" } else { "user" };
        let claims = [
            ("iss", Some(id)),
            ("sub", Some(subject)),
            ("box_sub_type", Some(kind)),
            ("aud", Some(options.audience.unwrap_or(options.token_url))),
        ];
        let key_id = settings(&["appAuth", "publicKeyID"]);
        let assertion = Self::new(AssertionUse::Grant, key.as_bytes(), key_id, &claims, LIFE_BOX)?;
        Ok(Self { client: Some((id.to_owned(), Secret::new(secret))), ..assertion })
    }

    fn of_client(pem: &[u8], options: &AssertionOptions<'_>) -> Result<Self, String> {
        let id = options.client_id.ok_or("is a key alone, so credentials.id must say which client has it")?;
        let claims = [
            ("iss", Some(id)),
            ("sub", Some(options.subject.unwrap_or(id))),
            ("aud", Some(options.audience.unwrap_or(options.token_url))),
        ];
        Self::new(AssertionUse::Client, pem, options.key_id, &claims, LIFE_CLIENT)
    }

    fn new(
        purpose: AssertionUse,
        pem: &[u8],
        key_id: Option<&str>,
        claims: &[(&str, Option<&str>)],
        life: Duration,
    ) -> Result<Self, String> {
        let claims = claims.iter().filter_map(|(name, value)| Some(((*name).to_owned(), Value::from((*value)?))));
        Ok(Self {
            purpose,
            token_url: None,
            client: None,
            key: Some(key(pem)?),
            key_id: key_id.map(str::to_owned),
            claims: claims.collect(),
            life,
            fingerprint: Fingerprint::of(&[]),
        })
    }

    /// For a replay, which opens no file: in the place of each JWT stands [`STAND_IN`].
    #[must_use]
    pub fn stand_in(options: &AssertionOptions<'_>) -> Self {
        Self {
            purpose: if options.client_id.is_some() { AssertionUse::Client } else { AssertionUse::Grant },
            token_url: Some(TOKEN_URL_USUAL.to_owned()),
            client: None,
            key: None,
            key_id: None,
            claims: Map::new(),
            life: LIFE_CLIENT,
            fingerprint: Fingerprint::of(&[STAND_IN.as_bytes(), format!("{options:?}").as_bytes()]),
        }
    }

    /// An assertion that is good from now on; `id` is one that no other has.
    ///
    /// # Errors
    /// Where the key can't sign; in words.
    pub fn sign(&self, now: DateTime<Utc>, id: &str) -> Result<Secret, String> {
        let Some(key) = &self.key else { return Ok(Secret::new(STAND_IN)) };
        let signer = key.choose_scheme(&SCHEMES).ok_or(UNFIT_KEY)?;
        let is_rsa = signer.scheme() == SignatureScheme::RSA_PKCS1_SHA256;
        let mut header = json!({ "alg": if is_rsa { "RS256" } else { "ES256" }, "typ": "JWT" });
        if let (Some(header), Some(key_id)) = (header.as_object_mut(), &self.key_id) {
            header.insert("kid".to_owned(), key_id.as_str().into());
        }
        let mut claims = self.claims.clone();
        let until = now.timestamp().saturating_add(i64::try_from(self.life.as_secs()).unwrap_or_default());
        claims.insert("iat".to_owned(), now.timestamp().into());
        claims.insert("exp".to_owned(), until.into());
        claims.insert("jti".to_owned(), id.into());
        let signed = [header, Value::Object(claims)].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = signer.sign(signed.as_bytes()).map_err(|error| error.to_string())?;
        let signature = if is_rsa { Some(signature) } else { es256(&signature) };
        let signature = signature.ok_or("the signature is not one of ES256")?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    /// Tells it from others.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// RS256 and ES256 (RFC 7518, section 3.1).
const SCHEMES: [SignatureScheme; 2] = [SignatureScheme::RSA_PKCS1_SHA256, SignatureScheme::ECDSA_NISTP256_SHA256];
const UNFIT_KEY: &str = "holds a key that is neither RSA nor of the curve P-256";

/// A private key as PEM: PKCS#8, or in the older forms of RSA and of elliptic curves.
fn key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, String> {
    if pem.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED.as_bytes()) {
        return Err("holds a key that is encrypted: decrypt it with `openssl pkcs8 -in KEY -out NEW`".to_owned());
    }
    // What the parser says may quote the key.
    let der = PrivateKeyDer::from_pem_slice(pem).map_err(|_| "holds no private key in PEM form")?;
    let key = rustls::crypto::ring::sign::any_supported_type(&der).map_err(|_| UNFIT_KEY)?;
    if key.choose_scheme(&SCHEMES).is_none() {
        return Err(UNFIT_KEY.to_owned());
    }
    Ok(key)
}

/// How a key begins that a password protects.
const ENCRYPTED: &str = "ENCRYPTED";

/// The two numbers of a signature one behind the other, each in 32 bytes, out of the DER that TLS has: a sequence of two
/// integers, which have a zero before a first bit that is set, and none that they don't need.
fn es256(der: &[u8]) -> Option<Vec<u8>> {
    let body = der.strip_prefix(&[0x30])?;
    let (length, mut rest) = body.split_first()?;
    if usize::from(*length) != rest.len() {
        return None;
    }
    let mut fixed = Vec::with_capacity(2 * ES256_NUMBER_BYTES);
    for _ in 0..2 {
        let (length, number) = rest.strip_prefix(&[0x02])?.split_first()?;
        let (number, after) = number.split_at_checked(usize::from(*length))?;
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        fixed.resize(fixed.len() + ES256_NUMBER_BYTES.checked_sub(number.len())?, 0);
        fixed.extend_from_slice(number);
        rest = after;
    }
    rest.is_empty().then_some(fixed)
}

fn text<'j>(json: &'j Value, names: &[&str]) -> Option<&'j str> {
    names.iter().try_fold(json, |json, name| json.get(name))?.as_str().filter(|text| !text.is_empty())
}

impl PartialEq for Assertion {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").field("purpose", &self.purpose).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    const TOKEN_URL: &str = "https://login.example/token";
    /// Made for these tests alone.
    const RSA_KEY: &str = include_str!("../tests/cases/keys/rsa.pem");

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_716_900_000, 0).unwrap_or_default()
    }

    fn options() -> AssertionOptions<'static> {
        AssertionOptions { token_url: TOKEN_URL, ..AssertionOptions::default() }
    }

    /// Header, claims, what is signed, and the signature.
    fn parts(jwt: &Secret) -> (Value, Value, String, Vec<u8>) {
        let (signed, signature) = jwt.expose().rsplit_once('.').expect("a signature");
        let (header, claims) = signed.split_once('.').expect("two parts");
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64");
        let json = |part: &str| serde_json::from_slice(&decoded(part)).expect("JSON");
        (json(header), json(claims), signed.to_owned(), decoded(signature))
    }

    #[test]
    fn a_service_account_speaks_for_a_subject_and_names_the_scope() {
        let file = json!({ "type": "service_account", "client_email": "me@x.example", "private_key_id": "k1",
            "private_key": RSA_KEY, "token_uri": "https://oauth2.example/token" });
        let options = AssertionOptions { subject: Some("admin@x.example"), scope: Some("a b"), ..options() };
        let assertion = Assertion::read(file.to_string().as_bytes(), &options).expect("a key file");
        assert_eq!(assertion.purpose, AssertionUse::Grant);
        let (header, claims, signed, signature) = parts(&assertion.sign(now(), "the-id").expect("signed"));
        assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        assert_eq!(
            claims,
            json!({ "iss": "me@x.example", "sub": "admin@x.example", "aud": "https://oauth2.example/token",
                "scope": "a b", "iat": 1_716_900_000, "exp": 1_716_903_600, "jti": "the-id" })
        );
        let der = PrivateKeyDer::from_pem_slice(RSA_KEY.as_bytes()).expect("a key");
        let pair = ring::signature::RsaKeyPair::from_pkcs8(der.secret_der()).expect("a key");
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref().to_vec());
        public.verify(signed.as_bytes(), &signature).expect("the signature is right");
    }

    #[test]
    fn box_wants_a_short_life_and_its_client_beside_it() {
        let file = json!({ "boxAppSettings": { "clientID": "c", "clientSecret": "s",
            "appAuth": { "publicKeyID": "p", "privateKey": RSA_KEY, "passphrase": "" } }, "enterpriseID": "77" });
        let assertion = Assertion::read(file.to_string().as_bytes(), &options()).expect("a key file");
        let (_, claims, ..) = parts(&assertion.sign(now(), "x").expect("signed"));
        assert_eq!(
            (&claims["box_sub_type"], &claims["sub"], &claims["aud"]),
            (&json!("enterprise"), &json!("77"), &json!(TOKEN_URL))
        );
        assert_eq!(claims["exp"], 1_716_900_045);
        assert_eq!(assertion.client.map(|(id, _)| id).as_deref(), Some("c"));
        let encrypted = file.to_string().replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE");
        let error = Assertion::read(encrypted.as_bytes(), &options()).expect_err("refused");
        assert!(error.contains("openssl pkcs8"), "{error}");
    }

    #[test]
    fn a_key_alone_is_a_clients_own_also_of_an_elliptic_curve() {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let options = AssertionOptions { client_id: Some("me"), key_id: Some("k"), ..options() };
        let assertion = Assertion::read(pair.serialize_pem().as_bytes(), &options).expect("a key");
        assert_eq!(assertion.purpose, AssertionUse::Client);
        let ring = ring::signature::EcdsaKeyPair::from_pkcs8(
            &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            &pair.serialize_der(),
            &ring::rand::SystemRandom::new(),
        )
        .expect("a key");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, ring.public_key().as_ref().to_vec());
        // Its numbers are now and then shorter than they are written.
        for turn in 0..300 {
            let (header, claims, signed, signature) = parts(&assertion.sign(now(), &turn.to_string()).expect("signed"));
            assert_eq!((&header["alg"], &claims["iss"], &claims["sub"]), (&json!("ES256"), &json!("me"), &json!("me")));
            public.verify(signed.as_bytes(), &signature).expect("the signature is right");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_quoted() {
        for file in
            ["the-secret", "{\"private_key\": \"the-secret\", \"client_email\": \"a\"}", "{\"a\": \"the-secret\"}"]
        {
            let options = AssertionOptions { client_id: Some("me"), ..options() };
            let error = Assertion::read(file.as_bytes(), &options).expect_err("refused");
            assert!(!error.contains("the-secret"), "{error}");
        }
    }
}
