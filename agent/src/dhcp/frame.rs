//! Ethernet, IPv4 and UDP around a DHCP message.

use std::net::Ipv4Addr;

use etherparse::{EtherType, Ethernet2Slice, IpNumber, Ipv4Slice, PacketBuilder, UdpSlice};
use landfall_api::MacAddr;
use thiserror::Error;

/// The port of DHCP servers and relays.
pub(super) const SERVER_PORT: u16 = 67;
/// The port of DHCP clients.
pub(super) const CLIENT_PORT: u16 = 68;

const TIME_TO_LIVE: u8 = 64;

/// Whether a frame's UDP checksum says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is what the sender computed.
    Ready,
    /// The sender left it to hardware that the frame never passed (`TP_STATUS_CSUMNOTREADY`: veth, virtio).
    NotReady,
}

/// Why a frame holds no message for us. It is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// Not IPv4 and UDP to our port, or lengths that contradict each other.
    #[error("no UDP datagram for a DHCP client")]
    NotForUs,
    /// A part of a datagram; DHCP messages fit into one.
    #[error("a fragment")]
    Fragment,
    /// Damaged on the way.
    #[error("a wrong checksum")]
    Checksum,
}

/// The message in `frame`, and the MAC address that the frame came from.
///
/// # Errors
/// Why it is to be ignored.
pub fn decode(frame: &[u8], checksum: Checksum) -> Result<(&[u8], MacAddr), FrameError> {
    let ethernet = Ethernet2Slice::from_slice_without_fcs(frame).map_err(|_| FrameError::NotForUs)?;
    if ethernet.ether_type() != EtherType::IPV4 {
        return Err(FrameError::NotForUs);
    }
    let ip = Ipv4Slice::from_slice(ethernet.payload().payload).map_err(|_| FrameError::NotForUs)?;
    let header = ip.header();
    if ip.is_payload_fragmented() {
        return Err(FrameError::Fragment);
    }
    if header.protocol() != IpNumber::UDP {
        return Err(FrameError::NotForUs);
    }
    if header.header_checksum() != header.to_header().calc_header_checksum() {
        return Err(FrameError::Checksum);
    }
    let udp = UdpSlice::from_slice(ip.payload().payload).map_err(|_| FrameError::NotForUs)?;
    // A length of zero would mean a jumbogram, which IPv4 does not have.
    if udp.destination_port() != CLIENT_PORT || udp.length() == 0 {
        return Err(FrameError::NotForUs);
    }
    let is_checked = checksum == Checksum::Ready && udp.checksum() != 0;
    let computed =
        udp.to_header().calc_checksum_ipv4_raw(header.source(), header.destination(), udp.payload());
    if is_checked && computed != Ok(udp.checksum()) {
        return Err(FrameError::Checksum);
    }
    Ok((udp.payload(), MacAddr(ethernet.source())))
}

/// A frame that carries `message` from a client to a server.
pub fn encode(from: (MacAddr, Ipv4Addr), to: (MacAddr, Ipv4Addr), message: &[u8]) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2(from.0.0, to.0.0)
        .ipv4(from.1.octets(), to.1.octets(), TIME_TO_LIVE)
        .udp(CLIENT_PORT, SERVER_PORT);
    let mut frame = Vec::with_capacity(packet.size(message.len()));
    packet.write(&mut frame, message).expect("a message is shorter than a datagram may be");
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    /// A reply, built independently of `encode`.
    fn reply(payload: &[u8]) -> Vec<u8> {
        let packet =
            PacketBuilder::ethernet2(THEIRS.0, OURS.0).ipv4([10, 0, 0, 1], [10, 0, 0, 50], 64).udp(67, 68);
        let mut frame = Vec::new();
        packet.write(&mut frame, payload).expect("short");
        frame
    }

    #[test]
    fn a_reply_is_taken_with_its_sender() {
        let frame = reply(b"hello");
        assert_eq!(decode(&frame, Checksum::Ready), Ok((&b"hello"[..], THEIRS)));
    }

    #[test]
    fn h_10_a_wrong_checksum_counts_only_if_it_is_ready() {
        let mut frame = reply(b"hello");
        frame[41] ^= 1;
        assert_eq!(decode(&frame, Checksum::Ready), Err(FrameError::Checksum));
        assert_eq!(decode(&frame, Checksum::NotReady), Ok((&b"hello"[..], THEIRS)));
        frame[40..42].fill(0);
        assert_eq!(decode(&frame, Checksum::Ready), Ok((&b"hello"[..], THEIRS)));
    }

    #[test]
    fn h_03_lengths_that_lie_are_dropped() {
        let good = reply(b"hello");
        for length in 0..good.len() {
            assert_eq!(
                decode(&good[..length], Checksum::NotReady),
                Err(FrameError::NotForUs),
                "cut at {length}"
            );
        }
        for ihl in (0..=4).chain(6..=15) {
            let mut frame = good.clone();
            frame[14] = 0x40 | ihl;
            assert!(decode(&frame, Checksum::NotReady).is_err(), "ihl {ihl}");
        }
        for udp_length in 0..8 {
            let mut frame = good.clone();
            frame[38..40].copy_from_slice(&[0, udp_length]);
            assert!(decode(&frame, Checksum::NotReady).is_err(), "UDP length {udp_length}");
        }
    }

    #[test]
    fn h_03_fragments_are_dropped() {
        for (at, bits) in [(20, 0x20), (21, 0x01)] {
            let mut frame = reply(b"hello");
            frame[at] |= bits;
            assert_eq!(decode(&frame, Checksum::NotReady), Err(FrameError::Fragment));
        }
    }

    #[test]
    fn padding_after_the_datagram_is_no_part_of_it() {
        let mut frame = reply(b"hello");
        frame.extend([0xaa; 20]);
        assert_eq!(decode(&frame, Checksum::Ready), Ok((&b"hello"[..], THEIRS)));
    }

    #[test]
    fn a_request_goes_from_68_to_67() {
        let frame =
            encode((OURS, Ipv4Addr::UNSPECIFIED), (MacAddr::BROADCAST, Ipv4Addr::BROADCAST), b"hello");
        let packet = etherparse::SlicedPacket::from_ethernet(&frame).expect("our own frame");
        let Some(etherparse::TransportSlice::Udp(udp)) = packet.transport else { panic!("no UDP") };
        assert_eq!((udp.source_port(), udp.destination_port(), udp.payload()), (68, 67, &b"hello"[..]));
    }
}
