//! ARP for IPv4 over Ethernet (RFC 826), as far as a client needs it: to ask, to claim, and to hear claims.

use std::net::Ipv4Addr;

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, ArpPacketSlice, EtherType, Ethernet2Header, Ethernet2Slice,
};
use landfall_api::MacAddr;

use super::frame::FrameError;

/// What a client says by ARP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Does anybody use it? Asked without using it (RFC 5227, section 1.1).
    Probe(Ipv4Addr),
    /// It is ours (RFC 5227, section 1.1).
    Announcement(Ipv4Addr),
    /// Which MAC address has that neighbour?
    Lookup {
        /// Our address.
        source: Ipv4Addr,
        /// The neighbour's.
        target: Ipv4Addr,
    },
    /// Is that neighbour still there? Asked of nobody else, because the address may not be ours (RFC 4436, section 2.1).
    Reachability {
        /// Our address, if it is.
        source: Ipv4Addr,
        /// The neighbour's.
        target: Ipv4Addr,
        /// The neighbour's MAC address.
        mac: MacAddr,
    },
}

/// What somebody else says by ARP, request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who says that it has `address`.
    pub mac: MacAddr,
    /// The address that it has; 0.0.0.0 if it does not use one yet.
    pub address: Ipv4Addr,
    /// The address that it wants to know of.
    pub target: Ipv4Addr,
    /// The MAC address that the frame came from.
    pub from: MacAddr,
    /// Whom the frame was for.
    pub audience: Audience,
}

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody.
    Everybody,
    /// One host.
    One,
}

impl Query {
    /// The frame that a client with `mac` sends.
    pub fn encode(self, mac: MacAddr) -> Vec<u8> {
        let (to, sender, target) = match self {
            Self::Probe(address) => (MacAddr::BROADCAST, Ipv4Addr::UNSPECIFIED, address),
            Self::Announcement(address) => (MacAddr::BROADCAST, address, address),
            Self::Lookup { source, target } => (MacAddr::BROADCAST, source, target),
            Self::Reachability { source, target, mac } => (mac, source, target),
        };
        let packet = ArpEthIpv4Packet {
            operation: ArpOperation::REQUEST,
            sender_mac: mac.0,
            sender_ipv4: sender.octets(),
            target_mac: [0; 6],
            target_ipv4: target.octets(),
        };
        let header = Ethernet2Header { source: mac.0, destination: to.0, ether_type: EtherType::ARP };
        [&header.to_bytes()[..], &packet.to_bytes()[..]].concat()
    }
}

/// What `frame` says.
///
/// # Errors
/// If it is no ARP for IPv4 over Ethernet.
pub fn decode(frame: &[u8]) -> Result<Claim, FrameError> {
    let ethernet = Ethernet2Slice::from_slice_without_fcs(frame).map_err(|_| FrameError::NotForUs)?;
    if ethernet.ether_type() != EtherType::ARP {
        return Err(FrameError::NotForUs);
    }
    let packet = ArpPacketSlice::from_slice(ethernet.payload().payload).map_err(|_| FrameError::NotForUs)?;
    let packet = packet.to_packet().try_eth_ipv4().map_err(|_| FrameError::NotForUs)?;
    if packet.operation != ArpOperation::REQUEST && packet.operation != ArpOperation::REPLY {
        return Err(FrameError::NotForUs);
    }
    let is_for_all = ethernet.destination() == MacAddr::BROADCAST.0;
    Ok(Claim {
        mac: MacAddr(packet.sender_mac),
        address: packet.sender_ipv4.into(),
        target: packet.target_ipv4.into(),
        from: MacAddr(ethernet.source()),
        audience: if is_for_all { Audience::Everybody } else { Audience::One },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);

    #[test]
    fn c_22_a_probe_claims_nothing_and_an_announcement_does() {
        let claim = |query: Query| decode(&query.encode(OURS)).expect("our own frame");
        let probe = claim(Query::Probe(ADDRESS));
        assert_eq!((probe.mac, probe.address, probe.target), (OURS, Ipv4Addr::UNSPECIFIED, ADDRESS));
        let announcement = claim(Query::Announcement(ADDRESS));
        assert_eq!((announcement.address, announcement.target), (ADDRESS, ADDRESS));
        assert_eq!(announcement.audience, Audience::Everybody);
    }

    #[test]
    fn h_07_truncated_and_foreign_frames_are_ignored() {
        let good = Query::Announcement(ADDRESS).encode(OURS);
        for length in 0..good.len() {
            assert_eq!(decode(&good[..length]), Err(FrameError::NotForUs), "cut at {length}");
        }
        for (at, what) in
            [(12, "type"), (14, "hardware"), (16, "protocol"), (18, "hlen"), (19, "plen"), (21, "operation")]
        {
            let mut frame = good.clone();
            frame[at] ^= 0x10;
            assert_eq!(decode(&frame), Err(FrameError::NotForUs), "another {what}");
        }
    }
}
