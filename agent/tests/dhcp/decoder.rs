//! Whatever comes, the decoders come back (Z-01, Z-02).

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, MessageType};
use landfall_agent::clock::Instant;
use landfall_agent::dhcp::{
    Asked, Checksum, Identity, Lease, Options, Reply, ReplyBy, Request, decode_frame, encode_frame,
};
use landfall_api::{Dhcp, Mtu};
use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng as _, rngs::StdRng};

use crate::bench::*;

/// Options as a hostile server may write them: codes that mean something, lengths that lie now and then.
fn options() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![
        prop::sample::select(vec![1, 3, 6, 15, 26, 51, 52, 53, 54, 56, 58, 59, 61, 121]),
        any::<u8>()
    ];
    let option =
        (code, vec(any::<u8>(), 0..40), prop_oneof![9 => Just(None), 1 => any::<u8>().prop_map(Some)]);
    let octets = |(code, value, lie): (u8, Vec<u8>, Option<u8>)| {
        let length = lie.unwrap_or_else(|| u8::try_from(value.len()).expect("short"));
        [&[code, length], &value[..]].concat()
    };
    vec(option.prop_map(octets), 0..30).prop_map(|options| options.concat())
}

fn reply(header: &[u8], options: &[u8]) -> Vec<u8> {
    let (_, discover) = Host::selecting();
    let mut answer = Answer::offer(&discover).octets(34, header);
    answer.tail = options.to_vec();
    answer.bytes()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn z_01_any_octets_are_a_reply_or_ignored(octets in vec(any::<u8>(), 0..600)) {
        prop_assert!(Reply::decode(&octets, MAC).is_err());
    }

    #[test]
    fn z_01_any_options_are_a_lease_or_unusable(header in vec(any::<u8>(), 202), options in options()) {
        let mut rng = StdRng::seed_from_u64(1);
        let settings = Dhcp { mtu: Mtu::Accept, ..settings() };
        let identity = Identity { mac: MAC, mtu: 1500, settings, other_macs: Vec::new(), taken: Vec::new() };
        let asked = Asked { identity: &identity, client_id: None, requested: Instant::BOOT };
        if let Ok(reply) = Reply::decode(&reply(&header, &options), MAC)
            && let Ok(lease) = Lease::from_reply(&reply, SERVER_MAC, &asked, &mut rng)
        {
            let address = lease.address.addr();
            prop_assert!(!address.is_loopback() && !address.is_multicast() && !address.is_unspecified());
            prop_assert!(lease.routes.len() <= 256);
            prop_assert!(lease.mtu.is_none_or(|mtu| (576..=65535).contains(&mtu)));
            prop_assert!(lease.routes.iter().all(|(to, _)| to.trunc() == *to));
        }
    }

    #[test]
    fn z_01_any_options_are_gathered_within_their_bounds(
        options in options(), file in vec(any::<u8>(), 128), sname in vec(any::<u8>(), 64),
    ) {
        let gathered = Options::gather(&options, &file, &sname);
        let total: usize = (0..=255u8).filter_map(|code| gathered.raw(code.into())).map(<[u8]>::len).sum();
        prop_assert!(total <= options.len() + file.len() + sname.len());
        for code in 0..=255u8 {
            let _ = (gathered.number(code.into()), gathered.address(code.into()), gathered.octet(code.into()));
            let text = gathered.text(code.into()).unwrap_or_default();
            prop_assert!(text.chars().count() <= 255 && !text.contains(char::is_control));
        }
    }

    #[test]
    fn z_01_any_frame_is_a_message_or_ignored(octets in vec(any::<u8>(), 0..400), checksum in checksum()) {
        let _ = decode_frame(&octets, checksum);
    }

    #[test]
    fn z_01_a_damaged_frame_is_dropped(
        message in vec(any::<u8>(), 1..600), at in any::<prop::sample::Index>(), damage in 1..=255u8,
    ) {
        let mut frame = server_frame(&message);
        // What is before the IP header is not covered by a checksum.
        let at = 14 + at.index(frame.len() - 14);
        frame[at] ^= damage;
        if let Ok((decoded, _)) = decode_frame(&frame, Checksum::Ready) {
            prop_assert_eq!(decoded, &message[..], "damaged at {}", at);
        }
    }

    #[test]
    fn z_02_what_goes_into_a_frame_comes_out(message in vec(any::<u8>(), 0..1400), checksum in checksum()) {
        let frame = server_frame(&message);
        prop_assert_eq!(decode_frame(&frame, checksum), Ok((&message[..], MAC)));
    }

    #[test]
    fn z_02_what_we_encode_dhcproto_reads(
        xid in any::<u32>(), secs in any::<u16>(), ciaddr in any::<[u8; 4]>(), name in "[a-z]{1,60}",
    ) {
        use dhcproto::{Decodable as _, Decoder, v4};
        let ciaddr = Ipv4Addr::from(ciaddr);
        let options = vec![DhcpOption::Hostname(name.clone())];
        let (kind, reply) = (MessageType::Request, ReplyBy::Broadcast);
        let octets = Request { kind, xid, secs, reply, ciaddr, mac: MAC, client_id: None, options }.encode();
        let read = v4::Message::decode(&mut Decoder::new(&octets)).expect("a message");
        prop_assert_eq!((read.xid(), read.secs(), read.ciaddr()), (xid, secs, ciaddr));
        prop_assert_eq!(read.chaddr(), &MAC.0[..]);
        prop_assert!(read.flags().broadcast());
        prop_assert_eq!(read.opts().msg_type(), Some(kind));
        prop_assert_eq!(read.opts().get(v4::OptionCode::Hostname), Some(&DhcpOption::Hostname(name)));
    }
}

fn checksum() -> impl Strategy<Value = Checksum> {
    prop::sample::select(vec![Checksum::Ready, Checksum::NotReady])
}

/// A frame of ours with the ports exchanged, which leaves its checksum right.
fn server_frame(message: &[u8]) -> Vec<u8> {
    let mut frame = encode_frame((MAC, SERVER), (SERVER_MAC, ADDRESS), message);
    let (source, destination) = frame[34..38].split_at_mut(2);
    source.swap_with_slice(destination);
    frame
}

#[test]
fn h_02_every_option_of_every_length_can_be_asked_for() {
    for code in 1..255 {
        for length in [0, 1, 2, 3, 4, 5, 8, 16, 254, 255u8] {
            let option = [&[code, length], &vec![code; usize::from(length)][..]].concat();
            let options = Options::gather(&option, &[], &[]);
            let asked = (options.number(code.into()), options.address(code.into()));
            assert!(matches!(asked, (None, _) | (_, None)), "option {code} of {length}: {asked:?}");
        }
    }
}

#[test]
fn z_01_a_reply_cut_short_anywhere_is_no_panic() {
    let (_, discover) = Host::selecting();
    let bytes = Answer::offer(&discover).with(121, [24, 10, 9, 9, 10, 0, 0, 1]).bytes();
    for length in 0..bytes.len() {
        let _ = Reply::decode(&bytes[..length], MAC);
    }
    assert!(Reply::decode(&bytes, MAC).is_ok());
}

#[test]
fn m_19_a_truncated_option_takes_none_before_it_along() {
    for tail in [&[12][..], &[12, 200, b'a'], &[51, 4, 0, 0, 14]] {
        let host = Host::bound(|ack| Answer { tail: tail.to_vec(), ..ack });
        assert_eq!(host.lease().routers, [SERVER], "{tail:?}");
    }
}
