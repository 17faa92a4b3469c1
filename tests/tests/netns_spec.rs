//! Specs that are wrong, and what becomes of the agent that reads them.

use std::fs;

use landfall_api::Event;
use landfall_tests::{
    agent::{Agent, forward, spec},
    lan::Lan,
    netns::Netns,
};

fn refused(text: &str) -> String {
    let mut agent = Agent::new();
    agent.tell(text);
    agent.end_input();
    let message = agent
        .expect("fatal", |event| if let Event::Fatal { message } = event { Some(message) } else { None });
    assert_eq!(agent.wait().0, 2, "{message}");
    message
}

#[test]
fn a_first_spec_that_is_none_ends_the_agent() {
    let good = spec(&forward("tcp", "80", "172.30.0.2"));
    let cases = [
        (good.replace("interface", "iface"), "line 2 column 1"),
        (good.replace("version: 1", "version: 1\nversion: 1"), "line 2 column 1"),
        (good.replace("port: 80", "port: 65536"), "65536"),
        (good.replace("version: 1", "version: 9"), "version 9"),
        ("\u{0}garbage\n...\n".to_owned(), "the spec is refused"),
        ("{".to_owned(), "the spec is refused"),
        (String::new(), "without a spec"),
    ];
    for (text, expected) in cases {
        let message = refused(&text);
        assert!(message.contains(expected), "{text:?}: {message}");
    }
}

#[test]
fn a_later_spec_that_is_none_leaves_the_rules_as_they_are() {
    let lan = Lan::new();
    let mut agent = Agent::on(&lan, &forward("tcp", "80", "172.30.0.2"));
    agent.ready();
    // Without what they have counted meanwhile
    let rules = |agent: &Agent| agent.namespace.run(&["nft", "--stateless", "list", "ruleset"]);
    let before = rules(&agent);
    let other_interface = spec(&forward("tcp", "80", "172.30.0.2")).replace("lan0", "lan1");
    for (bad, expected) in [("nonsense\n...\n", "line 1"), (&*other_interface, "and address cannot change")] {
        agent.tell(bad);
        let message = agent.expect("warning", |event| {
            if let Event::Warning { message } = event { Some(message) } else { None }
        });
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(rules(&agent), before);
    // And a good one is taken after that, whichever way it ends
    agent.tell(&spec(&forward("tcp", "81", "172.30.0.2")).replace("...", "---"));
    agent.forwarding();
    agent.tell(&spec(&forward("tcp", "82", "172.30.0.2")));
    agent.forwarding();
}

/// Opens the pipe of an agent whose input has ended, and says that another port is to be forwarded.
fn speak(agent: &Agent, port: &str) {
    let stdin = format!("/proc/{}/fd/0", agent.pid());
    fs::write(stdin, spec(&forward("tcp", port, "172.30.0.2"))).expect("the agent holds its pipe");
}

#[test]
fn the_end_of_input_changes_nothing() {
    let lan = Lan::new();
    let mut agent = Agent::new();
    lan.plug(&agent.namespace, "lan0");
    agent.tell(spec(&forward("tcp", "80", "172.30.0.2")).trim_end_matches("...\n"));
    agent.end_input();
    agent.ready();
    // When somebody says something else later
    speak(&agent, "81");
    // Then that is the next thing that the agent does
    let next = agent.next();
    assert!(matches!(&next, Event::Forwarding { forward } if forward[0].port().first() == 81), "{next:?}");
}

#[test]
fn an_agent_without_its_capabilities_says_which() {
    let good = spec(&forward("tcp", "80", "172.30.0.2"));
    for (capabilities, missing) in [("-all,+net_raw", "NET_ADMIN"), ("-all,+net_admin", "NET_RAW")] {
        let lan = Lan::without_server();
        let mut agent = Agent::with_capabilities(Netns::new(), capabilities);
        lan.plug(&agent.namespace, "lan0");
        agent.tell(&good);
        let message = agent
            .expect("fatal", |event| if let Event::Fatal { message } = event { Some(message) } else { None });
        assert!(message.contains(missing), "{message}");
        assert_eq!(agent.wait().0, 3, "{message}");
    }
}

#[test]
fn the_pipe_that_ended_can_be_opened_again() {
    // Given an agent whose spec came over a pipe that nobody has open any more
    let lan = Lan::new();
    let mut agent = Agent::on(&lan, &forward("tcp", "80", "172.30.0.2"));
    agent.ready();
    agent.end_input();
    // When others open it, one after another, and say something else
    for port in ["81", "82"] {
        speak(&agent, port);
        // Then that is in force
        agent.forwarding();
        assert!(agent.namespace.run(&["nft", "list", "ruleset"]).contains(port));
    }
}
