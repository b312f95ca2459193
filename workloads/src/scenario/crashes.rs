//! Whether hosts that faults end go together with what else a scenario asks for.

use portcullis_engine::error::SpecError;
use portcullis_engine::plan::ENDS_OF_HOSTS;

use super::Scenario;
use super::validate::{carries, path_of};
use crate::plan::HostGroup;

impl Scenario {
    /// Where a fault may end a host of a group, with keys under `path`.
    pub(super) fn validate_crashes(&self, path: &str, group: &HostGroup) -> Result<(), SpecError> {
        let carried = || self.tenants.iter().zip(&group.rates).filter(|(_, rate)| carries(rate));
        let all_obey = carried().all(|(class, _)| class.obeys_silence);
        let machine = &group.machine;
        if !machine.may_crash(all_obey) {
            return Ok(());
        }
        let at = |error: SpecError| SpecError::new(format!("{path}{}", error.key), error.problem);
        machine.validate_crashes(all_obey).map_err(at)?;
        let with = format!("where faults or hangs end hosts ({ENDS_OF_HOSTS})");
        for (class, _) in carried() {
            for (is_refused, key) in
                [(class.streaming.is_some(), "streaming"), (class.escapes.is_some(), "escapes")]
            {
                if is_refused {
                    let problem = format!("is not modelled {with}");
                    return Err(SpecError::new(format!("{}.{key}", path_of(class)), problem));
                }
            }
        }
        for (is_asked, key) in
            [(self.report.attribution, "report.attribution"), (self.report.miss_causes, "report.miss_causes")]
        {
            if is_asked {
                return Err(SpecError::new(key, format!("cannot be asked for {with}")));
            }
        }
        Ok(())
    }
}
