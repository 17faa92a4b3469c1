//! The bodies of the targets; the tests of the agent replay the corpora with the same ones.

#[allow(dead_code, reason = "the workbench is made for the tests of the client")]
#[path = "../../tests/dhcp/bench.rs"]
mod bench;
#[path = "../../tests/fuzz/bodies.rs"]
pub mod bodies;
#[path = "../../tests/fuzz/events.rs"]
pub mod events;
#[allow(dead_code, reason = "its counters are made for the simulation")]
#[path = "../../tests/dhcp/watch.rs"]
mod watch;
