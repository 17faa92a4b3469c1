//! The options of a message: gathered from all places they may stand in, each decoded by itself.
//!
//! One bad option is no option; it does not take the message with it.

use std::{collections::BTreeMap, net::Ipv4Addr};

use dhcproto::v4::{DhcpOption, OptionCode};
use dhcproto::{Decodable as _, Decoder};
use ipnet::Ipv4Net;

const PAD: u8 = 0;
const END: u8 = 255;

/// A message for people may be as long as one option; more of it would only fill the reports.
const LONGEST_TEXT: usize = 255;

/// How many routes are believed, the first ones; a LAN that needs more has another problem.
const MOST_ROUTES: usize = 256;

/// What dhcproto decodes for us, and how long each is. Others it must not be given: it asserts what it expects of some.
const DECODED: [(OptionCode, u8); 6] = [
    (OptionCode::SubnetMask, 4),
    (OptionCode::InterfaceMtu, 2),
    (OptionCode::AddressLeaseTime, 4),
    (OptionCode::ServerIdentifier, 4),
    (OptionCode::Renewal, 4),
    (OptionCode::Rebinding, 4),
];

/// The options of one message, by code, as they are after concatenation (RFC 3396).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    /// Gathers the options from the options field, and from `file` and `sname` where option 52 says that they hold some
    /// (RFC 2131, section 4.1). A truncated option ends its field.
    pub fn gather(options: &[u8], file: &[u8], sname: &[u8]) -> Self {
        let mut gathered = Self::default();
        gathered.walk(options);
        let overload = gathered.octet(OptionCode::OptionOverload).unwrap_or(0);
        // Only what the options field says of the others counts, so that no field can lead to itself.
        if overload & 1 != 0 {
            gathered.walk(file);
        }
        if overload & 2 != 0 {
            gathered.walk(sname);
        }
        gathered
    }

    fn walk(&mut self, mut field: &[u8]) {
        while let [code, rest @ ..] = field {
            field = match (*code, rest) {
                (PAD, rest) => rest,
                (END, _) | (_, []) => return,
                (code, [length, rest @ ..]) => {
                    let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else {
                        return;
                    };
                    self.0.entry(code).or_default().extend_from_slice(value);
                    rest
                }
            };
        }
    }

    /// Whether the option is there, whatever it says.
    pub fn contains(&self, code: OptionCode) -> bool {
        self.0.contains_key(&u8::from(code))
    }

    /// The value as it came, if the option is there and says anything.
    pub fn raw(&self, code: OptionCode) -> Option<&[u8]> {
        self.0.get(&u8::from(code)).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    /// One octet.
    pub fn octet(&self, code: OptionCode) -> Option<u8> {
        match self.raw(code)? {
            [octet] => Some(*octet),
            _ => None,
        }
    }

    /// A number of 16 or 32 bits, as long as the option has it.
    pub fn number(&self, code: OptionCode) -> Option<u32> {
        use DhcpOption::{AddressLeaseTime, InterfaceMtu, Rebinding, Renewal};
        let decoded = self.decode(code)?;
        if let InterfaceMtu(number) = decoded {
            return Some(number.into());
        }
        let (AddressLeaseTime(number) | Renewal(number) | Rebinding(number)) = decoded else { return None };
        Some(number)
    }

    /// An address.
    pub fn address(&self, code: OptionCode) -> Option<Ipv4Addr> {
        use DhcpOption::{ServerIdentifier, SubnetMask};
        let (SubnetMask(address) | ServerIdentifier(address)) = self.decode(code)? else { return None };
        Some(address)
    }

    /// A list of addresses; empty if it is not there or not a list.
    pub fn addresses(&self, code: OptionCode) -> Vec<Ipv4Addr> {
        let value = self.raw(code).filter(|value| value.len().is_multiple_of(4)).unwrap_or_default();
        value.as_chunks::<4>().0.iter().copied().map(Ipv4Addr::from).collect()
    }

    /// A text of at most 255 characters, with what is not plainly printable left out: it may come from anybody, and end
    /// up on a terminal.
    pub fn text(&self, code: OptionCode) -> Option<String> {
        let is_plain = |c: &char| *c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
        let text = String::from_utf8_lossy(self.raw(code)?);
        let text: String = text.chars().filter(is_plain).take(LONGEST_TEXT).collect();
        (!text.is_empty()).then_some(text)
    }

    /// The classless routes (RFC 3442), without host bits; none if the option is not there or anything in it is wrong.
    pub fn classless_routes(&self) -> Option<Vec<(Ipv4Net, Ipv4Addr)>> {
        let mut rest = self.raw(OptionCode::ClasslessStaticRoute)?;
        let mut routes = Vec::new();
        while let [width, tail @ ..] = rest {
            let (significant, tail) = tail.split_at_checked(usize::from(*width).div_ceil(8))?;
            let (router, tail) = tail.split_first_chunk::<4>()?;
            let mut destination = [0; 4];
            destination.get_mut(..significant.len())?.copy_from_slice(significant);
            routes.push((Ipv4Net::new(destination.into(), *width).ok()?.trunc(), Ipv4Addr::from(*router)));
            rest = tail;
        }
        routes.truncate(MOST_ROUTES);
        Some(routes)
    }

    /// Lets dhcproto decode the one option, if it has the length that its definition gives it.
    fn decode(&self, code: OptionCode) -> Option<DhcpOption> {
        let (_, length) = DECODED.iter().find(|(decoded, _)| *decoded == code)?;
        let value = self.raw(code).filter(|value| value.len() == usize::from(*length))?;
        let option = [&[code.into(), *length], value].concat();
        DhcpOption::decode(&mut Decoder::new(&option)).ok()
    }
}
