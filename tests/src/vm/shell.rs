//! `make vm KEEP=1`: the terminal becomes the machine's shell, so that a person can look around.

use std::{
    env,
    fs::File,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    thread,
};

/// Control and `]`, which ends a telnet session, too.
const LEAVE: u8 = 0x1d;

/// Whether machines are kept for a person.
pub fn is_wanted() -> bool {
    env::var_os("LANDFALL_VM_KEEP").is_some_and(|value| !value.is_empty())
}

/// Connects the terminal with the shell behind `socket`, until the person leaves or the machine goes.
///
/// # Errors
/// If there is no terminal, or no shell.
pub fn attach(name: &str, socket: &Path) -> io::Result<()> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    let mut shell = UnixStream::connect(socket)?;
    writeln!(terminal, "\r\nthis is {name}; Ctrl-] leaves it and ends it; what was built is in /built\r")?;
    stty(&["raw", "-echo"])?;
    let (mut screen, mut output) = (terminal.try_clone()?, shell.try_clone()?);
    let printer = thread::spawn(move || io::copy(&mut output, &mut screen));
    // A prompt came before there was somebody to read it.
    shell.write_all(b"\n")?;
    let typed = type_into(&mut terminal, &mut shell);
    drop(shell.shutdown(std::net::Shutdown::Both));
    drop(printer.join());
    stty(&["sane"])?;
    typed
}

fn type_into(terminal: &mut impl Read, shell: &mut impl Write) -> io::Result<()> {
    let mut octets = [0; 256];
    loop {
        let length = terminal.read(&mut octets)?;
        let typed = &octets[..length];
        if typed.is_empty() || typed.contains(&LEAVE) || shell.write_all(typed).is_err() {
            return Ok(());
        }
    }
}

fn stty(words: &[&str]) -> io::Result<()> {
    Command::new("stty").args(words).stdin(Stdio::from(File::open("/dev/tty")?)).status().map(drop)
}
