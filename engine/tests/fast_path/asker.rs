//! A client that asks thousands of times a second, from any of its host's addresses.
//!
//! Must never: have more under way than a `veth` holds, unless it is told to flood.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};

use crate::common::Host;

/// Reads lines of addresses, asks from each in order, and writes for each line how many were answered. An
/// address with a `*` asks 32 times without waiting, and is not counted. Others wait for their answers, so
/// that no more is ever under way than a `veth` has room for.
const ASK_FROM: &str = "\
import socket, sys
REQUEST = bytes([0x23] + 47 * [0])
sockets = {}
def socket_of(address):
    if address not in sockets:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, 0))
        s.connect(('10.9.0.1', 123))
        sockets[address] = s
    return sockets[address]
for line in sys.stdin:
    answered = 0
    for address in line.split():
        s = socket_of(address.strip('*'))
        if '*' in address:
            for n in range(32): s.send(REQUEST)
            continue
        s.settimeout(float(PATIENCE))
        s.send(REQUEST)
        try:
            answered += len(s.recv(100)) == 48
        except TimeoutError:
            pass
    print(answered, flush=True)
";

/// Asks from addresses of the client's host.
pub(crate) struct Asker {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
}

impl Asker {
    /// One that waits for an answer for so many seconds at most.
    pub(crate) fn new(host: &Host, patience: &str) -> Self {
        let program = ASK_FROM.replace("PATIENCE", patience);
        let mut python = host.command("python3");
        python.args(["-c", &program]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let orders = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, orders, answers }
    }

    /// How many of those who wait for it were answered.
    pub(crate) fn ask(&mut self, addresses: &str) -> u64 {
        writeln!(self.orders, "{addresses}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().parse().unwrap_or_else(|_| panic!("{line:?}"))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
