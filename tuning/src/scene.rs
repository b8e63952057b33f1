//! What all checks share: the machine, the network devices that matter, and the workers, running or to
//! come.
//!
//! Must never: guess silently; what is assumed of workers that do not run is said.

use crate::host::number_list;
use crate::setting::field;
use crate::{Host, TuneError, Unseen};

/// A machine, and what it is judged for.
pub struct Scene<'a> {
    /// The machine.
    pub host: &'a dyn Host,
    /// The network devices to look at.
    pub interfaces: Vec<String>,
    /// Cores of the workers: of those that run, or else of all that would.
    pub cores: Vec<usize>,
    /// Real-time priority of the workers that run; 0 is ordinary scheduling. `None`: none run.
    pub worker_priority: Option<u32>,
}

/// A thread and how it is scheduled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    /// Its ID.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// The cores it may use, as the kernel lists them.
    pub cores: String,
    /// `other`, `fifo`, …, in the words of `chrt`.
    pub policy: &'static str,
    /// 0 for ordinary scheduling.
    pub priority: u32,
}

impl<'a> Scene<'a> {
    /// Looks at `host`; `interfaces` are the devices to look at, or empty for those with hardware
    /// behind them.
    ///
    /// # Errors
    /// When a device named is not there.
    pub fn new(host: &'a dyn Host, interfaces: &[String]) -> Result<Self, TuneError> {
        let present = host.list(NET).unwrap_or_default();
        if let Some(name) = interfaces.iter().find(|name| !present.contains(name)) {
            return Err(TuneError::UnknownInterface {
                name: name.clone(),
                known: present.join(", "),
            });
        }
        let interfaces = match interfaces {
            [] => chosen(host, &present),
            named => named.to_vec(),
        };
        let workers = workers(host);
        let cores = match &workers[..] {
            [] => number_list(&host.read("/sys/devices/system/cpu/online").unwrap_or_default()),
            workers => workers.iter().flat_map(|worker| number_list(&worker.cores)).collect(),
        };
        let worker_priority = workers.iter().map(|worker| worker.priority).min();
        Ok(Self { host, interfaces, cores, worker_priority })
    }

    /// The core that queue `index` of a device belongs to.
    pub fn core_of(&self, index: usize) -> usize {
        self.cores.get(index % self.cores.len().max(1)).copied().unwrap_or(0)
    }

    /// The IDs of the processes whose name is one of `names`, with it.
    pub fn processes(&self, names: &[&'static str]) -> Vec<(u32, &'static str)> {
        let named = |id: u32| {
            let name = self.host.read(&format!("/proc/{id}/comm")).ok()?;
            names.iter().find(|known| **known == name).map(|known| (id, *known))
        };
        process_ids(self.host).into_iter().filter_map(named).collect()
    }
}

impl Thread {
    /// Cores, policy and priority, as [`Setting::NapiThreads`](crate::Setting::NapiThreads) has them.
    pub(crate) fn placing(&self) -> String {
        format!("{} {} {}", self.cores, self.policy, self.priority)
    }

    fn look(host: &dyn Host, id: u32, directory: &str) -> Option<Self> {
        let name = host.read(&format!("{directory}/comm")).ok()?;
        let status = host.read(&format!("{directory}/status")).ok()?;
        let cores = field(&status, "Cpus_allowed_list")?.to_owned();
        let stat = host.read(&format!("{directory}/stat")).ok()?;
        // The name, in brackets, may hold anything; what follows are plain numbers, of which the state
        // is the first.
        let (_, rest) = stat.rsplit_once(')')?;
        let numbers: Vec<_> = rest.split_whitespace().collect();
        let number = |field: usize| numbers.get(field - STATE_FIELD)?.parse::<u32>().ok();
        let policy = POLICIES.get(number(POLICY_FIELD)? as usize)?;
        Some(Self { id, name, cores, policy, priority: number(PRIORITY_FIELD)? })
    }
}

/// The kernel threads that poll a network device, by name; none if it is not polled by threads.
pub(crate) fn napi_threads(host: &dyn Host, interface: &str) -> Result<Vec<Thread>, Unseen> {
    let prefix = format!("napi/{interface}-");
    let ours = |id: &u32| {
        host.read(&format!("/proc/{id}/comm")).is_ok_and(|name| name.starts_with(&prefix))
    };
    let mut threads: Vec<_> = process_ids(host)
        .into_iter()
        .filter(ours)
        .filter_map(|id| Thread::look(host, id, &format!("/proc/{id}")))
        .collect();
    threads.sort_by_key(|thread| (thread.name.len(), thread.name.clone()));
    Ok(threads)
}

fn workers(host: &dyn Host) -> Vec<Thread> {
    let servers = process_ids(host)
        .into_iter()
        .filter(|id| host.read(&format!("/proc/{id}/comm")).is_ok_and(|name| name == SERVER));
    let threads = servers.flat_map(|id| {
        let tasks = host.list(&format!("/proc/{id}/task")).unwrap_or_default();
        tasks.into_iter().filter_map(move |task| Some((id, task.parse().ok()?)))
    });
    threads
        .filter(|(id, task)| {
            let name = host.read(&format!("/proc/{id}/task/{task}/comm"));
            name.is_ok_and(|name| name.starts_with(WORKER))
        })
        .filter_map(|(id, task): (u32, u32)| {
            Thread::look(host, task, &format!("/proc/{id}/task/{task}"))
        })
        .collect()
}

fn process_ids(host: &dyn Host) -> Vec<u32> {
    let names = host.list("/proc").unwrap_or_default();
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Ethernet devices with hardware behind them; all but loopback where there are none, as in a container.
fn chosen(host: &dyn Host, present: &[String]) -> Vec<String> {
    let is_ethernet = |name: &&String| {
        let kind = host.read(&format!("{NET}/{name}/type"));
        let state = host.read(&format!("{NET}/{name}/operstate"));
        kind.as_deref() == Ok("1") && state.as_deref() != Ok("down")
    };
    let ethernet: Vec<_> = present.iter().filter(is_ethernet).collect();
    let has_hardware = |name: &&&String| host.link(&format!("{NET}/{name}/device")).is_ok();
    let with_hardware: Vec<_> = ethernet.iter().filter(has_hardware).copied().collect();
    let chosen = if with_hardware.is_empty() { ethernet } else { with_hardware };
    chosen.into_iter().cloned().collect()
}

/// Where the network devices are.
pub(crate) const NET: &str = "/sys/class/net";
const SERVER: &str = "timeball";
const WORKER: &str = "worker-";
/// By number, as in `sched.h`.
const POLICIES: [&str; 7] = ["other", "fifo", "rr", "batch", "iso", "idle", "deadline"];
/// Fields of `/proc/PID/stat`, as `proc(5)` counts them.
const STATE_FIELD: usize = 3;
const PRIORITY_FIELD: usize = 40;
const POLICY_FIELD: usize = 41;
