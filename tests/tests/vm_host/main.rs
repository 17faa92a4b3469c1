//! One whole machine for each case: the Docker tier in there, and what only a machine can show.

mod docker;
mod power;
mod setups;
mod target;
