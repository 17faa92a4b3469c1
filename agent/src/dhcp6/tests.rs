//! The client in virtual time: dialogues with a server, and thousands of hours on a bad network.

mod bench;
mod hold;
mod inform;
mod search;
mod simulation;
mod watch;
mod wire;
mod world;
