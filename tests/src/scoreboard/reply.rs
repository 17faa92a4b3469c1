//! What the server says: a proper reply, until a case spoils something of it.

use std::{net::Ipv4Addr, time::Duration};

use super::heard::{Arp, Heard, Mac, sum};

/// Says who has an address although nobody should.
pub const NEIGHBOUR: Mac = [2, 0, 0, 0, 0, 0x99];

/// A frame, and how long after the stimulus it goes out.
pub type Outgoing = (Duration, Vec<u8>);

/// The address of a host of the LAN.
pub fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, number)
}

/// The address that is offered first.
pub fn first() -> Ipv4Addr {
    host(150)
}

/// The address that is offered next.
pub fn second() -> Ipv4Addr {
    host(151)
}

/// What stands in the place of the UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The right one.
    Right,
    /// Another one.
    Wrong,
    /// None (RFC 768).
    Absent,
}

/// A reply. All fields are what a case may want to spoil.
#[derive(Clone, Debug)]
#[must_use]
pub struct Reply {
    /// The fixed part of the message, with the cookie.
    pub fixed: Vec<u8>,
    /// The options, in order.
    pub options: Vec<(u8, Vec<u8>)>,
    /// What follows them.
    pub tail: Vec<u8>,
    /// Which of the LAN's servers says it.
    pub server: u8,
    /// Where the frame goes.
    pub to_mac: Mac,
    /// Where the packet goes.
    pub to: Ipv4Addr,
    /// The UDP checksum.
    pub checksum: Checksum,
    /// IP's flags and fragment offset.
    pub fragment: u16,
    /// How long the server thinks.
    pub after: Duration,
}

/// OFFER of the first address for an hour.
pub fn offer(to: &Heard) -> Reply {
    Reply::new(to, 2)
}

/// ACK of what was offered.
pub fn ack(to: &Heard) -> Reply {
    Reply::new(to, 5)
}

/// ACK of whatever the client asks for.
pub fn ack_as_asked(to: &Heard) -> Reply {
    let has = Some(to.ciaddr()).filter(|address| !address.is_unspecified());
    ack(to).yiaddr(to.address(50).or(has).unwrap_or(first()))
}

/// NAK.
pub fn nak(to: &Heard) -> Reply {
    let mut reply = Reply::new(to, 6).yiaddr(Ipv4Addr::UNSPECIFIED);
    reply.options.truncate(2);
    reply.fixed[12..16].fill(0);
    (reply.to, reply.to_mac) = (Ipv4Addr::BROADCAST, [255; 6]);
    reply
}

impl Reply {
    fn new(to: &Heard, kind: u8) -> Self {
        let mut fixed = vec![0; 240];
        fixed[..4].copy_from_slice(&[2, 1, 6, 0]);
        fixed[4..8].copy_from_slice(to.xid());
        fixed[10..16].copy_from_slice(&to.message[10..16]);
        fixed[28..44].copy_from_slice(&to.message[28..44]);
        fixed[236..240].copy_from_slice(&[99, 130, 83, 99]);
        let has_address = !to.ciaddr().is_unspecified();
        let (to_mac, to) =
            if has_address { (to.chaddr(), to.ciaddr()) } else { ([255; 6], Ipv4Addr::BROADCAST) };
        let options = vec![
            (53, vec![kind]),
            (54, host(1).octets().to_vec()),
            (51, 3600_u32.to_be_bytes().to_vec()),
            (1, vec![255, 255, 255, 0]),
            (3, host(1).octets().to_vec()),
        ];
        let (checksum, tail) = (Checksum::Right, vec![255]);
        Self { fixed, options, tail, server: 1, to_mac, to, checksum, fragment: 0, after: Duration::ZERO }
            .yiaddr(first())
    }

    /// With another address to lease.
    pub fn yiaddr(self, address: Ipv4Addr) -> Self {
        self.fixed(16, &address.octets())
    }

    /// With other octets in the fixed part.
    pub fn fixed(mut self, at: usize, octets: &[u8]) -> Self {
        self.fixed[at..at + octets.len()].copy_from_slice(octets);
        self
    }

    /// With another value of an option.
    pub fn with(mut self, code: u8, value: &[u8]) -> Self {
        match self.options.iter_mut().find(|(other, _)| *other == code) {
            Some((_, old)) => *old = value.to_vec(),
            None => self.options.push((code, value.to_vec())),
        }
        self
    }

    /// Without an option.
    pub fn without(mut self, code: u8) -> Self {
        self.options.retain(|(other, _)| *other != code);
        self
    }

    /// With a further option, even if it is there.
    pub fn and(mut self, code: u8, value: &[u8]) -> Self {
        self.options.push((code, value.to_vec()));
        self
    }

    /// With as many further options as a message of this size has room for.
    pub fn grown(self, size: usize) -> Self {
        let used: usize =
            self.fixed.len() + self.options.iter().map(|(_, value)| value.len() + 2).sum::<usize>();
        let room = size - used - self.tail.len();
        (0..room.div_ceil(257)).fold(self, |reply, piece| {
            let code = 224 + u8::try_from(piece).expect("a handful");
            reply.and(code, &vec![7; (room - piece * 257).min(257).saturating_sub(2)])
        })
    }

    /// With lease time, T1 and T2; a zero stands for "not told".
    pub fn times(self, lease: u32, t1: u32, t2: u32) -> Self {
        [(51, lease), (58, t1), (59, t2)].into_iter().fold(self, |reply, (code, seconds)| {
            if seconds == 0 { reply } else { reply.with(code, &seconds.to_be_bytes()) }
        })
    }

    /// From another server of the LAN.
    pub fn by(mut self, server: u8) -> Self {
        self.server = server;
        self.with(54, &host(server).octets())
    }

    /// To nobody but the client, which has this address or will have it.
    pub fn unicast(mut self, address: Ipv4Addr) -> Self {
        self.to_mac = self.fixed[28..34].try_into().expect("six octets");
        self.to = address;
        self
    }

    /// After so many milliseconds.
    pub fn after(mut self, milliseconds: u64) -> Self {
        self.after = Duration::from_millis(milliseconds);
        self
    }

    /// The frame.
    pub fn out(&self) -> Outgoing {
        let mut message = self.fixed.clone();
        for (code, value) in &self.options {
            message.extend([*code, length(value.len())]);
            message.extend(value);
        }
        message.extend(&self.tail);
        if self.tail == [255] {
            message.resize(message.len().max(300), 0);
        }
        (self.after, self.frame(&message))
    }

    fn frame(&self, message: &[u8]) -> Vec<u8> {
        let size = u16::try_from(message.len()).expect("it fits a frame");
        let source = host(self.server).octets();
        let mut datagram = [67_u16, 68, size + 8, 0].map(u16::to_be_bytes).concat();
        datagram.extend(message);
        let pseudo =
            [&source[..], &self.to.octets(), &[0, 17], &(size + 8).to_be_bytes(), &datagram].concat();
        let checksum = match self.checksum {
            Checksum::Right => sum(&pseudo),
            Checksum::Wrong => sum(&pseudo) ^ 0x0f0f,
            Checksum::Absent => 0,
        };
        datagram[6..8].copy_from_slice(&checksum.to_be_bytes());
        let mut header = vec![0x45, 0];
        header.extend([size + 28, 1, self.fragment].map(u16::to_be_bytes).concat());
        header.extend([64, 17, 0, 0]);
        header.extend([source, self.to.octets()].concat());
        let checksum = sum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        [&self.to_mac[..], &server_mac(self.server), &[8, 0], &header, &datagram].concat()
    }
}

/// The hardware address of a server of the LAN.
pub fn server_mac(server: u8) -> Mac {
    [2, 0, 0, 0, 0, server]
}

/// An ARP packet to everybody.
pub fn arp(operation: u8, from: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let ethernet = [&[255; 6][..], &from, &[8, 6]].concat();
    let packet = [&[0, 1, 8, 0, 6, 4, 0, operation][..], &from, &sender.octets(), &[0; 6], &target.octets()];
    [ethernet, packet.concat()].concat()
}

/// The answer of whoever has the address that was asked for.
pub fn arp_reply(to: &Arp, from: Mac) -> Vec<u8> {
    let mut frame = arp(2, from, to.target, to.sender);
    frame[0..6].copy_from_slice(&to.sender_mac);
    frame[32..38].copy_from_slice(&to.sender_mac);
    frame
}

fn length(octets: usize) -> u8 {
    u8::try_from(octets).expect("an option fits its length")
}
