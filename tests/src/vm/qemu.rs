//! qemu's command line. Pure.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{accelerator::Accelerator, image::Image};

/// What a machine consists of.
#[derive(Debug)]
pub struct Hardware<'a> {
    /// Its host name.
    pub name: &'a str,
    /// 32 hexadecimal digits, its machine id.
    pub id: &'a str,
    /// What runs it.
    pub accelerator: Accelerator,
    /// What it boots.
    pub image: &'a Image,
    /// What this run built.
    pub built: &'a Path,
    /// A tap in qemu's namespace for each network card, in order: `eth0`, `eth1`.
    pub taps: &'a [String],
    /// Where its console and its captures go.
    pub folder: &'a Path,
    /// Where its sockets go: their paths have to be short.
    pub sockets: &'a Path,
}

impl Hardware<'_> {
    /// The monitor's socket.
    pub fn monitor(&self) -> PathBuf {
        self.sockets.join("monitor")
    }

    /// The guest agent's socket.
    pub fn agent(&self) -> PathBuf {
        self.sockets.join("agent")
    }

    /// The socket of the shell for people.
    pub fn shell(&self) -> PathBuf {
        self.sockets.join("shell")
    }

    /// qemu's arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| all.extend(words.iter().map(OsString::from));
        add(&[
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-machine",
            "q35",
            "-smp",
            "2",
            "-m",
            "2048",
        ]);
        add(self.accelerator.arguments());
        add(&["-device", "virtio-rng-pci"]);
        self.disks(&mut add);
        self.ports(&mut add);
        self.cards(&mut add);
        // Nobody attacks this machine, and mitigations are the dearest instructions there are to emulate.
        let options = format!(
            "root=/dev/nvme0n1 rw console=ttyS0 net.ifnames=0 panic=-1 mitigations=off audit=0 tsc=reliable loglevel=5 systemd.hostname={} systemd.machine_id={}",
            self.name, self.id
        );
        add(&["-append", &options]);
        all.extend(["-kernel".into(), self.image.kernel.clone().into()]);
        all
    }

    /// The root is `NVMe`, whose driver is built into Debian's kernels. What is written goes to a file without a name.
    fn disks(&self, add: &mut impl FnMut(&[&str])) {
        let root =
            format!("id=root,if=none,format=raw,snapshot=on,cache=unsafe,file={}", self.image.root.display());
        let built = format!("if=virtio,format=raw,readonly=on,file={}", self.built.display());
        add(&["-drive", &root, "-device", "nvme,drive=root,serial=root", "-drive", &built]);
    }

    fn ports(&self, add: &mut impl FnMut(&[&str])) {
        let socket =
            |id: &str, path: &Path| format!("socket,id={id},server=on,wait=off,path={}", path.display());
        add(&["-serial", &format!("file:{}", self.folder.join("console.log").display())]);
        add(&["-chardev", &socket("shell", &self.shell()), "-serial", "chardev:shell"]);
        add(&["-chardev", &socket("monitor", &self.monitor()), "-mon", "chardev=monitor,mode=control"]);
        add(&["-chardev", &socket("agent", &self.agent()), "-device", "virtio-serial"]);
        add(&["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]);
    }

    fn cards(&self, add: &mut impl FnMut(&[&str])) {
        for (number, tap) in self.taps.iter().enumerate() {
            let id = format!("eth{number}");
            let capture = self.folder.join(format!("{id}.pcap"));
            add(&["-netdev", &format!("tap,id={id},ifname={tap},script=no,downscript=no")]);
            add(&[
                "-device",
                &format!("virtio-net-pci,netdev={id},id=card{number},mac={}", self.mac(number)),
            ]);
            add(&["-object", &format!("filter-dump,id=dump{number},netdev={id},file={}", capture.display())]);
        }
    }

    /// A card's own address: locally administered, of the machine's id.
    fn mac(&self, number: usize) -> String {
        let id = self.id;
        format!("02:{}:{}:{}:{}:{number:02x}", &id[..2], &id[2..4], &id[4..6], &id[6..8])
    }
}
