//! How a root file system is made: the arguments of mmdebstrap. Pure.

use super::release::Release;

/// What is carried out on the new root, `$1`.
const HOOKS: &[&str] = &[
    // The kernel, without what would make an initramfs for it: ours boots from NVMe, which is built in.
    // Unstable has it in several packages.
    r#"chroot "$1" sh -c 'cd /var/tmp && apt-get -q download $(apt-cache depends --recurse --important linux-image-cloud-amd64 | grep -E "^linux-(base|binary|image|modules)-[0-9]")'"#,
    r#"for deb in "$1"/var/tmp/linux-*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$1" && rm "$deb" || exit 1; done"#,
    r#"chroot "$1" depmod "$(ls "$1"/lib/modules)""#,
    // A parent interface has an address by DHCP of its own, as on most hosts.
    r#"printf '[Match]\nName=eth*\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n[DHCPv4]\nClientIdentifier=mac\nUseHostname=no\n' >"$1"/etc/systemd/network/lan.network"#,
    r#"chroot "$1" systemctl --quiet enable systemd-networkd"#,
    // What a test turns on is off; what would look for news on the network has none.
    r#"chroot "$1" systemctl --quiet disable firewalld ufw docker-registry"#,
    r#"chroot "$1" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer podman-auto-update.timer podman-auto-update systemd-networkd-wait-online"#,
    // What a run built.
    r#"rm -f "$1"/etc/hostname && mkdir -p "$1"/built "$1"/var/log/journal && echo 'LABEL=built /built ext4 ro,nofail 0 0' >"$1"/etc/fstab"#,
    // The shell on the second serial port, for people.
    r#"mkdir -p "$1"/etc/systemd/system/serial-getty@ttyS1.service.d"#,
    r#"printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %%I linux\n' >"$1"/etc/systemd/system/serial-getty@ttyS1.service.d/shell.conf"#,
    r#"chroot "$1" systemctl --quiet enable serial-getty@ttyS1"#,
    r#"rm -rf "$1"/var/cache/apt/*.bin "$1"/var/lib/apt/lists/*"#,
];

/// Where a release's packages come from; empty where mmdebstrap knows better.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    /// The archive itself.
    pub main: Option<String>,
    /// Its security updates.
    pub security: Option<String>,
}

impl Archive {
    /// Reads lines of `URI ORIGIN LABEL`, which apt prints of its own sources. Where none is Debian's, mmdebstrap takes the
    /// archive that it takes for granted.
    pub fn parse(lines: &str) -> Self {
        let labelled = |wanted: &str| {
            let mut lines = lines.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            lines.find_map(|words| (words.get(1..)? == ["Debian", wanted]).then(|| words[0].to_owned()))
        };
        Self { main: labelled("Debian"), security: labelled("Debian-Security") }
    }

    fn sources(&self, release: Release) -> Vec<String> {
        let codename = release.codename();
        let line = |uri: &String, suffix: &str| format!("deb {uri} {codename}{suffix} main");
        let main = self.main.iter().map(|uri| line(uri, ""));
        let updates = self.main.iter().map(|uri| line(uri, "-updates"));
        let security = self.security.iter().map(|uri| line(uri, "-security"));
        main.chain(updates.chain(security).filter(|_| release.has_updates())).collect()
    }
}

/// The arguments of mmdebstrap that make the root of `release` in the folder `root`.
pub fn arguments(release: Release, archive: &Archive, root: &str) -> Vec<String> {
    let mut arguments = vec![
        "--quiet".to_owned(),
        "--mode=root".to_owned(),
        "--variant=apt".to_owned(),
        format!("--include={}", release.packages().join(",")),
        "--dpkgopt=force-unsafe-io".to_owned(),
    ];
    // A copy of unstable's archive may be past its date; its signature counts.
    if !release.has_updates() {
        arguments.push(r#"--aptopt=Acquire::Check-Valid-Until "false""#.to_owned());
    }
    let left_out = ["doc", "info", "locale", "man"];
    arguments.extend(left_out.map(|folder| format!("--dpkgopt=path-exclude=/usr/share/{folder}/*")));
    arguments.extend(HOOKS.iter().map(|hook| format!("--customize-hook={hook}")));
    arguments.extend([release.codename().to_owned(), root.to_owned()]);
    arguments.extend(archive.sources(release));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_those_of_this_host_for_another_release() {
        let lines = "http://elsewhere.test/x Other Other\nhttp://archive.test/debian/ Debian Debian\n\
            http://archive.test/debian-security/ Debian Debian-Security\n";
        let arguments = arguments(Release::Trixie, &Archive::parse(lines), "/r");
        assert_eq!(
            arguments[arguments.len() - 5..],
            [
                "trixie",
                "/r",
                "deb http://archive.test/debian/ trixie main",
                "deb http://archive.test/debian/ trixie-updates main",
                "deb http://archive.test/debian-security/ trixie-security main"
            ]
        );
    }

    #[test]
    fn unstable_has_one_archive_whatever_its_date() {
        let archive =
            Archive { main: Some("http://a.test".to_owned()), security: Some("http://s.test".to_owned()) };
        let arguments = arguments(Release::Sid, &archive, "/r");
        assert_eq!(arguments[arguments.len() - 3..], ["sid", "/r", "deb http://a.test sid main"]);
        assert!(arguments.iter().any(|argument| argument.ends_with(r#"Check-Valid-Until "false""#)));
    }

    #[test]
    fn a_host_that_is_no_debian_leaves_the_sources_to_mmdebstrap() {
        let arguments =
            arguments(Release::Bookworm, &Archive::parse("http://archive.test Ubuntu Ubuntu"), "/r");
        assert_eq!(arguments.last().map(String::as_str), Some("/r"));
    }
}
