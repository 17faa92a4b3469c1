//! Cuts a byte stream into YAML documents, at the marks of YAML 1.2, section 9.1.
//!
//! Knows lines and marks; what a document means is the spec's business.

use thiserror::Error;

/// The longest document that is accepted, in bytes; ten thousand forwards take under one megabyte.
const LONGEST: usize = 8 << 20;

/// Collects bytes until a document is complete.
#[derive(Debug, Default)]
pub struct Documents {
    document: Vec<u8>,
    line_start: usize,
    too_long: bool,
}

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DocumentError {
    /// More than fits into memory with good conscience.
    #[error("the document is longer than {LONGEST} bytes")]
    TooLong,
    /// YAML is Unicode.
    #[error("the document is not UTF-8, from byte {0} on")]
    NotUtf8(usize),
}

impl Documents {
    /// Takes the next bytes and gives the documents that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Result<String, DocumentError>> {
        let mut complete = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.document.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                complete.extend(self.end_line());
            }
            self.forget_what_is_too_long();
        }
        complete
    }

    /// The input has ended: what was collected is the last document.
    pub fn finish(&mut self) -> Option<Result<String, DocumentError>> {
        self.end_line().or_else(|| self.take())
    }

    /// Looks at the line that has just been completed.
    fn end_line(&mut self) -> Option<Result<String, DocumentError>> {
        let line = self.document[self.line_start..].to_vec();
        let is_mark = |mark: &[u8]| {
            line.strip_prefix(mark).is_some_and(|rest| rest.trim_ascii_start().len() < rest.len())
        };
        if line.trim_ascii_end() == b"..." {
            self.document.truncate(self.line_start);
            return self.take();
        }
        if is_mark(b"---") || line == b"---" {
            self.document.truncate(self.line_start);
            let previous = self.take();
            self.document.extend_from_slice(&line);
            self.line_start = line.len();
            return previous;
        }
        self.line_start = self.document.len();
        None
    }

    /// The document so far, unless it holds nothing but white space and comments.
    fn take(&mut self) -> Option<Result<String, DocumentError>> {
        self.line_start = 0;
        let document = std::mem::take(&mut self.document);
        if std::mem::take(&mut self.too_long) {
            return Some(Err(DocumentError::TooLong));
        }
        let text = match String::from_utf8(document) {
            Ok(text) => text,
            Err(error) => return Some(Err(DocumentError::NotUtf8(error.utf8_error().valid_up_to()))),
        };
        let is_blank = |line: &str| line.trim().is_empty() || line.starts_with('#') || line.trim() == "---";
        (!text.lines().all(is_blank)).then_some(Ok(text))
    }

    fn forget_what_is_too_long(&mut self) {
        if self.document.len() > LONGEST {
            self.too_long = true;
            self.document.clear();
            self.line_start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(stream: &[u8], piece: usize) -> Vec<Result<String, DocumentError>> {
        let mut documents = Documents::default();
        let mut all: Vec<_> = stream.chunks(piece).flat_map(|bytes| documents.push(bytes)).collect();
        all.extend(documents.finish());
        all
    }

    fn read(stream: &str) -> Vec<String> {
        let whole = documents(stream.as_bytes(), stream.len().max(1));
        assert_eq!(documents(stream.as_bytes(), 1), whole, "the pieces that {stream:?} came in mattered");
        whole.into_iter().map(|document| document.expect("a document")).collect()
    }

    #[test]
    fn a_document_ends_with_dots_the_next_start_or_the_end_of_input() {
        assert_eq!(read("a: 1\n...\n"), ["a: 1\n"]);
        assert_eq!(read("a: 1\n---\nb: 2\n"), ["a: 1\n", "---\nb: 2\n"]);
        assert_eq!(read("a: 1"), ["a: 1"]);
        assert_eq!(read("a: 1\n..."), ["a: 1\n"]);
        assert_eq!(read("--- {a: 1}\r\n...\r\n--- # next\r\nb: 2"), ["--- {a: 1}\r\n", "--- # next\r\nb: 2"]);
    }

    #[test]
    fn a_document_is_there_as_soon_as_its_dots_are() {
        let mut documents = Documents::default();
        assert_eq!(documents.push(b"a: 1\n.."), []);
        assert_eq!(documents.push(b".\nb"), [Ok("a: 1\n".to_owned())]);
        assert_eq!(documents.finish(), Some(Ok("b".to_owned())));
    }

    #[test]
    fn nothing_is_no_document() {
        for nothing in ["", "\n\n", "---\n", "...\n...\n", "# a comment\n---\n...\n"] {
            assert_eq!(read(nothing), [""; 0], "{nothing:?}");
        }
    }

    #[test]
    fn marks_inside_a_line_are_text() {
        assert_eq!(read("a: ---\nb: ...\n----\n ...\n"), ["a: ---\nb: ...\n----\n ...\n"]);
    }

    #[test]
    fn what_is_too_long_is_refused_and_the_next_one_is_read() {
        let mut stream = vec![b'x'; LONGEST + 2];
        stream.extend_from_slice(b"\n...\na: 1\n");
        assert_eq!(documents(&stream, 4096), [Err(DocumentError::TooLong), Ok("a: 1\n".to_owned())]);
    }

    #[test]
    fn what_is_not_unicode_is_refused() {
        assert_eq!(documents(b"a: \xff\n...\n", 3), [Err(DocumentError::NotUtf8(3))]);
    }
}
