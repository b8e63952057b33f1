//! Changing what was asked for, and putting it back.
//!
//! Must never: change what could not be undone, or undo over somebody else's change unasked.

use crate::{Change, Entry, Host, Journal, TuneError, Unseen};

/// What came of one change or its undoing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was so already.
    Already,
    /// It is now `set` and was `was`.
    Set {
        /// The value before.
        was: String,
        /// The value now.
        set: String,
    },
    /// The thing itself is gone, and its setting with it.
    Gone,
}

/// Makes one change, after noting in `journal` how to undo it.
///
/// # Errors
/// When the value before cannot be read, the journal cannot be written, or the machine refuses. Nothing has
/// changed then.
pub fn apply(
    host: &dyn Host,
    journal: &mut Journal,
    change: &Change,
) -> Result<Applied, TuneError> {
    let Change { setting, value } = change;
    let was = setting
        .read(host)
        .map_err(|why| TuneError::NotUndoable { setting: setting.to_string(), why })?;
    if was == *value {
        return Ok(Applied::Already);
    }
    let entry = Entry { setting: setting.clone(), was: was.clone(), set: value.clone() };
    journal.push(entry)?;
    if let Err(why) = setting.write(host, value) {
        // What was changed halfway is put back as far as the machine lets us.
        let _ = setting.write(host, &was);
        journal.pop()?;
        let (setting, value) = (setting.to_string(), value.clone());
        return Err(TuneError::Refused { setting, value, why });
    }
    // A device may round a value; what it came to is what must be found when it is undone.
    let set = setting.read(host).unwrap_or_else(|_| value.clone());
    journal.amend(set.clone())?;
    Ok(Applied::Set { was, set })
}

/// Undoes the latest change of `journal`; `None` if there is none.
///
/// # Errors
/// When the machine refuses, or, without `force`, somebody else has changed the setting since.
pub fn undo(
    host: &dyn Host,
    journal: &mut Journal,
    force: bool,
) -> Result<Option<(Entry, Applied)>, TuneError> {
    let Some(entry) = journal.entries().last().cloned() else { return Ok(None) };
    let Entry { setting, was, set } = &entry;
    let applied = match setting.read(host) {
        Err(Unseen::Absent(_)) => Applied::Gone,
        Ok(now) if now == *was => Applied::Already,
        Ok(now) if now != *set && !force => {
            return Err(TuneError::ChangedSince {
                setting: setting.to_string(),
                was: was.clone(),
                set: set.clone(),
                now,
            });
        }
        now => {
            setting.write(host, was).map_err(|why| TuneError::Refused {
                setting: setting.to_string(),
                value: was.clone(),
                why,
            })?;
            Applied::Set { was: now.unwrap_or_default(), set: was.clone() }
        }
    };
    journal.pop()?;
    Ok(Some((entry, applied)))
}
