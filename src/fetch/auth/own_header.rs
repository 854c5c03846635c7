//! A header of the user's own: it stands among the request's headers already.

/// What to do where it is refused.
pub(super) const REFUSED: &str = "check the header Authorization in http_request.headers";
