//! What somebody may have meant by a name that does not exist.

use super::keys::KEYS;

/// The known name that is nearest to `name` and at most `distance_max` slips of the finger away.
pub(super) fn nearest(
    name: &str,
    known: impl IntoIterator<Item = String>,
    distance_max: usize,
) -> Option<String> {
    let measured = known.into_iter().map(|other| {
        let distance = strsim::damerau_levenshtein(name, &other);
        (distance, other)
    });
    measured.min().filter(|(distance, _)| *distance <= distance_max).map(|(_, other)| other)
}

/// How many slips a name of this length may have.
fn slips_max(name: &str) -> usize {
    (name.chars().count() / 3).max(2)
}

/// What to say about a key that its section does not have. The right name in the wrong section, or
/// the name of the flag, is likelier than a slip.
pub(super) fn instead_of_key(section: &str, name: &str) -> String {
    let same = KEYS.iter().find(|key| key.name == name || key.flag.replace('-', "_") == name);
    let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
    let known = || KEYS.iter().map(|key| key.path());
    let near = same.map(|key| key.path()).or_else(|| nearest(&path, known(), slips_max(&path)));
    // A key without its section may have a slip as well.
    let near = near.or_else(|| {
        let bare = KEYS.iter().map(|key| key.name.to_owned());
        let bare = nearest(name, bare, slips_max(name))?;
        KEYS.iter().find(|key| key.name == bare).map(|key| key.path())
    });
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if section.is_empty() => format!("keys stand in the sections {}", all_sections()),
        None => format!("[{section}] has {}", keys_of(section)),
    }
}

/// What to say about a section that does not exist.
pub(super) fn instead_of_section(name: &str) -> String {
    let known = sections().into_iter().map(str::to_owned);
    match nearest(name, known, slips_max(name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", all_sections()),
    }
}

/// The sections, in the order of their documentation.
pub(super) fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    sections
}

fn all_sections() -> String {
    sections().iter().map(|name| format!("[{name}]")).collect::<Vec<_>>().join(", ")
}

fn keys_of(section: &str) -> String {
    let inside = KEYS.iter().filter(|key| key.section == section);
    inside.map(|key| key.name).collect::<Vec<_>>().join(", ")
}
