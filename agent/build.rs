//! Leaves the tables for unwinding out of the static agent: panics abort, and the tables are a tenth of it.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "this is how cargo is told")]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=static.ld");
    let is_static =
        env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|features| features.contains("crt-static"));
    if is_static && env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        // Relative to the workspace, where the linker runs: a path of this machine would be in no two builds the same.
        println!("cargo::rustc-link-arg-bins=-Wl,-T,agent/static.ld,--no-eh-frame-hdr");
    }
}
