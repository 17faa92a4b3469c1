//! One whole machine: the Docker tier in there, and what only a machine can show. The cases share it.

mod docker;
mod power;
mod setups;
mod target;
