//! The situations that end a command: what was attempted on what, why it failed, what to do, and the exit code.

use std::{io, process::ExitCode, time::Duration};

use landfall_api::DhcpError;
use nix::sys::signal::Signal;
use thiserror::Error;

use crate::{
    agent_stream::Noise, diagnosis::no_address, docker::DockerError, families::Families, lab::LabError,
    netlink::NetlinkError, path::PathError, ports::PortError, state::AgentState, uplink::UplinkError,
};

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// A port of the command line.
    #[error("cannot publish '{argument}': {source}")]
    Port {
        /// What was typed.
        argument: String,
        /// What is wrong with it.
        source: PortError,
    },
    /// Two forwards for one port.
    #[error("cannot publish both {earlier} and {later}: one public port can lead to one place only")]
    Overlap {
        /// What came first.
        earlier: String,
        /// What has a port in common with it.
        later: String,
    },
    /// Docker does not answer, or refuses.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The interface cannot be used, or the uplink not be made.
    #[error(transparent)]
    Uplink(#[from] UplinkError),
    /// The path to the target cannot be made.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The practice LAN.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// Docker takes a connection and says nothing.
    #[error(
        "cannot reach Docker: it did not answer within {0:?}\n  see what it is busy with: journalctl -u docker"
    )]
    DockerSilent(Duration),
    /// Docker works, and takes too long.
    #[error(
        "cannot {attempt} within {waited:?}: Docker is still busy with it\n  give it more time with --wait; see what it is busy with: \
         journalctl -u docker"
    )]
    OutOfTime {
        /// What it is busy with.
        attempt: &'static str,
        /// How long all may take.
        waited: Duration,
    },
    /// Not root.
    #[error("cannot {0}: this needs root, because it changes the host's network\n  run it with sudo")]
    NotRoot(&'static str),
    /// The lock file.
    #[error("cannot lock {path}")]
    Lock {
        /// Where it is.
        path: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another landfall holds the lock.
    #[error(
        "another landfall is still working on {target} after {waited:?}\n  wait for it, or give this one more time with --wait"
    )]
    Busy {
        /// The container in question.
        target: String,
        /// How long.
        waited: Duration,
    },
    /// No such container.
    #[error("cannot expose {target}: there is no container of that name, and none came within {waited:?}{}", say_alike(.alike))]
    NoTarget {
        /// The name that was typed.
        target: String,
        /// How long it was waited for.
        waited: Duration,
        /// Containers that may have been meant.
        alike: Vec<String>,
    },
    /// The target does not run.
    #[error(
        "cannot expose {target}: the container is there but not running, and did not start within {waited:?}\n  start it: docker start {target}, or docker unpause {target}"
    )]
    TargetStopped {
        /// The target.
        target: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The target has no network that can be shared.
    #[error("cannot expose {target}: it uses the network mode '{mode}', so {why}\n  {remedy}")]
    TargetNetwork {
        /// The target.
        target: String,
        /// As Docker calls it.
        mode: String,
        /// Why that does not do.
        why: &'static str,
        /// What does.
        remedy: &'static str,
    },
    /// Nothing to forward.
    #[error(
        "cannot expose {0}: its image exposes no ports\n  say which ones: landfall up {0} INTERFACE -p 80 -p 53/udp"
    )]
    NoPorts(String),
    /// The target is one of ours.
    #[error(
        "cannot expose {0}: it is a network container of landfall itself\n  name the container that it exposes"
    )]
    TargetIsOurs(String),
    /// Somebody else's container has the name we need.
    #[error(
        "cannot create the network container {0}: a container of that name is there and is not landfall's\n  rename or remove it: docker rename {0} SOMETHING-ELSE"
    )]
    Stranger(String),
    /// The image that was asked for.
    #[error(
        "cannot find the image {0}\n  load or pull it: docker pull {0}; landfall pulls it where the name begins with the registry's; or leave --image away to use the one inside landfall"
    )]
    NoImage(String),
    /// A binary that was built without its image.
    #[error(
        "this landfall carries no agent image, because it was built without one\n  build it with `make build`, or name an image with --image"
    )]
    NoCarriedImage,
    /// The agent ended.
    #[error("the agent in {container} ended{}{}", say_code(*.code), say_words(.words))]
    AgentDied {
        /// The network container.
        container: String,
        /// Its exit code.
        code: Option<i64>,
        /// What it said last.
        words: Vec<String>,
    },
    /// The agent is not content with what it was told.
    #[error("the agent refuses: {}", printable(.0))]
    AgentRefuses(String),
    /// What was typed about DHCP cannot be meant.
    #[error(transparent)]
    Dhcp(#[from] DhcpError),
    /// Only a wire leads to several containers.
    #[error("several containers behind one address need wires: --replica and to= go with --path wire")]
    WireOnly,
    /// There is no short cut where there is no way.
    #[error("nothing is passed on with --path direct, so there is nothing to offload\n  leave --offload out")]
    NothingToOffload,
    /// It is named as another one than itself.
    #[error("{0} is the container that is exposed; --replica names others that serve the same")]
    OwnReplica(String),
    /// Time is up, and there is no address.
    #[error("no address for {target} within {waited:?}: {}", no_address(.interface, *.families, .state, .noise.as_ref()))]
    NoAddress {
        /// The target.
        target: String,
        /// The host's interface.
        interface: String,
        /// Of which families.
        families: Families,
        /// How long.
        waited: Duration,
        /// What the agent has reported.
        state: Box<AgentState>,
        /// What came over its pipe besides.
        noise: Option<Noise>,
    },
    /// Ctrl-C, or a supervisor.
    #[error("interrupted by {0}; what was made is taken back")]
    Interrupted(Signal),
    /// No network container of that target.
    #[error("{0} has no network container\n  make one: landfall up {0} INTERFACE")]
    NotExposed(String),
    /// The name cannot be a container's.
    #[error("'{}' is no name of a container: letters, digits, '_', '.' and '-', beginning with a letter or digit", .0.escape_debug())]
    BadName(String),
    /// Several of one kind, each of which would have ended a command.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Self>),
    /// Standard output or another file.
    #[error("cannot {0}")]
    Io(&'static str, #[source] io::Error),
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Port { .. }
            | Self::OwnReplica(_)
            | Self::Overlap { .. }
            | Self::BadName(_)
            | Self::Dhcp(_) => 2,
            Self::NoAddress { .. } | Self::OutOfTime { .. } => 3,
            Self::NoTarget { .. } | Self::TargetStopped { .. } => 4,
            Self::DockerSilent(_) => 5,
            Self::Docker(error) => error.exit_code(),
            Self::Several(errors) => return errors.first().map_or(ExitCode::FAILURE, Self::exit_code),
            Self::Uplink(UplinkError::Kernel(NetlinkError::NotPermitted(_)))
            | Self::Path(PathError::Kernel(NetlinkError::NotPermitted(_)))
            | Self::NotRoot(_)
            | Self::Lab(LabError::NotPermitted { .. }) => 6,
            Self::Lock { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 6,
            Self::Interrupted(Signal::SIGTERM) => 143,
            Self::Interrupted(_) => 130,
            Self::Uplink(_)
            | Self::Path(_)
            | Self::Lab(_)
            | Self::Lock { .. }
            | Self::Busy { .. }
            | Self::TargetNetwork { .. }
            | Self::WireOnly
            | Self::NothingToOffload
            | Self::NoPorts(_)
            | Self::TargetIsOurs(_)
            | Self::Stranger(_)
            | Self::NoImage(_)
            | Self::NoCarriedImage
            | Self::AgentDied { .. }
            | Self::AgentRefuses(_)
            | Self::NotExposed(_)
            | Self::Io(..) => 1,
        })
    }
}

/// Text from elsewhere, without its control characters.
pub fn printable(text: &str) -> String {
    let show = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(show).collect()
}

/// All that is said of an error: what failed, then its causes that were not named yet, then the remedy.
pub fn say(error: &anyhow::Error) -> String {
    let text = error.to_string();
    let (what, remedy) = text.split_at(text.find('\n').unwrap_or(text.len()));
    let mut said = format!("landfall: {what}");
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !said.contains(&cause) {
            said.extend([": ", &cause]);
        }
    }
    said + remedy + "\n"
}

fn say_alike(names: &[String]) -> String {
    if names.is_empty() {
        "\n  see what there is: docker ps".into()
    } else {
        format!("\n  did you mean {}?", names.join(" or "))
    }
}

fn say_code(code: Option<i64>) -> String {
    code.map(|code| format!(" with exit code {code}")).unwrap_or_default()
}

fn say_words(words: &[String]) -> String {
    if words.is_empty() {
        return " and said nothing".into();
    }
    let quoted: Vec<String> = words.iter().map(|line| format!("  | {}", line.escape_debug())).collect();
    format!("; its last words:\n{}", quoted.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Publish;

    #[test]
    fn the_cause_comes_before_the_remedy() {
        let source = io::ErrorKind::NotFound.into();
        let error = NetlinkError::Namespace("/proc/1/ns/net".into(), "the network container", source);
        assert_eq!(
            say(&Error::from(UplinkError::from(error)).into()),
            "landfall: cannot open the network namespace /proc/1/ns/net of the network container: entity not found\n  \
             has it just stopped? landfall must run on the host itself, as Docker does\n"
        );
    }

    #[test]
    fn several_errors_are_all_said_and_the_first_decides() {
        let errors = vec![Error::BadName("a b".into()), Error::NotExposed("web".into())];
        let several = Error::Several(errors);
        assert!(several.to_string().contains("'a b' is no name"), "{several}");
        assert!(several.to_string().contains("\nweb has no network container"), "{several}");
        assert_eq!(several.exit_code(), ExitCode::from(2));
    }

    #[test]
    fn foreign_text_keeps_its_quotes_and_loses_its_control_characters() {
        assert_eq!(printable("the LAN's \u{1b}[2J\n"), "the LAN's \\u{1b}[2J\\n");
    }

    #[test]
    fn nothing_is_said_twice() {
        let error = Publish::parse("80/xyz").expect_err("no protocol");
        assert_eq!(
            say(&error.into()),
            "landfall: cannot publish '80/xyz': 'xyz' is no protocol that can be forwarded: tcp, udp or sctp\n"
        );
    }
}
