//! The pipes from an agent: bytes become reports. Pure, and bounded whatever comes.

use std::collections::VecDeque;

use landfall_api::Report;

/// The longest line that is read; ten thousand forwards take under one megabyte.
const LONGEST_LINE: usize = 8 << 20;

/// How many of the agent's last words are kept, and how much of each.
const LAST_WORDS: usize = 10;
const LONGEST_WORD: usize = 500;

/// Cuts a stream of bytes into lines, within bounds.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// The lines that `bytes` complete; none in place of one that is too long.
    fn push(&mut self, bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut complete = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            if self.line.len() + text.len() > LONGEST_LINE {
                self.is_too_long = true;
                self.line.clear();
            }
            if !self.is_too_long {
                self.line.extend_from_slice(text);
            }
            if text.len() < piece.len() {
                let line = std::mem::take(&mut self.line);
                complete.push((!std::mem::take(&mut self.is_too_long)).then_some(line));
            }
        }
        complete
    }
}

/// Lines of standard output that are no reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noise {
    /// How many; at least one.
    pub lines: u64,
    /// How the first one begins; empty if it was too long to be read.
    pub first: String,
}

/// What comes from one agent.
#[derive(Debug, Default)]
pub struct AgentStream {
    output: Lines,
    log: Lines,
    last_words: VecDeque<String>,
    noise: Option<Noise>,
}

impl AgentStream {
    /// Takes bytes of its standard output and gives the reports that they complete.
    pub fn output(&mut self, bytes: &[u8]) -> Vec<Report> {
        let mut reports = Vec::new();
        for line in self.output.push(bytes) {
            let text = line.as_deref().and_then(|line| str::from_utf8(line).ok());
            match text.and_then(|text| Report::from_line(text).ok()) {
                Some(report) => reports.push(report),
                None => self.count(line.as_deref().unwrap_or_default()),
            }
        }
        reports
    }

    fn count(&mut self, line: &[u8]) {
        let noise = self.noise.get_or_insert_with(|| Noise { lines: 0, first: beginning(line) });
        noise.lines += 1;
    }

    /// Takes bytes of its standard error.
    pub fn log(&mut self, bytes: &[u8]) {
        for line in self.log.push(bytes).into_iter().flatten() {
            if self.last_words.len() == LAST_WORDS {
                self.last_words.pop_front();
            }
            self.last_words.push_back(beginning(&line));
        }
    }

    /// The last lines of its standard error, and what it began to say after them.
    pub fn last_words(&self) -> Vec<String> {
        let begun = Some(&self.log.line).filter(|line| !line.is_empty()).map(|line| beginning(line));
        let words: Vec<String> = self.last_words.iter().cloned().chain(begun).collect();
        words[words.len().saturating_sub(LAST_WORDS)..].to_vec()
    }

    /// What of its standard output was no report.
    pub fn noise(&self) -> Option<&Noise> {
        self.noise.as_ref()
    }
}

fn beginning(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(LONGEST_WORD).collect()
}

#[cfg(test)]
mod tests {
    use landfall_api::Event;

    use super::*;

    const STARTED: &[u8] = br#"{"time":"2026-11-23T12:00:00Z","event":"started","version":"0.1.0"}"#;

    #[test]
    fn a_report_may_come_in_pieces() {
        let mut stream = AgentStream::default();
        for byte in STARTED {
            assert_eq!(stream.output(&[*byte]), []);
        }
        let reports = stream.output(b"\n");
        assert!(matches!(&reports[..], [Report { event: Event::Started { .. }, .. }]), "{reports:?}");
        assert_eq!(stream.noise(), None);
    }

    #[test]
    fn garbage_is_counted_and_harms_nothing() {
        let mut stream = AgentStream::default();
        let bytes = [b"\xff\xfe\0garbage\n{\n\n", STARTED, b"\n"].concat();
        assert_eq!(stream.output(&bytes).len(), 1);
        let noise = Noise { lines: 3, first: "\u{fffd}\u{fffd}\0garbage".into() };
        assert_eq!(stream.noise(), Some(&noise));
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let mut stream = AgentStream::default();
        let megabyte = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            assert_eq!(stream.output(&megabyte), []);
            assert!(stream.output.line.capacity() <= 2 * LONGEST_LINE);
        }
        assert_eq!(stream.output(&[b"\n", STARTED, b"\n"].concat()).len(), 1);
        assert_eq!(stream.noise(), Some(&Noise { lines: 1, first: String::new() }));
    }

    #[test]
    fn the_last_words_are_the_last_lines() {
        let mut stream = AgentStream::default();
        for i in 0..100 {
            stream.log(format!("line {i}\n").as_bytes());
        }
        assert_eq!(stream.last_words().len(), LAST_WORDS);
        assert_eq!(stream.last_words().last().map(String::as_str), Some("line 99"));
    }

    #[test]
    fn a_last_word_needs_no_end_of_line() {
        let mut stream = AgentStream::default();
        for i in 0..LAST_WORDS {
            stream.log(format!("line {i}\n").as_bytes());
        }
        stream.log(b"cannot go");
        assert_eq!(stream.last_words().len(), LAST_WORDS);
        assert_eq!(stream.last_words().last().map(String::as_str), Some("cannot go"));
    }
}
