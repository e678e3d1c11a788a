//! Hazard 11: only registrations enter and leave a scope; no code can remove another registration's
//! entry.
//~ ERROR no method named `add` found
//~ ERROR no method named `add_shared` found
//~ ERROR no method named `remove` found
pub fn add(scope: &'static ModuleScope) {
    let _ = scope.add(todo!());
}

pub fn add_shared(scope: &'static ModuleScope) {
    let _ = scope.add_shared(todo!());
}

pub fn remove(scope: &'static ModuleScope) {
    scope.remove(todo!());
}
