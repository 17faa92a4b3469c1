//! Somebody sends what looks like replies, as fast as a core can, to an agent that has a lease.

use std::{fs, thread, time::Duration};

use landfall_tests::{
    agent::{Agent, forward},
    lan::Lan,
    run::now,
    scripted::reply_to,
    tap::{Tap, from_client, to_client},
};

use super::row;

const LASTS: Duration = Duration::from_mins(1);

/// Prints what becomes of the lease and the memory.
pub fn measure() {
    let lan =
        Lan::with_dnsmasq(&["--dhcp-range=10.99.0.100,10.99.0.200,2m", "--no-ping", "--dhcp-authoritative"]);
    let tap = Tap::on(&lan.router, "br0");
    let agent = Agent::on(&lan, &forward("tcp", "80", "172.30.0.2"));
    let discover = tap.expect("a DISCOVER", |frame| from_client(frame).map(<[u8]>::to_vec));
    agent.ready();
    let mut junk = reply_to(&discover, 5);
    junk[4] ^= 0xff;
    let frame = to_client(&discover, &junk, None);
    let resident = || -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/statm", agent.pid())).expect("it runs");
        4 * status.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number")
    };
    let (before, begin) = (resident(), now());
    let mut sent = 0_u32;
    while now().duration_since(begin) < LASTS {
        for _ in 0..100 {
            tap.send(&frame);
        }
        sent += 100;
        // A hundred every four milliseconds are 25,000 a second.
        thread::park_timeout(Duration::from_millis(4));
    }
    let rate = f64::from(sent) / now().duration_since(begin).as_secs_f64();
    let address = agent.namespace.ip("-4 -o addr show dev lan0");
    assert!(address.contains("10.99.0."), "the lease is gone");
    row(
        &format!("junk replies for {} s", LASTS.as_secs()),
        "20000 a second change neither the lease nor the memory",
        &format!(
            "{rate:.0} a second: {before} KiB before, {} KiB after, same address, renewed meanwhile",
            resident()
        ),
    );
}
