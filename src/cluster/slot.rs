//! placeholder until the planner's file
use std::fmt;
use std::str::FromStr;
/// A slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);
impl Slot {
    /// Of an API.
    #[must_use]
    pub fn of(api: &str) -> Self {
        let d = ring::digest::digest(&ring::digest::SHA256, api.as_bytes());
        let first: [u8; 8] = d.as_ref()[..8].try_into().expect("8");
        Self((u64::from_be_bytes(first) % 1024) as u16)
    }
}
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}
impl FromStr for Slot {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        u16::from_str_radix(s, 16).map(Self).map_err(|_| ())
    }
}
/// A member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    /// name
    pub member: String,
    /// process
    pub incarnation: u64,
}
impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:016x}", self.member, self.incarnation)
    }
}
impl FromStr for MemberId {
    type Err = ();
    fn from_str(s: &str) -> Result<Self, ()> {
        let (m, i) = s.rsplit_once(':').ok_or(())?;
        Ok(Self { member: m.to_owned(), incarnation: u64::from_str_radix(i, 16).map_err(|_| ())? })
    }
}
