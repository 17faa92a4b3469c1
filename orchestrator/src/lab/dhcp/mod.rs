//! The DHCP server of a practice LAN: a message in, the lease table and the time -> a message out. Pure.
//! It is the only server of its LAN and says so: what it does not know of, it grants if it is free and denies if not.

mod lease_time;
mod leases;
mod request;

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use dhcproto::v4::{CLIENT_PORT, DhcpOption, Message, MessageType, Opcode, OptionCode};

pub use self::lease_time::{InvalidLeaseTime, LeaseTime};
use self::{
    leases::Leases,
    request::{Ask, Request},
};
use super::subnet::Subnet;

/// The server and the leases that it gave.
pub struct Server {
    subnet: Subnet,
    lease_time: LeaseTime,
    leases: Leases,
}

/// What the server says, and to whom.
#[derive(Debug)]
pub struct Reply {
    /// A BOOTREPLY.
    pub message: Message,
    /// The client's port 68.
    pub to: SocketAddrV4,
}

enum Verdict {
    Offer(Ipv4Addr),
    Ack(Ipv4Addr),
    Nak,
}

impl Server {
    /// A server that has given no lease yet. Its identifier is the subnet's router.
    pub fn new(subnet: Subnet, lease_time: LeaseTime) -> Self {
        Self { subnet, lease_time, leases: Leases::new(subnet.pool()) }
    }

    /// Answers a UDP payload at `now`, a time since any one moment. To many messages the answer is silence.
    pub fn answer(&mut self, octets: &[u8], now: Duration) -> Option<Reply> {
        let request = Request::parse(octets)?;
        // A REQUEST that names another server declines our offer (RFC 2131 4.3.2), which ends by itself.
        let ours = request.server.is_none_or(|server| server == self.subnet.router());
        let verdict = ours.then(|| self.decide(&request, now))??;
        Some(self.reply(&request.message, &verdict))
    }

    fn decide(&mut self, request: &Request, now: Duration) -> Option<Verdict> {
        let client = &request.client;
        let end = now + self.lease_time.duration();
        match request.ask {
            Ask::Discover(wanted) => self.leases.offer(client, wanted, now).map(Verdict::Offer),
            // RFC 2131 4.3.2 has a server without a record keep silent in INIT-REBOOT, for the sake of other servers.
            // Here are none, and after a restart this one has no record of anybody.
            Ask::Request(address) if self.leases.grant(client, address, now..=end) => {
                Some(Verdict::Ack(address))
            }
            Ask::Request(_) => Some(Verdict::Nak),
            Ask::Release(address) => {
                self.leases.release(client, address, now);
                None
            }
            Ask::Decline(address) => {
                self.leases.decline(client, address, end);
                None
            }
        }
    }

    /// RFC 2131 table 3.
    fn reply(&self, request: &Message, verdict: &Verdict) -> Reply {
        let (kind, ciaddr, yiaddr) = match verdict {
            Verdict::Offer(address) => (MessageType::Offer, Ipv4Addr::UNSPECIFIED, *address),
            Verdict::Ack(address) => (MessageType::Ack, request.ciaddr(), *address),
            Verdict::Nak => (MessageType::Nak, Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED),
        };
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(request.xid(), ciaddr, yiaddr, none, none, request.chaddr());
        message.set_opcode(Opcode::BootReply).set_flags(request.flags());
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier(self.subnet.router()));
        // RFC 6842: the client finds its own identifier in every answer.
        if let Some(identifier) = request.opts().get(OptionCode::ClientIdentifier) {
            options.insert(identifier.clone());
        }
        if !yiaddr.is_unspecified() {
            self.parameters().into_iter().for_each(|option| drop(options.insert(option)));
        }
        Reply { message, to: destination(ciaddr) }
    }

    fn parameters(&self) -> [DhcpOption; 6] {
        let router = self.subnet.router();
        [
            DhcpOption::SubnetMask(self.subnet.mask()),
            DhcpOption::Router(vec![router]),
            DhcpOption::DomainNameServer(vec![router]),
            DhcpOption::AddressLeaseTime(self.lease_time.seconds()),
            DhcpOption::Renewal(self.lease_time.t1()),
            DhcpOption::Rebinding(self.lease_time.t2()),
        ]
    }
}

/// A client that has its address (`ciaddr`) is told there. Any other is told by broadcast, whatever its flag says: a
/// unicast would need the client's hardware address in a frame or a neighbour entry of our own making, and RFC 2131
/// 4.1 has the flag protect clients that cannot take unicast, not those that dislike broadcast.
fn destination(ciaddr: Ipv4Addr) -> SocketAddrV4 {
    let address = if ciaddr.is_unspecified() { Ipv4Addr::BROADCAST } else { ciaddr };
    SocketAddrV4::new(address, CLIENT_PORT)
}

#[cfg(test)]
mod tests;
