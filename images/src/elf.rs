//! What an ELF file asks of the dynamic loader: which loader, and which libraries.
//! Pure, and reads headers only: it refuses to know where libraries are and never runs what it reads.

use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_RPATH, DT_RUNPATH, EM_AARCH64, EM_X86_64, PT_INTERP};
use elf::endian::AnyEndian;

/// What the dynamic loader would have to bring before this file can run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Linkage {
    /// The path of the dynamic loader (`PT_INTERP`); a static executable and a library have none.
    pub interpreter: Option<String>,
    /// Sonames, in the order of the file (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// Directories to search before the loader's own (`DT_RPATH`, `DT_RUNPATH`).
    pub run_paths: Vec<String>,
}

impl Linkage {
    /// Reads the linkage of an ELF file.
    ///
    /// # Errors
    /// When `bytes` are not an ELF file, or one whose headers lead outside of it.
    pub fn of(bytes: &[u8]) -> Result<Self, elf::ParseError> {
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes)?;
        let mut linkage = Self { interpreter: interpreter(&file)?, ..Self::default() };
        let tables = file.find_common_data()?;
        // A static-pie executable has a dynamic table for its own relocations, but no names in it.
        if let (Some(dynamic), Some(names)) = (tables.dynamic, tables.dynsyms_strs) {
            for entry in dynamic {
                let list = match entry.d_tag {
                    DT_NEEDED => &mut linkage.needed,
                    DT_RPATH | DT_RUNPATH => &mut linkage.run_paths,
                    _ => continue,
                };
                list.push(names.get(usize::try_from(entry.d_val())?)?.to_owned());
            }
        }
        Ok(linkage)
    }

    /// True when the kernel can run the file with nothing else present.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }
}

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// What Debian and Go call amd64.
    X86_64,
    /// What Debian and Go call arm64.
    Aarch64,
}

impl Machine {
    /// The machine that a file is for; none if it is another.
    ///
    /// # Errors
    /// When `bytes` are not an ELF file.
    pub fn of(bytes: &[u8]) -> Result<Option<Self>, elf::ParseError> {
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes)?;
        Ok(match file.ehdr.e_machine {
            EM_X86_64 => Some(Self::X86_64),
            EM_AARCH64 => Some(Self::Aarch64),
            _ => None,
        })
    }

    /// As images name it.
    pub fn image_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// What Debian calls the directories of its libraries.
    pub fn triplet(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu",
            Self::Aarch64 => "aarch64-linux-gnu",
        }
    }
}

fn interpreter(file: &ElfBytes<'_, AnyEndian>) -> Result<Option<String>, elf::ParseError> {
    let Some(segment) = file.segments().and_then(|all| all.iter().find(|s| s.p_type == PT_INTERP)) else {
        return Ok(None);
    };
    let path = std::str::from_utf8(file.segment_data(&segment)?)?;
    Ok(Some(path.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
pub mod fixtures {
    //! The smallest files that have the property under test.

    /// A 64-bit ELF executable without a program header: nothing to load, so static.
    pub fn static_executable() -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(64, 0);
        file[16] = 2; // e_type: ET_EXEC
        file[18] = 62; // e_machine: x86-64
        file[20] = 1; // e_version
        file[52] = 64; // e_ehsize
        file[54] = 56; // e_phentsize
        file
    }

    /// The same, with one program header: the path of a dynamic loader.
    pub fn dynamic_executable(interpreter: &str) -> Vec<u8> {
        let mut file = static_executable();
        file[32] = 64; // e_phoff
        file[56] = 1; // e_phnum
        let mut header = [0; 56];
        header[0] = 3; // p_type: PT_INTERP
        header[8] = 120; // p_offset
        header[32] = u8::try_from(interpreter.len() + 1).expect("a path of less than 255 bytes"); // p_filesz
        file.extend(header);
        file.extend(interpreter.bytes().chain([0]));
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_interpreter_and_libraries_a_file_is_static() {
        let linkage = Linkage::of(&fixtures::static_executable()).unwrap();

        assert!(linkage.is_static());
    }

    #[test]
    fn an_interpreter_makes_a_file_dynamic() {
        let linkage = Linkage::of(&fixtures::dynamic_executable("/lib64/ld.so")).unwrap();

        assert_eq!(linkage.interpreter.as_deref(), Some("/lib64/ld.so"));
        assert!(!linkage.is_static());
    }

    #[test]
    fn what_is_not_elf_is_an_error() {
        let truncated = &fixtures::dynamic_executable("/lib64/ld.so")[..100];

        for bytes in [b"#!/bin/sh\n".as_slice(), b"", truncated] {
            assert!(Linkage::of(bytes).is_err(), "{bytes:?}");
        }
    }

    #[cfg(not(target_feature = "crt-static"))]
    #[test]
    fn the_libraries_of_a_dynamic_executable_are_named() {
        let this_test = std::fs::read(std::env::current_exe().unwrap()).unwrap();

        let linkage = Linkage::of(&this_test).unwrap();

        assert!(linkage.interpreter.is_some());
        assert!(linkage.needed.iter().any(|name| name.starts_with("libc.so")), "{:?}", linkage.needed);
    }
}
