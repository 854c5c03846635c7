//! What a member writes of itself: its key, its lease, the forms of its entries.

use std::time::Duration;

use tokio::time::sleep;

use super::heard::owners;
use super::{AGAIN_AFTER, MemberEntries, MemberWork};
use crate::cluster::claim;
use crate::cluster::engine::{EngineError, LeaseId, Operation, Transaction};
use crate::cluster::lease::{LEASE_TTL, RESTLESS_WITHIN};
use crate::cluster::leave::since_boot;
use crate::cluster::restless::Standing;

impl MemberWork {
    /// Gets a lease, and puts the key of this process with it. Gives when it began; nothing is sent yet.
    pub(super) async fn register(&mut self) -> Result<Duration, EngineError> {
        let engine = &self.of.engine;
        let begun = since_boot();
        let lease = engine.grant(u32::try_from(LEASE_TTL.as_secs()).unwrap_or(u32::MAX)).await?;
        let of_join = engine.grant(u32::try_from(RESTLESS_WITHIN.as_secs()).unwrap_or(u32::MAX)).await?;
        let key = self.of.keys.join(&self.of.me.member, self.join_number);
        let put = Operation::Put { key, value: Vec::new(), lease: Some(of_join) };
        engine.commit(&Transaction { then: vec![put], ..Transaction::default() }).await?;
        let (recent, _) = engine.read(&self.of.keys.joins(&self.of.me.member)).await?;
        self.joins.joined(recent.len(), since_boot());
        self.of.about.standing = self.standing(since_boot());
        let mut join = claim::join(&self.of.keys, &self.of.me, lease, self.told());
        join.then.push(self.forms(lease));
        let put = engine.commit(&join).await?;
        self.put_at = put.revision;
        self.lease = Some(lease);
        self.is_unsaid = false;
        self.view.member_came(self.of.me.clone(), self.of.about.standing, since_boot());
        Ok(begun)
    }

    /// Sends from now on, with a lease that was asked for then.
    pub(super) fn begin_to_send(&mut self, begun: Duration) {
        self.lease_of_renewal.send_replace(self.lease);
        self.clock.send_modify(|clock| clock.renewed(begun));
    }

    /// The lease is gone, or the key is: the same process joins anew, and keeps what nobody has taken meanwhile. Of a lease
    /// that was replaced already nothing follows.
    pub(super) async fn register_again(&mut self, of: Option<LeaseId>) {
        if of.is_some() && of != self.lease {
            return;
        }
        // A lease that lives though its key is gone must not be renewed: that would be a leave to send.
        self.lease_of_renewal.send_replace(None);
        self.clock.send_modify(|clock| clock.lost(since_boot()));
        tracing::warn!("the lease in the cluster is gone; joining anew, with what nobody has taken");
        self.join_number = fastrand::u64(..);
        let begun = loop {
            match self.register().await {
                // What was taken meanwhile is somebody else's, who may be sending it already.
                Ok(begun) if self.looks_who_owns(begun).await => break begun,
                Ok(_) => tracing::debug!("it can't be seen which slots were taken meanwhile; the lease is over by now"),
                Err(cause) => tracing::debug!(%cause, "can't join anew yet"),
            }
            sleep(AGAIN_AFTER).await;
        };
        self.begin_to_send(begun);
    }

    /// Looks who owns what, for as long as a lease lasts that was asked for then. Gives whether it could.
    async fn looks_who_owns(&mut self, begun: Duration) -> bool {
        while let Err(cause) = self.look_who_owns().await {
            tracing::debug!(%cause, "it can't be seen which slots were taken meanwhile");
            if since_boot().saturating_sub(begun) >= LEASE_TTL {
                return false;
            }
            sleep(AGAIN_AFTER).await;
        }
        true
    }

    /// Gives up what others own by now, or have owned and given back.
    async fn look_who_owns(&mut self) -> Result<(), EngineError> {
        let (entries, revision) = self.of.engine.read(&self.of.keys.slots()).await?;
        self.view.slots_read(owners(&self.of.keys, &entries), revision, since_boot());
        self.reconcile();
        Ok(())
    }

    /// What this process is to say about slots.
    pub(super) fn standing(&self, now: Duration) -> Standing {
        if self.is_leaving {
            Standing::Leaving
        } else if self.joins.restless_until(now).is_some() || self.reach.has_ceded() {
            Standing::Reluctant
        } else {
            Standing::Willing
        }
    }

    /// Writes the own key anew, and the forms where they may not have been written.
    pub(super) async fn say(&mut self) {
        let Some(lease) = self.lease else { return };
        if self.is_unsaid {
            return self.say_all().await;
        }
        self.say_by(&claim::join(&self.of.keys, &self.of.me, lease, self.told())).await;
    }

    /// Says what it has of the config, and how it stands to slots.
    pub(super) async fn describe(&mut self, entries: MemberEntries) {
        self.of.about.config.clone_from(&entries.digest);
        self.of.entries = entries;
        self.say_all().await;
    }

    /// Writes the own key anew, and the forms. What fails is tried again at the next look.
    pub(super) async fn say_all(&mut self) {
        let Some(lease) = self.lease else { return };
        let mut join = claim::join(&self.of.keys, &self.of.me, lease, self.told());
        join.then.push(self.forms(lease));
        self.say_by(&join).await;
    }

    async fn say_by(&mut self, put: &Transaction) {
        let said = self.of.engine.commit(put).await;
        self.is_unsaid = said.is_err();
        if let Err(cause) = said {
            tracing::debug!(%cause, "the member's key can't be written");
        }
    }

    fn forms(&self, lease: LeaseId) -> Operation {
        let key = self.of.keys.forms(&self.of.me);
        Operation::Put { key, value: self.of.entries.forms.encode(), lease: Some(lease) }
    }

    pub(super) fn told(&self) -> Vec<u8> {
        serde_json::to_vec(&self.of.about).unwrap_or_default()
    }
}
