//! Kernel filters, so that no traffic but ours ever wakes the agent.

use landfall_api::MacAddr;
use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX,
    BPF_MSH, BPF_RET, BPF_W,
};
use socket2::SockFilter;

use super::{client::Listening, frame::CLIENT_PORT};

/// How much of a frame that matches is kept: all of it.
const WHOLE: u32 = 0xffff;

/// Where the BOOTP message begins behind the IP header, whose length is in the index register; Ethernet's is constant.
const UDP: u32 = 14;
const BOOTP: u32 = UDP + 8;

/// Lets whole IPv4 datagrams to port 68 pass that hold a BOOTP reply for `mac` over Ethernet, with the cookie of DHCP.
pub(super) fn replies_for(mac: MacAddr) -> Vec<SockFilter> {
    let [a, b, c, d, e, f] = mac.0;
    let checks = [
        Check::equal(BPF_H | BPF_ABS, 12, 0x0800),
        Check::equal(BPF_B | BPF_ABS, 23, 17),
        Check { load: BPF_H | BPF_ABS, at: 20, mask: None, jump: BPF_JSET, value: 0x3fff },
        Check::equal(BPF_H | BPF_IND, UDP + 2, CLIENT_PORT.into()),
        Check { mask: Some(0xffff_ff00), ..Check::equal(BPF_W | BPF_IND, BOOTP, 0x0201_0600) },
        Check::equal(BPF_W | BPF_IND, BOOTP + 28, u32::from_be_bytes([a, b, c, d])),
        Check::equal(BPF_H | BPF_IND, BOOTP + 32, u32::from_be_bytes([0, 0, e, f])),
        Check::equal(BPF_W | BPF_IND, BOOTP + 236, 0x6382_5363),
    ];
    let mut program = vec![statement(BPF_LDX | BPF_B | BPF_MSH, 14)];
    for check in checks {
        program.extend(check.instructions());
    }
    program.push(statement(BPF_RET | BPF_K, WHOLE));
    program
}

/// Where the fields of an ARP packet are, for IPv4 over Ethernet.
const SENDER_MAC: u32 = 22;
const SENDER: u32 = 28;
const TARGET: u32 = 38;

/// Lets ARP pass that `listening` asks for, unless it comes from `mac` itself.
pub(super) fn claims(listening: &Listening, mac: MacAddr) -> Vec<SockFilter> {
    let [a, b, c, d, e, f] = mac.0;
    let mut program = Check::equal(BPF_H | BPF_ABS, 12, 0x0806).instructions();
    program.extend([
        statement(BPF_LD | BPF_W | BPF_ABS, SENDER_MAC),
        SockFilter::new(code(BPF_JMP | BPF_JEQ | BPF_K), 0, 3, u32::from_be_bytes([a, b, c, d])),
        statement(BPF_LD | BPF_H | BPF_ABS, SENDER_MAC + 4),
        SockFilter::new(code(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, u32::from_be_bytes([0, 0, e, f])),
        statement(BPF_RET | BPF_K, 0),
        statement(BPF_LD | BPF_W | BPF_ABS, SENDER),
    ]);
    program.extend(listening.speakers.iter().flat_map(|address| passes_if(u32::from(*address))));
    program.extend(Check::equal(BPF_W | BPF_ABS, SENDER, 0).instructions());
    program.push(statement(BPF_LD | BPF_W | BPF_ABS, TARGET));
    program.extend(listening.targets.iter().flat_map(|address| passes_if(u32::from(*address))));
    program.push(statement(BPF_RET | BPF_K, 0));
    program
}

/// Lets the frame pass if what was loaded is `value`.
fn passes_if(value: u32) -> [SockFilter; 2] {
    [SockFilter::new(code(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, value), statement(BPF_RET | BPF_K, WHOLE)]
}

/// Lets nothing pass.
pub(super) fn nothing() -> Vec<SockFilter> {
    vec![statement(BPF_RET | BPF_K, 0)]
}

/// Loads a part of the frame and drops the frame unless the part is as it should be.
struct Check {
    load: u32,
    at: u32,
    mask: Option<u32>,
    jump: u32,
    value: u32,
}

impl Check {
    fn equal(load: u32, at: u32, value: u32) -> Self {
        Self { load, at, mask: None, jump: BPF_JEQ, value }
    }

    fn instructions(self) -> Vec<SockFilter> {
        let mut program = vec![statement(BPF_LD | self.load, self.at)];
        program.extend(self.mask.map(|mask| statement(BPF_ALU | BPF_AND | BPF_K, mask)));
        // Over the `drop` if equal; into it if any bit is set.
        let (if_true, if_false) = if self.jump == BPF_JEQ { (1, 0) } else { (0, 1) };
        program.push(SockFilter::new(code(BPF_JMP | self.jump | BPF_K), if_true, if_false, self.value));
        program.push(statement(BPF_RET | BPF_K, 0));
        program
    }
}

fn statement(instruction: u32, value: u32) -> SockFilter {
    SockFilter::new(code(instruction), 0, 0, value)
}

fn code(instruction: u32) -> u16 {
    u16::try_from(instruction).expect("instructions of classic BPF have 16 bits")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use socket2::{Domain, Socket, Type};

    use super::*;
    use crate::dhcp::{arp::Query, frame};

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    /// Where the BOOTP message of a frame without IP options begins.
    const MESSAGE: usize = 42;

    /// Whether the kernel lets a frame pass: any datagram socket runs its filter over what it is sent.
    fn passes(filter: &[SockFilter], frame: &[u8]) -> bool {
        let (to, mut from) = Socket::pair(Domain::UNIX, Type::DGRAM, None).expect("a pair of sockets");
        from.attach_filter(filter).expect("a filter that the kernel takes");
        from.set_nonblocking(true).expect("not to wait");
        to.send(frame).expect("room for one frame");
        let mut buffer = vec![0; frame.len() + 1];
        from.read(&mut buffer).is_ok_and(|length| length == frame.len())
    }

    /// A reply with nothing but what the filter looks at.
    fn reply() -> Vec<u8> {
        let mut message = vec![0; 300];
        message[..3].copy_from_slice(&[2, 1, 6]);
        message[28..34].copy_from_slice(&MAC.0);
        message[236..240].copy_from_slice(&[99, 130, 83, 99]);
        let (server, client) = ([10, 0, 0, 1].into(), [10, 0, 0, 50].into());
        let mut frame = frame::encode((MacAddr([2; 6]), server), (MAC, client), &message);
        frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
        frame
    }

    #[test]
    fn a_reply_for_us_passes_whole() {
        assert!(passes(&replies_for(MAC), &reply()));
        let mut with_hops = reply();
        with_hops[MESSAGE + 3] = 4;
        assert!(passes(&replies_for(MAC), &with_hops), "from behind a relay");
    }

    #[test]
    fn a_reply_behind_ip_options_passes() {
        let mut frame = reply();
        frame[14] = 0x46;
        frame.splice(34..34, [1, 1, 1, 0]);
        assert!(passes(&replies_for(MAC), &frame));
    }

    #[test]
    fn h_09_anything_else_never_wakes_us() {
        for (name, at, octets) in [
            ("IPv6", 12, &[0x86, 0xdd][..]),
            ("a VLAN", 12, &[0x81, 0x00]),
            ("TCP", 23, &[6]),
            ("a first fragment", 20, &[0x20]),
            ("a later fragment", 21, &[1]),
            ("another port", 36, &[0, 67]),
            ("a request", MESSAGE, &[1]),
            ("another hardware", MESSAGE + 1, &[6]),
            ("another length", MESSAGE + 2, &[16]),
            ("another client", MESSAGE + 28, &[4]),
            ("a neighbour", MESSAGE + 33, &[2]),
            ("BOOTP", MESSAGE + 236, &[0]),
        ] {
            let mut frame = reply();
            frame[at..at + octets.len()].copy_from_slice(octets);
            assert!(!passes(&replies_for(MAC), &frame), "{name}");
        }
        for length in 1..MESSAGE + 240 {
            assert!(!passes(&replies_for(MAC), &reply()[..length]), "cut at {length}");
        }
    }

    #[test]
    fn h_09_only_arp_that_is_listened_to_wakes_us() {
        let ours: std::net::Ipv4Addr = [10, 0, 0, 50].into();
        let (gateway, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 9].into());
        let listening =
            Listening { speakers: vec![ours, gateway], targets: vec![ours], ..Listening::default() };
        let filter = claims(&listening, MAC);
        let neighbour = MacAddr([2, 0, 0, 0, 0, 9]);
        let lookup = |source, target| Query::Lookup { source, target };
        for (query, from, wakes) in [
            (Query::Announcement(ours), neighbour, true),
            (Query::Announcement(ours), MAC, false),
            (Query::Probe(ours), neighbour, true),
            (Query::Probe(ours), MAC, false),
            (Query::Probe(other), neighbour, false),
            (lookup(gateway, other), neighbour, true),
            (lookup(other, ours), neighbour, false),
        ] {
            assert_eq!(passes(&filter, &query.encode(from)), wakes, "{query:?} from {from}");
        }
        assert!(!passes(&filter, &reply()), "no ARP");
        assert!(!passes(&claims(&Listening::default(), MAC), &Query::Probe(ours).encode(neighbour)));
    }

    #[test]
    fn the_port_keeper_hears_nothing() {
        assert!(!passes(&nothing(), &reply()));
    }
}
