//! All combinations, against a table written by hand.

use super::*;
use crate::topology::VmKind;
use crate::translation::IommuMode;

const MODES: [IommuMode; 3] = [IommuMode::Off, IommuMode::Passthrough, IommuMode::Translate];
const ATTACHED: [(Result<(), AttachError>, &str); 5] = [
    (Ok(()), "admitted"),
    (Err(AttachError::AlreadyAttached), "already_attached"),
    (Err(AttachError::TypeNotAllowed), "type_not_allowed"),
    (Err(AttachError::OutOfResources), "out_of_resources"),
    (Err(AttachError::NotAttached), "not_attached"),
];

/// Kind, both capabilities, whether isolation is required; what comes out without an IOMMU, under passthrough,
/// and under translation: there `=` stands for what the attachment says.
const TABLE: [(VmKind, [bool; 3], [&str; 3]); 24] = {
    use VmKind::{HostProcess, Normal, Secure};
    const ANYWAY: [&str; 3] = ["admitted", "admitted", "admitted"];
    const ISOLATED: [&str; 3] = ["no_iommu", "passthrough", "="];
    const NEVER: [&str; 3] = ["not_supported", "not_supported", "not_supported"];
    const TORN: [&str; 3] = ["capabilities_disagree", "capabilities_disagree", "capabilities_disagree"];
    let (no, yes) = (false, true);
    [
        (HostProcess, [no, no, no], ANYWAY),
        (HostProcess, [no, yes, no], ANYWAY),
        (HostProcess, [yes, no, no], ANYWAY),
        (HostProcess, [yes, yes, no], ANYWAY),
        (HostProcess, [no, no, yes], ISOLATED),
        (HostProcess, [no, yes, yes], ISOLATED),
        (HostProcess, [yes, no, yes], ISOLATED),
        (HostProcess, [yes, yes, yes], ISOLATED),
        (Normal, [no, no, no], ANYWAY),
        (Normal, [no, yes, no], ANYWAY),
        (Normal, [yes, no, no], ANYWAY),
        (Normal, [yes, yes, no], ANYWAY),
        (Normal, [no, no, yes], ISOLATED),
        (Normal, [no, yes, yes], ISOLATED),
        (Normal, [yes, no, yes], ISOLATED),
        (Normal, [yes, yes, yes], ISOLATED),
        (Secure, [no, no, no], NEVER),
        (Secure, [no, yes, no], TORN),
        (Secure, [yes, no, no], TORN),
        (Secure, [yes, yes, no], ISOLATED),
        (Secure, [no, no, yes], NEVER),
        (Secure, [no, yes, yes], TORN),
        (Secure, [yes, no, yes], TORN),
        (Secure, [yes, yes, yes], ISOLATED),
    ]
};

#[test]
fn every_combination_is_admitted_or_refused_with_its_reason() {
    let mut compared = 0;
    for (kind, [vidmm_secure_mode, iommu_isolation, isolation_required], expected) in TABLE {
        let spec = AdmissionSpec { vidmm_secure_mode, iommu_isolation, isolation_required };
        for (mode, expected) in MODES.into_iter().zip(expected) {
            for (attached, of_attachment) in ATTACHED {
                let expected = if expected == "=" { of_attachment } else { expected };
                let found = outcome_name(spec.admit(kind, mode, attached));
                assert_eq!(found, expected, "{kind:?}, {spec:?}, {mode:?}, {attached:?}");
                compared += 1;
            }
        }
    }
    assert_eq!(compared, VmKind::ALL.len() * 8 * MODES.len() * ATTACHED.len());
}

#[test]
fn a_secure_vm_is_never_admitted_where_it_is_not_isolated() {
    for (_, [vidmm_secure_mode, iommu_isolation, isolation_required], _) in TABLE {
        let spec = AdmissionSpec { vidmm_secure_mode, iommu_isolation, isolation_required };
        for (mode, (attached, _)) in
            MODES.into_iter().flat_map(|mode| ATTACHED.map(|attached| (mode, attached)))
        {
            let isolated = mode == IommuMode::Translate && attached.is_ok();
            let admitted = spec.admit(VmKind::Secure, mode, attached).is_ok();
            assert_eq!(admitted, isolated && vidmm_secure_mode && iommu_isolation);
        }
    }
}
