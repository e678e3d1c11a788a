//! Hazard 11: only the module macro makes a scope.
//~ ERROR cannot construct `ModuleScope` with struct literal syntax due to private fields
pub fn forge() -> ModuleScope {
    ModuleScope {}
}
