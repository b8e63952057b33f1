//! What the tests need of the machine: clients with any source address, network namespaces, a
//! confined thread, a counting allocator.

mod namespace;
pub(crate) mod neighbour;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

pub(crate) use namespace::{in_namespace, ip};

/// A client of `target` on a free port; gives up waiting for a reply after a second. In a namespace
/// that has a neighbour it is there.
pub(crate) fn client_of(target: SocketAddr) -> UdpSocket {
    let any = match target {
        _ if !target.ip().is_loopback() => return neighbour::client_of(target),
        SocketAddr::V4(_) => "127.0.0.1:0",
        SocketAddr::V6(_) => "[::1]:0",
    };
    let client = client(any.parse().expect("an address"));
    client.connect(target).expect("connect");
    client
}

/// A client at `source`, which need not be an address of this machine if privileged.
pub(crate) fn client(source: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::for_address(source), Type::DGRAM, None).expect("socket");
    if !source.ip().is_loopback() {
        match source {
            SocketAddr::V4(_) => socket.set_ip_transparent_v4(true).expect("transparent"),
            SocketAddr::V6(_) => socket.set_freebind_v6(true).expect("freebind"),
        }
    }
    socket.bind(&source.into()).expect("bind to a source address");
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("option");
    socket.into()
}

/// Has io_uring_setup fail with EPERM in this thread, as container runtimes do.
pub(crate) fn forbid_io_uring() {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let refusal = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the system call's number
        statement(libc::BPF_JMP | libc::BPF_JEQ, 0, 1, libc::SYS_io_uring_setup as u32),
        statement(libc::BPF_RET, 0, 0, refusal),
        statement(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // JUSTIFICATION: std has no prctl.
    // SAFETY: takes integers.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(unprivileged, 0);
    let (mode, filter) = (libc::SECCOMP_MODE_FILTER, &raw const filter);
    // JUSTIFICATION: as above.
    // SAFETY: `filter` and the program it points to live through the call; the kernel copies them.
    let confined = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, filter) };
    assert_eq!(confined, 0, "{}", io::Error::last_os_error());
}

/// Allocations made by this thread so far.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: hands everything to the system's allocator; the counter is a thread-local integer that
// neither allocates nor needs a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // JUSTIFICATION: this is an allocator.
        // SAFETY: the caller's promise is the one asked for here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // JUSTIFICATION: this is an allocator.
        // SAFETY: the caller's promise is the one asked for here.
        unsafe { System.dealloc(pointer, layout) }
    }
}
