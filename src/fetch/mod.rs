//! From a request to the text of a page.
//!
//! Enters: an URL of the API. Leaves: the answer's text, decoded and of bounded size, or the reason why there is none.
//! What always holds: credentials, headers and bodies of the config go to the configured origin alone; every wait ends;
//! no message shows a query, a header or a body that was sent.

mod advice;
mod answer;
mod next;
mod once;
mod seat;
mod send;
mod token;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};

pub use next::{NextLinkError, next_link};
pub(crate) use once::{Call, Refused, access_once, page_once};
pub use seat::{SEATS, Seat, Seats};
pub use token::TokenCache;

use crate::http;
use crate::meter::Meter;
use crate::plan::{Auth, Plan};
use crate::retry::{self, Retries, Verdict};
use crate::secret::{Scrubber, Secret};
use crate::stop::Stop;
use send::{Beyond, Outgoing, send};

/// The largest page that is read, decoded.
pub const PAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer, or not a whole one.
    #[error("{url} gave no whole answer: {cause}")]
    Broken {
        /// Without its query.
        url: String,
        /// The innermost cause.
        cause: String,
    },
    /// An answer that is no success.
    #[error("{url} answered {status}{said}")]
    Status {
        /// Without its query.
        url: String,
        /// The HTTP status.
        status: StatusCode,
        /// What the answer says, scrubbed.
        said: String,
    },
    /// More than [`PAGE_BYTES_MAX`].
    #[error("{url} sent more than {max} bytes; ask for smaller pages, by a filter like `limit`")]
    TooLarge {
        /// Without its query.
        url: String,
        /// The limit.
        max: usize,
    },
    /// A redirect that can't be followed.
    #[error("{url} redirects {why}; put the final URL into the config")]
    Redirect {
        /// Without its query.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// No access token.
    #[error("no access token: {0}")]
    Token(Box<FetchError>),
    /// An answer to the token request without a token in it.
    #[error("{url} answered without an `access_token`{said}")]
    NoToken {
        /// Without its query.
        url: String,
        /// What the answer says, scrubbed.
        said: String,
    },
    /// The grace window is over.
    #[error("stopped before the answer came")]
    Stopped,
}

impl FetchError {
    /// The status of the answer, where there is one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A failed try and what follows it.
#[derive(Debug)]
struct Failure {
    error: FetchError,
    verdict: Verdict,
}

impl Failure {
    fn end(error: FetchError) -> Self {
        Self { error, verdict: Verdict::End }
    }

    fn broken(url: String, cause: String) -> Self {
        let error = FetchError::Broken { url, cause };
        Self { error, verdict: Verdict::Retry { asked: None } }
    }
}

/// The text of a page.
pub struct Answer {
    /// As it came, without a byte order mark; bytes that are no UTF-8 are replaced. Nothing for status 204.
    pub text: Option<String>,
    /// Whether some bytes were no UTF-8.
    pub was_lossy: bool,
    /// What relative links in it refer to.
    pub base: Url,
    /// Knows what must not be shown of it.
    pub secrets: Scrubber,
}

/// Asks one API for pages.
#[derive(Debug)]
pub struct Fetcher<'a> {
    /// The connections, shared by all APIs.
    pub client: &'a Client,
    /// What to ask.
    pub plan: &'a Plan,
    /// Ends every wait.
    pub stop: &'a Stop,
    /// Where the API's access token is kept.
    pub token: &'a TokenCache,
    /// Where its pages may be in memory.
    pub seat: Seat,
    /// Where it is noted that bytes come.
    pub meter: &'a Meter,
}

impl Fetcher<'_> {
    /// One page: tries, waits and tries again as the verdicts say.
    ///
    /// # Errors
    /// [`FetchError`] of the last try.
    pub async fn page(&self, url: &Url) -> Result<Answer, FetchError> {
        let page = self.seat.patiently(self.stop.until_cut(self.page_with_retries(url)));
        page.await.unwrap_or(Err(FetchError::Stopped))
    }

    /// The same where others wait for the seat: they come first, and the API is asked when its turn comes. What it would
    /// answer sooner would lie in the buffers of its connection, some 400 KB of it.
    ///
    /// # Errors
    /// [`FetchError`] of the last try.
    pub async fn page_in_turn(&self, url: &Url) -> Result<Answer, FetchError> {
        self.seat.give_back();
        match self.stop.until_cut(self.seat.take()).await {
            Some(_) => self.page(url).await,
            None => Err(FetchError::Stopped),
        }
    }

    async fn page_with_retries(&self, url: &Url) -> Result<Answer, FetchError> {
        let mut retries = Retries::new(retry::API);
        let mut has_renewed = false;
        loop {
            let Failure { error, verdict } = match self.try_page(url).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let is_refused_token = error.status() == Some(StatusCode::UNAUTHORIZED) && self.has_token();
            if is_refused_token && !has_renewed {
                tracing::info!(api = self.plan.name, "the access token is refused, asking for a fresh one");
                self.token.forget().await;
                has_renewed = true;
                continue;
            }
            pause_or_end(&mut retries, error, verdict, self.stop, &self.plan.name).await?;
        }
    }

    fn has_token(&self) -> bool {
        matches!(self.plan.auth, Auth::Token(_))
    }

    async fn try_page(&self, url: &Url) -> Result<Answer, Failure> {
        let access = match &self.plan.auth {
            Auth::Token(request) => {
                let token = self.token.get(self.client, request, &self.plan.scrubber, self.stop, &self.plan.name).await;
                let token = token.map_err(|error| Failure::end(FetchError::Token(Box::new(error))))?;
                Access::by_token(self.plan, &token)
            }
            _ => Access::by_config(self.plan),
        };
        Ok(try_page(self.client, self.plan, &access, url, Some(&self.seat), self.meter).await?.0)
    }
}

/// One request, with its redirects. Who has many of them at a time reads the body in a seat.
async fn try_page(
    client: &Client,
    plan: &Plan,
    access: &Access,
    url: &Url,
    seat: Option<&Seat>,
    meter: &Meter,
) -> Result<(Answer, StatusCode), Failure> {
    let (request, scrubber) = (&plan.request, &access.scrubber);
    let mut headers = request.headers.clone();
    headers.extend(access.authorization.clone().map(|value| (AUTHORIZATION, value)));
    let outgoing = Outgoing { method: &request.method, headers, body: request.body.as_ref(), beyond: Beyond::Bare };
    let (response, base) = send(client, &outgoing, url, scrubber).await?;
    meter.touch();
    let status = response.status();
    if !status.is_success() {
        return Err(status_failure(response, url, scrubber).await);
    }
    let has_content = status != StatusCode::NO_CONTENT;
    if let Some(seat) = seat.filter(|seat| has_content && !seat.waive(response.content_length())) {
        if seat.has_to_wait() {
            tracing::debug!(api = plan.name, "{SEATS} other APIs have pages in memory, so what it answers waits");
        }
        seat.take().await;
    }
    let bytes = answer::read(response, url, PAGE_BYTES_MAX, scrubber, meter).await?;
    let (text, was_lossy) = answer::text(bytes);
    Ok((Answer { text: has_content.then_some(text), was_lossy, base, secrets: scrubber.clone() }, status))
}

/// What makes a request an authorised one.
#[derive(Debug)]
pub(crate) struct Access {
    authorization: Option<HeaderValue>,
    /// Knows what the header holds.
    pub(crate) scrubber: Scrubber,
}

impl Access {
    /// By what the config itself says; the user's own header stands among the request's.
    fn by_config(plan: &Plan) -> Self {
        let authorization = match &plan.auth {
            Auth::Basic { id, key } => header("Basic", &answer::base64(id, key)),
            Auth::OwnHeader | Auth::Token(_) => None,
        };
        Self { authorization, scrubber: plan.scrubber.clone() }
    }

    fn by_token(plan: &Plan, token: &Secret) -> Self {
        Self { authorization: header("Bearer", token), scrubber: plan.scrubber.and([token.clone()]) }
    }
}

fn header(scheme: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {}", secret.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Waits as the verdict says, or gives the error back where there is no further try.
async fn pause_or_end(
    retries: &mut Retries,
    error: FetchError,
    verdict: Verdict,
    stop: &Stop,
    api: &str,
) -> Result<(), FetchError> {
    let Verdict::Retry { asked } = verdict else { return Err(error) };
    let Some(wait) = retries.next_wait(asked) else { return Err(error) };
    let (seconds, tries) = (wait.as_secs_f64(), retries.failed());
    tracing::warn!(api, cause = %error, failed_tries = tries, "trying again in {seconds:.1} s");
    retries.pause(wait, stop).await;
    Ok(())
}

async fn status_failure(response: Response, url: &Url, scrubber: &Scrubber) -> Failure {
    let verdict = retry::verdict(response.status(), response.headers(), chrono::Utc::now());
    let status = response.status();
    let said = answer::words(&http::said(response).await, scrubber);
    Failure { error: FetchError::Status { url: scrubber.url(url), status, said }, verdict }
}
