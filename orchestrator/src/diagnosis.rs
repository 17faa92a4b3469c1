//! Says why there is no address, from what the agent reported, and names the usual causes. Knows no Docker and no clock.

use landfall_api::Search;

use crate::{
    agent_stream::Noise,
    families::Families,
    state::{AgentState, Phase},
    uplink::is_wireless,
};

/// Why there is no address yet on `interface`: what the agent reported, and what came over its pipe besides.
pub fn no_address(interface: &str, families: Families, state: &AgentState, noise: Option<&Noise>) -> String {
    let has_v6 = families.wanted().has_v6();
    let lacks_v4 = families.wanted().has_v4() && state.address().is_none();
    let ipv6 = (has_v6 && state.ipv6.is_none() && state.phase != Phase::Starting).then(|| {
        let cause = state.ipv6_search.as_ref().map(|search| search.cause().escape_debug().to_string());
        let cause = cause.unwrap_or("the agent has asked, and no answer is overdue yet".to_owned());
        format!("no IPv6 address on {interface}: {cause}")
    });
    match ipv6 {
        Some(ipv6) if lacks_v4 => format!("{ipv6}\n  nor one of IPv4: {}", no_v4(interface, state, noise)),
        Some(ipv6) => format!(
            "{ipv6}\n  is there a router that announces IPv6 on this LAN? landfall logs says what was heard"
        ),
        None => no_v4(interface, state, noise),
    }
}

fn no_v4(interface: &str, state: &AgentState, noise: Option<&Noise>) -> String {
    match (&state.search, noise) {
        (Some(search), _) => no_answer(interface, search),
        (None, _) if state.has_address() => {
            "there is one, but its forwards are not in force yet\n  give it more time with --wait".into()
        }
        (None, _) if state.phase == Phase::Searching => {
            format!(
                "the agent has asked on {interface}, and no answer is overdue yet\n  give it more time with --wait"
            )
        }
        (None, Some(Noise { lines, first })) => format!(
            "the agent sent {lines} lines that are no reports, the first one '{}'\n  does the image hold a landfall agent?",
            first.escape_debug()
        ),
        (None, None) => "the agent has said nothing\n  does the image hold a landfall agent?".into(),
    }
}

fn no_answer(interface: &str, search: &Search) -> String {
    match search {
        Search { naks: 1.., server, message, .. } => {
            let server = server.map_or("a DHCP server".into(), |server| format!("the DHCP server {server}"));
            let said =
                message.as_ref().map(|said| format!(" ('{}')", said.escape_debug())).unwrap_or_default();
            format!(
                "{server} on {interface} offers an address and then refuses it (DHCPNAK){said}\n  look at that server's log; \
                 two servers with different ideas of one subnet do this"
            )
        }
        Search { ipv6_only: Some(seconds), .. } => format!(
            "the DHCP server on {interface} wants hosts to do without an IPv4 address for {seconds} s (RFC 8925)\n  \
             leave out --ipv6-only"
        ),
        Search { offers: 1.., requests, conflicts: 0, server, .. } => {
            let server = server.map_or("a DHCP server".into(), |server| format!("the DHCP server {server}"));
            format!(
                "{server} on {interface} offers an address and then does not give it: {requests} REQUESTs sent, no ACK\n  look \
                 at that server's log"
            )
        }
        Search { conflicts: 1.., .. } => format!(
            "the addresses that are offered on {interface} are in use by somebody else\n  \
             landfall logs says by whom; look for hosts with fixed addresses inside the server's range"
        ),
        Search { ignored: 1.., why: Some(why), .. } => format!(
            "DHCP servers answer on {interface}, but nothing that can be used: the last reply is {}\n  \
             look at that server, and at what the command line says of DHCP",
            why.escape_debug()
        ),
        search => {
            let seen = search.cause().map(|cause| format!("  {cause}\n")).unwrap_or_default();
            format!(
                "no DHCP server answered on {interface}: {} DISCOVERs sent, no OFFER\n{seen}{}",
                search.discovers,
                causes(interface)
            )
        }
    }
}

fn causes(interface: &str) -> String {
    let wifi = if is_wireless(interface) {
        format!(
            "  - {interface} is wireless: access points drop frames from MAC addresses that did not log in; use a cable\n"
        )
    } else {
        String::new()
    };
    format!(
        "  usual causes:\n{wifi}  - the wrong interface or VLAN: is {interface} on the LAN that has the DHCP server?\n  \
         - a hypervisor that drops other MAC addresses: allow promiscuous mode, MAC spoofing and forged transmits for this machine\n  \
         - port security on the switch: allow more than one MAC address on this port\n  \
         - a server whose pool is exhausted, or that only serves MAC addresses it knows (landfall inspect shows ours)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_an_address(state: &AgentState, noise: Option<&Noise>) -> String {
        no_address("eth0", Families::V4, state, noise)
    }

    fn searching() -> AgentState {
        AgentState { phase: Phase::Searching, ..AgentState::default() }
    }

    #[test]
    fn a_search_that_has_just_begun_is_no_silence() {
        let said = without_an_address(&searching(), None);
        assert!(said.starts_with("the agent has asked on eth0"), "{said}");
    }

    #[test]
    fn silence_and_noise_are_told_apart() {
        let said = without_an_address(&AgentState::default(), None);
        assert!(said.starts_with("the agent has said nothing\n"), "{said}");
        let noise = Noise { lines: 2, first: "\u{1b}[2Jhi".into() };
        let said = without_an_address(&AgentState::default(), Some(&noise));
        assert!(said.contains("2 lines that are no reports, the first one '\\u{1b}[2Jhi'"), "{said}");
    }

    #[test]
    fn a_search_is_told_by_what_the_servers_did() {
        let search = |counts: &str| {
            let line = format!(r#"{{"time":"2026-11-23T12:00:00Z","event":"searching",{counts}}}"#);
            let report = landfall_api::Report::from_line(&line).expect("a report");
            without_an_address(&AgentState::of([report]), None)
        };
        let said = search(r#""discovers":5,"requests":0,"offers":0,"naks":0"#);
        assert!(said.starts_with("no DHCP server answered on eth0: 5 DISCOVERs sent, no OFFER\n"), "{said}");
        let said =
            search(r#""discovers":5,"requests":0,"offers":0,"naks":0,"ignored":2,"why":"of a\u001bkind""#);
        assert!(
            said.contains("on eth0, but nothing that can be used: the last reply is of a\\u{1b}kind"),
            "{said}"
        );
        let said = search(
            r#""discovers":1,"requests":1,"offers":1,"naks":1,"server":"10.0.0.1","message":"wrong\u001b""#,
        );
        assert!(
            said.starts_with(
                "the DHCP server 10.0.0.1 on eth0 offers an address and then refuses it (DHCPNAK) ('wrong\\u{1b}')"
            ),
            "{said}"
        );
    }
}
