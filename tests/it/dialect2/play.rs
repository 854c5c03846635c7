//! A mock that gives the answers that were seen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::case::{Case, Difference, Exchange, WantedAsk};
use super::compare::{difference, shown, target_of};
use crate::harness::{Asked, MockServer, Reply};

/// What is asked of the case's API in one iteration, and answered.
pub struct Play {
    pub case: Case,
    pub difference: Option<Difference>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    iteration: usize,
    /// Of each iteration that was seen, which answers were given.
    used: Vec<Vec<bool>>,
    used_answers: Vec<bool>,
    asked: Vec<Asked>,
}

impl Play {
    pub fn new(case: Case, difference: Option<Difference>) -> Arc<Self> {
        let used = case.iterations.iter().map(|iteration| vec![false; iteration.asks.len()]).collect();
        let used_answers = vec![false; difference.as_ref().map_or(0, |difference| difference.answers.len())];
        let state = Mutex::new(State { used, used_answers, ..State::default() });
        Arc::new(Self { case, difference, state })
    }

    pub fn serve(self: &Arc<Self>) -> MockServer {
        let this = Arc::clone(self);
        MockServer::start(move |asked, _| this.answer(asked)).may_be_idle()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(&self, iteration: usize) {
        let mut state = self.state();
        state.iteration = iteration;
        state.asked.clear();
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let mut state = self.state();
        state.asked.push(asked.clone());
        let Some(exchange) = self.choose(&mut state, asked) else {
            return Reply::status(404, "the original never asked for this");
        };
        let base = asked.header("host").unwrap_or_default();
        let body = with_addresses(&exchange.answer, &format!("http://{base}"));
        let reply = Reply::status(exchange.status.unwrap_or(200), &body);
        match &exchange.gives {
            None => reply.with("Content-Type", "application/json"),
            Some(headers) => headers.iter().fold(reply, |reply, (name, value)| {
                reply.with(name, &with_addresses(value, &format!("http://{base}")))
            }),
        }
    }

    /// The answer to this very request, each one once; else the next one to another request to the same path.
    fn choose(&self, state: &mut State, asked: &Asked) -> Option<Exchange> {
        let is_this = |exchange: &&Exchange| {
            let bare = Exchange { headers: std::collections::BTreeMap::new(), ..(*exchange).clone() };
            difference(&bare, asked).is_none()
        };
        let is_just_this = |exchange: &&Exchange| difference(exchange, asked).is_none();
        let (instead, answers) = match &self.difference {
            Some(difference) => (difference.instead.as_slice(), difference.answers.as_slice()),
            None => (&[] as &[Exchange], &[] as &[Exchange]),
        };
        if let Some(found) = instead.iter().find(is_just_this) {
            return Some(found.clone());
        }
        let seen = state.iteration.min(self.case.iterations.len().saturating_sub(1));
        let asks = self.case.iterations.get(seen).map_or(&[] as &[Exchange], |iteration| iteration.asks.as_slice());
        let mut empty = Vec::new();
        let used = state.used.get_mut(seen).unwrap_or(&mut empty);
        let path = format!("{} {}", asked.method, asked.path);
        let is_same_path = |exchange: &Exchange| exchange.ask.split('?').next() == Some(path.as_str());
        if let Some(at) = (0..asks.len()).find(|at| !used[*at] && is_this(&&asks[*at])) {
            used[at] = true;
            return Some(asks[at].clone());
        }
        if let Some(at) = (0..answers.len()).find(|at| !state.used_answers[*at] && is_this(&&answers[*at])) {
            state.used_answers[at] = true;
            return Some(answers[at].clone());
        }
        if let Some(found) = answers.iter().chain(asks).find(is_this) {
            return Some(found.clone());
        }
        if let Some(at) = (0..asks.len()).find(|at| !used[*at] && is_same_path(&asks[*at])) {
            used[at] = true;
            return Some(asks[at].clone());
        }
        // A login, which a restart repeats.
        self.case.iterations.iter().flat_map(|iteration| &iteration.asks).find(is_this).cloned()
    }

    /// What is wanted of this iteration; `None` where nothing is compared.
    fn wanted(&self, iteration: usize) -> Option<(Vec<WantedAsk>, Vec<serde_json::Value>)> {
        let seen = self.case.iterations.get(iteration);
        let told = self.difference.as_ref().and_then(|difference| difference.iterations.get(iteration));
        let told = match told {
            Some(None) => return None,
            Some(Some(told)) => Some(told),
            None => None,
        };
        if seen.is_none() && told.is_none() {
            return None;
        }
        let asks = told.and_then(|told| told.asks.clone());
        let lines = told.and_then(|told| told.lines.clone());
        let seen_asks = || {
            let asks = seen.map_or(&[] as &[Exchange], |seen| seen.asks.as_slice());
            asks.iter().cloned().map(WantedAsk::Whole).collect()
        };
        let seen_lines = || {
            let lines = seen.map_or(&[] as &[String], |seen| seen.lines.as_slice());
            lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        Some((asks.unwrap_or_else(seen_asks), lines.unwrap_or_else(seen_lines)))
    }

    /// What is not as it is wanted.
    pub fn problems(&self, iteration: usize, lines: &[serde_json::Value], log: &str) -> Vec<String> {
        let Some((asks, wanted_lines)) = self.wanted(iteration) else { return Vec::new() };
        let asked = self.state().asked.clone();
        let mut problems = Vec::new();
        let pairs = asks.iter().zip(&asked);
        problems.extend(pairs.filter_map(|(wanted, asked)| match wanted {
            WantedAsk::Whole(wanted) => difference(wanted, asked),
            WantedAsk::Short(wanted) => {
                let (method, target) = wanted.split_once(' ').expect("method and target");
                let same = method == asked.method && super::compare::fits(target, &target_of(asked));
                (!same).then(|| format!("asked {}, wanted {wanted}", shown(asked)))
            }
        }));
        if asks.len() != asked.len() {
            let all: Vec<String> = asked.iter().map(shown).collect();
            problems.push(format!("{} requests, wanted {}: {all:#?}", asked.len(), asks.len()));
        }
        if lines != wanted_lines {
            let shown = |lines: &[serde_json::Value]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
            problems.push(format!("shipped {:#?}, wanted {:#?}", shown(lines), shown(&wanted_lines)));
        }
        let told = self.difference.as_ref().and_then(|difference| difference.iterations.get(iteration)?.as_ref());
        let missing = told.iter().flat_map(|told| &told.says).filter(|text| !log.contains(text.as_str()));
        problems.extend(missing.map(|text| format!("the log doesn't say `{text}`")));
        problems
    }
}

/// With the mock in the place of every host.
pub fn with_addresses(text: &str, url: &str) -> String {
    const HOSTS: &[&str] = &[
        "@API@",
        "http://127.0.0.1:APORT",
        "https://graph.microsoft.com",
        "https://reports.office365.com",
        "https://visibility.amp.cisco.com",
        "https://admin.googleapis.com",
    ];
    HOSTS.iter().fold(text.to_owned(), |text, host| text.replace(host, url))
}
