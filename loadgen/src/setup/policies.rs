//! The policies of a comparison.

use warmpath_core::routing::policy::PolicyConfig;

pub fn parse_policies(names: &[String]) -> Result<Vec<PolicyConfig>, String> {
    if names == ["all"] {
        return Ok(PolicyConfig::ALL.to_vec());
    }
    let mut policies: Vec<PolicyConfig> = Vec::new();
    for name in names {
        let policy = name.trim().parse().map_err(|error| format!("--policies: {error}"))?;
        if policies.contains(&policy) {
            return Err(format!("--policies: {policy} is named twice"));
        }
        policies.push(policy);
    }
    Ok(policies)
}
