//! Hazard 11: nothing but the module macro makes a scope.
//~ ERROR cannot initialize a tuple struct which contains private fields
pub static FORGED: ModuleScope = ModuleScope(());
