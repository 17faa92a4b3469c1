//! The message on the wire (RFC 8415, section 8): ours are written, a server's are read within their bounds.

use dhcproto::v6::{DhcpOption, MessageType, OptionCode};
use dhcproto::{Encodable as _, Encoder};
use thiserror::Error;

use super::{identity::Identity, options::Options};

const ADVERTISE: u8 = 2;
const REPLY: u8 = 7;

/// RFC 8415, section 11.1: a type and up to 128 octets.
const LONGEST_DUID: usize = 130;

/// Why a message is not for us, or not to be believed. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Ignored {
    /// Shorter than the fixed part.
    #[error("too short for a DHCPv6 message")]
    Short,
    /// Not of a server, or one that nobody asked for.
    #[error("no ADVERTISE or REPLY")]
    OtherKind,
    /// Without our client identifier (RFC 8415, sections 16.3 and 16.10).
    #[error("for another client identifier, or none")]
    OtherClient,
    /// Without a server identifier that can be given back.
    #[error("without a server identifier")]
    NoServer,
    /// Of another transaction.
    #[error("of another transaction")]
    OtherTransaction,
    /// Not what this state waits for.
    #[error("not expected now")]
    Unexpected,
    /// Not from the server that was chosen.
    #[error("from a server that was not asked")]
    OtherServer,
    /// An offer of the server that has just let us down; it is taken if no other comes.
    #[error("kept for a moment, in case another server makes an offer")]
    Kept,
    /// Nothing that a host can have, or with times that contradict each other.
    #[error("no usable address")]
    NoAddress,
    /// It came later than its address lasts.
    #[error("the address is over already")]
    Over,
    /// The server does not do it; the status code.
    #[error("refused with status {0}")]
    Refused(u16),
}

/// What a server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Advertise,
    Reply,
}

/// A server's message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    pub kind: Kind,
    pub xid: [u8; 3],
    /// The server's DUID.
    pub server: &'a [u8],
    /// All of them.
    pub options: Options<'a>,
}

impl<'a> Reply<'a> {
    /// Reads what came for a client.
    pub fn decode(bytes: &'a [u8], identity: &Identity) -> Result<Self, Ignored> {
        let ([kind, xid @ ..], options) = bytes.split_first_chunk::<4>().ok_or(Ignored::Short)?;
        let kind = match *kind {
            ADVERTISE => Kind::Advertise,
            REPLY => Kind::Reply,
            _ => return Err(Ignored::OtherKind),
        };
        let options = Options(options);
        if options.first(OptionCode::ClientId) != Some(identity.duid.as_slice()) {
            return Err(Ignored::OtherClient);
        }
        let server = options.first(OptionCode::ServerId).ok_or(Ignored::NoServer)?;
        if server.is_empty() || server.len() > LONGEST_DUID {
            return Err(Ignored::NoServer);
        }
        Ok(Self { kind, xid: *xid, server, options })
    }
}

/// Our message, as it goes into a UDP datagram.
pub(super) fn encode(kind: MessageType, xid: [u8; 3], options: &[DhcpOption]) -> Vec<u8> {
    let mut bytes = vec![u8::from(kind)];
    bytes.extend(xid);
    for option in options {
        let mut octets = Vec::new();
        option.encode(&mut Encoder::new(&mut octets)).expect("our options are short");
        bytes.extend(octets);
    }
    bytes
}
