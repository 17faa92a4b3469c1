//! What is kept of a machine in which a test failed, beside its console and the captures of its cards.

use std::{fs, path::Path, time::Duration};

use super::agent::Agent;

/// File -> what says it, in the machine.
const QUESTIONS: &[(&str, &str)] = &[
    ("journal", "journalctl --no-pager --output short-precise"),
    ("ip", "ip -d addr; ip route show table all; ip neigh; ip rule"),
    ("nft", "nft list ruleset; iptables-save; sysctl -a --pattern 'forward|rp_filter'"),
    ("docker", "docker version; docker info; docker ps -a --no-trunc; docker network ls"),
    (
        "containers",
        "docker ps -aq --filter label=landfall.target | while read id; do docker inspect $id; docker logs -t $id; done",
    ),
    ("processes", "ps -ef; systemctl --no-pager --failed"),
];

/// Asks the machine about itself; what it does not answer is left out. Says where everything is.
#[expect(clippy::print_stderr, reason = "the test has failed already, and its output is shown")]
pub fn collect(agent: &mut Agent, folder: &Path) {
    if agent.is_there(Duration::from_secs(5)) {
        for (file, question) in QUESTIONS {
            let answer =
                agent.run(&["sh", "-c", &format!("({question}) 2>&1")], &[], Duration::from_secs(30));
            if let Ok(ran) = answer {
                drop(fs::write(folder.join(file), ran.stdout));
            }
        }
    }
    eprintln!("console, journal, network state and captures of the machine are in {}", folder.display());
}
