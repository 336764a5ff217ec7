//! Who may use Weir's own API for what: roles, given to groups by the configuration.
//!
//! A role is no step on a ladder: somebody who needs two is in groups of both. Invariant: without a role somebody may do
//! nothing, and a login that is narrowed by scopes has none, since what a scope says of topics says nothing of an API.

use std::fmt;

use super::principal::Principal;

/// What somebody may use the API for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks at what there is and how it is doing, not at what anybody did.
    Viewer,
    /// Decides on access requests, and sees what that takes.
    Reviewer,
    /// Reads whatever is evidence.
    Auditor,
    /// Makes and takes back tokens, and has the policy read again.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Reviewer, Role::Auditor, Role::Admin];

    /// As the configuration and the API write it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Reviewer => "reviewer",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

impl Roles {
    /// None.
    pub const NONE: Roles = Roles(0);
    /// All of them: whoever can open the local socket.
    pub const ALL: Roles = Roles::of(&Role::ALL);

    /// These.
    pub const fn of(roles: &[Role]) -> Roles {
        let (mut bits, mut at) = (0, 0);
        while at < roles.len() {
            bits |= 1 << roles[at] as u8;
            at += 1;
        }
        Roles(bits)
    }

    /// Whether `role` is one of them.
    pub fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Whether one of them is among `others`.
    pub fn meet(self, others: Roles) -> bool {
        self.0 & others.0 != 0
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, role) in self.iter().enumerate() {
            write!(f, "{}{role}", if place == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// Which groups have which roles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoleGroups(Vec<(Role, Vec<String>)>);

impl RoleGroups {
    /// As the configuration says it.
    pub fn new(groups: impl IntoIterator<Item = (Role, Vec<String>)>) -> RoleGroups {
        RoleGroups(groups.into_iter().collect())
    }

    /// Whether no group has any.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, groups)| groups.is_empty())
    }

    /// The roles of somebody who has logged in.
    pub fn of(&self, principal: &Principal) -> Roles {
        if principal.scopes.is_some() {
            return Roles::NONE;
        }
        let given = self.0.iter().filter(|(_, groups)| groups.iter().any(|group| principal.groups.contains(group)));
        given.fold(Roles::NONE, |all, (role, _)| Roles(all.0 | Roles::of(&[*role]).0))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Mechanism, Scopes};

    fn person(groups: &[&str]) -> Principal {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Principal {
            issuer: "weir".into(),
            subject: "ann".into(),
            groups,
            mechanism: Mechanism::PlainToken,
            minted_by: None,
            scopes: None,
        }
    }

    #[test]
    fn roles_come_from_groups_and_from_nothing_else() {
        let groups = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let roles = RoleGroups::new([(Role::Auditor, groups(&["audit", "sre"])), (Role::Admin, groups(&["sre"]))]);
        assert_eq!(roles.of(&person(&["audit"])), Roles::of(&[Role::Auditor]));
        assert_eq!(roles.of(&person(&["dev", "sre"])), Roles::of(&[Role::Auditor, Role::Admin]));
        assert_eq!(roles.of(&person(&["admin", "auditor"])), Roles::NONE, "a group is no role by its name");
        assert_eq!(RoleGroups::default().of(&person(&["sre"])), Roles::NONE);
    }

    #[test]
    fn a_narrowed_login_has_no_role() {
        let roles = RoleGroups::new([(Role::Admin, vec!["sre".to_owned()])]);
        let narrowed = Principal { scopes: Some(Arc::new(Scopes(Vec::new()))), ..person(&["sre"]) };
        assert_eq!(roles.of(&narrowed), Roles::NONE);
    }

    #[test]
    fn a_set_of_roles_reads_as_a_sentence_needs_it() {
        assert_eq!(Roles::of(&[Role::Admin, Role::Viewer]).to_string(), "viewer or admin");
    }
}
