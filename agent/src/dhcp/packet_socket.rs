//! The three calls on a packet socket for which no crate has a safe function.
#![expect(unsafe_code, reason = "sockaddr_ll, PACKET_AUXDATA and its control message exist only in libc")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the sizes and constants of libc fit the types of its structures"
)]

use std::{
    io,
    mem::{size_of, zeroed},
    os::fd::{AsRawFd as _, BorrowedFd},
    ptr,
};

use super::frame::Checksum;

/// A control message buffer, aligned as `cmsghdr` wants it.
#[repr(align(8))]
struct Control([u8; 64]);

/// What a packet socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Nothing,
    Ipv4,
    Arp,
}

/// Binds `socket` to frames of that protocol on the interface with `index`.
pub(super) fn bind(socket: BorrowedFd<'_>, protocol: Protocol, index: u32) -> io::Result<()> {
    let protocol: u16 = match protocol {
        Protocol::Nothing => 0,
        Protocol::Ipv4 => libc::ETH_P_IP as u16,
        Protocol::Arp => libc::ETH_P_ARP as u16,
    };
    // SAFETY: all zeros is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index.try_into().map_err(io::Error::other)?;
    let length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the pointer and the length are those of `address`, which outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) } as isize)
        .map(drop)
}

/// Makes the kernel say with each frame whether its checksums are ready.
pub(super) fn enable_auxdata(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as u32;
    // SAFETY: the pointer and the length are those of `on`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_AUXDATA,
            ptr::from_ref(&on).cast(),
            length,
        )
    };
    check(result as isize).map(drop)
}

/// Receives one frame into `buffer`: its length, and whether its checksums are ready. Does not wait.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Checksum)> {
    let mut control = Control([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all zeros is a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len() as _;
    // SAFETY: every pointer in `message` is to a live buffer of the length beside it.
    let length = check(unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) })?;
    Ok((length, checksum(&message)))
}

/// What the kernel says of a received message's checksums.
fn checksum(message: &libc::msghdr) -> Checksum {
    // SAFETY: recvmsg has filled in the control messages, and CMSG_NXTHDR stays within them.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(control) = header.as_ref() {
            if control.cmsg_level == libc::SOL_PACKET && control.cmsg_type == libc::PACKET_AUXDATA {
                let auxdata: libc::tpacket_auxdata = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                if auxdata.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0 {
                    return Checksum::NotReady;
                }
            }
            header = libc::CMSG_NXTHDR(message, control);
        }
    }
    Checksum::Ready
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
