//! A listener of several accounts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::harness::{MockServer, Reply, unpack};

/// What each account got, by its token.
pub struct Accounts {
    server: MockServer,
    lines: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
}

impl Accounts {
    /// The handler gets the token of each batch, and answers; what is answered with 200 was taken.
    pub fn answering(handler: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let lines: Arc<Mutex<BTreeMap<String, Vec<Value>>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let server = MockServer::start(move |asked, _| {
            let token = asked.query.strip_prefix("token=").expect("a token").to_owned();
            if asked.body.is_empty() {
                return Reply::status(200, "");
            }
            let reply = handler(&token);
            if matches!(reply, Reply::Full { status: 200, .. }) {
                let text = unpack(&asked.body);
                let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
                kept.lock().unwrap_or_else(PoisonError::into_inner).entry(token).or_default().extend(records);
            }
            reply
        });
        Self { server: server.may_be_idle(), lines }
    }

    pub fn start() -> Self {
        Self::answering(|_| Reply::status(200, ""))
    }

    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// The lines that each account took, in order.
    pub fn lines(&self) -> BTreeMap<String, Vec<Value>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
