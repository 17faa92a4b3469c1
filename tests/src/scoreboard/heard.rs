//! What a client says, as it stands in its frames: DHCP messages and ARP packets, read without believing any of it.

use std::{net::Ipv4Addr, time::Duration};

/// A hardware address.
pub type Mac = [u8; 6];

/// Where the options begin: after the fixed part of a message and the magic cookie (RFC 2131, section 3).
const OPTIONS: usize = 240;

/// What a message is for. REQUESTs are told apart as RFC 2131, section 4.3.2, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DISCOVER.
    Discover,
    /// A REQUEST that names a server, or goes on with a DISCOVER.
    Select,
    /// A REQUEST for an address from before.
    Reboot,
    /// A REQUEST to the server of a lease in use.
    Renew,
    /// A REQUEST to any server, for a lease in use.
    Rebind,
    /// DECLINE.
    Decline,
    /// RELEASE.
    Release,
    /// Anything else.
    Other,
}

/// A DHCP message of the client.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When it came, from the start of the run.
    pub at: Duration,
    /// What it is for.
    pub kind: Kind,
    /// The Ethernet source.
    pub source_mac: Mac,
    /// The Ethernet destination.
    pub to_mac: Mac,
    /// The IP source.
    pub source: Ipv4Addr,
    /// The IP destination.
    pub to: Ipv4Addr,
    /// Source and destination port.
    pub ports: (u16, u16),
    /// Whether both checksums are right.
    pub is_intact: bool,
    /// Whether the options have their END.
    pub is_ended: bool,
    /// The message from `op` on.
    pub message: Vec<u8>,
    /// The options, in order.
    pub options: Vec<(u8, Vec<u8>)>,
}

/// An ARP packet of the client.
#[derive(Clone, Debug)]
pub struct Arp {
    /// When it came, from the start of the run.
    pub at: Duration,
    /// 1 is a request, 2 a reply.
    pub operation: u16,
    /// Whose it says it is.
    pub sender_mac: Mac,
    /// The address that the sender says it has.
    pub sender: Ipv4Addr,
    /// The address that it asks for.
    pub target: Ipv4Addr,
    /// The packet without its Ethernet header.
    pub packet: Vec<u8>,
}

impl Heard {
    /// Reads a frame, if it is a message to a DHCP server.
    pub fn read(frame: &[u8], at: Duration) -> Option<Self> {
        let packet = ipv4(frame)?;
        let (header, datagram) = packet.split_at(usize::from(packet.first()? & 15) * 4);
        let message =
            datagram.get(8..).filter(|message| message.len() >= OPTIONS && header[9] == 17)?.to_vec();
        let ports = (number(&datagram[0..2]), number(&datagram[2..4]));
        let (options, is_ended) = options(&message[OPTIONS..]);
        let pseudo = [&header[12..20], &[0, 17], &datagram[4..6], datagram].concat();
        let is_intact = sum(header) == 0 && (datagram[6..8] == [0, 0] || sum(&pseudo) == 0);
        let (source, to) = (address(&header[12..16]), address(&header[16..20]));
        let (source_mac, to_mac) = (mac(&frame[6..12]), mac(&frame[0..6]));
        let mut heard = Self {
            at,
            kind: Kind::Other,
            source_mac,
            to_mac,
            source,
            to,
            ports,
            is_intact,
            is_ended,
            message,
            options,
        };
        heard.kind = heard.find_kind();
        (ports.1 == 67).then_some(heard)
    }

    fn find_kind(&self) -> Kind {
        let has_address = !self.ciaddr().is_unspecified();
        match self.option(53) {
            Some([1]) => Kind::Discover,
            Some([3]) if has_address && self.to.is_broadcast() => Kind::Rebind,
            Some([3]) if has_address => Kind::Renew,
            Some([3]) if self.option(54).is_none() => Kind::Reboot,
            Some([3]) => Kind::Select,
            Some([4]) => Kind::Decline,
            Some([7]) => Kind::Release,
            _ => Kind::Other,
        }
    }

    /// The first option with that code.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(other, _)| *other == code).map(|(_, value)| &**value)
    }

    /// The address in an option.
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.option(code).filter(|value| value.len() == 4).map(address)
    }

    /// The transaction.
    pub fn xid(&self) -> &[u8] {
        &self.message[4..8]
    }

    /// Seconds since the client began.
    pub fn secs(&self) -> u16 {
        number(&self.message[8..10])
    }

    /// The address that the client has.
    pub fn ciaddr(&self) -> Ipv4Addr {
        address(&self.message[12..16])
    }

    /// The client's hardware address.
    pub fn chaddr(&self) -> Mac {
        mac(&self.message[28..34])
    }
}

impl Arp {
    /// Reads a frame, if it is ARP.
    pub fn read(frame: &[u8], at: Duration) -> Option<Self> {
        let packet = frame.get(14..42).filter(|_| frame[12..14] == [8, 6])?.to_vec();
        Some(Self {
            at,
            operation: number(&packet[6..8]),
            sender_mac: mac(&packet[8..14]),
            sender: address(&packet[14..18]),
            target: address(&packet[24..28]),
            packet,
        })
    }

    /// Whether it asks who has an address that the sender does not have yet (RFC 5227, section 2.1.1).
    pub fn is_probe(&self) -> bool {
        self.operation == 1 && self.sender.is_unspecified()
    }

    /// Whether it says that the sender has an address (RFC 5227, section 2.3).
    pub fn is_announcement(&self) -> bool {
        self.sender == self.target && !self.sender.is_unspecified()
    }
}

/// Whether a frame is ICMP's port unreachable.
pub fn is_port_unreachable(frame: &[u8]) -> bool {
    ipv4(frame).is_some_and(|packet| packet.len() > 22 && packet[9] == 1 && packet[20..22] == [3, 3])
}

fn ipv4(frame: &[u8]) -> Option<&[u8]> {
    let packet = frame.get(14..).filter(|packet| frame[12..14] == [8, 0] && packet.len() >= 28)?;
    packet.get(..usize::from(number(&packet[2..4])))
}

fn options(mut rest: &[u8]) -> (Vec<(u8, Vec<u8>)>, bool) {
    let mut options = Vec::new();
    loop {
        match rest {
            [0, after @ ..] => rest = after,
            [255, ..] => return (options, true),
            [code, length, after @ ..] if after.len() >= usize::from(*length) => {
                let (value, after) = after.split_at(usize::from(*length));
                options.push((*code, value.to_vec()));
                rest = after;
            }
            _ => return (options, false),
        }
    }
}

/// The Internet checksum (RFC 1071); 0 over bytes that carry their own.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).expect("folded")
}

fn number(bytes: &[u8]) -> u16 {
    u16::from_be_bytes([bytes[0], bytes[1]])
}

fn address(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

fn mac(bytes: &[u8]) -> Mac {
    bytes.try_into().expect("six octets")
}
