//! What the policy file says, as the data plane uses it: immutable, replaced as a whole.

use super::access::AccessRules;
use super::approvals::ApprovalRules;
use super::masking::MaskingRules;
use super::recording::RecordingRules;

/// One loaded policy. The default is what holds without a file: whoever is let in may do all, metadata is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicySnapshot {
    /// SHA-256 of the file's bytes, or over the names and bytes of a folder's files, so that a recording can say which policy was in force; zeros without a file.
    pub hash: [u8; 32],
    /// Who may do what.
    pub access: AccessRules,
    /// What is held until people have said yes.
    pub approvals: ApprovalRules,
    /// How much of an exchange is recorded.
    pub recording: RecordingRules,
    /// What nobody, or not everybody, sees of records.
    pub masking: MaskingRules,
}

impl PolicySnapshot {
    /// What whoever wrote the policy should know of it, a line each, though it is lawful.
    pub fn warnings(&self) -> Vec<String> {
        self.access.warnings().into_iter().chain(self.masking.warnings()).collect()
    }
}
