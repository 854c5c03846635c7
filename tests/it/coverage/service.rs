//! One API: a strict server that knows nothing but what its description says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::Utc;
use serde_json::Value;

use super::answer::{self, Context};
use super::description::{Description, Endpoint, Gives, Login, Shape};
use super::log::{self, Event};
use super::pattern::{Said, read, read_json};
use crate::harness::{Asked, MockServer, Reply, decoded};

/// The token that a login gives.
pub const LOGIN_TOKEN: &str = "login-token/1+2=";

/// One API under test.
pub struct Service {
    /// The number of its file.
    pub number: String,
    pub description: Description,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: Vec<Event>,
    /// What was asked against the documentation.
    refused: Vec<String>,
    /// Requests for data since the fetcher was started.
    requests: usize,
    /// Whether the request at which the fetcher is to be killed is held back.
    holds: bool,
    is_held: bool,
    /// How many events a queue has given away.
    given: usize,
    /// The exports that were started.
    jobs: Vec<Job>,
    /// The address of the host that files are on.
    files: String,
}

/// An export under way.
#[derive(Clone, Default)]
pub struct Job {
    pub events: Vec<Event>,
    /// How often its status was asked for.
    asked: usize,
}

impl Job {
    /// It takes a while.
    pub fn is_finished(&self) -> bool {
        self.asked > 1
    }
}

impl Service {
    pub fn new(number: &str, description: Description) -> Self {
        Self { number: number.to_owned(), description, state: Mutex::default() }
    }

    /// The API, and the host that files are on, where it has one.
    pub fn serve(self: &Arc<Self>) -> (MockServer, Option<MockServer>) {
        let serve = |elsewhere: bool| {
            let this = Arc::clone(self);
            MockServer::start(move |asked, _| this.answer(asked, elsewhere)).may_be_idle()
        };
        let has_files = self.description.mock.endpoints.iter().any(|endpoint| endpoint.elsewhere);
        let files = has_files.then(|| serve(true));
        if let Some(files) = &files {
            files.url().clone_into(&mut self.state().files);
        }
        (serve(false), files)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn add(&self, events: impl IntoIterator<Item = Event>) {
        self.state().log.extend(events);
    }

    pub fn events(&self) -> Vec<Event> {
        self.state().log.clone()
    }

    pub fn refused(&self) -> Vec<String> {
        self.state().refused.clone()
    }

    /// The fetcher is started; it is to be killed at the request that the description names, or not at all.
    pub fn is_started(&self, holds: bool) {
        let mut state = self.state();
        (state.requests, state.holds, state.is_held) = (0, holds, false);
    }

    pub fn is_held(&self) -> bool {
        self.state().is_held
    }

    fn answer(&self, asked: &Asked, elsewhere: bool) -> Reply {
        match self.try_answer(asked, elsewhere) {
            Ok(reply) => reply,
            Err((status, why)) => {
                let body = String::from_utf8_lossy(&asked.body);
                let line = format!("{} {}?{} {body}: {why}", asked.method, asked.path, asked.query);
                self.state().refused.push(line);
                Reply::status(status, &serde_json::json!({"error": {"message": why}}).to_string())
            }
        }
    }

    fn try_answer(&self, asked: &Asked, elsewhere: bool) -> Result<Reply, (u16, String)> {
        let mock = &self.description.mock;
        let bad = |why| (400, why);
        let is_login = |login: &&Login| !elsewhere && is_at(&login.request, asked, &mut Said::default());
        if let Some(login) = mock.login.as_ref().filter(is_login) {
            accepted(&login.accepts, asked, &mut Said::default()).map_err(bad)?;
            return Ok(answer::login(login));
        }
        let at = |endpoint: &&Endpoint| {
            endpoint.elsewhere == elsewhere && is_at(&endpoint.request, asked, &mut Said::default())
        };
        let endpoint = mock.endpoints.iter().find(at).ok_or_else(|| (404, "there is no such path".to_owned()))?;
        for (name, expected) in &mock.auth {
            let expected = expected.replace("{login}", LOGIN_TOKEN);
            match asked.header(name) {
                Some(_) if elsewhere => return Err((400, format!("`{name}` was sent to another host"))),
                None if elsewhere => {}
                found if found == Some(&expected) => {}
                found => return Err((401, format!("the header `{name}` is {found:?}, not {expected:?}"))),
            }
        }
        mock.sign.filter(|_| !elsewhere).map_or(Ok(()), |sign| sign.check(asked)).map_err(|why| (401, why))?;
        let mut said = Said::default();
        is_at(&endpoint.request, asked, &mut said);
        accepted(&endpoint.accepts, asked, &mut said).map_err(bad)?;
        if let Some(header) = &endpoint.later {
            // Each query is worth an id of its own, so that one of another request is refused.
            let id = format!("{}-{}", asked.path.len(), asked.query.len());
            match asked.header(&header.to_lowercase()) {
                None => return Ok(Reply::status(202, "").with(header, &id)),
                Some(sent) if sent == id => {}
                Some(sent) => return Err((400, format!("`{header}` is {sent}, not {id}"))),
            }
        }
        self.give(endpoint, asked, &said).map_err(bad)
    }

    /// What an endpoint gives to a request that is right.
    fn give(&self, endpoint: &Endpoint, asked: &Asked, said: &Said) -> Result<Reply, String> {
        let mut state = self.state();
        state.requests += 1;
        if state.holds && state.requests >= self.description.mock.killed_at {
            state.is_held = true;
            return Ok(Reply::Hang);
        }
        let job = said.item.and_then(|number| state.jobs.get(usize::try_from(number).ok()?)).cloned();
        let log = match endpoint.gives {
            Gives::Events | Gives::Job => state.log.clone(),
            Gives::Bundles => log::bundles(&state.log),
            Gives::Bundle => state.log.iter().filter(|event| Some(event.bundle) == said.item).copied().collect(),
            Gives::Status | Gives::Chunk => job.clone().ok_or("there is no such job")?.events,
        };
        let now = Utc::now();
        let mut context = Context { files: state.files.clone(), job: said.item.unwrap_or(0), ..Context::default() };
        let listed = match endpoint.gives {
            Gives::Chunk => {
                log::list(endpoint, &log, &Said { page: said.chunk.map(|chunk| chunk - 1), ..Said::default() }, now)?
            }
            _ if endpoint.pages.forgets => log::list(endpoint, &log[state.given..], said, now)?,
            _ => log::list(endpoint, &log, said, now)?,
        };
        match endpoint.gives {
            Gives::Job => {
                let all = log::all(endpoint, &log, said);
                context.job = state.jobs.len() as u64;
                state.jobs.push(Job { events: all, asked: 0 });
            }
            Gives::Status => {
                let job = said.item.and_then(|number| state.jobs.get_mut(usize::try_from(number).ok()?));
                let job = job.ok_or("there is no such job")?;
                job.asked += 1;
                context.chunks = job.is_finished().then(|| job.events.len().div_ceil(endpoint.pages.size));
            }
            Gives::Chunk if !job.is_some_and(|job| job.is_finished()) => return Err("it is not finished".to_owned()),
            _ if endpoint.pages.forgets => state.given += listed.events.len(),
            _ => {}
        }
        drop(state);
        Ok(answer::page(endpoint, (asked, said), &listed, &context))
    }
}

/// Whether a request is the one that `METHOD /path` describes.
fn is_at(request: &str, asked: &Asked, said: &mut Said) -> bool {
    let (method, path) = request.split_once(' ').expect("method and path");
    asked.method == method && read(path, &decoded(&asked.path), said).is_ok()
}

/// The first shape that fits, or why none does.
fn accepted(shapes: &[Shape], asked: &Asked, said: &mut Said) -> Result<(), String> {
    let mut reasons = Vec::new();
    for shape in shapes {
        let mut found = said.clone();
        match shape.fits(asked, &mut found) {
            Ok(()) => {
                *said = found;
                return Ok(());
            }
            Err(why) => reasons.push(why),
        }
    }
    Err(reasons.join("; or "))
}

impl Shape {
    fn fits(&self, asked: &Asked, said: &mut Said) -> Result<(), String> {
        for (name, pattern) in &self.headers {
            match (asked.header(name.trim_end_matches('?')), name.ends_with('?')) {
                (Some(value), _) => read(pattern, value, said).map_err(|why| format!("header {name}: {why}"))?,
                (None, true) => {}
                (None, false) => return Err(format!("the header `{name}` is missing")),
            }
        }
        form_fits(&self.query, &asked.query, said)?;
        let kind = asked.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        match (&self.json, &self.form) {
            (Some(json), _) => {
                let body: Value = serde_json::from_slice(&asked.body).map_err(|_| "the body is not JSON")?;
                if kind != "application/json" {
                    return Err(format!("the content type is `{kind}`"));
                }
                read_json(json, &body, said)
            }
            (None, Some(form)) => {
                if kind != "application/x-www-form-urlencoded" {
                    return Err(format!("the content type is `{kind}`"));
                }
                form_fits(form, &asked.text(), said)
            }
            (None, None) if asked.body.is_empty() => Ok(()),
            (None, None) => Err("a body, where none is".to_owned()),
        }
    }
}

/// Compares the fields of a query or a form.
fn form_fits(known: &BTreeMap<String, String>, text: &str, said: &mut Said) -> Result<(), String> {
    let mut seen = Vec::new();
    for field in text.split('&').filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        // As servers read a form: a plus is a blank.
        let (name, value) = (decoded(&name.replace('+', " ")), decoded(&value.replace('+', " ")));
        let pattern = known.get(&name).or_else(|| known.get(&format!("{name}?")));
        let pattern = pattern.ok_or_else(|| format!("unknown parameter `{name}`"))?;
        read(pattern, &value, said).map_err(|why| format!("{name}: {why}"))?;
        if seen.contains(&name) {
            return Err(format!("`{name}` is there twice"));
        }
        seen.push(name);
    }
    match known.keys().find(|name| !name.ends_with('?') && !seen.contains(*name)) {
        Some(name) => Err(format!("`{name}` is missing")),
        None => Ok(()),
    }
}
