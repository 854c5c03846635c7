//! Where the refresh tokens are that count: in the directory's file, or in what replicas share.

use std::sync::Arc;

use chrono::Utc;
use tokio::task::spawn_blocking;

use super::credentials::{CredentialError, CredentialFile};
use super::shared::{ClusterTurn, SharedCredentials};
use crate::record::Fingerprint;
use crate::text::Secret;

/// Where they are. A clone is the same place.
#[derive(Clone, Debug)]
pub enum RefreshTokens {
    /// In the file of the directory, which this process has taken.
    Local(Arc<CredentialFile>),
    /// In a cluster.
    Shared(Arc<SharedCredentials>),
}

/// Somebody's turn to log in. Within the process there is one at a time of each source.
#[derive(Debug)]
pub enum TokenTurn {
    /// Nobody else has the directory.
    Local(Fingerprint),
    /// Nobody else in the cluster has it.
    Shared(ClusterTurn),
}

impl Default for RefreshTokens {
    fn default() -> Self {
        Self::Local(Arc::default())
    }
}

impl RefreshTokens {
    /// Begins to log in with the tokens of a source. Gives the one that counts, or nothing where that is still the config's.
    /// Whoever has begun calls [`RefreshTokens::end`], whatever came of it.
    ///
    /// # Errors
    /// Where it isn't known, or what came before can't be kept.
    pub async fn begin(&self, source: Fingerprint) -> Result<(TokenTurn, Option<Secret>), CredentialError> {
        match self {
            Self::Local(file) => {
                let token = on_disk(file, move |file| file.refresh_token(&source, Utc::now())).await?;
                Ok((TokenTurn::Local(source), token))
            }
            Self::Shared(shared) => {
                let turn = SharedCredentials::begin(shared, source).await?;
                let token = turn.token().cloned();
                Ok((TokenTurn::Shared(turn), token))
            }
        }
    }

    /// Keeps the token that came, if one did. When this returns it outlives the process.
    ///
    /// # Errors
    /// Where it can't be kept (yet).
    pub async fn end(&self, turn: TokenTurn, next: Option<&Secret>) -> Result<(), CredentialError> {
        let next = next.cloned();
        match (turn, self) {
            (TokenTurn::Local(source), Self::Local(file)) => {
                let Some(next) = next else { return Ok(()) };
                on_disk(file, move |file| file.save(&source, &next, Utc::now())).await
            }
            (TokenTurn::Shared(turn), _) => turn.end(next, Utc::now()).await,
            (TokenTurn::Local(_), Self::Shared(_)) => Ok(()),
        }
    }
}

async fn on_disk<T: Send + 'static>(
    file: &Arc<CredentialFile>,
    work: impl FnOnce(&CredentialFile) -> Result<T, CredentialError> + Send + 'static,
) -> Result<T, CredentialError> {
    let file = Arc::clone(file);
    spawn_blocking(move || work(&file)).await.unwrap_or_else(|cause| Err(CredentialError::cut_off(&cause)))
}
