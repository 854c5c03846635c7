//! What etcd says of itself.

use etcd_client::{AlarmAction, AlarmMember, AlarmType, Client};

use super::fault::Fault;
use super::message::unreadable;
use crate::cluster::engine::{EngineNode, EngineRoom};

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdStatus {
    /// Its version.
    pub version: String,
    /// Which etcd it belongs to. Endpoints of different ones are never one engine.
    pub cluster_id: u64,
    /// Its own number.
    pub member_id: u64,
    /// The number of the leader that it knows; 0 if none.
    pub leader: u64,
    /// The newest revision that it knows.
    pub revision: i64,
    /// How large its database is.
    pub database_bytes: u64,
    /// How much of that is in use; the rest is used again.
    pub used_bytes: u64,
    /// How large it may become, where the node says so: those before 3.6 don't.
    pub quota_bytes: Option<u64>,
    /// The alarms and other troubles, in its words.
    pub troubles: Vec<String>,
}

impl EtcdStatus {
    /// Whether it leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader != 0 && self.leader == self.member_id
    }

    /// The same in the engine's terms.
    #[must_use]
    pub fn node(&self, endpoint: String) -> EngineNode {
        EngineNode {
            endpoint,
            version: self.version.clone(),
            is_leader: self.is_leader(),
            room: Some(self.room()),
            alarms: self.troubles.clone(),
            advice: advice(&self.version),
        }
    }

    /// How much room it has.
    #[must_use]
    pub fn room(&self) -> EngineRoom {
        EngineRoom {
            database_bytes: self.database_bytes,
            used_bytes: self.used_bytes,
            quota_bytes: self.quota_bytes,
            is_full: self.is_full(),
        }
    }

    /// Whether its room is full: then no write gets through, and no lease is granted.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.troubles.iter().any(|trouble| trouble.contains("NOSPACE"))
    }
}

/// The first version in which a node whose disk stalled no longer revokes leases that live
/// ([15247](https://github.com/etcd-io/etcd/issues/15247)).
const KEEPS_LEASES: (u32, u32, u32) = (3, 5, 13);

/// What speaks against a version. A cluster stands it: its members take their keys again.
fn advice(version: &str) -> Option<&'static str> {
    let parts = version.split(['-', '+']).next()?;
    let mut numbers = parts.split('.').map(|part| part.parse::<u32>().ok());
    let found = (numbers.next()??, numbers.next()??, numbers.next()??);
    (found < KEEPS_LEASES).then_some(
        "before 3.5.13 etcd may end leases that live when its disk stalls, and members then pause for a moment; a newer one is better",
    )
}

/// A node that etcd has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EtcdMember {
    /// Its number.
    pub id: u64,
    /// Its name; empty as long as it has never run.
    pub name: String,
    /// Where it says that clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it only learns, and has no vote.
    pub is_learner: bool,
}

/// Asks the node that the client belongs to.
pub(super) async fn status(client: Client) -> Result<EtcdStatus, Fault> {
    let answer = client.maintenance_client().status().await?.0;
    let header = answer.header.ok_or_else(unreadable)?;
    Ok(EtcdStatus {
        version: answer.version,
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        leader: answer.leader,
        revision: header.revision,
        database_bytes: u64::try_from(answer.db_size).unwrap_or_default(),
        used_bytes: u64::try_from(answer.db_size_in_use).unwrap_or_default(),
        quota_bytes: u64::try_from(answer.db_size_quota).ok().filter(|quota| *quota > 0),
        troubles: answer.errors,
    })
}

/// The same as far as everybody is told it: the alarms of all nodes.
pub(super) async fn told_to_all(client: Client, endpoint: &str) -> Result<EngineNode, Fault> {
    let answer = client.maintenance_client().alarm(AlarmAction::Get, AlarmType::None, None).await?;
    let alarm = |alarm: &AlarmMember| match alarm.alarm() {
        AlarmType::Nospace => "NOSPACE".to_owned(),
        AlarmType::Corrupt => "CORRUPT".to_owned(),
        AlarmType::None => "unknown".to_owned(),
    };
    let alarms = answer.alarms().iter().map(alarm).collect();
    Ok(EngineNode { endpoint: endpoint.to_owned(), alarms, ..EngineNode::default() })
}

/// Which etcd the node belongs to that the client belongs to. Newer versions tell only root how a node is; which nodes there
/// are they tell everybody.
pub(super) async fn cluster_of(client: Client) -> Result<u64, Fault> {
    match status(client.clone()).await {
        Err(fault) if fault.is_denied() => {
            let answer = client.cluster_client().member_list().await?.0;
            Ok(answer.header.ok_or_else(unreadable)?.cluster_id)
        }
        told => Ok(told?.cluster_id),
    }
}

/// The nodes that etcd has.
pub(super) async fn members(client: Client) -> Result<Vec<EtcdMember>, Fault> {
    let answer = client.cluster_client().member_list().await?.0;
    let member = |member: etcd_client::proto::PbMember| EtcdMember {
        id: member.id,
        name: member.name,
        client_urls: member.client_ur_ls,
        is_learner: member.is_learner,
    };
    Ok(answer.members.into_iter().map(member).collect())
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn old_versions_are_told_and_others_are_not() {
        for (version, is_told) in [
            ("3.4.23", true),
            ("3.5.12", true),
            ("3.5.13", false),
            ("3.6.0-rc.1", false),
            ("4.0.0", false),
            ("", false),
            ("3.5", false),
            ("of ours", false),
        ] {
            assert_eq!(advice(version).is_some(), is_told, "{version}");
        }
    }
}
