//! A file descriptor that the runtime polls.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
};

use tokio::io::unix::AsyncFd;

/// A non-blocking `T`, registered with the runtime.
pub struct Polled<T: AsFd>(AsyncFd<Owned<T>>);

struct Owned<T>(T);

impl<T: AsFd> AsRawFd for Owned<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl<T: AsFd> Polled<T> {
    /// Registers `inner`, which must be non-blocking.
    ///
    /// # Errors
    /// If it cannot be polled, or outside of a runtime with I/O.
    #[expect(unsafe_code, reason = "the runtime asks for a promise that only the owner can give")]
    pub fn new(inner: T) -> io::Result<Self> {
        // SAFETY: `inner` owns its descriptor, and nothing can replace or close it while it is in here.
        Ok(Self(unsafe { AsyncFd::register(Owned(inner)) }?))
    }

    /// What is polled.
    pub fn get(&self) -> &T {
        &self.0.get_ref().0
    }

    /// What is polled, no longer.
    pub fn into_inner(self) -> T {
        self.0.into_inner().0
    }

    /// Does `read` as soon as there is something to read, and again until it does not say `WouldBlock`. Cancel-safe.
    ///
    /// # Errors
    /// What `read` fails with.
    pub async fn read<R>(&self, mut read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        loop {
            let mut guard = self.0.readable().await?;
            if let Ok(result) = guard.try_io(|inner| read(&inner.get_ref().0)) {
                return result;
            }
        }
    }
}
