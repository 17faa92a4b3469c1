//! What has passed each forward, as nft lists the agent's table. Pure.

use std::collections::HashMap;

use landfall_api::{Forward, Protocol};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What lists it, in the agent's container.
pub const LIST: [&str; 6] = ["/usr/sbin/nft", "-j", "list", "table", "inet", "landfall"];

/// What has passed one forward since its rules were made, which is when any of its container's forwards last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections that began.
    pub connections: u64,
    /// Packets, in both directions.
    pub packets: u64,
    /// Bytes of IP packets, in both directions.
    pub bytes: u64,
}

/// The counters of a whole table, by protocol and port.
#[derive(Debug, Default)]
pub struct Table {
    passed: HashMap<(Protocol, u16), Counter>,
    begun: HashMap<(Protocol, u16), Counter>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Counter {
    packets: u64,
    bytes: u64,
}

impl Table {
    /// Reads what `nft -j` lists; what is not a counter is passed over.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let listed: Value = serde_json::from_slice(json)?;
        let objects = listed["nftables"].as_array().into_iter().flatten();
        let sets: Vec<&Value> = objects.filter_map(|object| object.get("set")).collect();
        let counters = |what: &str| {
            let of_protocol = |protocol: Protocol| {
                let name = format!("{protocol}_{what}");
                let set = sets.iter().find(move |set| set["name"] == *name);
                let elements = set.and_then(|set| set["elem"].as_array()).into_iter().flatten();
                elements.filter_map(move |element| {
                    let (port, counter) = element.get("elem").and_then(counter)?;
                    Some(((protocol, port), counter))
                })
            };
            Protocol::ALL.into_iter().flat_map(of_protocol).collect()
        };
        Ok(Self { passed: counters("forward"), begun: counters("connections") })
    }

    /// Those of one forward; none if the table does not have it.
    pub fn of(&self, forward: &Forward) -> Option<Counters> {
        let Counter { packets, bytes } = *self.passed.get(&(forward.protocol(), forward.port().first()))?;
        let begun = forward.port().ports().filter_map(|port| self.begun.get(&(forward.protocol(), port)));
        Some(Counters { connections: begun.map(|counter| counter.packets).sum(), packets, bytes })
    }
}

/// The first port of an element, and its counter.
fn counter(element: &Value) -> Option<(u16, Counter)> {
    let key = &element["val"];
    let port = key.pointer("/range/0").unwrap_or(key).as_u64()?;
    Some((u16::try_from(port).ok()?, Counter::deserialize(element.get("counter")?).ok()?))
}

#[cfg(test)]
mod tests {
    use landfall_api::{Destination, PortRange};

    use super::*;

    const LISTED: &[u8] = br#"{"nftables": [{"metainfo": {"json_schema_version": 1}},
        {"table": {"family": "inet", "name": "landfall"}},
        {"set": {"name": "tcp_forward", "elem": [
            {"elem": {"val": 80, "counter": {"packets": 7, "bytes": 700}}},
            {"elem": {"val": {"range": [90, 99]}, "counter": {"packets": 9, "bytes": 900}}}]}},
        {"set": {"name": "tcp_connections", "elem": [
            {"elem": {"val": 80, "counter": {"packets": 2, "bytes": 120}}},
            {"elem": {"val": 91, "counter": {"packets": 3, "bytes": 180}}},
            {"elem": {"val": 99, "counter": {"packets": 4, "bytes": 240}}}]}},
        {"set": {"name": "udp_forward", "elem": [{"elem": {"val": 80, "counter": {"packets": 1, "bytes": 28}}}]}},
        {"map": {"name": "tcp_address", "elem": [[80, "172.17.0.2"]]}}]}"#;

    fn counted(protocol: Protocol, port: &str) -> Option<Counters> {
        let port = port.parse::<PortRange>().expect("a port");
        let to = Destination { address: std::net::Ipv4Addr::LOCALHOST, port: None };
        Table::read(LISTED).expect("JSON").of(&Forward::new(protocol, port, to).expect("a forward"))
    }

    #[test]
    fn each_forward_has_its_own_counters() {
        let counters = |connections, packets, bytes| Some(Counters { connections, packets, bytes });
        assert_eq!(counted(Protocol::Tcp, "80"), counters(2, 7, 700));
        assert_eq!(counted(Protocol::Udp, "80"), counters(0, 1, 28));
        assert_eq!(counted(Protocol::Tcp, "81"), None);
    }

    #[test]
    fn a_range_has_the_connections_of_all_its_ports() {
        assert_eq!(
            counted(Protocol::Tcp, "90-99"),
            Some(Counters { connections: 7, packets: 9, bytes: 900 })
        );
    }

    #[test]
    fn what_is_no_table_has_no_counters() {
        assert!(Table::read(b"nft: command not found").is_err());
        let empty = Table::read(br#"{"nftables": [{"set": {"name": "tcp_forward"}}]}"#).expect("JSON");
        assert!(empty.passed.is_empty() && empty.begun.is_empty());
    }
}
