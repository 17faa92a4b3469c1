//! What a fuzzer does with octets: it reads them as what comes from outside, and checks what it gets.

use landfall_agent::{
    clock::Instant,
    dhcp::{Asked, Checksum, Identity, Lease, LeaseTime, Reply, decode_arp, decode_frame, encode_frame},
    documents::Documents,
};
use landfall_api::{Dhcp, Event, Mtu, Report, Spec};
use rand::{SeedableRng as _, rngs::StdRng};

use crate::bench::*;

/// A frame from the wire; the first octet says how much of it is right already.
pub fn frame(input: &[u8]) {
    let Some((how, octets)) = input.split_first() else { return };
    match how % 4 {
        0 => wire(octets, Checksum::Ready),
        1 => wire(octets, Checksum::NotReady),
        2 => wire(&server_frame(octets), Checksum::Ready),
        _ => message(&reply(octets)),
    }
}

fn wire(frame: &[u8], checksum: Checksum) {
    let _ = decode_arp(frame);
    if let Ok((payload, _)) = decode_frame(frame, checksum) {
        assert!(payload.len() + 42 <= frame.len());
        message(payload);
    }
}

/// A frame of ours with the ports exchanged, which leaves its checksum right.
fn server_frame(octets: &[u8]) -> Vec<u8> {
    let mut frame = encode_frame((SERVER_MAC, SERVER), (MAC, ADDRESS), octets);
    let (source, destination) = frame[34..38].split_at_mut(2);
    source.swap_with_slice(destination);
    frame
}

/// A message with a header that is right; the octets are its options.
fn reply(options: &[u8]) -> Vec<u8> {
    let mut octets = vec![0; 240];
    octets[..3].copy_from_slice(&[2, 1, 6]);
    octets[16..20].copy_from_slice(&ADDRESS.octets());
    octets[28..34].copy_from_slice(&MAC.0);
    octets[236..].copy_from_slice(&[99, 130, 83, 99]);
    [&octets, options].concat()
}

fn message(octets: &[u8]) {
    let settings = Dhcp { mtu: Mtu::Accept, ask: vec![42.try_into().expect("a code")], ..settings() };
    let identity = Identity { mac: MAC, mtu: 1500, settings, other_macs: Vec::new(), taken: vec![TARGET] };
    let asked = Asked { identity: &identity, client_id: None, requested: Instant::BOOT };
    let mut rng = StdRng::seed_from_u64(0);
    let Ok(reply) = Reply::decode(octets, MAC) else { return };
    let text = reply.options.text(56.into()).unwrap_or_default();
    assert!(text.chars().count() <= 255 && !text.contains(char::is_control), "{text:?}");
    if let Ok(lease) = Lease::from_reply(&reply, SERVER_MAC, &asked, &mut rng) {
        check(&lease);
    }
}

fn check(lease: &Lease) {
    let address = lease.address.addr();
    assert!(!address.is_loopback() && !address.is_multicast() && !address.is_link_local(), "{address}");
    assert!(address != TARGET && Some(address) != lease.server && !lease.routers.contains(&address));
    assert!(lease.address.prefix_len() > 0);
    assert!(lease.routes.len() <= 256 && lease.routes.iter().all(|(to, _)| to.trunc() == *to));
    assert!(lease.mtu.is_none_or(|mtu| (576..=65535).contains(&mtu)));
    if let LeaseTime::Finite { lease, t1, t2 } = lease.time {
        assert!(
            lease > seconds(0) && (lease < seconds(6) || t1 < t2 && t2 < lease),
            "{lease:?} {t1:?} {t2:?}"
        );
    }
}

/// What stands on the agent's standard input: documents, each a spec or not.
pub fn spec(input: &[u8]) {
    let mut documents = Documents::default();
    let complete = documents.push(input);
    for document in complete.into_iter().chain(documents.finish()).flatten() {
        match Spec::from_yaml(&document) {
            Ok(spec) => {
                assert_eq!(Spec::from_yaml(&spec.to_yaml()).expect("our own writing"), spec);
                let forward = spec.forward();
                let overlaps = |i: usize| forward[..i].iter().any(|earlier| earlier.overlaps(&forward[i]));
                assert!(!(0..forward.len()).any(overlaps), "{forward:?}");
            }
            Err(error) => assert_ne!(error.to_string(), ""),
        }
    }
}

/// A line that an agent, or something else in the container's log, wrote.
pub fn report(input: &[u8]) {
    let Ok(line) = str::from_utf8(input) else { return };
    let Ok(report) = Report::from_line(line) else { return };
    let written = report.to_line();
    assert!(!written.contains('\n'), "{written}");
    assert_eq!(Report::from_line(&written).expect("our own writing"), report);
    if let Event::Searching(search) = report.event {
        let _ = search.cause();
    }
}
