//! Containers as Docker describes them, and the one that landfall makes. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZeroU16,
    path::PathBuf,
};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions,
};

use super::STOP_WITHIN_SECONDS;

/// A container, as far as landfall cares.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub status: String,
    /// The number of its first process; 0 while it does not run.
    pub pid: i64,
    /// Its exit code, once it has one.
    pub exit_code: Option<i64>,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// The id of its image.
    pub image: String,
    /// `default`, `bridge`, `host`, `none`, `container:ID` or the name of a network.
    pub network_mode: String,
    /// Its IPv4 address on each network it is on, by the network's name.
    pub networks: BTreeMap<String, Ipv4Addr>,
    /// Its IPv6 addresses, by the Docker network that they are on.
    pub networks6: BTreeMap<String, Ipv6Addr>,
    /// The ports that it exposes: `80/tcp`.
    pub exposed: Vec<String>,
    /// Those of its UDP ports that the engine publishes on the host.
    pub published_udp: Vec<NonZeroU16>,
    /// Its network namespace.
    pub namespace: PathBuf,
}

impl Container {
    /// Whether it runs and does not pause.
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// Whether it pauses.
    pub fn is_paused(&self) -> bool {
        self.status == "paused"
    }
}

/// A network container to be made.
pub struct Creation {
    /// What it will be called.
    pub name: String,
    /// The agent's image.
    pub image: String,
    /// The Docker network that it joins, or `none`.
    pub network: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
    /// The volume that it keeps its lease in; made if it is not there.
    pub volume: String,
}

/// How the network mode of a container begins that is in the network namespace of another one.
pub const GUEST: &str = "container:";

/// Where an agent keeps its lease, as its image says.
const STATE: &str = "/var/lib/landfall";

/// Docker writes names with a slash.
pub(super) fn bare(name: &str) -> &str {
    name.trim_start_matches('/')
}

pub(super) fn to_container(found: ContainerInspectResponse) -> Container {
    let state = found.state.unwrap_or_default();
    let config = found.config.unwrap_or_default();
    let settings = found.network_settings.unwrap_or_default();
    let pid = state.pid.unwrap_or_default();
    let network_mode = found.host_config.and_then(|host| host.network_mode).unwrap_or_default();
    // Podman has no name for the namespace of a container without a network, and for one in another's that of the other, where
    // it may be no longer.
    let is_guest = network_mode.starts_with(GUEST);
    let sandbox = settings.sandbox_key.filter(|key| !key.is_empty() && !is_guest);
    let namespace = sandbox.map_or_else(|| format!("/proc/{pid}/ns/net").into(), PathBuf::from);
    let published = settings.ports.unwrap_or_default().into_iter();
    let published = published.filter(|(_, bindings)| bindings.as_ref().is_some_and(|all| !all.is_empty()));
    let networks = settings.networks.unwrap_or_default();
    let addresses6 = networks.iter().filter_map(|(name, endpoint)| {
        Some((name.clone(), endpoint.global_ipv6_address.as_ref()?.parse().ok()?))
    });
    let networks6 = addresses6.collect();
    let addresses =
        networks.into_iter().filter_map(|(name, endpoint)| Some((name, endpoint.ip_address?.parse().ok()?)));
    Container {
        id: found.id.unwrap_or_default(),
        name: bare(&found.name.unwrap_or_default()).to_owned(),
        status: state.status.map(|status| status.to_string()).unwrap_or_default(),
        pid,
        exit_code: state.exit_code,
        labels: config.labels.unwrap_or_default(),
        image: found.image.unwrap_or_default(),
        network_mode,
        networks: addresses.collect(),
        networks6,
        exposed: config.exposed_ports.unwrap_or_default(),
        published_udp: published.filter_map(|(port, _)| port.strip_suffix("/udp")?.parse().ok()).collect(),
        namespace,
    }
}

/// A container with the two capabilities that the agent needs and nothing else that it does not. In the network namespace of
/// another one it changes nothing there that is for all, and needs a third.
pub(super) fn to_body(creation: Creation) -> ContainerCreateBody {
    let sysctls = [
        ("net.ipv4.ip_forward", "1"),
        // The agent's DHCP client listens on port 68 without a capability for it.
        ("net.ipv4.ip_unprivileged_port_start", "0"),
        // Neither network learns the addresses of the other.
        ("net.ipv4.conf.all.arp_ignore", "1"),
        ("net.ipv4.conf.all.arp_announce", "2"),
        // What is passed on belongs to no socket here, so none is looked for.
        ("net.ipv4.ip_early_demux", "0"),
    ];
    let is_guest = creation.network.starts_with(GUEST);
    let mut capabilities = vec!["NET_ADMIN".to_owned(), "NET_RAW".to_owned()];
    capabilities.extend(is_guest.then(|| "NET_BIND_SERVICE".to_owned()));
    let sysctls = (!is_guest).then(|| sysctls.map(|(key, value)| (key.into(), value.into())).into());
    let volume = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(creation.volume),
        target: Some(STATE.into()),
        volume_options: Some(MountVolumeOptions {
            labels: Some(
                creation.labels.clone().into_iter().filter(|(key, _)| key == "landfall.target").collect(),
            ),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let host_config = HostConfig {
        mounts: Some(vec![volume]),
        network_mode: Some(creation.network),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(capabilities),
        readonly_rootfs: Some(true),
        security_opt: Some(vec!["no-new-privileges".into()]),
        memory: Some(128 << 20),
        pids_limit: Some(32),
        sysctls,
        // The reports are read back from the log, so it must be of a kind that can be read, and bounded.
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".into()),
            config: Some(
                [("max-size", "4m"), ("max-file", "2")].map(|(key, value)| (key.into(), value.into())).into(),
            ),
        }),
        ..HostConfig::default()
    };
    ContainerCreateBody {
        image: Some(creation.image),
        labels: Some(creation.labels),
        open_stdin: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        stop_timeout: Some(STOP_WITHIN_SECONDS.into()),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}
