//! Hazard 11: nothing but the module macro makes a scope.
//~ ERROR cannot construct `ModuleScope` with struct literal syntax due to private fields
pub fn forge() -> ModuleScope {
    ModuleScope {}
}
