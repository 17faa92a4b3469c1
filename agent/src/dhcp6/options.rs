//! The options of a message, or those within an option: each found and decoded by itself, within its bounds.
//!
//! One bad option is no option; it does not take the message with it. dhcproto is given single options without others in
//! them: of those it would take as many one within the other as a message holds, and some lengths it does not expect.

use std::{iter, net::Ipv6Addr};

use dhcproto::v6::{DhcpOption, OptionCode, Status};
use dhcproto::{Decodable as _, Decoder};
use landfall_api::HostName;

/// A message for people may be this long, in characters; more of it would only fill the reports.
const LONGEST_TEXT: usize = 255;

/// What of a list is believed: the first octets of a list of names, and the first addresses.
const LONGEST_NAMES: usize = 1024;
const MOST_ADDRESSES: usize = 16;

/// Options in their order, as they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options<'a>(pub &'a [u8]);

/// A server does not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: Status,
    /// What the server says to people, or else what the status is called.
    pub message: String,
}

impl<'a> Options<'a> {
    /// The values of all options with this code. A truncated option is the end.
    pub fn all(self, code: OptionCode) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        let options = iter::from_fn(move || {
            let ([a, b, c, d], tail) = rest.split_first_chunk::<4>()?;
            let (value, tail) = tail.split_at_checked(u16::from_be_bytes([*c, *d]).into())?;
            rest = tail;
            Some((OptionCode::from(u16::from_be_bytes([*a, *b])), value))
        });
        options.filter(move |(found, _)| *found == code).map(|(_, value)| value)
    }

    /// The value of the first option with this code.
    pub fn first(self, code: OptionCode) -> Option<&'a [u8]> {
        self.all(code).next()
    }

    /// A number of 32 bits.
    pub fn number(self, code: OptionCode) -> Option<u32> {
        Some(u32::from_be_bytes(self.first(code)?.try_into().ok()?))
    }

    /// What status there is other than success.
    pub fn refusal(self) -> Option<Refusal> {
        let (code, text) = self.first(OptionCode::StatusCode)?.split_first_chunk::<2>()?;
        let status = Status::from(u16::from_be_bytes(*code));
        let message = plain(text).unwrap_or_else(|| format!("{status:?}"));
        (status != Status::Success).then_some(Refusal { status, message })
    }

    /// A list of addresses; empty if it is not there or not a list.
    pub fn addresses(self, code: OptionCode) -> Vec<Ipv6Addr> {
        let value = self.first(code).filter(|value| value.len().is_multiple_of(16)).unwrap_or_default();
        value.as_chunks::<16>().0.iter().take(MOST_ADDRESSES).copied().map(Ipv6Addr::from).collect()
    }

    /// Option 24: those of the domains that are host names, up to the first bad encoding.
    pub fn domains(self) -> Vec<String> {
        let value = self.first(OptionCode::DomainSearchList).unwrap_or_default();
        let value = &value[..value.len().min(LONGEST_NAMES)];
        let length = u16::try_from(value.len()).expect("it was cut");
        let code = u16::from(OptionCode::DomainSearchList);
        let option = [&code.to_be_bytes(), &length.to_be_bytes(), value].concat();
        let Ok(DhcpOption::DomainSearchList(names)) = DhcpOption::decode(&mut Decoder::new(&option)) else {
            return Vec::new();
        };
        let name = |name: String| name.trim_end_matches('.').parse::<HostName>().ok().map(String::from);
        names.iter().filter_map(|domain| name(domain.to_ascii())).collect()
    }
}

/// What of a text is plainly printable: it may come from anybody, and end up on a terminal.
fn plain(text: &[u8]) -> Option<String> {
    let is_plain = |c: &char| *c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    let text = String::from_utf8_lossy(text);
    let text: String = text.chars().filter(is_plain).take(LONGEST_TEXT).collect();
    (!text.is_empty()).then_some(text)
}
