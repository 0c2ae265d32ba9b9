//! What a run needs of the machine, held against what it has: descriptors, ports, memory.

#![expect(clippy::disallowed_methods, reason = "limits are read from /proc")]

use std::fs;

use rustix::process::{Resource, getrlimit, setrlimit};
use thiserror::Error;

use crate::driver::provision;
use crate::profile::{BalancerMode, BridgeOrder, Profile};

/// Descriptors that a process needs before it talks to anybody: standard streams, epoll, files of the run directory.
const OWN_DESCRIPTORS: u64 = 64;
/// Connections for looking up missed events.
pub(crate) const AUDIT_CONNECTIONS: u64 = 16;
/// Connections for publishing, however many publishes may be in flight.
pub(crate) const SEND_CONNECTIONS: u64 = 256;

/// User memory of one client in the harness: session, ledger, small buffers (the bar is 3 KiB), and the room of a
/// request while it lasts.
const CLIENT_BYTES: u64 = 6 * 1024;
/// Kernel memory of one end of an idle loopback connection (measured: 8.4 KB a pair), rounded up for traffic.
const SOCKET_BYTES: u64 = 6 * 1024;
/// What TLS adds to one connection in the harness (measured through nginx, 300 and 900 quiet clients: 9 to 10.6 KB each more
/// than without), rounded up for what a record in the middle of its arrival takes.
const TLS_BYTES: u64 = 12 * 1024;
/// A harness or a target without a single client.
const PROCESS_BYTES: u64 = 96 * 1024 * 1024;

/// What one process of a run holds open at its busiest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// For people: "the harness", "the balancer", "the pods".
    pub name: &'static str,
    /// Open files.
    pub descriptors: u64,
    /// Of these, what it would hold without a single client.
    pub fixed: u64,
}

impl Process {
    /// How many clients would fit under a limit, if it holds `descriptors` for so many.
    fn fit(&self, limit: u64, clients: u64) -> u64 {
        let for_clients = self.descriptors.saturating_sub(self.fixed);
        limit.saturating_sub(self.fixed).saturating_mul(clients).checked_div(for_clients).unwrap_or(clients)
    }
}

/// What a run needs of the machine at its busiest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The harness first, then the embedded target's, if it is that.
    pub processes: Vec<Process>,
    /// Ports towards the busiest one address and port.
    pub ports: u64,
    /// User and kernel memory, bytes; an estimate.
    pub memory: u64,
    clients: u64,
}

impl Holding {
    /// Of a resolved profile. `endpoints`: how many addresses the clients are spread over.
    ///
    /// A client has its stream, or its own connection for sync, and both at once only while it bridges with the
    /// stream open already (stream-first).
    pub fn new(profile: &Profile, endpoints: u64) -> Self {
        let clients = u64::from(profile.population.clients);
        let per_client = match profile.client.bridge {
            BridgeOrder::SyncFirst => 1,
            BridgeOrder::StreamFirst => 2,
        };
        // A closed connection is still held by the other side for a moment: a tenth on top, where all are on the move.
        let lines = clients * per_client + clients / 10;
        let in_flight = u64::from(profile.traffic.max_in_flight).min(SEND_CONNECTIONS);
        let loads = if profile.traffic.sync_rate.0 > 0.0 { in_flight } else { 0 };
        let pools = in_flight + loads + AUDIT_CONNECTIONS + provision::CONNECTIONS as u64;
        let endpoints = endpoints.max(1);
        let process = |name, lines, others| {
            let fixed = others + OWN_DESCRIPTORS;
            Process { name, descriptors: lines + fixed, fixed }
        };
        let mut processes = vec![process("the harness", lines, pools + 2 * endpoints)];
        let mut memory = PROCESS_BYTES + clients * CLIENT_BYTES + (lines + pools) * SOCKET_BYTES;
        if profile.target.url.as_ref().is_some_and(|url| url.starts_with("https:")) {
            memory += (lines + pools) * TLS_BYTES;
        }
        if profile.target.url.is_none() {
            let pods = u64::from(profile.target.embedded.pods.max(1));
            if profile.target.embedded.balancer.mode == BalancerMode::Proxy {
                processes.push(process("the balancer", 2 * lines, 2 * pools + 2 * pods));
                memory += PROCESS_BYTES + 2 * (lines + pools) * (SOCKET_BYTES + CLIENT_BYTES);
            }
            processes.push(process("the pods", lines, pools + 4 * pods));
            memory += PROCESS_BYTES + clients * CLIENT_BYTES + (lines + pools) * SOCKET_BYTES;
        }
        // Each address that connections come from has all ports of its own.
        let origins = (profile.target.local_addresses.len() as u64).max(1);
        Self { processes, ports: (lines + pools).div_ceil(endpoints * origins), memory, clients }
    }
}

/// What this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Open files of one process, hard limit; `None`: unlimited.
    pub descriptors: Option<u64>,
    /// Ports for outgoing connections to one address and port.
    pub ports: u64,
    /// Memory that can be had without swapping, bytes; `None`: not known.
    pub memory: Option<u64>,
}

impl Machine {
    /// This one, now.
    pub fn look() -> Self {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u64>().ok());
        let ports =
            ends.next().zip(ends.next()).map_or(28_232, |(first, last)| (last + 1).saturating_sub(first));
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let memory = available.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Self { descriptors: getrlimit(Resource::Nofile).maximum, ports, memory: memory.map(|kib| kib * 1024) }
    }
}

/// What this machine lacks; completes "failed to …".
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MachineError {
    /// Too few open files.
    #[error(
        "find room for {needed} open files in {process}: the hard limit of this machine is {limit} (RLIMIT_NOFILE); \
         raise it (`ulimit -Hn`), or lower population.clients to {clients} or less"
    )]
    Descriptors {
        /// Which process.
        process: &'static str,
        /// What it needs.
        needed: u64,
        /// What it can have.
        limit: u64,
        /// How many clients would fit.
        clients: u64,
    },
    /// Too few ports.
    #[error(
        "find {needed} free ports towards one address of the target: this machine has {limit} \
         (net.ipv4.ip_local_port_range); widen it, or lower population.clients"
    )]
    Ports {
        /// What is needed.
        needed: u64,
        /// What there is.
        limit: u64,
    },
    /// Too little memory.
    #[error(
        "find {needed_mib} MiB of memory: this machine has {available_mib} MiB available (MemAvailable); \
         lower population.clients"
    )]
    Memory {
        /// What is needed, by estimate.
        needed_mib: u64,
        /// What there is.
        available_mib: u64,
    },
    /// The limit could not be raised.
    #[error("raise the soft limit of open files to {limit}: {errno}")]
    Raise {
        /// The hard limit.
        limit: u64,
        /// The kernel's words.
        errno: rustix::io::Errno,
    },
}

/// Whether the machine can hold it.
///
/// # Errors
///
/// The first limit that it does not fit under, by name.
pub fn hold(holding: &Holding, machine: &Machine) -> Result<(), MachineError> {
    for process in &holding.processes {
        let limit = machine.descriptors.unwrap_or(u64::MAX);
        if process.descriptors > limit {
            // What would fit into every process, so that the advice need not be given twice.
            let clients = holding.processes.iter().map(|process| process.fit(limit, holding.clients)).min();
            let clients = clients.unwrap_or(0);
            let (process, needed) = (process.name, process.descriptors);
            return Err(MachineError::Descriptors { process, needed, limit, clients });
        }
    }
    if holding.ports > machine.ports {
        return Err(MachineError::Ports { needed: holding.ports, limit: machine.ports });
    }
    match machine.memory {
        Some(available) if holding.memory > available => {
            Err(MachineError::Memory { needed_mib: holding.memory >> 20, available_mib: available >> 20 })
        }
        _ => Ok(()),
    }
}

/// Raises the soft limit of open files to the hard one; children inherit it.
///
/// # Errors
///
/// When the kernel refuses.
pub fn raise_descriptor_limit() -> Result<(), MachineError> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    limit.current = limit.maximum;
    let refused = |errno| MachineError::Raise { limit: limit.maximum.unwrap_or(u64::MAX), errno };
    setrlimit(Resource::Nofile, limit).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: Machine = Machine { descriptors: Some(20_000), ports: 28_232, memory: Some(16 << 30) };

    fn holding(clients: u64, per_process: &[(&'static str, u64, u64)]) -> Holding {
        let process = |&(name, descriptors, fixed)| Process { name, descriptors, fixed };
        let processes = per_process.iter().map(process).collect();
        Holding { processes, ports: clients, memory: clients * CLIENT_BYTES, clients }
    }

    #[test]
    fn what_fits_is_held() {
        assert_eq!(
            hold(&holding(5_000, &[("the harness", 5_100, 100), ("the balancer", 10_200, 200)]), &ROOMY),
            Ok(())
        );
    }

    #[test]
    fn the_limit_that_is_too_low_is_named_with_what_would_fit() {
        let busy = holding(12_000, &[("the harness", 12_100, 100), ("the balancer", 24_200, 200)]);
        let refused = hold(&busy, &ROOMY).expect_err("24,200 of 20,000");
        let MachineError::Descriptors { process, needed, clients, .. } = refused else { panic!("{refused}") };
        assert_eq!((process, needed, clients), ("the balancer", 24_200, 9_900));
        let unlimited = Machine { descriptors: None, ..ROOMY };
        assert_eq!(hold(&busy, &unlimited), Ok(()));
        let narrow = Machine { ports: 10_000, ..unlimited };
        assert_eq!(hold(&busy, &narrow), Err(MachineError::Ports { needed: 12_000, limit: 10_000 }));
        let small = Machine { memory: Some(1 << 20), ..unlimited };
        assert!(matches!(hold(&busy, &small), Err(MachineError::Memory { available_mib: 1, .. })));
    }

    #[test]
    fn a_target_that_speaks_tls_takes_memory_for_every_connection() {
        let memory = |url: &str| {
            let mut profile = crate::report::sample::profile();
            profile.target.url = Some(url.to_owned());
            profile.population.clients = 10_000;
            Holding::new(&profile, 1).memory
        };
        let more = memory("https://chat.example.com") - memory("http://chat.example.com");
        assert!((10_000 * TLS_BYTES..12_000 * TLS_BYTES).contains(&more), "{more}");
    }

    #[test]
    fn this_machine_has_limits() {
        let machine = Machine::look();
        assert!(machine.ports > 0);
        assert!(machine.memory.is_some_and(|bytes| bytes > 1 << 20));
        raise_descriptor_limit().expect("the soft limit may be raised to the hard one");
    }
}
