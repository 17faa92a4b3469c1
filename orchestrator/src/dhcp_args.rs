//! What can be typed about DHCP: each flag is a key of the spec (`docs/spec.md`).

use std::net::Ipv4Addr;

use clap::Args;
use landfall_api::{
    Broadcast, ClientId, ConflictDetection, Dhcp, DhcpError, DnsUpdate, Fqdn, HostName, Mtu, NoServer,
    Octets, OptionCode, Server,
};
use serde::de::{
    DeserializeOwned, IntoDeserializer as _,
    value::{Error as ValueError, StrDeserializer},
};

/// What to tell DHCP servers, and what to believe of them.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "DHCP")]
pub struct DhcpArgs {
    /// The host name to tell the server [default: the container's name]
    #[arg(long)]
    hostname: Option<HostName>,
    /// The full name to tell the server instead (RFC 4702)
    #[arg(long, value_name = "NAME", conflicts_with = "hostname")]
    fqdn: Option<HostName>,
    /// Who writes the full name into the DNS: server, client or none
    #[arg(long, value_name = "WHO", default_value = "server", requires = "fqdn", value_parser = word::<DnsUpdate>)]
    dns_update: DnsUpdate,
    /// The client identifier: default, mac, duid, none, or octets such as 00:77:65:62
    #[arg(long, value_name = "ID", default_value_t)]
    client_id: ClientId,
    /// The vendor class identifier (option 60)
    #[arg(long, value_name = "TEXT")]
    vendor_class: Option<String>,
    /// The address to ask for
    #[arg(long, value_name = "ADDRESS")]
    request: Option<Ipv4Addr>,
    /// Listen to this server only, by identifier or MAC address; repeatable
    #[arg(long, value_name = "SERVER")]
    server: Vec<Server>,
    /// A further option to send, as in 77=01:02; repeatable
    #[arg(long, value_name = "CODE=OCTETS", value_parser = assignment)]
    send_option: Vec<(OptionCode, Octets)>,
    /// A further option to ask for; `landfall inspect` shows what came; repeatable
    #[arg(long, value_name = "CODE")]
    ask_option: Vec<OptionCode>,
    /// How to find out whether somebody else uses the address: fast, rfc5227 or off
    #[arg(long, value_name = "HOW", default_value = "fast", value_parser = word::<ConflictDetection>)]
    conflict_detection: ConflictDetection,
    /// Do not take a lease in two messages (RFC 4039)
    #[arg(long)]
    no_rapid_commit: bool,
    /// When to ask for replies by broadcast: auto or always
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = word::<Broadcast>)]
    broadcast: Broadcast,
    /// Take the MTU that the server gives
    #[arg(long)]
    accept_mtu: bool,
    /// Stay without an IPv4 address where the server prefers that (RFC 8925)
    #[arg(long)]
    ipv6_only: bool,
    /// How long a lease lasts whose server does not say, in seconds
    #[arg(long, value_name = "SECONDS")]
    assume_lease_time: Option<u32>,
    /// What the agent does without a server: wait, fail or link-local
    #[arg(long, value_name = "WHAT", default_value = "wait", value_parser = word::<NoServer>)]
    no_server: NoServer,
    /// After how many seconds without an address it does that
    #[arg(long, value_name = "SECONDS", default_value_t = Dhcp::default().timeout)]
    dhcp_timeout: u32,
}

impl DhcpArgs {
    /// What the spec is to say; the host name is `derived` unless one was typed.
    ///
    /// # Errors
    /// What cannot be meant.
    pub fn to_dhcp(&self, derived: Option<HostName>) -> Result<Dhcp, DhcpError> {
        let update = self.dns_update;
        let fqdn = self.fqdn.clone().map(|name| Fqdn { name, update });
        let dhcp = Dhcp {
            hostname: self.hostname.clone().or_else(|| derived.filter(|_| fqdn.is_none())),
            fqdn,
            client_id: self.client_id.clone(),
            vendor_class: self.vendor_class.clone(),
            request: self.request,
            servers: self.server.clone(),
            send: self.send_option.iter().cloned().collect(),
            ask: self.ask_option.clone(),
            conflict_detection: self.conflict_detection,
            rapid_commit: !self.no_rapid_commit,
            broadcast: self.broadcast,
            mtu: if self.accept_mtu { Mtu::Accept } else { Mtu::Ignore },
            ipv6_only: self.ipv6_only,
            assume_lease_time: self.assume_lease_time,
            start_jitter: 0,
            timeout: self.dhcp_timeout,
            no_server: self.no_server,
        };
        dhcp.check().map(|()| dhcp)
    }
}

/// One of a few words, which are those of the spec.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let words: StrDeserializer<'_, ValueError> = text.into_deserializer();
    T::deserialize(words).map_err(|error| error.to_string())
}

fn assignment(text: &str) -> Result<(OptionCode, Octets), String> {
    let (code, octets) = text.split_once('=').ok_or("a code and octets, as in 77=01:02")?;
    let fails = |error: DhcpError| error.to_string();
    Ok((code.parse().map_err(fails)?, octets.parse().map_err(fails)?))
}
