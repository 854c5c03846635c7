//! The types of the config, as data: each is a general entry with some keys filled in.

use chrono::TimeDelta;

/// What a type fills in where the entry itself says nothing.
pub(super) struct Preset {
    /// The `type` of the config.
    pub(super) name: &'static str,
    pub(super) url: Option<&'static str>,
    pub(super) start_date_name: Option<&'static str>,
    pub(super) data: Option<&'static str>,
    pub(super) data_date: Option<&'static str>,
    pub(super) next_url: Option<&'static str>,
    pub(super) id: Option<&'static str>,
    /// `settings.overlap` until enough is measured.
    pub(super) overlap: TimeDelta,
    /// OData: filter names begin with `$`, and the start date is a clause of `$filter`.
    pub(super) odata: bool,
}

/// Nothing is filled in.
pub(super) const GENERAL: Preset = Preset {
    name: "general",
    url: None,
    start_date_name: None,
    data: None,
    data_date: None,
    next_url: None,
    id: None,
    overlap: TimeDelta::minutes(1),
    odata: false,
};

/// Cisco Secure Endpoint, `GET /v1/events` of its API version 1.
const CISCO_SECURE_X: Preset = Preset {
    name: "cisco_secure_x",
    url: Some("https://api.amp.cisco.com/v1/events"),
    start_date_name: Some("start_date"),
    data: Some("data"),
    data_date: Some("date"),
    next_url: Some("metadata.links.next"),
    id: Some("id"),
    ..GENERAL
};

/// Microsoft Graph collections. Sign-ins surface minutes late, hence the overlap; how late differs by tenant.
const AZURE_GRAPH: Preset = Preset {
    name: "azure_graph",
    data: Some("value"),
    next_url: Some("@odata.nextLink"),
    id: Some("id"),
    overlap: TimeDelta::minutes(15),
    odata: true,
    ..GENERAL
};

/// The types of `auth_apis`.
pub(super) const AUTH: &[Preset] = &[CISCO_SECURE_X, GENERAL];
/// The types of `oauth_apis`.
pub(super) const OAUTH: &[Preset] = &[AZURE_GRAPH, GENERAL];
