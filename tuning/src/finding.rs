//! What a check found: how things are, how they should be, why, and what it costs clients.
//!
//! Must never: advise without saying why.

use serde::Serialize;

use crate::{Setting, Unseen};

/// How well a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// Could not be seen from here.
    Unseen,
    /// Works, and could be better.
    Advice,
    /// Clients get wrong, late or no answers from it.
    Problem,
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is about: a network device, a thread, or nothing where there is but one.
    pub subject: Option<String>,
    /// How well it stands.
    pub state: State,
    /// How things are.
    pub found: String,
    /// How they should be; empty if they are.
    pub should: String,
    /// What it costs clients, and why the advice helps; empty if all is good.
    pub why: String,
    /// What `apply` would change, in this order.
    pub changes: Vec<Change>,
    /// What only the operator can do.
    pub by_hand: Option<String>,
}

/// A setting, and the value it should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is to be changed.
    pub setting: Setting,
    /// To what.
    pub value: String,
}

impl Finding {
    /// All is well.
    pub fn good(found: impl Into<String>) -> Self {
        Self {
            subject: None,
            state: State::Good,
            found: found.into(),
            should: String::new(),
            why: String::new(),
            changes: Vec::new(),
            by_hand: None,
        }
    }

    /// Nothing could be seen, and why.
    pub fn unseen(why: &Unseen) -> Self {
        Self { state: State::Unseen, ..Self::good(format!("not seen: {why}")) }
    }

    /// It works, and could be better.
    pub fn advice(
        found: impl Into<String>,
        should: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        let (should, why) = (should.into(), why.into());
        Self { state: State::Advice, should, why, ..Self::good(found) }
    }

    /// It harms clients.
    pub fn problem(
        found: impl Into<String>,
        should: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self { state: State::Problem, ..Self::advice(found, should, why) }
    }

    /// The same, about `subject`.
    #[must_use]
    pub fn about(self, subject: &str) -> Self {
        Self { subject: Some(subject.to_owned()), ..self }
    }

    /// The same; `apply` sets `setting` to `value`.
    #[must_use]
    pub fn change(mut self, setting: Setting, value: impl Into<String>) -> Self {
        self.changes.push(Change { setting, value: value.into() });
        self
    }

    /// The same, with what the operator has to do.
    #[must_use]
    pub fn by_hand(self, what: impl Into<String>) -> Self {
        Self { by_hand: Some(what.into()), ..self }
    }
}
