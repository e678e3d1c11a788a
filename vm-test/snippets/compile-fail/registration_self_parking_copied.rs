//! As `tokens_copied.rs`, apart from the registration that it is made of.
//~ IN THE LIBRARY'S CRATE
//~ ERROR cannot be implemented for this type .. impl<T: HotplugThread> Copy for smpboot::SelfParkingRegistration<T>
impl<T: HotplugThread> Copy for smpboot::SelfParkingRegistration<T> {}
impl<T: HotplugThread> Clone for smpboot::SelfParkingRegistration<T> {
    fn clone(&self) -> Self {
        todo!()
    }
}
