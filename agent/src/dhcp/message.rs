//! The BOOTP message on the wire (RFC 2131, section 2): written in a fixed order, read within its bounds.

use std::{iter, net::Ipv4Addr};

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use dhcproto::{Encodable as _, Encoder};
use landfall_api::{MacAddr, Octets};
use thiserror::Error;

use super::{lease::Unusable, options::Options};

const BOOTREQUEST: u8 = 1;
const BOOTREPLY: u8 = 2;
/// The hardware type, in headers and in identifiers.
pub(super) const ETHERNET: u8 = 1;
const MAC_LENGTH: u8 = 6;
const BROADCAST_FLAG: u16 = 0x8000;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;

/// RFC 1542, section 2.1: relays may drop what is shorter.
const SHORTEST: usize = 300;

/// What a server says (option 53).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DHCPOFFER
    Offer,
    /// DHCPACK
    Ack,
    /// DHCPNAK
    Nak,
}

impl Kind {
    /// The kind with this value of option 53, if it is one that a server may send unasked.
    fn of(value: u8) -> Option<Self> {
        let kinds =
            [(MessageType::Offer, Self::Offer), (MessageType::Ack, Self::Ack), (MessageType::Nak, Self::Nak)];
        kinds.into_iter().find(|(kind, _)| u8::from(*kind) == value).map(|(_, kind)| kind)
    }
}

/// A server's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What it says.
    pub kind: Kind,
    /// The transaction it belongs to.
    pub xid: u32,
    /// The address that it offers or gives.
    pub yiaddr: Ipv4Addr,
    /// Everything else.
    pub options: Options,
}

/// Why a packet is not for us, or not to be believed. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Ignored {
    /// Shorter than the fixed part.
    #[error("too short for a BOOTP message")]
    Short,
    /// A client's message, or of another kind of hardware.
    #[error("no reply for Ethernet")]
    NotAReply,
    /// For another client.
    #[error("for another hardware address")]
    OtherHardware,
    /// Plain BOOTP, or garbage.
    #[error("no DHCP: the magic cookie is missing")]
    NoCookie,
    /// No message type, or none that a server may send unasked.
    #[error("no OFFER, ACK or NAK")]
    OtherKind,
    /// Of another client identifier (RFC 6842).
    #[error("for another client identifier")]
    OtherClient,
    /// Of another transaction.
    #[error("of another transaction")]
    OtherTransaction,
    /// Not what this state waits for.
    #[error("not expected now")]
    Unexpected,
    /// From a server that the spec does not list.
    #[error("from a server that the spec does not list")]
    Forbidden,
    /// Not from the server that was chosen.
    #[error("from a server that was not asked")]
    OtherServer,
    /// Not for the address that was offered.
    #[error("for another address than the one offered")]
    OtherAddress,
    /// An offer that is kept until a better one has had its time.
    #[error("kept for a moment, in case a better one comes")]
    Kept,
    /// A lease that cannot be used.
    #[error("not usable: {0}")]
    Unusable(Unusable),
}

impl Reply {
    /// Reads what came for the client with `mac`.
    ///
    /// # Errors
    /// Why it is to be ignored.
    pub fn decode(bytes: &[u8], mac: MacAddr) -> Result<Self, Ignored> {
        let (header, options) = bytes.split_at_checked(OPTIONS).ok_or(Ignored::Short)?;
        let field = |at: usize| [header[at], header[at + 1], header[at + 2], header[at + 3]];
        if header[..3] != [BOOTREPLY, ETHERNET, MAC_LENGTH] {
            return Err(Ignored::NotAReply);
        }
        if header[28..34] != mac.0 {
            return Err(Ignored::OtherHardware);
        }
        if header[236..] != COOKIE {
            return Err(Ignored::NoCookie);
        }
        let options = Options::gather(options, &header[108..236], &header[44..108]);
        let kind = options.octet(OptionCode::MessageType).and_then(Kind::of).ok_or(Ignored::OtherKind)?;
        Ok(Self { kind, xid: u32::from_be_bytes(field(4)), yiaddr: field(16).into(), options })
    }

    /// Whether it gives a lease in answer to a DISCOVER (RFC 4039).
    pub(super) fn is_committed(&self) -> bool {
        // The option has no value, so that only its being there can be asked for.
        self.options.contains(OptionCode::RapidCommit)
    }

    /// The server's identifier (option 54), if it is an address that a message can be sent to.
    pub fn server(&self) -> Option<Ipv4Addr> {
        let is_one_host = |server: &Ipv4Addr| {
            !(server.is_unspecified()
                || server.is_loopback()
                || server.is_multicast()
                || server.is_broadcast())
        };
        self.options.address(OptionCode::ServerIdentifier).filter(is_one_host)
    }
}

/// A client's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it says.
    pub kind: MessageType,
    /// The transaction it belongs to.
    pub xid: u32,
    /// Seconds since the client began.
    pub secs: u16,
    /// Whether a reply can only be received by broadcast.
    pub reply: ReplyBy,
    /// The address that the client has, if any.
    pub ciaddr: Ipv4Addr,
    /// The client's hardware address.
    pub mac: MacAddr,
    /// The client's identifier, if it gives one.
    pub client_id: Option<Octets>,
    /// The other options, in this order; type and client identifier come before them.
    pub options: Vec<DhcpOption>,
}

/// How a server may reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyBy {
    /// As it likes: we listen below IP.
    Unicast,
    /// By broadcast only.
    Broadcast,
}

impl Request {
    /// The message as it goes into a UDP datagram.
    pub fn encode(&self) -> Vec<u8> {
        let flags = match self.reply {
            ReplyBy::Unicast => 0,
            ReplyBy::Broadcast => BROADCAST_FLAG,
        };
        let mut bytes = vec![BOOTREQUEST, ETHERNET, MAC_LENGTH, 0];
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend(self.secs.to_be_bytes());
        bytes.extend(flags.to_be_bytes());
        bytes.extend(self.ciaddr.octets());
        bytes.resize(28, 0);
        bytes.extend(self.mac.0);
        bytes.resize(236, 0);
        bytes.extend(COOKIE);
        let kind = DhcpOption::MessageType(self.kind);
        let id = self.client_id.as_ref().map(|id| DhcpOption::ClientIdentifier(id.as_slice().to_vec()));
        for option in iter::once(&kind).chain(&id).chain(&self.options).chain([&DhcpOption::End]) {
            let mut octets = Vec::new();
            option.encode(&mut Encoder::new(&mut octets)).expect("our options are short");
            bytes.extend(octets);
        }
        bytes.resize(bytes.len().max(SHORTEST), 0);
        bytes
    }
}
