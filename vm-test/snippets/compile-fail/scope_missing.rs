//! Hazard 11: registering needs the module's scope.
//~ ERROR this function takes 2 arguments but 1 argument was supplied
worker!(Worker, c"worker");

pub fn register() -> Result<Registration<Worker>> {
    Registration::new(Worker)
}
