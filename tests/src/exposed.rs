//! Targets on a LAN: what `landfall` does with them, and what it says of them.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use crate::{
    docker::{Target, inspect},
    landfall::{Ran, landfall},
    netns::Netns,
    run::slowness,
};

impl Target {
    /// `landfall up` on an interface, with these options, whatever comes of it.
    pub fn up(&self, interface: &str, options: &[&str]) -> Ran {
        landfall(&[&["up", &self.name, interface], options].concat())
    }

    /// `landfall up` that is to fail with `code` and say all of `words` when its time is over; gives what it says. It is
    /// given more time where the machine is too busy to get so far.
    ///
    /// # Panics
    /// If it does not.
    pub fn up_in_vain(&self, interface: &str, options: &[&str], code: i32, words: &[&str]) -> String {
        let mut ran = None;
        for seconds in [1, 3, 10, 30, 90] {
            let wait = format!("{}s", seconds * slowness());
            let last = ran.insert(self.up(interface, &[options, &["--wait", &wait]].concat()));
            if last.code == Some(code) && words.iter().all(|word| last.stderr.contains(word)) {
                break;
            }
        }
        let said = ran.expect("it ran").failed(code);
        assert!(words.iter().all(|word| said.contains(word)), "it does not say {words:?}: {said}");
        said
    }

    /// Exposes it; gives its address.
    ///
    /// # Panics
    /// If that fails, or gives another number of addresses than one.
    pub fn expose(&self, interface: &str, options: &[&str]) -> Ipv4Addr {
        let addresses = self.expose_all(interface, options);
        let [IpAddr::V4(address)] = addresses[..] else { panic!("not one IPv4 address: {addresses:?}") };
        address
    }

    /// Exposes it over a path; gives its address.
    ///
    /// # Panics
    /// As `expose` does.
    pub fn expose_over(&self, path: &str, interface: &str, options: &[&str]) -> Ipv4Addr {
        self.expose(interface, &[&["--path", path], options].concat())
    }

    /// Exposes it; gives its addresses of both families.
    ///
    /// # Panics
    /// If that fails.
    pub fn expose_all(&self, interface: &str, options: &[&str]) -> Vec<IpAddr> {
        let said = self.up(interface, &[&["-q"], options].concat()).done();
        said.lines().map(|line| line.parse().expect("an address")).collect()
    }

    /// Takes its address away.
    ///
    /// # Panics
    /// If that fails.
    pub fn down(&self) {
        landfall(&["down", &self.name]).done();
    }

    /// What `landfall ls` says of it.
    ///
    /// # Panics
    /// If it is not listed.
    pub fn listed(&self) -> Value {
        self.among(&landfall(&["ls", "--format", "json"]).json())
    }

    /// What `landfall inspect` says of it.
    ///
    /// # Panics
    /// If it is not exposed.
    pub fn inspected(&self) -> Value {
        landfall(&["inspect", &self.name]).json()
    }

    /// What a list of `landfall` says of it.
    ///
    /// # Panics
    /// If it is not listed.
    pub fn among(&self, list: &Value) -> Value {
        let mut views = list.as_array().expect("a list").iter();
        views.find(|view| view["target"] == *self.name).expect("it is listed").clone()
    }

    /// Its state.
    ///
    /// # Panics
    /// If it is not exposed.
    pub fn state(&self) -> String {
        self.inspected()["state"].as_str().expect("a text").to_owned()
    }

    /// The id of its network container: another one if that was made anew.
    pub fn network_container_id(&self) -> String {
        inspect(&self.network_container(), "{{.Id}}")
    }

    /// What its network container has logged.
    pub fn log(&self) -> String {
        landfall(&["logs", &self.name]).done()
    }

    /// Its network namespace.
    pub fn namespace(&self) -> Netns {
        Netns::attach(&inspect(&self.name, "{{.State.Pid}}"))
    }

    /// The name by which it calls itself.
    pub fn hostname(&self) -> String {
        inspect(&self.name, "{{.Config.Hostname}}")
    }
}

impl Ran {
    /// The address at the end of what `landfall up` said.
    ///
    /// # Panics
    /// If it failed, or said none.
    pub fn address(self) -> Ipv4Addr {
        let said = self.done();
        said.trim().rsplit("ip=").next().and_then(|word| word.parse().ok()).expect("the address is last")
    }
}

/// The hostname of the target that a page is of.
///
/// # Panics
/// If it names none.
pub fn hostname_in(page: &str) -> String {
    let (_, rest) = page.split_once("hello from ").expect("a greeting");
    rest.lines().next().expect("a name").to_owned()
}
