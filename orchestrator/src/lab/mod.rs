//! `landfall lab`: a practice LAN for people to try things on. It is a network namespace with a bridge, a veth pair to
//! the host and a small DHCP server. Nothing else in landfall uses it, and it knows nothing of Docker.

mod dhcp;
mod down;
mod error;
mod exec;
mod lan;
mod links;
mod name;
mod netns;
mod residents;
mod serve;
mod subnet;
mod up;

use std::{
    ffi::OsString,
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};

use self::up::{Outcome, Plan};
pub use self::{
    dhcp::{InvalidLeaseTime, LeaseTime},
    error::LabError,
    name::{InvalidName, Name},
    subnet::{InvalidSubnet, Subnet},
};

/// Make, use and remove a practice LAN to try landfall on
#[derive(Debug, Subcommand)]
pub enum LabCommand {
    /// Make a practice LAN: a network namespace with a bridge, a DHCP server and an interface on this host
    Up(Up),
    /// Run a command on the practice LAN, as a machine of it would
    Exec(Exec),
    /// Remove a practice LAN and all that runs in it
    Down(Which),
    /// The DHCP server, on the socket that is standard input; `up` starts it
    #[command(hide = true)]
    Serve(Serve),
}

/// Which practice LAN.
#[derive(Debug, Args)]
pub struct Which {
    /// Its name; its interface on this host is lf-NAME
    #[arg(long, default_value_t)]
    name: Name,
}

/// What practice LAN to make.
#[derive(Debug, Args)]
pub struct Up {
    #[command(flatten)]
    which: Which,
    /// Its network, a /8 to a /24 [default: 10.77.0.0/24]
    #[arg(long, value_name = "CIDR")]
    subnet: Option<Subnet>,
    /// How long its DHCP server leases an address
    #[arg(long, value_name = "TIME", default_value_t)]
    lease_time: LeaseTime,
}

/// What to run on which practice LAN.
#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    which: Which,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// What to serve.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    which: Which,
    #[arg(long)]
    subnet: Subnet,
    #[arg(long)]
    lease_time: LeaseTime,
}

/// A practice LAN that is up.
#[derive(Debug)]
pub struct Lab {
    /// What it is called.
    pub name: Name,
    /// Its addresses.
    pub subnet: Subnet,
}

/// Does what the command says. `exec` returns only if the command could not be run.
///
/// # Errors
/// A [`LabError`] below the context of what was attempted.
pub async fn run(command: LabCommand) -> anyhow::Result<ExitCode> {
    match command {
        LabCommand::Up(Up { which: Which { name }, subnet, lease_time }) => {
            let plan = Plan { name, subnet, lease_time };
            let made = up::up(&plan).await;
            let (lab, outcome) = made.with_context(|| format!("make the practice LAN {}", plan.name))?;
            let heading = match outcome {
                Outcome::Made => "made",
                Outcome::Repaired => "repaired",
                Outcome::Found => "found",
            };
            say(format_args!("{heading} the practice LAN {lab}"))?;
        }
        LabCommand::Exec(Exec { which: Which { name }, command }) => match exec::exec(&name, &command)? {},
        LabCommand::Down(Which { name }) => {
            let removed = down::down(&name).await;
            let removed = removed.with_context(|| format!("remove the practice LAN {name}"))?;
            say(format_args!("practice LAN {name}: {removed}"))?;
        }
        LabCommand::Serve(Serve { which: Which { name }, subnet, lease_time }) => {
            serve::serve(&Lab { name, subnet }, lease_time)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn say(text: fmt::Arguments<'_>) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("write to standard output")
}

impl fmt::Display for Lab {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, subnet } = self;
        let (interface, option, pool) = (name.interface(), name.option(), subnet.pool());
        writeln!(formatter, "{name}")?;
        writeln!(formatter, "  interface  {interface}")?;
        writeln!(formatter, "  subnet     {subnet}, DHCP gives {} to {}", pool.start(), pool.end())?;
        writeln!(formatter, "  router     {}, in network namespace {}", subnet.router(), name.namespace())?;
        writeln!(formatter, "next: landfall up CONTAINER {interface}")?;
        write!(formatter, "then: landfall lab exec{option} -- curl http://ADDRESS/")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: LabCommand,
    }

    fn parsed(line: &[&str]) -> LabCommand {
        Cli::parse_from([&["lab"], line].concat()).command
    }

    #[test]
    fn the_options_of_a_command_are_its_own() {
        for line in [&["exec", "curl", "--name", "-s"][..], &["exec", "--", "curl", "--name", "-s"]] {
            let LabCommand::Exec(Exec { which, command }) = parsed(line) else { panic!("{line:?}") };
            assert_eq!(
                (which.name, command),
                (Name::default(), ["curl", "--name", "-s"].map(OsString::from).to_vec())
            );
        }
    }

    #[test]
    fn the_server_is_started_with_arguments_that_it_understands() {
        // Given a practice LAN with nothing left at its default
        let lab =
            Lab { name: "x".parse().expect("a name"), subnet: "10.1.0.0/16".parse().expect("a subnet") };
        let time: LeaseTime = "90s".parse().expect("a lease time");
        // When the server is told of it
        let arguments = serve::arguments(&lab, time);
        let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        // Then that is what it serves
        let LabCommand::Serve(Serve { which, subnet, lease_time }) = parsed(&words) else {
            panic!("{words:?}")
        };
        assert_eq!((which.name, subnet, lease_time), (lab.name, lab.subnet, time));
    }

    #[test]
    fn a_lab_says_what_to_type_next() {
        let lab = Lab { name: "x".parse().expect("a name"), subnet: Subnet::default() };
        let expected = "x
  interface  lf-x
  subnet     10.77.0.0/24, DHCP gives 10.77.0.100 to 10.77.0.250
  router     10.77.0.1, in network namespace landfall-x
next: landfall up CONTAINER lf-x
then: landfall lab exec --name x -- curl http://ADDRESS/";
        assert_eq!(lab.to_string(), expected);
    }
}
