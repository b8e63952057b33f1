//! Holds the program where it is wanted: at each interface named, as long as there is one of that name.
//!
//! Must never: hold it where it may answer wrongly ([`obstacle`](super::obstacle) says where).

use timeball_sys::xdp::{Attached, Mode, Program, XdpError};
use timeball_sys::{Interface, interface_addresses};

use super::obstacle::obstacle;
use super::table::endpoints;
use super::{Lent, Order, Wanted};
use crate::config::DriverMode;
use crate::report::{Driver, FastInterface};

/// The program, and where it is.
#[derive(Debug)]
pub(super) struct Holder {
    program: Program,
    wanted: Wanted,
    held: Vec<Held>,
    driver: Driver,
    /// Looks at which the server that is being replaced may still be in our place.
    patience: u32,
    /// What it has lent, until we come into it.
    lent: Vec<Lent>,
    /// It has left.
    is_heir: bool,
}

/// The program at an interface.
#[derive(Debug)]
struct Held {
    name: String,
    index: u32,
    attached: Attached,
}

impl Holder {
    /// Of `program`, which is nowhere yet; `lent` by a server that is being replaced.
    pub(super) fn new(
        program: Program,
        wanted: Wanted,
        driver: Driver,
        lent: Option<Vec<Lent>>,
    ) -> Self {
        let patience = if lent.is_some() { PATIENCE } else { 0 };
        let (held, lent) = (Vec::new(), lent.unwrap_or_default());
        Self { program, wanted, held, driver, patience, lent, is_heir: false }
    }

    /// Does what it is told, or will with the next look.
    pub(super) fn obey(&mut self, order: &Order) {
        match order {
            Order::Want(wanted, _) => self.wanted = wanted.clone(),
            Order::Lend(lender) => {
                let lent = |held: &Held| Lent { interface: held.index, link: held.attached.link() };
                // Who asked may have lost patience.
                let _ = lender.send(self.held.iter().map(lent).collect());
            }
            Order::Claim => self.is_heir = true,
        }
    }

    /// Whether it is at every interface where it is wanted.
    pub(super) fn is_content(&self) -> bool {
        self.held.len() == self.wanted.settings.interfaces.len()
    }

    /// Takes other programs off, if that is wanted. Needs `CAP_NET_ADMIN`.
    pub(super) fn make_room(&self) {
        if !self.wanted.settings.replace_foreign || self.patience > 0 {
            return;
        }
        for one in Interface::all().unwrap_or_default() {
            let Some(program) = one.program.filter(|_| self.is_wanted_at(&one.name)) else {
                continue;
            };
            let (name, id) = (&one.name, program.id);
            match one.take_program_off() {
                Ok(()) => tracing::warn!("{name}: took XDP program {id} off, as configured"),
                Err(error) => tracing::warn!("{name}: XDP program {id} stays: {error}"),
            }
        }
    }

    /// Looks at interfaces and addresses, and sees that all is as it is wanted.
    pub(super) fn look(&mut self) {
        let all = match Interface::all() {
            Ok(all) => all,
            Err(error) => {
                let why = format!("cannot look at the interfaces: {error}");
                return self.show(|_| Some(why.clone()));
            }
        };
        let named = |name: &str| all.iter().find(|one| one.name == name);
        let mut hindered: Vec<(String, String)> = Vec::new();
        for name in &self.wanted.settings.interfaces {
            let why = match named(name) {
                Some(one) => obstacle(one, &all),
                None => Some(XdpError::NoInterface.to_string()),
            };
            hindered.extend(why.map(|why| (name.clone(), why)));
        }
        let is_hindered = |name: &str| hindered.iter().any(|(own, _)| own == name);
        let mode = mode(self.wanted.settings.mode);
        let wanted = &self.wanted.settings.interfaces;
        self.held.retain(|held| {
            // One without a program has lost ours by force.
            let same = |one: &Interface| one.index == held.index && one.program.is_some();
            let is_wanted = wanted.contains(&held.name) && !is_hindered(&held.name);
            is_wanted && held.attached.mode() == mode && named(&held.name).is_some_and(same)
        });
        let free: Vec<_> = wanted.iter().filter(|name| !is_hindered(name)).cloned().collect();
        // Where before whether: it answers from its first frame on.
        let addresses = interface_addresses().unwrap_or_default();
        let table = endpoints(&free, &all, &addresses, &self.wanted.listening);
        if let Err(error) = self.program.set_endpoints(table) {
            self.held.clear();
            return self.show(|_| Some(error.to_string()));
        }
        for one in free.iter().filter_map(|name| named(name)) {
            if self.held.iter().any(|held| held.index == one.index) {
                continue;
            }
            match hold(&self.program, &mut self.lent, self.is_heir, one.index, mode) {
                Ok(attached) => {
                    let (name, index) = (one.name.clone(), one.index);
                    self.held.push(Held { name, index, attached });
                }
                Err(error) => hindered.push((one.name.clone(), self.explain(one, &error))),
            }
        }
        self.patience = self.patience.saturating_sub(1);
        if self.is_heir {
            // What is not wanted goes.
            self.lent.clear();
        }
        self.show(|name| hindered.iter().find(|(own, _)| own == name).map(|(_, why)| why.clone()));
    }

    /// Takes it off everywhere, for good, because of `why`.
    pub(super) fn give_up(&mut self, why: &dyn std::fmt::Display) {
        self.held.clear();
        self.show(|_| Some(format!("the thread that looks after it has ended: {why}; restart")));
    }

    fn explain(&self, one: &Interface, error: &XdpError) -> String {
        match (error, one.program) {
            (XdpError::Occupied, _) if self.patience > 0 => WAITING.to_owned(),
            (XdpError::Occupied, Some(program)) => {
                format!("{error} (it is program {}, {})", program.id, program.mode)
            }
            _ => error.to_string(),
        }
    }

    fn is_wanted_at(&self, name: &str) -> bool {
        self.wanted.settings.interfaces.iter().any(|wanted| wanted == name)
    }

    /// Shows how it is at each interface; `hindered` says what is in the way, and what is new is logged.
    fn show(&self, hindered: impl Fn(&str) -> Option<String>) {
        let mode = mode(self.wanted.settings.mode).name();
        for one in self.driver.show(shown(&self.wanted, hindered)) {
            let name = &one.name;
            match &one.hindrance {
                None => {
                    tracing::info!("{name}: plain requests are answered in the driver ({mode})")
                }
                Some(why) if why == WAITING => tracing::info!("{name}: {why}"),
                Some(why) => tracing::warn!("{name}: workers answer everything: {why}"),
            }
        }
    }
}

/// Puts `program` at interface number `interface`: in the place of what was `lent` there, but no sooner than
/// we are heir to it.
fn hold(
    program: &Program,
    lent: &mut Vec<Lent>,
    is_heir: bool,
    interface: u32,
    mode: Mode,
) -> Result<Attached, XdpError> {
    let fits = |one: &Lent| one.interface == interface && one.link.mode() == mode;
    match lent.iter().position(fits) {
        Some(_) if !is_heir => Err(XdpError::Occupied),
        // The interface may have gone meanwhile, and come again.
        Some(place) => program
            .replace(lent.swap_remove(place).link)
            .or_else(|_| program.attach(interface, mode)),
        None => program.attach(interface, mode),
    }
}

/// How it is at each interface that is `wanted`; `hindered` says what is in the way.
pub(super) fn shown(
    wanted: &Wanted,
    hindered: impl Fn(&str) -> Option<String>,
) -> Vec<FastInterface> {
    let mode = mode(wanted.settings.mode).name().to_owned();
    let names = wanted.settings.interfaces.iter();
    let shown = |name: &String| FastInterface {
        name: name.clone(),
        mode: mode.clone(),
        hindrance: hindered(name),
    };
    names.map(shown).collect()
}

const fn mode(mode: DriverMode) -> Mode {
    match mode {
        DriverMode::Native => Mode::Native,
        DriverMode::Generic => Mode::Generic,
    }
}

const WAITING: &str = "waits until the server that is being replaced has left";
/// That one leaves at once; half a second each.
const PATIENCE: u32 = 20;
