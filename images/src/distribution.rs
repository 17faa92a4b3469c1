//! Who made the packages of this machine, as SPDX and purls call them.
//! Pure: refuses to know where os-release is.

/// Who makes packages that dpkg installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
    /// Another, of whose packages no more is known than their names.
    Other,
}

impl Distribution {
    /// The one that the text of an os-release file names.
    pub fn of(release: &str) -> Self {
        let id = release.lines().find_map(|line| line.strip_prefix("ID="));
        match id.map(|id| id.trim_matches(['"', '\''])) {
            Some("debian") => Self::Debian,
            Some("ubuntu") => Self::Ubuntu,
            _ => Self::Other,
        }
    }

    /// As SPDX names it.
    pub fn supplier(self) -> &'static str {
        match self {
            Self::Debian => "Organization: Debian",
            Self::Ubuntu => "Organization: Ubuntu",
            Self::Other => "NOASSERTION",
        }
    }

    /// What a purl calls it; none where nobody has agreed on a name.
    pub fn namespace(self) -> Option<&'static str> {
        match self {
            Self::Debian => Some("debian"),
            Self::Ubuntu => Some("ubuntu"),
            Self::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_supplier_is_the_distribution_that_os_release_names() {
        let of = |release| {
            let distribution = Distribution::of(release);
            (distribution.supplier(), distribution.namespace())
        };

        let ubuntu = of("NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n");
        assert_eq!(ubuntu, ("Organization: Ubuntu", Some("ubuntu")));
        assert_eq!(of("ID=\"debian\"\n"), ("Organization: Debian", Some("debian")));
        assert_eq!(of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), ("NOASSERTION", None));
    }
}
