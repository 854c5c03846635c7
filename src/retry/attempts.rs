//! The one retry loop: attempts until one succeeds, or the policy or a verdict ends them.

use std::fmt::Display;
use std::time::Duration;

use super::{Policy, Retries, Verdict};

/// How often another attempt may be made at once, by other means: more reasons for it than a fresh token and HTTP/1.1
/// there are not, and each counts once.
const AT_ONCE_MAX: u32 = 4;

/// What an attempt came to.
#[derive(Debug)]
pub enum AttemptOutcome<T, E> {
    /// It succeeded.
    Done(T),
    /// It shows that other means are needed, which are there: another one is made at once, and this one doesn't count.
    AtOnce(E),
    /// It failed.
    Failed(E, Verdict),
}

/// What is attempted, and how it waits in between: a success gives a `T`, a failure an `E`.
pub trait Attempts<T, E>: Send {
    /// The API in whose log the failures stand.
    fn api(&self) -> &str;

    /// One attempt, after so many failed ones.
    fn make(&mut self, failed: u32) -> impl Future<Output = AttemptOutcome<T, E>> + Send;

    /// Waits before the next attempt. Gives whether that is the last one, whatever it comes to.
    ///
    /// # Errors
    /// Where no further attempt is to be made.
    fn pause(&mut self, wait: Duration) -> impl Future<Output = Result<bool, E>> + Send;

    /// The longest wait that is waited; one that is asked for beyond it ends the attempts.
    fn longest(&self) -> Duration {
        Duration::MAX
    }

    /// What the last failure becomes where it asked for a wait.
    fn limited(&self, error: E, _asked: Duration) -> E {
        error
    }
}

/// Makes attempts until one succeeds. Each failure that is followed by another attempt is logged here, the last one is for
/// the caller.
///
/// # Errors
/// The last failure.
pub async fn until_done<T: Send, E: Display + Send>(policy: Policy, mut attempts: impl Attempts<T, E>) -> Result<T, E> {
    let mut retries = Retries::new(policy);
    let mut at_once = 0;
    loop {
        let (error, verdict) = match attempts.make(retries.failed()).await {
            AttemptOutcome::Done(done) => return Ok(done),
            AttemptOutcome::AtOnce(_) if at_once < AT_ONCE_MAX => {
                at_once += 1;
                continue;
            }
            AttemptOutcome::AtOnce(error) => (error, Verdict::End),
            AttemptOutcome::Failed(error, verdict) => (error, verdict),
        };
        let Verdict::Retry { asked } = verdict else { return Err(error) };
        let wait = match asked {
            Some(asked) if asked > attempts.longest() => None,
            asked => retries.next_wait(asked),
        };
        let Some(wait) = wait else {
            return Err(match asked {
                Some(asked) => attempts.limited(error, asked),
                None => error,
            });
        };
        let (seconds, attempt) = (wait.as_secs_f64(), retries.failed().saturating_add(1));
        tracing::warn!(api = attempts.api(), cause = %error, attempt, "{} in {seconds:.1} s", policy.told);
        retries.is_last = attempts.pause(wait).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::API;
    use super::*;

    /// Attempts that come to what is listed, the last one first.
    struct Listed {
        outcomes: Vec<AttemptOutcome<u32, &'static str>>,
        pauses: Vec<Duration>,
        longest: Duration,
    }

    impl Listed {
        fn new(mut outcomes: Vec<AttemptOutcome<u32, &'static str>>) -> Self {
            outcomes.reverse();
            Self { outcomes, pauses: Vec::new(), longest: Duration::from_secs(300) }
        }
    }

    impl Attempts<u32, &'static str> for &mut Listed {
        fn api(&self) -> &str {
            "a"
        }

        async fn make(&mut self, _: u32) -> AttemptOutcome<u32, &'static str> {
            self.outcomes.pop().expect("no more attempts than are listed")
        }

        async fn pause(&mut self, wait: Duration) -> Result<bool, &'static str> {
            self.pauses.push(wait);
            Ok(false)
        }

        fn longest(&self) -> Duration {
            self.longest
        }

        fn limited(&self, _: &'static str, _: Duration) -> &'static str {
            "limited"
        }
    }

    fn failed(asked: Option<u64>) -> AttemptOutcome<u32, &'static str> {
        AttemptOutcome::Failed("failed", Verdict::Retry { asked: asked.map(Duration::from_secs) })
    }

    #[tokio::test]
    async fn goes_on_until_one_succeeds_and_waits_in_between() {
        let mut attempts = Listed::new(vec![failed(None), failed(Some(7)), AttemptOutcome::Done(3)]);
        assert_eq!(until_done(API, &mut attempts).await, Ok(3));
        assert_eq!(attempts.pauses.len(), 2);
        assert!(attempts.pauses.last().is_some_and(|wait| *wait >= Duration::from_secs(7)), "{:?}", attempts.pauses);
    }

    #[tokio::test]
    async fn ends_by_a_verdict_by_its_policy_and_by_a_wait_that_is_too_long() {
        let mut attempts = Listed::new(vec![AttemptOutcome::Failed("refused", Verdict::End)]);
        assert_eq!(until_done(API, &mut attempts).await, Err("refused"));
        let mut attempts = Listed::new((0..API.tries_max).map(|_| failed(None)).collect());
        assert_eq!(until_done(API, &mut attempts).await, Err("failed"));
        let mut attempts = Listed::new(vec![failed(Some(301))]);
        assert_eq!(until_done(API, &mut attempts).await, Err("limited"));
        let mut attempts = Listed::new((0..API.tries_max).map(|_| failed(Some(1))).collect());
        assert_eq!(until_done(API, &mut attempts).await, Err("limited"), "the tries are used up");
    }

    #[tokio::test]
    async fn an_attempt_by_other_means_does_not_count_and_is_bounded() {
        let mut attempts = Listed::new(vec![AttemptOutcome::AtOnce("old token"), AttemptOutcome::Done(1)]);
        assert_eq!(until_done(API, &mut attempts).await, Ok(1));
        assert!(attempts.pauses.is_empty());
        let mut attempts = Listed::new((0..=AT_ONCE_MAX).map(|_| AttemptOutcome::AtOnce("again")).collect());
        assert_eq!(until_done(API, &mut attempts).await, Err("again"));
    }
}
