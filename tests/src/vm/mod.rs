//! Whole machines: stock Debian kernels with systemd and Docker, in qemu, on a LAN of the harness.
//!
//! A machine is a child of the test, on a copy-on-write overlay: it goes away with the test, and its disk with it. What
//! it said stays in a folder when a test failed, and the test names that folder.

pub mod accelerator;
pub mod agent;
pub mod artefacts;
pub mod built;
pub mod host;
pub mod image;
pub mod json_lines;
pub mod machine;
pub mod monitor;
pub mod process;
pub mod qemu;
pub mod recipe;
pub mod release;
pub mod shell;
