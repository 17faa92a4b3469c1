//! A lease as it is kept from one agent to the next: text, checked before it is believed. Knows no file.

use std::{net::Ipv4Addr, time::Duration};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use landfall_api::{HostName, MacAddr, Octets};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::lease::{Lease, LeaseTime};
use crate::clock::Moment;

/// The version of the format that is read and written here.
const VERSION: u32 = 1;

/// Why a text is no lease that can be used.
#[derive(Debug, Error)]
pub enum SavedError {
    /// Not written by us, or not whole.
    #[error("it cannot be read: {0}")]
    Syntax(#[from] serde_json::Error),
    /// By a later agent.
    #[error("its version is {0}, not {VERSION}")]
    Version(u32),
    /// Of another uplink.
    #[error("it is of {0}")]
    OtherMac(MacAddr),
    /// The clock has stepped back since, so that nobody knows how old it is.
    #[error("it was written in the future")]
    Future,
    /// Its times contradict each other.
    #[error("its times are out of order")]
    Times,
}

/// The text, as JSON.
#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    mac: MacAddr,
    /// Which boot `boot_time_ms` belongs to.
    boot_id: String,
    boot_time_ms: u64,
    wall_time: Timestamp,
    /// How old the lease was then.
    age_ms: u64,
    lease: Fields,
}

#[derive(Serialize, Deserialize)]
struct Fields {
    address: Ipv4Net,
    routers: Vec<Ipv4Addr>,
    routes: Vec<(Ipv4Net, Ipv4Addr)>,
    dns: Vec<Ipv4Addr>,
    domain: Option<HostName>,
    mtu: Option<u32>,
    server: Option<Ipv4Addr>,
    server_mac: MacAddr,
    client_id: Option<Octets>,
    gateway_mac: Option<MacAddr>,
    /// Lease, T1 and T2; none if it never ends.
    times_ms: Option<[u64; 3]>,
}

/// Writes down the lease of an uplink with `mac`.
pub fn to_text(lease: &Lease, mac: MacAddr, now: &Moment) -> String {
    let record = Record {
        version: VERSION,
        mac,
        boot_id: now.boot_id.clone(),
        boot_time_ms: milliseconds(now.instant.since_boot()),
        wall_time: now.wall,
        age_ms: milliseconds(now.instant.saturating_duration_since(lease.requested)),
        lease: Fields {
            address: lease.address,
            routers: lease.routers.clone(),
            routes: lease.routes.clone(),
            dns: lease.dns.clone(),
            domain: lease.domain.clone(),
            mtu: lease.mtu,
            server: lease.server,
            server_mac: lease.server_mac,
            client_id: lease.client_id.clone(),
            gateway_mac: lease.gateway_mac,
            times_ms: match lease.time {
                LeaseTime::Finite { lease, t1, t2 } => Some([lease, t1, t2].map(milliseconds)),
                LeaseTime::Infinite => None,
            },
        },
    };
    serde_json::to_string(&record).expect("numbers and text only")
}

/// Reads the lease of an uplink with `mac`: what is left of it `now`, which may be nothing.
///
/// # Errors
/// Why it is to be ignored.
pub fn from_text(text: &str, mac: MacAddr, now: &Moment) -> Result<Lease, SavedError> {
    let record: Record = serde_json::from_str(text)?;
    if record.version != VERSION {
        return Err(SavedError::Version(record.version));
    }
    if record.mac != mac {
        return Err(SavedError::OtherMac(record.mac));
    }
    let age = Duration::from_millis(record.age_ms).saturating_add(since(&record, now)?);
    let Fields {
        address,
        routers,
        routes,
        dns,
        domain,
        mtu,
        server,
        server_mac,
        client_id,
        gateway_mac,
        times_ms,
    } = record.lease;
    let time = match times_ms.map(|times| times.map(Duration::from_millis)) {
        None => LeaseTime::Infinite,
        Some([lease, t1, t2]) if t1 <= t2 && t2 <= lease => {
            let [lease, t1, t2] = [lease, t1, t2].map(|time| time.saturating_sub(age));
            LeaseTime::Finite { lease, t1, t2 }
        }
        Some(_) => return Err(SavedError::Times),
    };
    Ok(Lease {
        address,
        routers,
        routes,
        dns,
        domain,
        mtu,
        options: std::collections::BTreeMap::new(),
        server,
        server_mac,
        client_id,
        gateway_mac,
        requested: now.instant,
        time,
    })
}

/// How long ago it was written: by the clock that never steps if the host has not been booted since.
fn since(record: &Record, now: &Moment) -> Result<Duration, SavedError> {
    if record.boot_id == now.boot_id {
        let now = now.instant.since_boot();
        return now.checked_sub(Duration::from_millis(record.boot_time_ms)).ok_or(SavedError::Future);
    }
    now.wall.duration_since(record.wall_time).try_into().map_err(|_| SavedError::Future)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
