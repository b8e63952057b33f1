//! What a plan meets on this machine: users, directories, files, ports.
//!
//! What would keep the server from starting is a problem. What only costs it something (a file that cannot
//! be kept), or may be as it should be (a port that the running server has), is a note.
//!
//! Must never: leave a trace; a socket is bound for a moment and closed again, no file is written.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use timeball_sys::{ListenError, User, check_free, realtime};
use timeball_time::{Interval, Served};

use crate::config::{Plan, Problem};
use crate::serve::{Age, fast_path_notes, load_leap_table};

/// What would keep a server of `plan` from starting here.
pub(crate) fn problems(plan: &Plan) -> Vec<Problem> {
    let (Some(name), Some(position)) = (&plan.server.user, plan.server.user_position) else {
        return Vec::new();
    };
    match User::named(name) {
        Ok(_) => Vec::new(),
        Err(_) => vec![Problem {
            position,
            cause: format!("there is no user {name:?} on this machine"),
            remedy: "create it (useradd --system), or name another".into(),
        }],
    }
}

/// What else the operator should know before starting it.
pub(crate) fn notes(plan: &Plan) -> Vec<String> {
    let clock = &plan.clock;
    let user = plan.server.user.as_deref().and_then(|name| User::named(name).ok());
    let kept = [&clock.drift_file, &clock.state_file].into_iter().flatten();
    let unkept = kept.filter_map(|file| unwritable(file, user.as_ref()));
    let list = clock.leap_file.as_deref().and_then(leap_note);
    unkept.chain(list).chain(ports(plan)).chain(fast_path_notes(plan)).collect()
}

/// Why `file` cannot be replaced by `user`, or by whoever runs this; `None` if it can.
fn unwritable(file: &Path, user: Option<&User>) -> Option<String> {
    let directory = file.parent().unwrap_or(Path::new("/"));
    let shown = directory.display();
    let found = match fs::metadata(directory) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return Some(format!("{shown} is no directory: nothing can be kept there")),
        Err(error) => {
            return Some(format!("{shown}: {error}; create it, or nothing is kept there"));
        }
    };
    // Files are written beside and renamed, so it is the directory that must be writable.
    let user = user.map_or_else(User::current, |user| Ok(user.clone())).ok()?;
    let bits = if found.uid() == user.uid {
        found.mode() >> 6
    } else if found.gid() == user.gid {
        found.mode() >> 3
    } else {
        found.mode()
    };
    let writable = user.uid == 0 || bits & WRITE_AND_SEARCH == WRITE_AND_SEARCH;
    let name = &user.name;
    (!writable).then(|| format!("{name:?} may not write in {shown}: chown it, or nothing is kept"))
}

fn leap_note(path: &Path) -> Option<String> {
    let table = match load_leap_table(path) {
        Ok(table) => table,
        Err(error) => return Some(format!("{error}; until then it is done without")),
    };
    let left: Interval = table.expires() - realtime().reinterpret::<Served>();
    let days = left.nanos().abs() / DAY_NS;
    match Age::with(left) {
        Age::Good => None,
        Age::Old => Some(format!("{} expires in {days} days: fetch a new list", path.display())),
        Age::Expired => Some(format!(
            "{} expired {days} days ago and is not believed: fetch a new list",
            path.display()
        )),
    }
}

fn ports(plan: &Plan) -> impl Iterator<Item = String> {
    let addresses = plan.server.listen.addresses();
    let all = addresses.into_iter().chain(plan.server.listen_smeared.iter().copied());
    let asked = all.filter(|address| address.port() != 0);
    let told = |error| match error {
        ListenError::AddressInUse(address) => {
            format!("{address} is in use, by a server that runs already or another program")
        }
        other => other.to_string(),
    };
    let errors: Vec<_> = asked.filter_map(|address| check_free(address).err()).collect();
    // Without addresses in the file the server makes do with what there is.
    let must = plan.server.listen.fallback().is_none();
    let matters = move |error: &_| must || matches!(error, ListenError::AddressInUse(_));
    errors.into_iter().filter(matters).map(told)
}

const WRITE_AND_SEARCH: u32 = 0o3;
const DAY_NS: i64 = 86_400 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_is_judged_for_the_user_who_will_write_there() {
        let directory = std::env::temp_dir().join(format!("timeball-host-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let owner = fs::metadata(&directory).unwrap();
        let user = |uid, gid| User { name: "somebody".into(), uid, gid };
        let told = |user: &User| unwritable(&directory.join("drift"), Some(user));
        assert_eq!(told(&user(owner.uid(), owner.gid())), None);
        assert_eq!(told(&user(0, 0)), None, "root may");
        let stranger = user(4_000_000, 4_000_000);
        assert!(told(&stranger).unwrap().starts_with("\"somebody\" may not write in "));
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(told(&stranger), None);
        let missing = directory.join("nowhere").join("drift");
        assert!(unwritable(&missing, Some(&stranger)).unwrap().contains("No such file"));
        fs::remove_dir_all(&directory).unwrap();
    }
}
