//! Measures the DHCP client beside others, in one run, and prints the table of `docs/benchmarks.md`. Words on the command line
//! choose among `start`, `herd`, `slow`, `outage` and `flood`; none means all.
#![allow(clippy::print_stdout, reason = "the table is the result")]

mod crowd;
mod flood;
mod herd;
mod start;
mod wire;

use std::{env, time::Duration};

fn main() {
    let chosen: Vec<String> = env::args().skip(1).collect();
    let is_chosen = |word: &str| chosen.is_empty() || chosen.iter().any(|other| other == word);
    println!("| figure | to reach | measured |\n|---|---|---|");
    if is_chosen("start") {
        start::measure();
    }
    if is_chosen("herd") {
        herd::before_fast_servers();
    }
    if is_chosen("slow") {
        herd::before_a_slow_server();
    }
    if is_chosen("outage") {
        herd::after_an_outage();
    }
    if is_chosen("flood") {
        flood::measure();
    }
}

fn row(figure: &str, to_reach: &str, measured: &str) {
    println!("| {figure} | {to_reach} | {measured} |");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
