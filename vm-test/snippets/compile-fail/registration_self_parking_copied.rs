//! The user's crate cannot make a self-parking registration `Copy`. Not in `tokens_copied.rs`,
//! which has the inner registration.
//~ IN THE LIBRARY'S CRATE
//~ ERROR cannot be implemented for this type .. impl<T: HotplugThread> Copy for smpboot::SelfParkingRegistration<T>
impl<T: HotplugThread> Copy for smpboot::SelfParkingRegistration<T> {}
impl<T: HotplugThread> Clone for smpboot::SelfParkingRegistration<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}
