//! Whether this host's KVM boots a stock kernel; decided within seconds, once per run.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

/// A kernel under KVM says its first word in well under a second; some hosts have a `/dev/kvm` on which it never does.
const FIRST_WORD: Duration = Duration::from_secs(3);

/// What runs the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// qemu: about ten times slower, and everywhere.
    Tcg,
}

impl Accelerator {
    /// The faster of those that work here, which is found out with this kernel.
    pub fn that_works(kernel: &Path) -> Self {
        static FOUND: OnceLock<Accelerator> = OnceLock::new();
        *FOUND.get_or_init(|| if boots_under_kvm(kernel) { Self::Kvm } else { Self::Tcg })
    }

    /// What tells qemu.
    pub fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            // What programs expect, and no more: wide registers and five levels of page tables take longer to emulate.
            Self::Tcg => &[
                "-accel",
                "tcg,thread=multi,tb-size=512",
                "-cpu",
                "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16",
            ],
        }
    }

    /// How many times longer something takes than on the processor itself, at worst.
    pub fn slowness(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Tcg => 8,
        }
    }
}

fn boots_under_kvm(kernel: &Path) -> bool {
    if fs::File::open("/dev/kvm").is_err() {
        return false;
    }
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args([
        "-machine",
        "q35",
        "-m",
        "256",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-serial",
        "stdio",
    ]);
    qemu.args(Accelerator::Kvm.arguments()).arg("-kernel").arg(kernel);
    qemu.args(["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"]);
    let started = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = started else { return false };
    let is_alive = says_linux(&mut child);
    drop(child.kill());
    drop(child.wait());
    is_alive
}

fn says_linux(child: &mut Child) -> bool {
    let Some(mut stdout) = child.stdout.take() else { return false };
    let (teller, told) = std::sync::mpsc::channel();
    // It ends with the pipe, which ends with the child.
    std::thread::spawn(move || {
        let (mut text, mut octets) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stdout.read(&mut octets) {
            text.extend_from_slice(&octets[..length]);
            if String::from_utf8_lossy(&text).contains("Linux version") {
                let _ = teller.send(());
                return;
            }
        }
    });
    told.recv_timeout(FIRST_WORD).is_ok()
}
