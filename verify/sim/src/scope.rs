pub fn all() -> Vec<crate::Simulation> { vec![] }
