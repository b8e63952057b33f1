//! Puts the access rules into force, and keeps those about names and sources in step with the addresses
//! behind them.
//!
//! Rules about networks hold from the first packet on. A thread of its own looks names up, again and again,
//! and has the table amended when anything has changed; until a name has its first answer, the rule about it
//! is not there. What is known outlives a change of the configuration.
//!
//! Must never: keep the start, a worker or the discipline thread waiting for a name server; or let a name
//! that cannot be looked up lose the addresses it had.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use timeball_responder::{Access, AccessRule, Network, Restrictions};
use timeball_sys::sandbox::{Role, confine};

use super::desk::{Desk, Edition};
use crate::config::{self, Whom, everybody};
use crate::names;
use crate::report::Board;

/// The rules, and the addresses behind them as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Gatekeeper {
    rules: Vec<config::Access>,
    known: Arc<Mutex<Vec<Named>>>,
    /// Dropped, it ends the thread, if there is one.
    stop: Option<Sender<()>>,
}

/// What the thread works with.
struct Watch {
    rules: Vec<config::Access>,
    desk: Arc<Desk>,
    edition: Edition,
    board: Arc<Board>,
    names: Vec<Named>,
    known: Arc<Mutex<Vec<Named>>>,
    stop: Receiver<()>,
}

/// A name that a rule is about.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    addresses: Vec<IpAddr>,
    due: Instant,
    failed: bool,
}

impl Gatekeeper {
    /// One for `rules`, which knows already what the one `before` it knew.
    pub(super) fn new(rules: &[config::Access], before: &Self) -> Self {
        let (now, known) = (Instant::now(), before.names());
        let fresh = |name: &String| Named {
            name: name.clone(),
            addresses: Vec::new(),
            due: now,
            failed: false,
        };
        let named = |name: &String| {
            let found = known.iter().find(|named| named.name == *name);
            found.cloned().unwrap_or_else(|| fresh(name))
        };
        let names: Vec<_> = names_of(rules).map(named).collect();
        Self { rules: rules.to_vec(), known: Arc::new(Mutex::new(names)), stop: None }
    }

    /// The table of the rules by what is known now.
    pub(super) fn table(&self, board: &Board) -> Access {
        Access::new(&table(&self.rules, &self.names(), &board.source_addresses()))
    }

    /// Has the table of `edition` follow names and sources, if any rule is about those: by a thread.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(super) fn start(
        &mut self,
        desk: &Arc<Desk>,
        edition: Edition,
        board: &Arc<Board>,
    ) -> io::Result<()> {
        let names = self.names();
        if names.is_empty() && !self.rules.iter().any(|rule| rule.whom == Whom::Sources) {
            return Ok(());
        }
        let (sender, stop) = bounded(0);
        let (rules, known) = (self.rules.clone(), Arc::clone(&self.known));
        let (desk, board) = (Arc::clone(desk), Arc::clone(board));
        let watch = Watch { rules, desk, edition, board, names, known, stop };
        thread::Builder::new().name("gatekeeper".to_owned()).spawn(move || watch.run())?;
        self.stop = Some(sender);
        Ok(())
    }

    fn names(&self) -> Vec<Named> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Watch {
    fn run(mut self) {
        // It reads what strangers send: nothing may come of that but a wrong address.
        if let Err(error) = confine(Role::LookUp, &[]) {
            tracing::error!("{error}; access rules about names and sources are not in force");
            return;
        }
        let mut in_force = Vec::new();
        loop {
            self.look_up();
            let wanted = table(&self.rules, &self.names, &self.board.source_addresses());
            if wanted != in_force {
                self.desk.amend(self.edition, Access::new(&wanted));
                in_force = wanted;
            }
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&self.names);
            if self.stop.recv_timeout(ROUND) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Looks up what is due.
    fn look_up(&mut self) {
        for named in self.names.iter_mut().filter(|named| named.due <= Instant::now()) {
            let answer = names::look_up(&named.name);
            let failed = answer.is_err();
            match answer {
                Ok(mut addresses) => {
                    addresses.sort_unstable();
                    named.addresses = addresses;
                }
                Err(error) if !named.failed => {
                    tracing::warn!("access rule for {}: {error}; looking it up again", named.name);
                }
                Err(_) => {}
            }
            named.failed = failed;
            named.due = Instant::now() + if failed { RETRY } else { REFRESH };
        }
    }
}

fn names_of(rules: &[config::Access]) -> impl Iterator<Item = &String> {
    rules.iter().filter_map(|rule| match &rule.whom {
        Whom::Name(name) => Some(name),
        _ => None,
    })
}

/// What `rules` say of networks, with the addresses of names and sources as they are now; and the rules that
/// hold where none of them says anything.
fn table(rules: &[config::Access], names: &[Named], sources: &[IpAddr]) -> Vec<AccessRule> {
    let hosts = |addresses: &[IpAddr]| addresses.iter().copied().map(Network::host).collect();
    let mut table: Vec<_> = rules
        .iter()
        .flat_map(|rule| {
            let networks: Vec<Network> = match &rule.whom {
                Whom::Everybody => everybody().into(),
                Whom::Network(network) => vec![*network],
                Whom::Sources => hosts(sources),
                Whom::Name(name) => {
                    let known = names.iter().find(|named| named.name == *name);
                    known.map_or_else(Vec::new, |named| hosts(&named.addresses))
                }
            };
            rule.rules(networks)
        })
        .collect();
    let loopback = [
        Network::new([127, 0, 0, 0].into(), 8).expect("8 of 32 bits"),
        Network::host(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])),
    ];
    let stranger = Restrictions::NO_QUERY | Restrictions::LIMITED;
    let defaults = everybody().map(|network| (network, stranger));
    let own = loopback.map(|network| (network, Restrictions::NONE));
    for (network, restrictions) in defaults.into_iter().chain(own) {
        if !table.iter().any(|rule| rule.network == network && !rule.from_ntp_port) {
            table.push(AccessRule { network, from_ntp_port: false, restrictions });
        }
    }
    table
}

/// How often the sources' addresses are compared: at most so long a new one is without its rule.
const ROUND: Duration = Duration::from_secs(2);
/// How long an answer is taken for true; the system's resolver says nothing of its lifetime.
const REFRESH: Duration = Duration::from_secs(600);
/// How soon a name is asked for again that had no answer.
const RETRY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Machine, Plan};

    fn rules(text: &str) -> Vec<config::Access> {
        Plan::parse(Path::new("t.toml"), text, &Machine::with_cores(vec![0])).unwrap().access
    }

    fn withheld(table: &[AccessRule], from: &str) -> Restrictions {
        Access::new(table).restrictions(&from.parse().unwrap())
    }

    #[test]
    fn without_rules_everybody_has_the_time_and_this_machine_may_query() {
        let stranger = Restrictions::NO_QUERY | Restrictions::LIMITED;
        let table = table(&[], &[], &[]);
        for (from, expected) in [
            ("192.0.2.1:123", stranger),
            ("[2001:db8::1]:123", stranger),
            ("127.0.0.1:40000", Restrictions::NONE),
            ("[::1]:40000", Restrictions::NONE),
        ] {
            assert_eq!(withheld(&table, from), expected, "{from}");
        }
    }

    #[test]
    fn rules_of_the_file_go_before_those_that_hold_without_it() {
        let stranger = Restrictions::NO_QUERY | Restrictions::LIMITED;
        let rules =
            rules("[[access]]\nnetwork = \"default\"\nallow = []\n[[access]]\nnetwork = \"::1\"\n");
        let table = table(&rules, &[], &[]);
        assert!(withheld(&table, "192.0.2.1:9").contains(Restrictions::NO_TIME));
        assert_eq!(withheld(&table, "127.0.0.1:9"), Restrictions::NONE);
        assert_eq!(withheld(&table, "[::1]:9"), stranger);
    }

    #[test]
    fn names_and_sources_stand_for_the_addresses_behind_them() {
        let stranger = Restrictions::NO_QUERY | Restrictions::LIMITED;
        let rules = rules(
            "[[access]]\nnetwork = \"default\"\nallow = []\n[[access]]\nnetwork = \"a.example\"\n\
             [[access]]\nnetwork = \"source\"\nallow = [\"query\"]\n",
        );
        let [a, b]: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::2".parse().unwrap()];
        let named = |addresses| Named {
            name: "a.example".to_owned(),
            addresses,
            due: Instant::now(),
            failed: false,
        };
        let known = table(&rules, &[named(vec![a])], &[b]);
        assert_eq!(withheld(&known, "192.0.2.1:9"), stranger);
        assert_eq!(
            withheld(&known, "[2001:db8::2]:9"),
            Restrictions::NO_TIME | Restrictions::LIMITED
        );
        let unknown = table(&rules, &[named(vec![])], &[]);
        assert!(withheld(&unknown, "192.0.2.1:9").contains(Restrictions::NO_TIME));
    }
}
