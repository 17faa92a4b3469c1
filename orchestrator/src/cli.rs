//! What can be typed.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use landfall_api::{MacAddr, Rate, Source};

use crate::{
    dhcp_args::DhcpArgs,
    error::Error,
    families::Families,
    lab::LabCommand,
    path,
    patience::Wait,
    ports::{self, Access, Publish},
};

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  anything that is not below
  2  the command line is wrong
  3  no address in time
  4  no such target, or it does not run
  5  Docker cannot be reached
  6  not permitted
  130, 143  interrupted by SIGINT, SIGTERM";

/// Give a Docker container its own address on the LAN
#[derive(Debug, Parser)]
#[command(name = "landfall", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Say on standard error what is done and why
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// The engine's socket.
    // Said again: rustdoc takes the path for a link.
    #[arg(
        long,
        value_name = "SOCKET",
        global = true,
        help = "The engine's socket, as unix:///PATH; lab and completions need none [default: DOCKER_HOST, or else Docker's, or else Podman's]"
    )]
    pub host: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one command")]
pub enum Command {
    /// Give a container an address on the LAN, and forward its ports
    Up(UpArgs),
    /// Take addresses away: give the leases back and remove the network containers
    Down(DownArgs),
    /// List the containers that have an address
    Ls(LsArgs),
    /// Show what has passed each forward
    Stats(StatsArgs),
    /// Show everything about a container's address, as JSON
    Inspect(InspectArgs),
    /// Show what the agent of a container's address has to say
    Logs(LogsArgs),
    /// Make, use and remove a practice LAN to try landfall on
    #[command(subcommand)]
    Lab(LabCommand),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What to expose, and how.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The container
    pub target: String,
    /// The host's interface on the LAN
    pub interface: String,
    // No doc comment: rustdoc takes the brackets for links.
    #[arg(
        short,
        long = "publish",
        value_name = "PORT",
        help = "A port or range to forward: PUBLIC[:PRIVATE][/tcp|udp|sctp][,to=CONTAINER][,from=NETWORK][,limit=RATE]; repeatable [default: what the container exposes]"
    )]
    publish: Vec<String>,
    /// Another container that serves the same on the same ports: connections are spread over all of them; repeatable
    #[arg(long, value_name = "CONTAINER")]
    pub replica: Vec<String>,
    /// Who may connect, where a port does not say: an address or a network; repeatable
    #[arg(long, value_name = "NETWORK")]
    from: Vec<Source>,
    /// How many connections may begin at each port, where it does not say: as in 10/second
    #[arg(long, value_name = "RATE")]
    limit: Option<Rate>,
    /// How packets get to the container
    #[arg(long, value_enum, default_value_t)]
    pub path: path::Kind,
    /// Of which families the container is to have addresses on the LAN; an IPv6 address may be reached from beyond it
    #[arg(long, value_enum, default_value_t)]
    pub family: Families,
    /// Let packets of established connections take a short cut in the kernel (nftables flowtable), which `stats` does not count
    #[arg(long)]
    pub offload: bool,
    /// Let this host reach the address, and the containers behind its bridges: a pair of interfaces and routes of their own for it
    #[arg(long)]
    pub host_access: bool,
    /// The MAC address [default: made of this machine's id and the container's name, always the same]
    #[arg(long, value_parser = usable_mac)]
    pub mac: Option<MacAddr>,
    /// How long all of it may take
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub wait: Wait,
    /// Another agent image than the one inside this program; pulled, without a login, where its name begins with its registry's
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Print the address and nothing else
    #[arg(short, long, conflicts_with = "format")]
    pub quiet: bool,
    /// What to tell DHCP servers.
    #[command(flatten)]
    pub dhcp: DhcpArgs,
}

impl UpArgs {
    /// The ports that were typed.
    ///
    /// # Errors
    /// The first one that is none, or that claims a port of an earlier one.
    pub fn publish(&self) -> Result<Vec<Publish>, Error> {
        ports::typed(&self.publish)
    }

    /// Whether what was typed goes together.
    ///
    /// # Errors
    /// The first of what does not.
    pub fn check(&self) -> Result<(), Error> {
        let has_others = !self.replica.is_empty() || self.publish.iter().any(|port| port.contains(",to="));
        match self.path {
            path::Kind::Direct if self.offload => Err(Error::NothingToOffload),
            path::Kind::Direct | path::Kind::Bridge if has_others => Err(Error::WireOnly),
            path::Kind::Wire | path::Kind::Bridge | path::Kind::Direct => Ok(()),
        }
    }

    /// Who may begin connections where a port does not say.
    pub fn access(&self) -> Access {
        Access { from: self.from.clone(), limit: self.limit }
    }
}

/// What to take away.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct DownArgs {
    /// The containers
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// All that have an address
    #[arg(long)]
    pub all: bool,
}

/// How to list.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// How to print the list
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Whose forwards to count.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The containers [default: all that have an address]
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Go on, and show how much passes in a second
    #[arg(short, long)]
    pub watch: bool,
    /// How to print the counters; with --watch, JSON is one line each time
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What to show.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The container
    pub target: String,
}

/// Whose log to show.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The container
    pub target: String,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

fn usable_mac(text: &str) -> Result<MacAddr, String> {
    let mac: MacAddr = text.parse().map_err(|error| format!("{error}"))?;
    if mac.is_usable() {
        Ok(mac)
    } else {
        Err(format!(
            "{mac} is a group address or zero; an interface needs a unicast one, as in 02:42:ac:11:00:02"
        ))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
