//! What a client wants, read from the octets of its message. Pure; refuses to know what the answer is.

use std::net::Ipv4Addr;

use dhcproto::{
    Decodable, Decoder,
    v4::{DhcpOption, HType, MAGIC, Message, MessageType, Opcode, OptionCode},
};

use super::leases::ClientId;

/// Where the magic cookie stands (RFC 2131 3); dhcproto reads past it without a look.
const COOKIE: std::ops::Range<usize> = 236..240;

/// A message to the server, from a client on the same Ethernet.
pub struct Request {
    /// What is asked for.
    pub ask: Ask,
    /// Who asks.
    pub client: ClientId,
    /// The server that the message is for (option 54); `None` is any.
    pub server: Option<Ipv4Addr>,
    /// The message, whose `hlen` is 6.
    pub message: Message,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    /// DHCPDISCOVER, with the address that the client would like (option 50).
    Discover(Option<Ipv4Addr>),
    /// DHCPREQUEST: in SELECTING and INIT-REBOOT the address is option 50, in RENEWING and REBINDING it is `ciaddr`.
    Request(Ipv4Addr),
    /// DHCPRELEASE of `ciaddr`.
    Release(Ipv4Addr),
    /// DHCPDECLINE of option 50.
    Decline(Ipv4Addr),
}

impl Request {
    /// Reads a UDP payload. What is no well-formed question to a server is `None`.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        if octets.get(COOKIE)? != MAGIC {
            return None;
        }
        let message = Message::decode(&mut Decoder::new(octets)).ok()?;
        // dhcproto's chaddr() panics on an hlen of more than 16. A relay agent (giaddr) has no place on this LAN.
        let ours = message.opcode() == Opcode::BootRequest && message.giaddr().is_unspecified();
        if !ours || (message.htype(), message.hlen()) != (HType::Eth, 6) {
            return None;
        }
        Some(Self { ask: ask(&message)?, client: client(&message)?, server: server(&message), message })
    }
}

fn ask(message: &Message) -> Option<Ask> {
    let ciaddr = Some(message.ciaddr()).filter(|address| !address.is_unspecified());
    let requested = requested(message);
    match message.opts().msg_type()? {
        MessageType::Discover => Some(Ask::Discover(requested)),
        MessageType::Request => requested.or(ciaddr).map(Ask::Request),
        MessageType::Release => ciaddr.map(Ask::Release),
        MessageType::Decline => requested.map(Ask::Decline),
        // INFORM is for clients whose address was configured by hand; a practice LAN has none.
        // The rest is what servers say, or extensions that we do not have.
        MessageType::Inform
        | MessageType::Offer
        | MessageType::Ack
        | MessageType::Nak
        | MessageType::ForceRenew
        | MessageType::LeaseQuery
        | MessageType::LeaseUnassigned
        | MessageType::LeaseUnknown
        | MessageType::LeaseActive
        | MessageType::BulkLeaseQuery
        | MessageType::LeaseQueryDone
        | MessageType::ActiveLeaseQuery
        | MessageType::LeaseQueryStatus
        | MessageType::Tls
        | MessageType::Unknown(_) => None,
    }
}

fn client(message: &Message) -> Option<ClientId> {
    if let Some(DhcpOption::ClientIdentifier(octets)) = message.opts().get(OptionCode::ClientIdentifier) {
        return Some(ClientId::Identifier(octets.clone()));
    }
    message.chaddr().try_into().ok().map(ClientId::Hardware)
}

fn requested(message: &Message) -> Option<Ipv4Addr> {
    let Some(DhcpOption::RequestedIpAddress(address)) = message.opts().get(OptionCode::RequestedIpAddress)
    else {
        return None;
    };
    Some(*address)
}

fn server(message: &Message) -> Option<Ipv4Addr> {
    let Some(DhcpOption::ServerIdentifier(address)) = message.opts().get(OptionCode::ServerIdentifier) else {
        return None;
    };
    Some(*address)
}

#[cfg(test)]
mod tests {
    use dhcproto::Encodable;
    use proptest::prelude::*;

    use super::*;

    fn discover() -> Vec<u8> {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(7, none, none, none, none, &[2, 0, 0, 0, 0, 1]);
        message.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
        message.to_vec().expect("a message that can be encoded")
    }

    #[test]
    fn a_client_without_an_identifier_is_known_by_its_hardware_address() {
        let request = Request::parse(&discover()).expect("a question");
        assert_eq!(request.ask, Ask::Discover(None));
        assert_eq!(request.client, ClientId::Hardware([2, 0, 0, 0, 0, 1]));
    }

    #[test]
    fn what_is_no_question_from_an_ethernet_client_is_dropped() {
        // op, htype, hlen, the first octet of giaddr, of the cookie and of the message type.
        for (offset, octet) in [(0, 2), (1, 6), (2, 17), (24, 10), (236, 0), (242, 2)] {
            let mut octets = discover();
            octets[offset] = octet;
            assert!(Request::parse(&octets).is_none(), "octet {offset} as {octet}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_the_parser_panic(
            offset in 0..250usize, noise in prop::collection::vec(any::<u8>(), 0..40), length in 0..300usize,
        ) {
            let mut octets = discover();
            octets.splice(offset.min(octets.len()).., noise);
            octets.truncate(length);
            drop(Request::parse(&octets));
        }
    }
}
