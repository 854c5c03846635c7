//! The lists of the config, and where a key may stand.

use serde::Deserialize;

/// A list of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// APIs that are asked with Basic authentication.
    AuthApis,
    /// APIs that are asked with an access token.
    OauthApis,
    /// APIs in the dialect of versions 0.2 to 2.1 of the original.
    Apis,
}

impl List {
    /// All lists.
    pub const ALL: [Self; 3] = [Self::AuthApis, Self::OauthApis, Self::Apis];

    /// Its key in the config.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::AuthApis => "auth_apis",
            Self::OauthApis => "oauth_apis",
            Self::Apis => "apis",
        }
    }
}

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the top of the file.
    Top,
    /// In an entry of `auth_apis`.
    Auth,
    /// In an entry of `oauth_apis`.
    OAuth,
    /// In an entry of either.
    Both,
    /// In a step of an entry.
    Step,
    /// In `logzio`, or in an entry of it.
    Output,
    /// In an entry of `apis`.
    Apis,
}

impl Place {
    /// The list whose entries it is in.
    pub(super) fn list(self) -> Option<List> {
        match self {
            Self::Auth => Some(List::AuthApis),
            Self::OAuth => Some(List::OauthApis),
            Self::Apis => Some(List::Apis),
            Self::Top | Self::Both | Self::Step | Self::Output => None,
        }
    }

    /// The place of a list's entries.
    pub(super) fn of(list: List) -> Self {
        match list {
            List::AuthApis => Self::Auth,
            List::OauthApis => Self::OAuth,
            List::Apis => Self::Apis,
        }
    }

    /// The places that it stands for.
    #[must_use]
    pub fn each(self) -> &'static [Self] {
        match self {
            Self::Top => &[Self::Top],
            Self::Auth => &[Self::Auth],
            Self::OAuth => &[Self::OAuth],
            Self::Both => &[Self::Auth, Self::OAuth],
            Self::Step => &[Self::Step],
            Self::Output => &[Self::Output],
            Self::Apis => &[Self::Apis],
        }
    }
}
