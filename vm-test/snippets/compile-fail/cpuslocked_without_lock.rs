//! The variants for callers that hold the hotplug lock want to see it.
//~ ERROR mismatched types
struct State;

#[vtable]
impl smpboot::cpuhp::Callbacks for State {
    const NAME: &'static CStr = c"test:online";
}
cpuhp_state!(State);

pub fn register(scope: &'static ModuleScope) -> Result<smpboot::cpuhp::Registration<State>> {
    smpboot::cpuhp::Registration::new_cpuslocked(scope, (), smpboot::cpuhp::Invoke::No, State)
}
