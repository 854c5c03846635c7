//! Orders about the state while the fetcher runs: what is asked is answered, and what is changed ends its API's iteration
//! first, at a batch border.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::Utc;
use tokio::sync::oneshot;

use super::Daemon;
use super::task::TaskCommand;
use crate::state::{OrderRequest, StateOrder, StateReply, Store};
use crate::status::status_json;

/// Changes that wait until their API's iteration has ended, by its name.
pub(super) type Pending = HashMap<String, (StateOrder, oneshot::Sender<StateReply>)>;

impl Daemon {
    /// Obeys an order about the state, or begins to.
    pub(super) async fn obey_order(&mut self, (order, reply): OrderRequest) {
        if order == StateOrder::Status {
            let now = Utc::now();
            let text = status_json(&self.services.registry.snapshot(), None, now).unwrap_or_default();
            drop(reply.send(StateReply { text, ..StateReply::default() }));
            return;
        }
        let store = self.services.store.clone();
        let last = if order == StateOrder::Undo { store.last_changed().await } else { None };
        let Some(name) = order.api(last.as_deref()).map(str::to_owned) else {
            let plans = self.config.apis.clone();
            // Many accounts may be read, and APIs go on meanwhile.
            tokio::spawn(async move { reply.send(obeyed(&store, order, plans).await) });
            return;
        };
        // Else the API would end for an order that is refused in any case.
        if self.seat.is_some() {
            let plans = self.config.apis.clone();
            drop(reply.send(obeyed(&store, order, plans).await));
            return;
        }
        if self.pending.contains_key(&name) {
            let busy = format!("another change of `{name}` is under way; try again");
            drop(reply.send(StateReply::failed(1, busy)));
            return;
        }
        self.pending.insert(name.clone(), (order, reply));
        match self.commands.get(&name) {
            Some(orders) => drop(orders.send_replace(TaskCommand::Halt)),
            None => self.change_state(&name).await,
        }
    }

    /// Makes the change that waits for an API that has no iteration under way. Gives whether there was one.
    pub(super) async fn change_state(&mut self, name: &str) {
        let Some((order, reply)) = self.pending.remove(name) else { return };
        let store = self.services.store.clone();
        match store.obey(order, self.config.apis.clone()).await {
            Ok((done, changed)) => {
                if let Some(accounts) = changed {
                    tracing::info!(api = name, "{}", done.text.lines().next().unwrap_or_default());
                    self.rest.change(name, accounts);
                }
                drop(reply.send(done));
            }
            Err(cause) => drop(reply.send(StateReply::failed(1, cause.to_string()))),
        }
    }
}

async fn obeyed(store: &Store, order: StateOrder, plans: Vec<Arc<crate::plan::Plan>>) -> StateReply {
    match store.obey(order, plans).await {
        Ok((reply, _)) => reply,
        Err(cause) => StateReply::failed(1, cause.to_string()),
    }
}
